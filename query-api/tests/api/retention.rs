//! Retention on the real engine.

use std::collections::BTreeMap;

use query_api::ApiError;
use query_api::retention::{RetentionConfig, apply};
use query_api::usage::{UsageQuery, series, summary};
use schema::UnixTime;
use usage::Step;

use crate::fixture::Fixture;
use crate::settler::settler;
use crate::traffic::{INTERIM, START, STOP, Said};

const DAY: i64 = 86_400;
/// 2026-06-10 00:00 in Berlin.
const FIRST: i64 = 1_781_042_400;
/// Long after.
const NOW: UnixTime = UnixTime(FIRST + 120 * DAY);

/// Three days of a regular session, and one whose counters fall.
fn said() -> Vec<Said> {
    let mut said =
        vec![Said::new(START, "anna", "a", FIRST + 3_599, 0), Said::new(START, "bert", "b", FIRST, 0)];
    for step in 1..=800u32 {
        let (time, number) = (step * 300, u64::from(step));
        let status = if step == 800 { STOP } else { INTERIM };
        let anna = Said::new(status, "anna", "a", FIRST + 3_600 + i64::from(time), time);
        said.push(anna.octets(number * number * 1_000, number * 1_000));
        let bert = Said::new(status, "bert", "b", FIRST + i64::from(time), time);
        said.push(bert.octets(if step < 100 { number * 5_000 } else { (number - 99) * 9_000 }, number));
    }
    said.sort_by_key(|said| said.arrived_at);
    said
}

fn query(login: &str, from: i64, to: i64) -> UsageQuery {
    UsageQuery { login: login.into(), from: UnixTime(from), to: UnixTime(to) }
}

#[tokio::test]
async fn days_stay_right_when_records_and_five_minute_rows_are_gone_and_what_cannot_be_told_is_refused() {
    let mut fixture = Fixture::new().await;
    fixture.store(&said()).await;
    settler(&fixture, BTreeMap::new()).settle_pending().await.unwrap();
    let whole = |login| query(login, FIRST - DAY, FIRST + 5 * DAY);
    let mut before = Vec::new();
    for login in ["anna", "bert"] {
        before.push(series(&fixture.deps, &whole(login), Step::Day).await.unwrap());
    }
    let writer = fixture.target.client();
    let config = RetentionConfig { records_days: 30, five_minutes_days: 60 };
    assert_eq!(apply(&fixture.deps, &writer, RetentionConfig::default(), NOW).await.unwrap(), [""; 0]);
    let dropped = apply(&fixture.deps, &writer, config, NOW).await.unwrap();
    assert_eq!(dropped[0], "five-minute rows of 2026-06");
    assert_eq!(dropped[1], "records of the week of 2026-06-08");
    assert_eq!(apply(&fixture.deps, &writer, config, NOW).await.unwrap(), [""; 0], "once is enough");
    for (login, before) in ["anna", "bert"].into_iter().zip(before) {
        let after = series(&fixture.deps, &whole(login), Step::Day).await.unwrap();
        for (before, after) in before.items.iter().zip(&after.items) {
            let near = 20_000;
            assert!(
                before.download_octets.0.abs_diff(after.download_octets.0) < near,
                "{before:?} {after:?}"
            );
            assert_eq!((before.maximum, before.last), (after.maximum, after.last), "{login} {}", before.from);
        }
    }
    // A session of one day boundary to another: the reports next to midnight are known to the second.
    let anna = summary(&fixture.deps, &query("anna", FIRST + DAY, FIRST + 2 * DAY)).await.unwrap();
    assert!(anna.approximate);
    let hour = query("anna", FIRST + DAY + 7_200, FIRST + 2 * DAY);
    let refused = summary(&fixture.deps, &hour).await.unwrap_err();
    assert!(matches!(refused, ApiError::Expired { .. }), "{refused}");
    // What was evaluated is kept with every sample.
    let bert = summary(&fixture.deps, &query("bert", FIRST + 7_200, FIRST + 10_800)).await.unwrap();
    assert_eq!((bert.download_octets.0, bert.approximate), (12 * 5_000, false));
}
