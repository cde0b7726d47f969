//! Migrations on the real engine.

use schema::clickhouse::{MigrationError, migrate, migrate_to};

use crate::engine;

const FIRST: (&str, &str) =
    ("0001_first", "CREATE TABLE IF NOT EXISTS one (a UInt8) ENGINE = MergeTree ORDER BY a;");
const SECOND: (&str, &str) =
    ("0002_second", "ALTER TABLE one ADD COLUMN IF NOT EXISTS b String DEFAULT ';';");

#[tokio::test]
async fn migrating_twice_changes_nothing_the_second_time() {
    let target = engine::target();
    let applied = migrate(&target).await.unwrap();
    assert!(
        applied.iter().any(|applied| applied.name == "0001_accounting" && applied.statements > 5),
        "{applied:?}"
    );
    assert_eq!(migrate(&target).await.unwrap(), []);
}

#[tokio::test]
async fn two_processes_may_migrate_at_once() {
    let target = engine::target();
    let (one, two) = tokio::join!(migrate(&target), migrate(&target));
    one.unwrap();
    two.unwrap();
    assert_eq!(migrate(&target).await.unwrap(), []);
}

#[tokio::test]
async fn a_run_that_stopped_in_the_middle_goes_on() {
    let target = engine::target();
    let broken = (
        SECOND.0,
        "CREATE TABLE IF NOT EXISTS two (a UInt8) ENGINE = MergeTree ORDER BY a; SELECT no_such_function();",
    );
    let error = migrate_to(&target, &[FIRST, broken]).await.unwrap_err();
    assert!(
        matches!(&error, MigrationError::Statement { name, number: 2, .. } if name == SECOND.0),
        "{error}"
    );
    let applied = migrate_to(&target, &[FIRST, SECOND]).await.unwrap();
    assert_eq!(applied.iter().map(|applied| applied.name.as_str()).collect::<Vec<_>>(), [SECOND.0]);
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let target = engine::target();
    migrate_to(&target, &[FIRST]).await.unwrap();
    let error = migrate_to(&target, &[(FIRST.0, SECOND.1)]).await.unwrap_err();
    assert!(matches!(&error, MigrationError::Changed { name, .. } if name == FIRST.0), "{error}");
}

#[tokio::test]
async fn a_migration_of_a_later_version_is_refused() {
    let target = engine::target();
    migrate_to(&target, &[FIRST, SECOND]).await.unwrap();
    let error = migrate_to(&target, &[FIRST]).await.unwrap_err();
    assert!(matches!(&error, MigrationError::Unknown { name } if name == SECOND.0), "{error}");
}

/// The first version's schema, with records as it stored them.
#[tokio::test]
async fn what_an_earlier_version_stored_counts_as_before() {
    const ACCOUNTING: (&str, &str) =
        ("0001_accounting", include_str!("../../../schema/clickhouse/0001_accounting.sql"));
    let target = engine::target();
    migrate_to(&target, &[ACCOUNTING]).await.unwrap();
    let start = 1_779_228_000;
    let records = "INSERT INTO accounting_records (collector, lsn, arrived_at, client, nas, session_key, acct_session_id, login, \
         status_type, event_at, started_at, day_starts_at, local_day, zone, session_time, input_octets, output_octets, \
         digest, flags) \
         SELECT if(number = 2, 'c2', 'c1'), [1, 2, 1, 3][number + 1], toDateTime64(? + number * 300, 6, 'UTC'), 'bng', 'bng/a', 7, 's', 'anna', \
         if(number = 0, 1, 3), ? + number * 300, ?, ?, toDate(?), 'Europe/Berlin', number * 300, number * 100, number * 1000, \
         number + 1, 23 FROM numbers(4)";
    let query = [(); 5].iter().fold(target.client().query(records), |query, ()| query.bind(start));
    query.execute().await.unwrap();
    let applied = migrate(&target).await.unwrap();
    assert_eq!(
        applied.iter().map(|applied| applied.name.as_str()).collect::<Vec<_>>(),
        ["0002_settled", "0003_known_gaps"]
    );
    let fixture = crate::fixture::Fixture::over(target, &[]).await;
    let settled =
        crate::settler::settler(&fixture, std::collections::BTreeMap::new()).settle_pending().await.unwrap();
    assert_eq!(
        (settled.records, settled.published),
        (4, 1),
        "two collectors are known of old records as well"
    );
    assert_eq!(crate::settler::used(&fixture, "anna", start, start + 86_400).await, (3_000, 300));
}
