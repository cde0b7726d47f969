//! How totals come about: sessions explained record by record, and periods session by session.

use std::collections::BTreeMap;

use query_api::ApiError;
use query_api::retention::{RetentionConfig, apply};
use query_api::sessions::SessionId;
use query_api::sessions::explain::{ExplainQuery, Explanation, explain};
use query_api::usage::explain::{Explanation as UsageExplanation, Part, explain as explain_usage};
use query_api::usage::{UsageQuery, summary};
use schema::{Octets, RecordFlags, RecordRow, SessionKind, UnixTime};
use usage::Verdict;

use crate::fixture::Fixture;
use crate::settler::{DAY, reset, settler};
use crate::traffic::{INTERIM, START, STOP, Said, key};

const DAY_LONG: i64 = 86_400;

async fn session(fixture: &Fixture, id: &str, query: &ExplainQuery) -> Explanation {
    explain(&fixture.deps, SessionId { key: key(id), number: None }, query).await.unwrap().unwrap()
}

fn said(status: u32, id: &str, after: u32, down: u64, up: u64) -> Said {
    Said::new(status, "anna", id, DAY + i64::from(after), after).octets(down, up)
}

fn verdicts(explained: &Explanation) -> Vec<Verdict> {
    explained.records.iter().map(|record| record.verdict).collect()
}

/// As a NAS without Gigawords says it.
fn without_gigawords(row: RecordRow) -> RecordRow {
    RecordRow { flags: row.flags & !RecordFlags::GIGAWORDS.0, ..row }
}

#[tokio::test]
async fn each_record_says_what_it_adds_and_why_and_all_of_them_add_up_to_the_session() {
    let mut fixture = Fixture::new().await;
    let told = [
        said(START, "s", 0, 0, 0),
        said(INTERIM, "s", 300, 4_294_967_000, 10),
        said(INTERIM, "s", 600, 704, 20),
        said(INTERIM, "s", 600, 704, 20),
        said(INTERIM, "s", 900, 500, 5),
        said(STOP, "s", 1_200, 0, 0).cause(2),
    ];
    let rows: Vec<_> = told.iter().map(|said| without_gigawords(fixture.row(said))).collect();
    fixture.insert(&rows).await;
    let explained = session(&fixture, "s", &ExplainQuery::default()).await;
    use Verdict::{Duplicate, Ok, Reset, StopWithoutOctets, WrapInferred};
    assert_eq!(verdicts(&explained), [Ok, Ok, WrapInferred, Duplicate, Reset, StopWithoutOctets]);
    let added: u64 = explained.records.iter().map(|record| record.added.download_octets.0).sum();
    let last = explained.records.last().unwrap().total_after;
    assert_eq!(added, explained.session.session.download_octets.0);
    assert_eq!((last.download_octets, last.upload_octets), (Octets(4_294_968_500), Octets(25)));
    let why = |place: usize| explained.records[place].why.as_str();
    assert!(
        why(2).contains("no Gigawords") && why(2).contains("only the download counter fell"),
        "{}",
        why(2)
    );
    assert!(why(3).contains("record 3 of c1"), "{}", why(3));
    assert!(why(4).contains("both counters fell"), "{}", why(4));
    assert!(why(5).contains("Lost-Carrier"), "{}", why(5));
    let repeats = explained.records[3].repeats.as_ref().unwrap();
    assert_eq!((repeats.collector.as_str(), repeats.lsn.0), ("c1", 3));
    assert_eq!(
        explained.verdicts,
        BTreeMap::from([(Ok, 2), (WrapInferred, 1), (Duplicate, 1), (Reset, 1), (StopWithoutOctets, 1),])
    );
}

#[tokio::test]
async fn days_of_a_session_add_up_and_tell_between_which_reports_their_edges_lie() {
    let mut fixture = Fixture::new().await;
    let begin = DAY - 600;
    let at = |status, after: u32, down| {
        Said::new(status, "anna", "s", begin + i64::from(after), after).octets(down, 0)
    };
    fixture
        .store(&[at(START, 0, 0), at(INTERIM, 500, 5_000), at(INTERIM, 700, 9_000), at(STOP, 90_000, 20_000)])
        .await;
    let explained = session(&fixture, "s", &ExplainQuery::default()).await;
    assert_eq!(explained.periods.len(), 3, "the evening before, the day, the morning after");
    let sum: u64 = explained.periods.iter().map(|day| day.usage.download_octets.0).sum();
    assert_eq!(sum, 20_000);
    let first = &explained.periods[0];
    assert_eq!((first.usage.download_octets, first.usage.estimated_octets), (Octets(7_000), Octets(2_000)));
    assert_eq!((first.at_from.at, first.at_from.before), (UnixTime(begin), None), "its own start");
    let (before, after) = (first.at_to.before.unwrap(), first.at_to.after.unwrap());
    assert_eq!((before.at, after.at), (UnixTime(DAY - 100), UnixTime(DAY + 100)));
    assert_eq!((before.download_octets, after.download_octets), (Octets(5_000), Octets(9_000)));
    assert_eq!(first.at_to.download_octets, explained.periods[1].at_from.download_octets);

    let (from, to) = (Some(UnixTime(DAY)), Some(UnixTime(DAY + DAY_LONG)));
    let explained = session(&fixture, "s", &ExplainQuery { from, to, ..ExplainQuery::default() }).await;
    let [day] = explained.periods.as_slice() else { panic!("{:?}", explained.periods) };
    assert_eq!(day.usage.download_octets, day.at_to.download_octets - day.at_from.download_octets);
}

#[tokio::test]
async fn pages_of_records_hold_each_once_also_when_one_comes_in_between() {
    let mut fixture = Fixture::new().await;
    let mut told = vec![said(START, "s", 0, 0, 0)];
    told.extend((1..7).map(|step| said(INTERIM, "s", step * 300, u64::from(step) * 1_000, 0)));
    fixture.store(&told).await;
    let mut query = ExplainQuery { limit: Some(3), ..ExplainQuery::default() };
    let mut times = Vec::new();
    loop {
        let page = session(&fixture, "s", &query).await;
        assert!(page.records.len() <= 3);
        times.extend(page.records.iter().map(|record| record.sample_at.0 - DAY));
        let Some(next) = page.next else { break };
        let uri = format!("/x?cursor={next}").parse().unwrap();
        let params = query_api::params::Params::of(&uri, &["cursor"]).unwrap();
        query.cursor = ExplainQuery::of(&params, fixture.deps.calendar).unwrap().cursor;
        if times.len() == 3 {
            let late = said(INTERIM, "s", 450, 1_500, 0);
            fixture
                .store(&[Said { arrived_at: DAY + 5_000, ..late }, said(STOP, "s", 2_000, 7_000, 0)])
                .await;
        }
    }
    assert_eq!(times, [0, 300, 600, 900, 1_200, 1_500, 1_800, 2_000]);
    let lost = "9.elsewhere";
    let uri = format!("/x?cursor={lost}").parse().unwrap();
    let params = query_api::params::Params::of(&uri, &["cursor"]).unwrap();
    let query = ExplainQuery::of(&params, fixture.deps.calendar).unwrap();
    let id = SessionId { key: key("s"), number: None };
    let error = explain(&fixture.deps, id, &query).await.unwrap_err();
    assert!(
        matches!(&error, ApiError::BadParameter { name: "cursor", value, .. } if value == lost),
        "{error}"
    );
}

#[tokio::test]
async fn records_of_every_batch_are_shown_though_they_arrive_within_one_second() {
    let mut fixture = Fixture::new().await;
    for said in [said(START, "s", 0, 0, 0), said(INTERIM, "s", 300, 5, 5), said(STOP, "s", 600, 9, 9)] {
        let row = fixture.row(&said);
        let arrived_at = (DAY + 600) * 1_000_000 + i64::try_from(row.lsn).unwrap() * 100_000;
        fixture.insert(&[RecordRow { arrived_at, ..row }]).await;
    }
    let explained = session(&fixture, "s", &ExplainQuery::default()).await;
    assert_eq!((explained.records.len(), explained.verdicts[&Verdict::Ok]), (3, 3));
}

#[tokio::test]
async fn a_settled_session_says_whether_its_records_still_say_the_same() {
    let mut fixture = Fixture::new().await;
    fixture.store(&reset("anna", "a")).await;
    let explained = session(&fixture, "a", &ExplainQuery::default()).await;
    assert_eq!(explained.settled, None, "not yet");
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    let settled = session(&fixture, "a", &ExplainQuery::default()).await.settled.unwrap();
    assert!(settled.agrees && settled.revision > 0, "{settled:?}");
    fixture.store(&[Said::new(STOP, "anna", "a", DAY + 1_200, 1_200).octets(2_500, 250)]).await;
    assert!(!session(&fixture, "a", &ExplainQuery::default()).await.settled.unwrap().agrees);
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    assert!(session(&fixture, "a", &ExplainQuery::default()).await.settled.unwrap().agrees);
}

#[tokio::test]
async fn sessions_that_had_one_identifier_are_explained_apart() {
    let mut fixture = Fixture::new().await;
    let again = |status, after: u32, down| {
        Said::new(status, "bert", "s", DAY + 7_200 + i64::from(after), after).octets(down, 0)
    };
    fixture.store(&[said(START, "s", 0, 0, 0), said(STOP, "s", 600, 900, 0)]).await;
    fixture.store(&[again(START, 0, 0), again(INTERIM, 300, 50)]).await;
    let newest = session(&fixture, "s", &ExplainQuery::default()).await;
    assert_eq!((newest.session.session.login.as_str(), newest.records.len()), ("bert", 2));
    assert_eq!(newest.records[0].verdict, Verdict::IdReused);
    let [other] = newest.others.as_slice() else { panic!("{:?}", newest.others) };
    let first = explain(&fixture.deps, other.id, &ExplainQuery::default()).await.unwrap().unwrap();
    assert_eq!((first.session.session.login.as_str(), first.records.len()), ("anna", 2));
    assert_eq!(first.records.iter().map(|record| record.session).collect::<Vec<_>>(), [1, 1]);
}

/// A login's total in a period, explained; its parts must add up to what the summary says.
async fn total(fixture: &Fixture, login: &str, from: i64, to: i64) -> UsageExplanation {
    let query = UsageQuery { login: login.into(), from: UnixTime(from), to: UnixTime(to) };
    let explained = explain_usage(&fixture.deps, &query).await.unwrap();
    assert_eq!(explained.total, summary(&fixture.deps, &query).await.unwrap());
    let sum = |of: fn(&Part) -> u64| explained.sessions.iter().map(of).sum::<u64>();
    let total = &explained.total;
    assert_eq!(sum(|part| part.usage.download_octets.0), total.download_octets.0);
    assert_eq!(sum(|part| part.usage.upload_octets.0), total.upload_octets.0);
    assert_eq!(sum(|part| part.usage.estimated_octets.0), total.estimated_octets.0);
    assert_eq!(sum(|part| part.usage.online_seconds), total.online_seconds);
    for part in &explained.sessions {
        let shares: u64 = part.shares.iter().map(|share| share.usage.download_octets.0).sum();
        assert_eq!(shares, part.usage.download_octets.0);
        for share in &part.shares {
            let difference = share.at_to.download_octets - share.at_from.download_octets;
            assert_eq!(share.usage.download_octets, difference);
        }
    }
    explained
}

#[tokio::test]
async fn the_parts_of_a_total_add_up_to_it_to_the_octet() {
    let mut fixture = Fixture::new().await;
    fixture.store(&reset("anna", "dirty")).await;
    for (number, begin) in [(0, -70_000), (1, 3), (2, 40_000), (3, 80_001)] {
        let id = format!("clean{number}");
        let at = |status, after: u32, down| {
            let at = DAY + begin + i64::from(after);
            Said::new(status, "anna", &id, at, after).octets(down, down / 7)
        };
        fixture.store(&[at(START, 0, 0), at(INTERIM, 299, 999_983), at(STOP, 75_007, 7_999_993)]).await;
    }
    let other = Said::new(START, "bert", "renamed", DAY + 100, 0);
    let renamed = |login, after: u32, down| {
        Said::new(INTERIM, login, "renamed", DAY + 100 + i64::from(after), after).octets(down, 0)
    };
    fixture
        .store(&[other, renamed("bert", 300, 500), renamed("anna", 700, 901), renamed("anna", 1_000, 2_003)])
        .await;
    for settle in [false, true] {
        if settle {
            settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
        }
        for (from, to) in
            [(0, DAY_LONG), (0, DAY_LONG / 2), (12_345, 12_346), (601, 50_000), (-90_000, 200_000)]
        {
            total(&fixture, "anna", DAY + from, DAY + to).await;
            total(&fixture, "bert", DAY + from, DAY + to).await;
        }
    }
    let explained = total(&fixture, "anna", DAY, DAY + DAY_LONG).await;
    assert_eq!(explained.sessions.len(), 6);
    let part = |id: &str| explained.sessions.iter().find(|part| part.acct_session_id == id).unwrap();
    assert_eq!(part("dirty").settled.map(|settled| settled.agrees), Some(true));
    assert_eq!(part("dirty").verdicts[&Verdict::Reset], 1);
    assert_eq!((part("clean1").settled, part("clean1").verdicts[&Verdict::Ok]), (None, 3));
    let share = &part("clean0").shares[0];
    assert_eq!(share.at_from.before.unwrap().at, UnixTime(DAY - 70_000 + 299));
    assert_eq!(share.at_from.after.unwrap().at, UnixTime(DAY + 5_007));
    assert!(
        part("clean0")
            .explain
            .as_ref()
            .unwrap()
            .starts_with(&format!("/api/v1/sessions/{}/explain?from=", key("clean0")))
    );
}

#[tokio::test]
async fn services_are_listed_and_not_added() {
    let mut fixture = Fixture::new().await;
    fixture.store(&[said(START, "whole", 0, 0, 0), said(STOP, "whole", 600, 9_000, 900)]).await;
    let service = [said(START, "part", 0, 0, 0), said(STOP, "part", 600, 4_000, 400)];
    let rows: Vec<_> =
        service.iter().map(|said| RecordRow { kind: SessionKind::SERVICE.0, ..fixture.row(said) }).collect();
    fixture.insert(&rows).await;
    let explained = total(&fixture, "anna", DAY, DAY + DAY_LONG).await;
    assert_eq!((explained.total.download_octets, explained.sessions.len()), (Octets(9_000), 1));
    let [service] = explained.not_added.as_slice() else { panic!("{:?}", explained.not_added) };
    assert_eq!((service.kind.as_str(), service.usage.download_octets), ("service", Octets(4_000)));
    assert_eq!(total(&fixture, "nobody", DAY, DAY + DAY_LONG).await.sessions, []);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_not_explained_though_its_total_stands() {
    let mut fixture = Fixture::new().await;
    fixture.store(&reset("anna", "a")).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    let before = total(&fixture, "anna", DAY, DAY + DAY_LONG).await;
    let config = RetentionConfig { records_days: 30, five_minutes_days: 0 };
    let later = UnixTime(DAY + 60 * DAY_LONG);
    apply(&fixture.deps, &fixture.target.client(), config, later).await.unwrap();
    let id = SessionId { key: key("a"), number: None };
    let error = explain(&fixture.deps, id, &ExplainQuery::default()).await.unwrap_err();
    assert!(matches!(error, ApiError::Expired { .. }), "{error}");
    let after = total(&fixture, "anna", DAY, DAY + DAY_LONG).await;
    assert_eq!(after.total, before.total);
    assert_eq!((&after.sessions[0].explain, after.sessions[0].verdicts.len()), (&None, 0));
}
