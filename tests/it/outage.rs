//! The engine stops or dies under traffic: nobody who sends notices, and afterwards everything is there.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio::time::Instant;

use crate::api::{SOON, rfc3339};
use crate::client::{Nas, Said};
use crate::service::Service;
use crate::until::until;

/// Sends records about `login` for `length` and gives the median and the longest time to an acknowledgement.
async fn traffic(nas: &mut Nas, session: &mut Session, length: Duration) -> (Duration, Duration) {
    let end = Instant::now() + length;
    let mut times = Vec::new();
    while Instant::now() < end {
        times.push(nas.say(&session.next()).await.took);
    }
    times.sort_unstable();
    (times[times.len() / 2], *times.last().unwrap())
}

/// A session whose counters grow with each record.
struct Session {
    records: u32,
    started_at: i64,
}

impl Session {
    fn next(&mut self) -> Said {
        self.records += 1;
        let seconds = self.records / 100;
        let octets = u64::from(self.records) * 1_000;
        Said::interim("steady", seconds, octets, octets / 10).at(self.started_at + i64::from(seconds))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_engine_delays_no_acknowledgement_and_loses_nothing() {
    let service = Service::start().await;
    let mut nas = Nas::new(service.accounting).await;
    let mut session = Session { records: 0, started_at: chrono::Utc::now().timestamp() - 3_000 };
    let (usual, usual_longest) = traffic(&mut nas, &mut session, Duration::from_secs(4)).await;

    let engine = service.engine().unwrap();
    kill(engine, Signal::SIGSTOP).unwrap();
    let (stopped, stopped_longest) = traffic(&mut nas, &mut session, Duration::from_secs(8)).await;
    assert_eq!(service.ask_as_nobody(reqwest::Method::GET, "/api/v1/health").await.status(), 200);
    _ = kill(engine, Signal::SIGCONT);

    if let Some(engine) = service.engine() {
        _ = kill(engine, Signal::SIGKILL);
    }
    let (killed, killed_longest) = traffic(&mut nas, &mut session, Duration::from_secs(4)).await;

    for (what, median, longest) in [("stopped", stopped, stopped_longest), ("killed", killed, killed_longest)]
    {
        assert!(
            median < usual * 4 + Duration::from_millis(5),
            "{what}: median {median:?}, usually {usual:?}"
        );
        let bound = (usual_longest * 10).max(Duration::from_secs(1));
        assert!(longest < bound, "{what}: longest {longest:?}, usually {usual_longest:?}");
    }
    everything_arrives(&service, &session).await;
}

async fn everything_arrives(service: &Service, session: &Session) {
    until("the engine to be back and everything stored", 4 * SOON, async || {
        let (status, ledger) = service.try_get("/api/v1/ledger").await?;
        (status == 200 && ledger["pending"] == 0 && ledger["stored"] == session.records).then_some(())
    })
    .await;
    let (from, to) = (rfc3339(session.started_at - 60), rfc3339(session.started_at + 3_600));
    let path = format!("/api/v1/usage/summary?login=steady&from={from}&to={to}");
    let octets = u64::from(session.records) * 1_000;
    until("the usage of all records", SOON, async || {
        let (status, summary) = service.try_get(&path).await?;
        (status == 200 && summary["download_octets"] == octets && summary["upload_octets"] == octets / 10)
            .then_some(())
    })
    .await;
    assert_eq!(service.stored_attributes().await.values().sum::<u64>(), u64::from(session.records));
}
