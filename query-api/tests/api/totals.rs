//! Everyone's totals on the real engine: the same as each login's own.

use std::collections::{BTreeMap, BTreeSet};

use query_api::usage::totals::{GroupBy, Of, Total, totals};
use query_api::usage::{UsageQuery, series, summary};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schema::UnixTime;
use usage::Step;

use crate::fixture::Fixture;
use crate::settler::settler;
use crate::traffic::{INTERIM, START, STOP, Said, time};

/// 2026-10-23 00:00 in Berlin; two days later the clock is set back.
const FIRST: i64 = 1_792_706_400;
const DAY: i64 = 86_400;

/// Sessions of a few hours to a few days; some report rarely; where `irregular`, some reset their counters and change their
/// login.
fn traffic(seed: u64, sessions: usize, irregular: bool) -> Vec<Said> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut said = Vec::new();
    for number in 0..sessions {
        let (login, id) = (format!("user{}", number % 7), format!("s{number}"));
        let start = FIRST + random.random_range(0..5 * DAY);
        let (mut elapsed, mut down, mut up) = (0u32, 0u64, 0u64);
        let steps = random.random_range(1..60);
        let pace = if number % 5 == 0 { 60_000 } else { 3_000 };
        let bad = irregular && number % 6 == 0;
        said.push(Said::new(START, &login, &id, start, 0));
        for step in 0..steps {
            elapsed += random.random_range(1..pace);
            down = if bad && step == 7 { 500 } else { down + random.random_range(0..9_000_000) };
            up += random.random_range(0..90_000);
            let status = if step + 1 == steps && number % 3 > 0 { STOP } else { INTERIM };
            let login = if bad && step > 20 { "other" } else { login.as_str() };
            let at = start + i64::from(elapsed) + random.random_range(0..3);
            said.push(Said::new(status, login, &id, at, elapsed).octets(down, up));
        }
    }
    said
}

async fn compare(fixture: &Fixture, from: i64, to: i64) {
    let (from, to) = (UnixTime(from), UnixTime(to));
    let totals = totals(&fixture.deps, from, to, GroupBy::Login).await.unwrap();
    let mut logins: BTreeSet<String> = (0..7).map(|number| format!("user{number}")).collect();
    logins.insert("other".into());
    for total in &totals {
        let Of::Login(login) = &total.of else { panic!("{total:?}") };
        let alone = summary(&fixture.deps, &UsageQuery { login: login.clone(), from, to }).await.unwrap();
        assert_eq!(
            (total.download_octets, total.upload_octets, total.estimated_octets, total.online_seconds),
            (alone.download_octets, alone.upload_octets, alone.estimated_octets, alone.online_seconds),
            "{login} from {from} to {to}"
        );
        logins.remove(login);
    }
    for login in logins {
        let alone = summary(&fixture.deps, &UsageQuery { login, from, to }).await.unwrap();
        assert_eq!((alone.download_octets.0, alone.online_seconds), (0, 0), "not among the totals");
    }
}

#[tokio::test]
async fn everyone_s_totals_are_each_login_s_own() {
    let day = |days: i64| FIRST + days * DAY;
    let periods = [
        (day(0), day(2)),
        (day(2), day(3) + 3_600),
        (day(1), day(9)),
        (day(1) + 7_200, day(1) + 10_800),
        (day(1) + 1_234, day(3) + 4_321),
        (day(-40), day(60)),
        (day(8), day(9)),
    ];
    for irregular in [false, true] {
        let mut fixture = Fixture::new().await;
        fixture.store(&traffic(1, 60, irregular)).await;
        if irregular {
            let done = settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
            assert!(done.published >= 10, "{done:?}");
        }
        for (from, to) in periods {
            compare(&fixture, from, to).await;
        }
        let (from, to) = (UnixTime(day(1)), UnixTime(day(4)));
        let by_nas = totals(&fixture.deps, from, to, GroupBy::Nas).await.unwrap();
        let by_login = totals(&fixture.deps, from, to, GroupBy::Login).await.unwrap();
        assert_eq!(by_nas.len(), 1);
        assert_eq!(by_nas[0].download_octets, by_login.iter().map(|total| total.download_octets).sum());
    }
}

#[tokio::test]
async fn what_was_used_before_usage_starts_is_in_no_period() {
    let starts_at = FIRST + 2 * DAY + 12_345;
    let mut fixture = Fixture::new().await;
    fixture.store(&traffic(2, 60, true)).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    let mut all = Vec::new();
    for day in -1..10 {
        let ends = [FIRST + day * DAY, FIRST + (day + 1) * DAY];
        let [from, to] = ends.map(|end| UnixTime(end.max(starts_at)));
        all.push((
            day,
            if from < to {
                totals(&fixture.deps, from, to, GroupBy::Login).await.unwrap()
            } else {
                Vec::new()
            },
        ));
    }
    fixture.deps.calendar = fixture.deps.calendar.counting_since(UnixTime(starts_at));
    for (day, counted) in all {
        let (from, to) = (FIRST + day * DAY, FIRST + (day + 1) * DAY);
        let found = totals(&fixture.deps, UnixTime(from), UnixTime(to), GroupBy::Login).await.unwrap();
        let used = |totals: &[Total]| -> Vec<_> {
            totals.iter().map(|one| Total { from: UnixTime(from), ..one.clone() }).collect()
        };
        assert_eq!(used(&found), used(&counted), "day {day}");
        compare(&fixture, from, to).await;
    }
    let query = UsageQuery { login: "user1".into(), from: UnixTime(FIRST), to: UnixTime(FIRST + 9 * DAY) };
    let whole = summary(&fixture.deps, &query).await.unwrap();
    assert_eq!(whole.counted_since, Some(UnixTime(starts_at)));
    let days = series(&fixture.deps, &query, Step::Day).await.unwrap().items;
    assert_eq!(whole.download_octets, days.iter().map(|day| day.download_octets).sum());
}

#[tokio::test]
async fn a_session_that_was_silent_for_months_is_counted_exactly() {
    let mut fixture = Fixture::new().await;
    let said = [
        Said::new(START, "user0", "s", FIRST, 0),
        Said::new(INTERIM, "user0", "s", FIRST + 600, 600).octets(1_000, 10),
        Said::new(INTERIM, "user0", "s", FIRST + 100 * DAY, 100 * 86_400).octets(9_000_000, 90),
    ];
    fixture.store(&said).await;
    compare(&fixture, FIRST + 50 * DAY, FIRST + 51 * DAY).await;
    compare(&fixture, FIRST + 99 * DAY, FIRST + 120 * DAY).await;
}

#[tokio::test]
async fn totals_come_as_json_lines_or_csv() {
    let mut fixture = Fixture::new().await;
    let said = |login: &str| {
        [
            Said::new(START, login, login, FIRST, 0),
            Said::new(STOP, login, login, FIRST + 600, 600).octets(5_000, 300),
        ]
    };
    fixture.store(&[said("anna"), said("=1+1,x")].concat()).await;
    let address = fixture.serve().await;
    let token = fixture.token().await;
    let get = async |query: &str, accept: &str| {
        let url = format!("http://{address}/api/v1/usage/totals?{query}");
        let request = reqwest::Client::new().get(url).bearer_auth(&token).header("Accept", accept);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (from, to) = (time(FIRST), time(FIRST + DAY));
    let query = format!("from={from}&to={to}");
    let (status, lines) = get(&query, "*/*").await;
    assert_eq!(status, 200, "{lines}");
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["login"]), (2, &"anna".into()));
    assert_eq!((&lines[1]["download_octets"], &lines[1]["online_seconds"]), (&5_000.into(), &600.into()));
    let (_, csv) = get(&query, "text/csv").await;
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows[0], "login,from,to,online_seconds,download_octets,upload_octets,estimated_octets");
    assert_eq!(rows[1], format!("\"'=1+1,x\",{from},{to},600,5000,300,0"));
    let (_, by_nas) = get(&format!("{query}&group_by=nas"), "text/csv").await;
    assert_eq!(by_nas.lines().nth(1).unwrap(), format!("bng/192.0.2.1,{from},{to},1200,10000,600,0"));
    for (query, accept, named) in [
        (format!("{query}&group_by=plan"), "*/*", "plan"),
        (format!("from={to}&to={from}"), "*/*", "is not after"),
        (query.clone(), "image/png", "image/png"),
    ] {
        let (status, problem) = get(&query, accept).await;
        assert_eq!(status, 400);
        assert!(problem.contains(named), "{problem}");
    }
}
