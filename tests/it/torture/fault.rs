//! What can be done to a running service.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use reqwest::Method;
use tokio::time::Instant;

use super::burst;
use super::damage;
use super::load::{Book, Load};
use super::relay::Weather;
use super::scene::Scene;
use crate::api::SOON;
use crate::until::until;

/// Something that is done to a service under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the service; its engine dies with it.
    ServiceKilled,
    /// `kill -9` of the engine.
    EngineKilled,
    /// `kill -9` of both in the same moment.
    BothKilled,
    /// It is asked to end, and started again.
    Restarted,
    /// It is killed; a bit of its journal flips that ClickHouse holds already, and half a group is left at the end.
    JournalDamaged,
    /// The engine answers nothing for long.
    EngineStopped,
    /// Parts of ClickHouse's tables are deleted, and ClickHouse starts anew.
    PartsRemoved,
    /// Datagrams are lost, repeated, delayed and overtake each other.
    BadNetwork,
    /// Many times more packets come at once than can be taken.
    Burst,
    /// Journal, checkpoints and ClickHouse have no room any more.
    DiskFull,
    /// PostgreSQL is gone.
    DatabaseGone,
    /// The clock is set: an hour back, an hour ahead, and right again.
    ClockSet,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::ServiceKilled,
        Self::EngineKilled,
        Self::BothKilled,
        Self::Restarted,
        Self::JournalDamaged,
        Self::EngineStopped,
        Self::PartsRemoved,
        Self::BadNetwork,
        Self::Burst,
        Self::DiskFull,
        Self::DatabaseGone,
        Self::ClockSet,
    ];

    /// What it is, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceKilled => "kill -9 of the service",
            Self::EngineKilled => "kill -9 of the engine",
            Self::BothKilled => "kill -9 of both at once",
            Self::Restarted => "restart",
            Self::JournalDamaged => "journal damaged and torn",
            Self::EngineStopped => "engine unreachable",
            Self::PartsRemoved => "ClickHouse parts removed",
            Self::BadNetwork => "loss, copies, delay, reordering",
            Self::Burst => "burst",
            Self::DiskFull => "disk full",
            Self::DatabaseGone => "PostgreSQL gone",
            Self::ClockSet => "clock set",
        }
    }

    /// Whether the load's records are to be long, so that a journal segment is soon full.
    pub const fn wants_long_records(self) -> bool {
        matches!(self, Self::DiskFull)
    }

    /// Whether the clock is set, by an hour. Sessions are to be older than that then: a younger one cannot be told from
    /// another that began an hour later under its identifier.
    pub const fn sets_clock(self) -> bool {
        matches!(self, Self::ClockSet)
    }

    /// Does it, and undoes what does not undo itself. Gives what was sent besides the load.
    pub async fn strike(self, scene: &mut Scene, load: &Load, prefix: &str, longest: Duration) -> Vec<Book> {
        match self {
            Self::ServiceKilled | Self::BothKilled => scene.kill(load, self == Self::BothKilled).await,
            Self::EngineKilled => scene.kill_engine(load).await,
            Self::Restarted => scene.restart(load).await,
            Self::JournalDamaged => scene.damage_journal(load).await,
            Self::EngineStopped => scene.stop_engine(load, longest).await,
            Self::PartsRemoved => scene.remove_parts().await,
            Self::BadNetwork => scene.spoil_network(load).await,
            Self::Burst => return scene.burst(prefix).await,
            Self::DiskFull => scene.fill_disk(load).await,
            Self::DatabaseGone => scene.stop_database(load).await,
            Self::ClockSet => scene.step_clock(load).await,
        }
        Vec::new()
    }
}

impl Scene {
    /// A moment that nothing in the service has anything to do with.
    async fn some_time(&mut self, load: &Load) {
        load.more(self.dice.random_range(50..400)).await;
        tokio::time::sleep(Duration::from_micros(self.dice.random_range(0..50_000))).await;
    }

    async fn kill(&mut self, load: &Load, engine_too: bool) {
        for _ in 0..2 {
            self.some_time(load).await;
            if let Some(engine) = self.service.engine().filter(|_| engine_too) {
                _ = kill(engine, Signal::SIGKILL);
            }
            self.service.kill();
            self.service.run().await;
        }
    }

    async fn restart(&mut self, load: &Load) {
        self.some_time(load).await;
        self.service.stop().await;
        self.service.run().await;
    }

    async fn damage_journal(&mut self, load: &Load) {
        load.more(500).await;
        self.some_time(load).await;
        self.service.kill();
        let (dice, data) = (&mut self.dice, self.service.data_dir());
        // In this order: behind a damaged batch no end is found.
        damage::tear_the_end(&data, dice);
        damage::flip_a_bit(&data, dice);
        self.service.run().await;
        assert!(self.service.log().contains("octets of an unfinished group cut"), "nothing was torn");
    }

    async fn kill_engine(&mut self, load: &Load) {
        self.some_time(load).await;
        kill(self.service.engine().expect("the engine runs"), Signal::SIGKILL).unwrap();
        load.more(500).await;
    }

    async fn stop_engine(&mut self, load: &Load, longest: Duration) {
        self.some_time(load).await;
        let engine = self.service.engine().expect("the engine runs");
        kill(engine, Signal::SIGSTOP).unwrap();
        let until = Instant::now() + longest.mul_f64(self.dice.random_range(0.3..1.0));
        while Instant::now() < until {
            load.more(100).await;
        }
        // The service may have lost its patience with it.
        _ = kill(engine, Signal::SIGCONT);
    }

    /// Deletes about half of the parts that hold records, and lets ClickHouse start anew as after a power cut.
    async fn remove_parts(&mut self) {
        let sql = "SELECT path FROM system.parts WHERE database = 'radtally' AND table = 'accounting_records' AND active \
                   FORMAT TSV";
        let again = "radtally_collector_export_again_rows_total";
        let before = self.service.metric(again, &[]).await;
        until("parts of which some can be removed", SOON, async || {
            let mut parts: Vec<String> = self.service.sql(sql).await.lines().map(Into::into).collect();
            parts.shuffle(&mut self.dice);
            // What was merged away meanwhile is removed already.
            let half = parts.iter().take(parts.len().div_ceil(2));
            let removed = half.filter(|part| std::fs::remove_dir_all(part).is_ok());
            (removed.count() > 0).then_some(())
        })
        .await;
        kill(self.service.engine().expect("the engine runs"), Signal::SIGKILL).unwrap();
        until("what was in them to be exported again", 6 * SOON, async || {
            (self.service.metric(again, &[]).await > before).then_some(())
        })
        .await;
    }

    async fn spoil_network(&mut self, load: &Load) {
        self.relay.set(Weather {
            loss: self.dice.random_range(0.1..0.25),
            twice: self.dice.random_range(0.1..0.5),
            delay: Duration::from_millis(self.dice.random_range(50..300)),
        });
        load.more(400).await;
        self.relay.set(Weather::default());
        assert!(self.relay.changed() > 400, "the weather was calm");
    }

    async fn burst(&mut self, prefix: &str) -> Vec<Book> {
        let dropped = async |scene: &Self| {
            let ledger = scene.service.get("/api/v1/ledger").await;
            let overload = ledger["total"]["dropped"]["overload"].as_u64().unwrap_or(0);
            overload + ledger["kernel_drops"].as_u64().unwrap()
        };
        let before = dropped(self).await;
        let (target, prefix) = (self.service.accounting, prefix.to_owned());
        let volley = tokio::task::spawn_blocking(move || burst::volley(target, &prefix)).await.unwrap();
        let dropped = dropped(self).await - before;
        println!(
            "    sent at {:.0}/s, answered at {:.0}/s, {dropped} packets dropped and counted",
            volley.sent_rate, volley.answered_rate
        );
        assert!(dropped > 0, "the burst was no burst");
        volley.books
    }

    async fn fill_disk(&mut self, load: &Load) {
        load.more(100).await;
        self.service.disk().fill();
        until("the service to say that it acknowledges nothing", 4 * SOON, async || {
            let health = self.service.ask_as_nobody(Method::GET, "/api/v1/health").await;
            (health.status() == 503).then_some(())
        })
        .await;
        self.service.disk().clear();
        load.more(200).await;
    }

    async fn stop_database(&mut self, load: &Load) {
        self.some_time(load).await;
        self.database().stop();
        until("the service to notice", SOON, async || {
            let health = self.service.ask_as_nobody(Method::GET, "/api/v1/health").await;
            assert_eq!(health.status(), 200, "packets are acknowledged without a database");
            let health: serde_json::Value = health.json().await.ok()?;
            (health["parts"]["database"]["status"] == "down").then_some(())
        })
        .await;
        load.more(500).await;
        self.database().go_on();
    }

    async fn step_clock(&mut self, load: &Load) {
        for seconds in [-3_600, 3_600, 0] {
            self.set_clock(seconds);
            until("records that arrive at another time", SOON, async || {
                let sql = "SELECT toInt64(argMax(toUnixTimestamp64Micro(arrived_at), lsn)) FROM accounting_records FORMAT TSV";
                let (_, newest) = self.store().try_sql(sql).await?;
                let newest = newest.trim().parse::<i64>().ok()? / 1_000_000;
                let off = newest - chrono::Utc::now().timestamp();
                ((off - seconds).abs() < 60).then_some(())
            })
            .await;
            self.some_time(load).await;
        }
    }
}
