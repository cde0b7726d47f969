//! The settler on the real engine.

use std::collections::BTreeMap;

use query_api::settler::{Settler, SettlerParts};
use query_api::usage::{UsageQuery, quality, summary};
use schema::{NasId, RecordRow, UnixTime};
use usage::NasPolicy;
use usage::policy::Direction;

use crate::fixture::Fixture;
use crate::traffic::{INTERIM, START, STOP, Said};

/// 2026-05-20 00:00 in Berlin.
pub const DAY: i64 = 1_779_228_000;

pub fn parts(fixture: &Fixture, policies: BTreeMap<NasId, NasPolicy>) -> SettlerParts {
    SettlerParts {
        writer: fixture.target.client(),
        reader: fixture.target.reader(),
        calendar: fixture.deps.calendar,
        rules: fixture.deps.rules.clone(),
        policies,
        watching_since: Some(UnixTime(0)),
    }
}

pub fn settler(fixture: &Fixture, policies: BTreeMap<NasId, NasPolicy>) -> Settler {
    Settler::new(parts(fixture, policies))
}

pub async fn used(fixture: &Fixture, login: &str, from: i64, to: i64) -> (u64, u64) {
    let query = UsageQuery { login: login.into(), from: UnixTime(from), to: UnixTime(to) };
    let summary = summary(&fixture.deps, &query).await.unwrap();
    (summary.download_octets.0, summary.upload_octets.0)
}

/// A session whose counters begin anew at the third report.
pub fn reset(login: &str, id: &str) -> Vec<Said> {
    let interim =
        |time: u32, down, up| Said::new(INTERIM, login, id, DAY + i64::from(time), time).octets(down, up);
    vec![
        Said::new(START, login, id, DAY, 0),
        interim(300, 1_000, 100),
        interim(600, 400, 40),
        interim(900, 2_000, 200),
    ]
}

#[tokio::test]
async fn a_session_that_rollups_cannot_tell_is_settled_and_a_regular_one_is_not() {
    let mut fixture = Fixture::new().await;
    let mut said = reset("anna", "a");
    let regular: Vec<Said> =
        said.iter().map(|one| Said { login: "bert".into(), id: "b".into(), ..one.clone() }).collect();
    said.extend(regular.into_iter().filter(|one| one.download != 1_000));
    fixture.store(&said).await;
    let mut settler = settler(&fixture, BTreeMap::new());
    let done = settler.settle_pending().await.unwrap();
    assert_eq!((done.records, done.evaluated, done.published), (7, 1, 1));
    // The fall lies within one five-minute bucket of nothing else: only the settled rows tell it.
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (3_000, 300));
    assert_eq!(used(&fixture, "bert", DAY, DAY + 86_400).await, (2_000, 200));
    assert_eq!(settler.settle_pending().await.unwrap().records, 0);
}

#[tokio::test]
async fn another_settler_goes_on_where_the_first_stopped() {
    let mut fixture = Fixture::new().await;
    let said = reset("anna", "a");
    fixture.store(&said[..2]).await;
    assert_eq!(settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap().evaluated, 0);
    fixture.store(&said[2..]).await;
    let done = settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!((done.records, done.published), (2, 1));
    fixture.store(&[Said::new(STOP, "anna", "a", DAY + 1_200, 1_200).octets(2_500, 250)]).await;
    let done = settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!((done.records, done.published), (1, 1), "a settled session stays one");
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (3_500, 350));
}

#[tokio::test]
async fn what_is_stored_twice_is_published_once() {
    let mut fixture = Fixture::new().await;
    let rows: Vec<_> = reset("anna", "a").iter().map(|said| fixture.row(said)).collect();
    fixture.insert(&rows).await;
    fixture.insert(&rows).await;
    let done = settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!((done.records, done.published), (4, 1));
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (3_000, 300));
}

#[tokio::test]
async fn a_policy_holds_for_sessions_that_begin_after_it_was_configured() {
    let mut fixture = Fixture::new().await;
    fixture.store(&reset("anna", "a")).await;
    let reversed = NasPolicy { direction: Direction::Reversed, ..NasPolicy::default() };
    let policies = BTreeMap::from([(NasId::from("bng/192.0.2.1"), reversed)]);
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    settler(&fixture, policies.clone()).settle_pending().await.unwrap();
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (3_000, 300), "it began before");
    let later = UnixTime::now().0 + 10;
    let said = [
        Said::new(START, "bert", "b", later, 0),
        Said::new(INTERIM, "bert", "b", later + 300, 300).octets(1_000, 100),
    ];
    fixture.store(&said).await;
    assert_eq!(used(&fixture, "bert", later, later + 300).await, (100, 1_000));
    let rules = fixture.deps.rules.current();
    settler(&fixture, policies).settle_pending().await.unwrap();
    assert_eq!(fixture.deps.rules.current(), rules, "what is configured already is not published again");
}

#[tokio::test]
async fn late_data_amends_the_day_it_touches_and_says_so() {
    let mut fixture = Fixture::new().await;
    let before_midnight = DAY + 86_400 - 1_200;
    let interim = |after: u32, down| {
        let at = before_midnight + i64::from(after);
        Said::new(INTERIM, "anna", "a", at, after).octets(down, down / 10)
    };
    fixture
        .store(&[
            Said::new(START, "anna", "a", before_midnight, 0),
            interim(300, 1_000),
            interim(1_500, 7_000),
        ])
        .await;
    let mut settler = settler(&fixture, BTreeMap::new());
    assert_eq!(settler.settle_pending().await.unwrap().evaluated, 0);
    let day = (DAY, DAY + 86_400);
    assert_eq!(used(&fixture, "anna", day.0, day.1).await, (5_500, 550));
    let late = Said { arrived_at: before_midnight + 9_000, ..interim(1_200, 2_000) };
    fixture.store(&[late]).await;
    assert_eq!(settler.settle_pending().await.unwrap().published, 1);
    assert_eq!(used(&fixture, "anna", day.0, day.1).await, (2_000, 200));
    let query = UsageQuery { login: "anna".into(), from: UnixTime(day.0), to: UnixTime(day.1) };
    let amended = summary(&fixture.deps, &query).await.unwrap();
    assert_eq!(amended.amended_at, Some(UnixTime(before_midnight + 9_000)));
    assert_eq!((amended.amended_download_octets, amended.amended_upload_octets), (-3_500, -350));
    let next = UsageQuery { from: query.to, to: query.to.plus(86_400), ..query };
    assert_eq!(summary(&fixture.deps, &next).await.unwrap().amended_at, None, "the next day was not over");
}

#[tokio::test]
async fn a_nas_that_fails_over_to_another_collector_and_back_is_counted_exactly() {
    let mut fixture = Fixture::new().await;
    let interim =
        |time: u32, down| Said::new(INTERIM, "anna", "a", DAY + i64::from(time), time).octets(down, 0);
    // The counters begin anew while the other collector listens, all within one bucket.
    let said =
        [Said::new(START, "anna", "a", DAY, 0), interim(60, 500), interim(120, 100), interim(180, 900)];
    let mut rows: Vec<RecordRow> = said.iter().map(|said| fixture.row(said)).collect();
    rows[2] = RecordRow { collector: "c2".into(), lsn: 1, ..rows[2].clone() };
    rows[3].lsn = 3;
    fixture.insert(&rows).await;
    let mut settler = settler(&fixture, BTreeMap::new());
    assert_eq!(settler.settle_pending().await.unwrap().published, 1);
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (1_400, 0));
}

#[tokio::test]
async fn a_service_of_a_session_is_listed_and_never_added() {
    let mut fixture = Fixture::new().await;
    fixture.store(&reset("anna", "a")[..2]).await;
    let service = fixture.row(&Said::new(INTERIM, "anna", "a-video", DAY + 300, 300).octets(600, 60));
    fixture.insert(&[RecordRow { kind: 1, ..service }]).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (1_000, 100));
    let filter = query_api::sessions::SessionFilter { login: Some("anna".into()), ..Default::default() };
    let page = query_api::PageRequest { limit: 10, cursor: None };
    let listed = query_api::sessions::list(&fixture.deps, &filter, Default::default(), page).await.unwrap();
    let mut listed: Vec<_> =
        listed.items.iter().map(|one| (one.kind.as_str(), one.download_octets.0)).collect();
    listed.sort_unstable();
    assert_eq!(listed, [("service", 600), ("session", 1_000)]);
}

#[tokio::test]
async fn what_had_to_be_inferred_is_counted_for_each_nas() {
    let mut fixture = Fixture::new().await;
    let now = UnixTime::now().0 - 3_600;
    let moved =
        |said: Said| Said { at: said.at - DAY + now, arrived_at: said.arrived_at - DAY + now, ..said };
    let mut said: Vec<Said> = reset("anna", "a").into_iter().map(moved).collect();
    said.extend(reset("bert", "b").into_iter().take(2).map(moved));
    fixture.store(&said).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    let quality = quality(&fixture.deps).await.unwrap();
    let nas = &quality.items[0];
    assert_eq!((nas.nas.as_str(), nas.sessions, nas.dirty_sessions), ("bng/192.0.2.1", 2, 1));
    assert_eq!(nas.verdicts, BTreeMap::from([(usage::Verdict::Ok, 3), (usage::Verdict::Reset, 1)]));
}

#[tokio::test]
async fn what_is_configured_at_first_holds_for_all_that_is_there() {
    let mut fixture = Fixture::new().await;
    fixture.store(&reset("anna", "a")).await;
    let reversed = NasPolicy { direction: Direction::Reversed, ..NasPolicy::default() };
    let policies = BTreeMap::from([(NasId::from("bng/192.0.2.1"), reversed)]);
    settler(&fixture, policies).settle_pending().await.unwrap();
    assert_eq!(used(&fixture, "anna", DAY, DAY + 86_400).await, (300, 3_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_a_mixture_of_revisions() {
    let mut fixture = Fixture::new().await;
    // Two sessions under one identifier; the earlier one's counters move with each late record, the later one's with it.
    let report = |begin: i64, time: u32, down: u64| {
        Said::new(INTERIM, "anna", "a", begin + i64::from(time), time).octets(down, 0)
    };
    let later = DAY + 40_000;
    fixture.store(&[report(DAY, 30_000, 1_000), report(later, 10_000, 1_000)]).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    let deps = fixture.deps.clone();
    let done = tokio_util::sync::CancellationToken::new();
    let reader = tokio::spawn({
        let done = done.clone();
        async move {
            let mut seen = std::collections::BTreeSet::new();
            while !done.is_cancelled() {
                let filter =
                    query_api::sessions::SessionFilter { login: Some("anna".into()), ..Default::default() };
                let page = query_api::PageRequest { limit: 10, cursor: None };
                let page = query_api::sessions::list(&deps, &filter, Default::default(), page).await.unwrap();
                let octets: Vec<u64> = page.items.iter().map(|one| one.download_octets.0).collect();
                assert_eq!(octets.len(), 2);
                assert_eq!(octets[0], octets[1], "both sessions are of one revision");
                seen.insert(octets[0]);
            }
            seen
        }
    });
    for step in 1..=12u32 {
        let down = 1_000 + u64::from(step);
        // In one insert: what is stored is evaluated as a whole.
        fixture.store(&[report(DAY, 30_000 + step, down), report(later, 10_000 + step, down)]).await;
        settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    }
    done.cancel();
    let seen = reader.await.unwrap();
    assert!(seen.len() > 3, "{seen:?}");
}
