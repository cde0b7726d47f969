//! Replays on the real engine.

use std::collections::BTreeMap;

use query_api::replay::{Difference, PublishError, Replay};
use schema::{NasId, Octets};
use tokio_util::sync::CancellationToken;
use usage::NasPolicy;
use usage::policy::Direction;

use crate::fixture::Fixture;
use crate::settler::{DAY, parts, reset, settler, used};
use crate::traffic::{INTERIM, Said};

fn reversed() -> BTreeMap<NasId, NasPolicy> {
    let policy = NasPolicy { direction: Direction::Reversed, ..NasPolicy::default() };
    [(NasId::from("bng/192.0.2.1"), policy)].into()
}

/// A session that rollups cannot tell, and one that they can; settled.
async fn fixture() -> Fixture {
    let mut fixture = Fixture::new().await;
    let regular = reset("bert", "b").into_iter().filter(|said| said.download != 1_000);
    fixture.store(&[reset("anna", "a"), regular.collect()].concat()).await;
    assert_eq!(settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap().published, 1);
    fixture
}

async fn both(fixture: &Fixture) -> [(u64, u64); 2] {
    [used(fixture, "anna", DAY, DAY + 86_400).await, used(fixture, "bert", DAY, DAY + 86_400).await]
}

const BEFORE: [(u64, u64); 2] = [(3_000, 300), (2_000, 200)];
const AFTER: [(u64, u64); 2] = [(300, 3_000), (200, 2_000)];

#[tokio::test]
async fn a_replay_by_the_same_rules_changes_nothing() {
    let fixture = fixture().await;
    let replay = Replay::open(parts(&fixture, BTreeMap::new()), 1).await.unwrap();
    let progress = replay.run(|_| {}, &CancellationToken::new()).await.unwrap();
    assert_eq!((progress.keys, progress.irregular, progress.records), (2, 1, 7));
    assert_eq!(replay.differences(None).await.unwrap(), []);
    replay.publish(&fixture.deps.directory, "test").await.unwrap();
    assert_eq!(both(&fixture).await, BEFORE);
}

#[tokio::test]
async fn today_s_rules_hold_for_the_past_once_the_replay_is_published() {
    let mut fixture = fixture().await;
    let replay = Replay::open(parts(&fixture, reversed()), 5_000).await.unwrap();
    replay.run(|_| {}, &CancellationToken::new()).await.unwrap();
    let month = fixture.deps.calendar.month_of(schema::UnixTime(DAY)).0;
    let difference = |login: &str, was: (u64, u64)| Difference {
        login: login.into(),
        month,
        was: (Octets(was.0), Octets(was.1)),
        is: (Octets(was.1), Octets(was.0)),
    };
    let expected = [difference("anna", BEFORE[0]), difference("bert", BEFORE[1])];
    assert_eq!(replay.differences(None).await.unwrap(), expected);
    assert_eq!(replay.differences(Some(1)).await.unwrap(), expected[..1]);
    assert_eq!(both(&fixture).await, BEFORE, "nothing is visible before it is published");
    // What arrives meanwhile is settled by the old rules, and in time by the new ones.
    let later = Said::new(INTERIM, "anna", "a", DAY + 1_200, 1_200).octets(2_500, 250);
    fixture.store(&[later]).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (3_500, 350));
    replay.publish(&fixture.deps.directory, "test").await.unwrap();
    assert_eq!(both(&fixture).await, [(350, 3_500), AFTER[1]]);
    // The settler goes on in the new generation.
    fixture.store(&[Said::new(INTERIM, "anna", "a", DAY + 1_500, 1_500).octets(2_600, 260)]).await;
    settler(&fixture, reversed()).settle_pending().await.unwrap();
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (360, 3_600));
}

#[tokio::test]
async fn a_replay_that_was_stopped_goes_on_and_is_not_published_before_its_end() {
    let fixture = fixture().await;
    let first = Replay::open(parts(&fixture, reversed()), 1).await.unwrap();
    let shutdown = CancellationToken::new();
    let stop_after_one = |progress: &query_api::replay::Progress| {
        if progress.done == 1 {
            shutdown.cancel();
        }
    };
    let progress = first.run(stop_after_one, &shutdown).await.unwrap();
    assert_eq!((first.is_resumed(), progress.done, progress.ranges), (false, 1, 2));
    let unfinished = first.publish(&fixture.deps.directory, "test").await.unwrap_err();
    assert!(matches!(unfinished, PublishError::Unfinished { done: 1, ranges: 2 }), "{unfinished}");
    let second = Replay::open(parts(&fixture, reversed()), 1).await.unwrap();
    let mut seen = Vec::new();
    second.run(|progress| seen.push(progress.done), &CancellationToken::new()).await.unwrap();
    assert_eq!((second.is_resumed(), seen), (true, vec![1, 2]));
    second.publish(&fixture.deps.directory, "test").await.unwrap();
    assert_eq!(both(&fixture).await, AFTER);
    let third = Replay::open(parts(&fixture, reversed()), 1).await.unwrap();
    assert!(!third.is_resumed(), "the last one was published");
    third.discard().await.unwrap();
}

#[tokio::test]
async fn other_rules_begin_another_replay() {
    let fixture = fixture().await;
    let first = Replay::open(parts(&fixture, reversed()), 1).await.unwrap();
    first.run(|_| {}, &CancellationToken::new()).await.unwrap();
    let second = Replay::open(parts(&fixture, BTreeMap::new()), 1).await.unwrap();
    assert!(!second.is_resumed());
    second.run(|_| {}, &CancellationToken::new()).await.unwrap();
    assert_eq!(second.differences(None).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_no_longer_there_whole_is_left_as_it_is() {
    let fixture = fixture().await;
    let dropped = "INSERT INTO retention SELECT 'accounting_records', toDateTime(?), now64(3)";
    fixture.target.client().query(dropped).bind(DAY + 86_400).execute().await.unwrap();
    let replay = Replay::open(parts(&fixture, BTreeMap::new()), 5_000).await.unwrap();
    let progress = replay.run(|_| {}, &CancellationToken::new()).await.unwrap();
    assert_eq!((progress.keys, progress.incomplete, progress.records), (2, 2, 0));
    replay.publish(&fixture.deps.directory, "test").await.unwrap();
    assert_eq!(both(&fixture).await, BEFORE);
}

#[tokio::test]
async fn a_settler_at_work_gives_way() {
    let fixture = fixture().await;
    fixture.deps.health.up(schema::health::CLICKHOUSE);
    let lease = query_api::settler::SettlerLease {
        directory: fixture.deps.directory.clone(),
        holder: "at work".into(),
    };
    let shutdown = CancellationToken::new();
    let work = query_api::settler::run(
        parts(&fixture, BTreeMap::new()),
        lease,
        fixture.deps.health.clone(),
        shutdown.clone(),
    );
    let work = tokio::spawn(work);
    let holder = async || fixture.deps.directory.lease_holder("settler").await.unwrap().map(|lease| lease.0);
    let working = async {
        while holder().await.as_deref() != Some("at work") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), working).await.unwrap();
    let replay = Replay::open(parts(&fixture, reversed()), 5_000).await.unwrap();
    replay.run(|_| {}, &CancellationToken::new()).await.unwrap();
    replay.publish(&fixture.deps.directory, "replay").await.unwrap();
    assert_eq!(both(&fixture).await, AFTER);
    shutdown.cancel();
    work.await.unwrap();
}
