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
