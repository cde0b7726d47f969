//! How records get into ClickHouse: out of order, in batches, some twice, some cut off; and settlers that are gone in the
//! midst of their work.

use std::pin::pin;
use std::task::Poll;

use collector::{NasConfig, NasSettings};
use query_api::settler::Settler;
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use schema::RecordRow;
use usage::policy::{Direction, Ipv6Counters};

use super::world::{MANNERS, Manner};
use crate::fixture::Fixture;
use crate::settler::settler;

/// Stores rows in batches as a network and crashes might have it. With settlers, all is settled in the end.
pub async fn store(fixture: &Fixture, rows: &[RecordRow], seed: u64, settles: bool) {
    let mut random = StdRng::seed_from_u64(seed);
    let in_order = random.random_bool(0.3);
    let batches = batches(rows, in_order, &mut random);
    let crash_at = Some(random.random_range(0..batches.len())).filter(|_| random.random_bool(0.15));
    let mut working: Option<Settler> = None;
    for (number, batch) in batches.iter().enumerate() {
        if random.random_bool(0.2) {
            // No answer came: whether it was stored is not known, so it is inserted again.
            cut_off(fixture.insert(batch), random.random_range(1..30)).await;
        }
        if settles && random.random_bool(0.3) {
            // The settler sees the records before their rollups, and some before others.
            let mut settler = new_settler(fixture);
            let (settled, ()) = tokio::join!(settler.settle_pending(), fixture.insert(batch));
            settled.unwrap();
        } else {
            fixture.insert(batch).await;
        }
        if random.random_bool(0.2) {
            let told = if in_order { &batches[..=number] } else { &batches[..] };
            fixture.insert(told.choose(&mut random).unwrap()).await;
        }
        if crash_at == Some(number) {
            lose_rollups(fixture).await;
        }
        if settles && random.random_bool(0.5) {
            // One that goes on waits for numbers that are missing.
            let mut settler = working.take().filter(|_| in_order).unwrap_or_else(|| new_settler(fixture));
            let steps = if random.random_bool(0.5) { u32::MAX } else { random.random_range(1..150) };
            let done = cut_off(settler.settle_pending(), steps).await;
            working = done.map(Result::unwrap).map(|_| settler);
        }
        if crash_at == Some(number) {
            for batch in &batches[..=number] {
                fixture.insert(batch).await;
            }
        }
    }
    if settles {
        new_settler(fixture).settle_pending().await.unwrap();
    }
}

/// As after a crash before the views had written anything. Whoever exported the records inserts them again.
pub async fn lose_rollups(fixture: &Fixture) {
    for table in ["sessions", "usage_5m", "usage_1d"] {
        let truncate = format!("TRUNCATE TABLE {table}");
        fixture.target.client().query(&truncate).execute().await.unwrap();
    }
}

/// In order as collectors export, or not.
fn batches(rows: &[RecordRow], in_order: bool, random: &mut StdRng) -> Vec<Vec<RecordRow>> {
    let mut batches: Vec<Vec<RecordRow>> = Vec::new();
    let mut rest = rows.to_vec();
    while !rest.is_empty() {
        let size = random.random_range(1..=rest.len().min(1 + rows.len() / 2));
        batches.push(rest.drain(..size).collect());
    }
    batches.iter_mut().for_each(|batch| batch.shuffle(random));
    if in_order {
        return batches;
    }
    // Rows change batches, too.
    for _ in 0..rows.len() / 10 {
        let Some(row) = batches.choose_mut(random).and_then(Vec::pop) else { continue };
        batches.choose_mut(random).unwrap().push(row);
    }
    batches.retain(|batch| !batch.is_empty());
    batches.shuffle(random);
    batches
}

/// Lets work go on for so many steps and then drops it wherever it is, as a crash does.
async fn cut_off<T>(work: impl Future<Output = T>, mut steps: u32) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        steps -= 1;
        match work.as_mut().poll(context) {
            Poll::Pending if steps > 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(done) => Poll::Ready(Some(done)),
        }
    })
    .await
}

fn new_settler(fixture: &Fixture) -> Settler {
    settler(fixture, nases().policies().clone())
}

/// What is configured about the NASes.
pub fn nases() -> NasSettings {
    let section = |manner: Manner| {
        let address = std::net::Ipv4Addr::from(manner.address());
        let reversed = manner == Manner::Reversed;
        let separate = manner == Manner::SeparateIpv6;
        NasConfig {
            name: format!("oracle/{}", manner.nas()),
            aliases: vec![format!("oracle/{address}")],
            direction: if reversed { Direction::Reversed } else { Direction::Rfc },
            ipv6_counters: if separate { Ipv6Counters::Separate } else { Ipv6Counters::Included },
            port_speed: (manner == Manner::NoGigawords).then_some(1_000_000_000),
        }
    };
    NasSettings::new(&MANNERS.map(section)).unwrap()
}

/// A database in which the NASes' policies hold for all time.
pub async fn world() -> Fixture {
    let fixture = Fixture::new().await;
    let book = serde_json::to_string(&usage::PolicyBook::always(nases().policies())).unwrap();
    let insert = "INSERT INTO rules SELECT 1, 0, ?, now64(3)";
    fixture.target.client().query(insert).bind(book).execute().await.unwrap();
    fixture.deps.rules.refresh(&fixture.target.reader()).await.unwrap();
    fixture
}

/// The rows that were published, as a set: everything but when.
pub async fn published(fixture: &Fixture) -> Vec<String> {
    let sql = "SELECT DISTINCT toString(tuple(s.* EXCEPT (revision, settled_at, newest))) FROM \
               (SELECT *, max(revision) OVER (PARTITION BY session_key) AS newest FROM settled_sessions) AS s \
               WHERE revision = newest ORDER BY session_key, number";
    fixture.target.reader().query(sql).fetch_all::<String>().await.unwrap()
}
