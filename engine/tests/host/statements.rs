//! One statement and the next: what stays behind, how many may run, and what stops them.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::StatusCode;

use crate::fixture::{Engine, PATIENCE, shared};

#[tokio::test]
async fn what_a_statement_sets_or_makes_for_the_time_being_is_gone_with_it() {
    let engine = shared();
    for query in ["SET max_threads = 77", "USE system", "CREATE TEMPORARY TABLE passing (a Int8)"] {
        assert_eq!(engine.ask(query).await, "");
    }
    let found = engine.ask("SELECT getSetting('max_threads') = 77, currentDatabase()").await;
    assert_eq!(found, "0\tdefault");
    assert!(engine.ask("SELECT * FROM passing").await.starts_with("Code: 60."));
}

#[tokio::test]
async fn a_get_changes_nothing() {
    let engine = shared();
    for query in ["CREATE DATABASE by_get", "INSERT INTO t VALUES (1)", "INSERT INTO t FORMAT CSV"] {
        let response = reqwest::Client::new()
            .get(&engine.endpoint.url)
            .query(&[("query", query), ("password", &engine.endpoint.key)])
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["x-clickhouse-exception-code"], "164", "{query}");
    }
    assert_eq!(engine.ask("EXISTS DATABASE by_get").await, "0");
}

#[tokio::test]
async fn values_in_the_body_continue_the_query_in_the_url() {
    let engine = shared();
    let (database, _) = engine.database().await;
    engine.ask(&format!("CREATE TABLE {database}.t (a UInt8) ENGINE = MergeTree ORDER BY a")).await;
    let url = [("database", database.as_str()), ("query", "INSERT INTO t VALUES")];
    let response = engine.post(&url).body("(1), (2),\n\n(3)").send().await.unwrap();
    assert_eq!(response.headers()["x-clickhouse-summary"], "{\"written_rows\":\"3\"}");
    let url = [("database", database.as_str()), ("query", "SELECT sum(a)")];
    let response = engine.post(&url).body("FROM t FORMAT CSV").send().await.unwrap();
    assert_eq!(response.headers()["x-clickhouse-format"], "CSV");
    assert_eq!(response.text().await.unwrap(), "6\n");
}

#[tokio::test]
async fn one_statement_too_many_waits_and_is_then_told_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    let mut running = Vec::new();
    for _ in 0..12 {
        let response = engine.post(&[("query", "SELECT number FROM system.numbers")]).send().await.unwrap();
        let mut parts = response.bytes_stream();
        parts.next().await.unwrap().unwrap();
        running.push(parts);
    }
    let refused = engine.post(&[("query", "SELECT 1")]).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["x-clickhouse-exception-code"], "202");
    running.pop();
    assert_eq!(engine.ask("SELECT 'a place is free'").await, "a place is free");
}

#[tokio::test]
async fn an_aggregation_is_stopped_when_nobody_waits_for_it_any_more() {
    let engine = shared();
    let query = [("query", "SELECT max(sipHash64(number, 'abandoned')) FROM numbers(1000000000000)")];
    let abandoned = engine.post(&query).timeout(Duration::from_secs(1)).send().await;
    assert!(abandoned.unwrap_err().is_timeout());
    let deadline = Instant::now() + PATIENCE;
    let running = "SELECT count() FROM system.processes WHERE query LIKE '%\\'abandoned\\'%numbers(%00)'";
    while engine.ask(running).await != "0" {
        assert!(Instant::now() < deadline, "it still runs");
    }
}

#[tokio::test]
async fn inserts_and_merges_are_synced() {
    let names = [
        "fsync_after_insert",
        "fsync_part_directory",
        "min_rows_to_fsync_after_merge",
        "min_compressed_bytes_to_fsync_after_merge",
    ];
    for name in names {
        let query = format!("SELECT value FROM system.merge_tree_settings WHERE name = '{name}'");
        assert_eq!(shared().ask(&query).await, "1", "{name}");
    }
    let query = "SELECT value FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime'";
    assert_eq!(shared().ask(query).await, "480");
    assert_eq!(shared().ask("SELECT getSetting('async_insert')").await, "false");
}
