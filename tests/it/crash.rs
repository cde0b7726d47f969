//! `kill -9` under load: whatever was acknowledged is in ClickHouse, exactly as sent.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::SOON;
use crate::client::{Nas, Said};
use crate::service::Service;
use crate::until::until;

/// NASes that send at once, each as fast as it is answered.
const NASES: u64 = 8;
const HEADER: usize = 20;

/// Sends records without end, each another one; gives the attributes of the acknowledged ones, and of the last, which
/// may or may not have been.
async fn keep_sending(
    number: u64,
    target: SocketAddr,
    acked: Arc<AtomicU64>,
    stop: CancellationToken,
) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut nas = Nas::new(target).await;
    let mut done = Vec::new();
    loop {
        let turn = done.len() as u64;
        let said = Said {
            session: format!("{number}-{turn}"),
            ..Said::interim(&format!("user{number}"), 60, turn * 7_000_000_001, turn * 13)
        };
        let request = said.request(nas.identifier());
        let attributes = request[HEADER..].to_vec();
        if stop.run_until_cancelled(nas.deliver(request)).await.is_none() {
            return (done, attributes);
        }
        acked.fetch_add(1, Ordering::Relaxed);
        done.push(attributes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_nothing_acknowledged_is_lost() {
    let mut service = Service::start().await;
    let acked = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let mut senders = JoinSet::new();
    for number in 0..NASES {
        senders.spawn(keep_sending(number, service.accounting, Arc::clone(&acked), stop.clone()));
    }
    for _ in 0..3 {
        let goal = acked.load(Ordering::Relaxed) + 1_500;
        until("1,500 more acknowledgements", 2 * SOON, async || {
            (acked.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
        service.kill();
        service.run().await;
    }
    stop.cancel();
    let (mut acknowledged, mut sent) = (BTreeSet::new(), BTreeSet::new());
    while let Some(ended) = senders.join_next().await {
        let (done, last) = ended.unwrap();
        sent.extend(done.iter().cloned().chain([last]));
        acknowledged.extend(done);
    }
    let stored = until("every acknowledged record to be stored", 2 * SOON, async || {
        let stored = service.stored_attributes().await;
        acknowledged.iter().all(|attributes| stored.contains_key(attributes)).then_some(stored)
    })
    .await;
    let changed = stored.keys().filter(|attributes| !sent.contains(*attributes)).count();
    let twice = stored.values().filter(|copies| **copies > 1).count();
    assert_eq!((changed, twice), (0, 0), "of {} acknowledged, {} stored", acknowledged.len(), stored.len());
    assert!(acknowledged.len() >= 4_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_keeps_sessions_and_records() {
    let mut service = Service::start().await;
    let mut nas = Nas::new(service.accounting).await;
    let started_at = chrono::Utc::now().timestamp() - 600;
    let at = |seconds: u32, octets| {
        Said::interim("stays", seconds, octets, 1_000).at(started_at + i64::from(seconds))
    };
    nas.say(&at(60, 1_000_000)).await;
    nas.say(&at(120, 2_000_000)).await;
    service.stop().await;
    service.run().await;
    let online = service.get("/api/v1/online?login=stays").await;
    assert_eq!(online["items"][0]["download_octets"], 2_000_000, "{online}");
    let mut nas = Nas::new(service.accounting).await;
    nas.say(&at(180, 3_000_000).status(2)).await;
    service.all_stored().await;
    assert_eq!(service.stored_attributes().await.len(), 3);
}
