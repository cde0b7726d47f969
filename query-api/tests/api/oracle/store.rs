//! How records get into ClickHouse: out of order, in batches, some twice, some cut off; and settlers that are gone in the
//! midst of their work.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;

use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use schema::{BitsPerSecond, NasId, RecordRow};
use usage::NasPolicy;
use usage::policy::{Direction, Ipv6Counters};

use super::world::{MANNERS, Manner};
use crate::fixture::Fixture;
use crate::settler::settler;

/// Stores rows in batches as a network and crashes might have it. With a settler, all is settled in the end.
pub async fn store(fixture: &Fixture, rows: &[RecordRow], seed: u64, settles: bool) {
    let mut random = StdRng::seed_from_u64(seed);
    let batches = batches(rows, &mut random);
    for batch in &batches {
        if random.random_bool(0.2) {
            // No answer came: whether it was stored is not known, so it is inserted again.
            cut_off(fixture.insert(batch), random.random_range(1..30)).await;
        }
        fixture.insert(batch).await;
        if random.random_bool(0.2) {
            fixture.insert(batches.choose(&mut random).unwrap()).await;
        }
        if settles && random.random_bool(0.4) {
            let mut settler = settler(fixture, policies());
            let work = async { settler.settle_pending().await.unwrap() };
            cut_off(work, random.random_range(1..150)).await;
        }
    }
    if settles {
        settler(fixture, policies()).settle_pending().await.unwrap();
    }
}

fn batches(rows: &[RecordRow], random: &mut StdRng) -> Vec<Vec<RecordRow>> {
    let mut batches: Vec<Vec<RecordRow>> = Vec::new();
    let mut rest = rows.to_vec();
    while !rest.is_empty() {
        let size = random.random_range(1..=rest.len().min(1 + rows.len() / 2));
        batches.push(rest.drain(..size).collect());
    }
    // Rows change batches, too.
    for _ in 0..rows.len() / 10 {
        let Some(row) = batches.choose_mut(random).and_then(Vec::pop) else { continue };
        batches.choose_mut(random).unwrap().push(row);
    }
    batches.retain(|batch| !batch.is_empty());
    batches.iter_mut().for_each(|batch| batch.shuffle(random));
    batches.shuffle(random);
    batches
}

/// Lets work go on for so many steps and then drops it wherever it is, as a crash does.
async fn cut_off<T>(work: impl Future<Output = T>, mut steps: u32) {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        steps -= 1;
        match work.as_mut().poll(context) {
            Poll::Pending if steps > 0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// What the NASes' counters mean.
fn policies() -> BTreeMap<NasId, NasPolicy> {
    let reversed = NasPolicy { direction: Direction::Reversed, ..NasPolicy::default() };
    let separate = NasPolicy { ipv6_counters: Ipv6Counters::Separate, ..NasPolicy::default() };
    let slow = NasPolicy { port_speed: Some(BitsPerSecond(1_000_000_000)), ..NasPolicy::default() };
    let policy = |manner| match manner {
        Manner::Reversed => reversed,
        Manner::SeparateIpv6 => separate,
        Manner::NoGigawords => slow,
        _ => NasPolicy::default(),
    };
    MANNERS.map(|manner| (NasId::from(format!("oracle/{}", manner.nas())), policy(manner))).into()
}

/// A database in which the NASes' policies hold for all time.
pub async fn world() -> Fixture {
    let fixture = Fixture::new().await;
    let book = serde_json::to_string(&usage::PolicyBook::always(&policies())).unwrap();
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
