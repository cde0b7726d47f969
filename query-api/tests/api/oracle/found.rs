//! What the model found: each stays as a test of its own.

use query_api::usage::{UsageQuery, summary};
use schema::UnixTime;

use crate::fixture::Fixture;
use crate::settler::DAY;
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
