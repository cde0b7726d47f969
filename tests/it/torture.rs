//! Whatever is done to a service under load: no record that it acknowledged is lost, and none is counted twice.
//!
//! A scene (`torture/scene.rs`) is a service that everything can be done to. A round puts a load on it, lets a fault
//! strike (`torture/fault.rs`), and compares sets in the end (`torture/account.rs`): records sent, acknowledged and stored, and
//! every login's usage with what its records say. `cargo xtask torture` plays rounds at random for as long as it is told.

mod account;
mod burst;
mod damage;
mod fault;
mod load;
mod relay;
mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use crate::mounts::on_own_mounts;
use account::Account;
use fault::Fault;
use load::{Load, Shape};
use scene::Scene;

/// Rounds played on one scene, with a load each.
struct Play {
    scene: Scene,
    accounts: Vec<(Fault, Account)>,
    /// How long a fault may last that lasts as long as one likes.
    longest: Duration,
}

impl Play {
    async fn begin(seed: u64, longest: Duration) -> Self {
        println!("seed {seed}");
        Self { scene: Scene::set(seed).await, accounts: Vec::new(), longest }
    }

    async fn round(&mut self, fault: Fault) {
        let mut clocked = None;
        if fault.sets_clock() {
            clocked = Some(Scene::with_clock(self.scene.dice.random()).await);
        }
        let scene = clocked.as_mut().unwrap_or(&mut self.scene);
        let prefix = format!("r{}-", self.accounts.len());
        let shape =
            Shape { prefix: prefix.clone(), long: fault.wants_long_records(), old: fault.sets_clock() };
        let began = Instant::now();
        let load = Load::start(scene.relay.address, &shape);
        load.more(100).await;
        let besides = fault.strike(scene, &load, &prefix, self.longest).await;
        load.more(100).await;
        let mut books = load.end().await;
        books.extend(besides);
        let ended = began.elapsed().as_secs_f64();
        let account = Account::settle(scene, &prefix, &books).await;
        let settled = began.elapsed().as_secs_f64();
        println!("{:<32}{account}, in {ended:.1} s, settled after {settled:.1} s", fault.name());
        self.accounts.push((fault, account));
    }

    /// Prints the sums, and fails where anything was not as it must be.
    fn end(self) {
        let mut sums: BTreeMap<Fault, (u64, Account)> = BTreeMap::new();
        for (fault, account) in &self.accounts {
            let (rounds, sum) = sums.entry(*fault).or_default();
            *rounds += 1;
            *sum += *account;
        }
        println!("\n{:>6}  {:<32}", "rounds", "fault");
        let mut total = Account::default();
        for (fault, (rounds, sum)) in sums {
            println!("{rounds:>6}  {:<32}{sum}", fault.name());
            total += sum;
        }
        println!("{:>6}  {:<32}{total}", self.accounts.len(), "all");
        assert!(self.accounts.iter().all(|(_, account)| account.is_right()), "see the rounds above");
    }
}

/// Plays each fault once.
fn each(faults: &'static [Fault]) {
    on_own_mounts(async move || {
        let mut play = Play::begin(rand::random(), Duration::from_secs(8)).await;
        for fault in faults {
            play.round(*fault).await;
        }
        play.end();
    });
}

#[test]
fn killed_at_random_moments_it_loses_nothing_and_counts_nothing_twice() {
    each(&[Fault::ServiceKilled, Fault::BothKilled, Fault::EngineKilled, Fault::JournalDamaged]);
}

#[test]
fn whatever_network_and_clickhouse_do_it_loses_nothing_and_counts_nothing_twice() {
    each(&[Fault::EngineStopped, Fault::BadNetwork, Fault::Burst, Fault::PartsRemoved]);
}

#[test]
fn without_disk_database_or_the_right_time_it_loses_nothing_and_counts_nothing_twice() {
    each(&[Fault::DiskFull, Fault::DatabaseGone, Fault::ClockSet, Fault::Restarted]);
}

/// `cargo xtask torture` says for how long, and may say from which seed; without it one fault is enough.
#[test]
fn at_random_it_loses_nothing_and_counts_nothing_twice() {
    let told = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let minutes = told("TORTURE_MINUTES").unwrap_or(0);
    on_own_mounts(async move || {
        let until = Instant::now() + Duration::from_secs(60 * minutes);
        let longest = Duration::from_secs(if minutes == 0 { 8 } else { 60 });
        let mut play = Play::begin(told("TORTURE_SEED").unwrap_or_else(rand::random), longest).await;
        loop {
            let mut faults = Fault::ALL;
            faults.shuffle(&mut play.scene.dice);
            for fault in faults {
                play.round(fault).await;
                if Instant::now() >= until {
                    return play.end();
                }
            }
        }
    });
}
