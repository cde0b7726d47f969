//! What the model found: each stays as a test of its own.

use std::collections::BTreeMap;

use query_api::usage::{UsageQuery, summary};
use schema::UnixTime;

use super::STEPS;
use super::compare::compare;
use super::scene::Scene;
use super::store::{lose_rollups, published, world};
use super::world::{End, Fate, Key, Manner, Oddity, Report, Season, Session};
use crate::fixture::Fixture;
use crate::settler::{DAY, settler, used};
use crate::traffic::{INTERIM, START, STOP, Said};

const LOST_CARRIER: u32 = 2;

async fn counted(fixture: &Fixture, login: &str, from: i64, to: i64) -> (u64, u64) {
    let query = UsageQuery { login: login.into(), from: UnixTime(from), to: UnixTime(to) };
    let summary = summary(&fixture.deps, &query).await.unwrap();
    (summary.sessions, summary.errors)
}

#[tokio::test]
async fn a_session_counts_for_each_login_only_while_it_was_theirs_and_its_error_for_the_last() {
    let mut fixture = Fixture::new().await;
    let said = |status, login, after: u32| {
        Said::new(status, login, "a", DAY + i64::from(after), after).octets(after.into(), 0)
    };
    let stop = said(STOP, "bert", 10_800).cause(LOST_CARRIER);
    let said = [said(START, "anna", 0), said(INTERIM, "anna", 3_600), said(INTERIM, "bert", 7_200), stop];
    fixture.store(&said).await;
    for (login, from, to, sessions, errors) in [
        ("anna", 0, 7_200, 1, 0),
        ("anna", 7_200, 10_800, 0, 0),
        ("anna", 0, 86_400, 1, 0),
        ("bert", 0, 7_200, 0, 0),
        ("bert", 7_200, 9_000, 1, 0),
        ("bert", 0, 86_400, 1, 1),
    ] {
        let found = counted(&fixture, login, DAY + from, DAY + to).await;
        assert_eq!(found, (sessions, errors), "{login} from {from} to {to}");
    }
}

#[tokio::test]
async fn a_crash_between_records_and_their_rollups_leaves_nothing_unsettled() {
    let mut fixture = Fixture::new().await;
    let interim =
        |after: u32, down| Said::new(INTERIM, "anna", "a", DAY + i64::from(after), after).octets(down, 0);
    // The counters begin anew within one bucket: rollups do not show it.
    let start = Said::new(START, "anna", "a", DAY, 0);
    let said = [start, interim(3_000, 400), interim(3_060, 500), interim(3_120, 100), interim(3_180, 900)];
    let rows: Vec<_> = said.iter().map(|said| fixture.row(said)).collect();
    fixture.insert(&rows).await;
    lose_rollups(&fixture).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    // The exporter does not know of the records, and inserts them again.
    fixture.insert(&rows).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (1_400, 0));
    assert_eq!(used(&fixture, "anna", DAY, DAY + 1_500).await, (200, 0));
}

#[tokio::test]
async fn a_regular_session_stays_one_for_a_settler_that_begins_before_its_rollups_are_written() {
    let mut fixture = Fixture::new().await;
    let said = [Said::new(START, "anna", "a", DAY, 0), Said::new(STOP, "anna", "a", DAY + 600, 600)];
    let rows: Vec<_> = said.iter().map(|said| fixture.row(said)).collect();
    fixture.insert(&rows[..1]).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    fixture.insert(&rows[1..]).await;
    lose_rollups(&fixture).await;
    let done = settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!((done.records, done.evaluated), (1, 0));
    assert_eq!(published(&fixture).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_of_zero_takes_nothing_away_next_to_the_last_report_either() {
    let fixture = world().await;
    let report = |step, up| Report { step, down: up * 9, up, fate: Fate::default() };
    let session = Session {
        manner: Manner::Timestamps,
        start: 18_604,
        reports: vec![report(296, 8_389_598), report(44, 4_864_109)],
        start_fate: Fate::default(),
        start_again: None,
        oddity: Oddity::None,
        end: End::ZeroStop,
    };
    let key = Key { sessions: vec![session], twins: false, reused: false, service: false };
    let scene = Scene::of(&[key], Season::Autumn, &fixture);
    fixture.insert(&scene.rows).await;
    compare(&fixture, &scene, 0, &STEPS).await;
}
