//! Large results, many statements at once, clients that go away.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::fixture::{Engine, PATIENCE, resident, shared};

/// 800 MB of text, one octet-hungry row after another.
const LARGE: &str = "SELECT repeat('x', 999) FROM numbers(800000)";

#[tokio::test]
async fn a_large_result_takes_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    let pid = engine.pid();
    // The first query loads code and fills caches.
    engine.ask("SELECT repeat('x', 999) FROM numbers(2000)").await;
    let before = resident(pid);
    let response = engine.post(&[("query", LARGE)]).send().await.unwrap();
    let (mut octets, mut most) = (0, before);
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        octets += part.unwrap().len();
        most = most.max(resident(pid));
    }
    assert_eq!(octets, 800_000_000);
    let grown = (most - before) >> 20;
    assert!(grown < 200, "resident memory grew by {grown} MiB for a result of 763 MiB");
}

#[tokio::test]
async fn a_failure_in_the_middle_of_a_result_does_not_look_like_its_end() {
    let query = "SELECT number, throwIf(number = 5000000) FROM numbers(10000000)";
    let response = shared().post(&[("query", query)]).send().await.unwrap();
    let failed = response.status().is_server_error() || response.bytes().await.is_err();
    assert!(failed, "half a result was given for a whole one");
}

#[tokio::test]
async fn many_statements_run_at_once() {
    let engine = shared();
    let asked = (0..100).map(|number| async move {
        let sql = format!("SELECT {number} + sum(number) FROM numbers(1000000)");
        engine.ask(&sql).await
    });
    for (number, answer) in join_all(asked).await.into_iter().enumerate() {
        assert_eq!(answer, (number + 499_999_500_000).to_string());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_query() {
    let engine = shared();
    for _ in 0..30 {
        let query = [("query", "SELECT number FROM system.numbers")];
        let response = engine.post(&query).send().await.unwrap();
        let first = response.bytes_stream().next().await.unwrap().unwrap();
        assert!(!first.is_empty());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let running = "SELECT count() FROM system.processes WHERE query LIKE '%system.numbers'";
        let running = engine.ask(running).await;
        if running == "0" {
            break;
        }
        assert!(Instant::now() < deadline, "{running} queries still run");
    }
}
