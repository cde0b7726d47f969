//! Binary rows: what goes in comes out, octet for octet, through the official client.

use clickhouse::{Client, Row};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::{Deserialize, Serialize};

use crate::fixture::shared;

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct Sample {
    id: u64,
    #[serde(with = "serde_bytes")]
    text: Vec<u8>,
    number: i64,
    maybe: Option<u32>,
    list: Vec<u16>,
}

const ROWS: u64 = 10_000;

/// Octets that have ended inserts early elsewhere: blank lines, NULs, quotes, backslashes, words of SQL.
fn troublesome() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"'\"`\\".to_vec()),
        Just(b"; DROP TABLE samples; -- ".to_vec()),
        Just(b" FORMAT Null\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn samples() -> Vec<Sample> {
    let row = (
        troublesome(),
        any::<i64>(),
        proptest::option::of(any::<u32>()),
        proptest::collection::vec(any::<u16>(), 0..4),
    );
    let mut runner = TestRunner::deterministic();
    (0..ROWS)
        .map(|id| {
            let (text, number, maybe, list) = row.new_tree(&mut runner).unwrap().current();
            // 0x0A0A0A0A… as an id puts blank lines between rows, too.
            let id = if id % 7 == 0 { 0x0A0A_0A0A_0A0A_0000 + id } else { id };
            Sample { id, text, number, maybe, list }
        })
        .collect()
}

async fn table() -> Client {
    let (_, client) = shared().database().await;
    let create = "CREATE TABLE samples (id UInt64, text String, number Int64, maybe Nullable(UInt32), \
                  list Array(UInt16)) ENGINE = MergeTree ORDER BY id";
    client.query(create).execute().await.unwrap();
    client
}

#[tokio::test]
async fn random_rows_come_back_as_they_were_written() {
    let client = table().await;
    let mut samples = samples();
    let mut insert = client.insert::<Sample>("samples").await.unwrap();
    for sample in &samples {
        insert.write(sample).await.unwrap();
    }
    insert.end().await.unwrap();
    let found = client.query("SELECT ?fields FROM samples ORDER BY id").fetch_all::<Sample>().await.unwrap();
    samples.sort_by_key(|sample| sample.id);
    assert!(found == samples, "{} rows of {} came back, or they differ", found.len(), samples.len());
}

#[tokio::test]
async fn bound_values_of_the_official_client_arrive() {
    let client = table().await;
    let mut insert = client.insert::<Sample>("samples").await.unwrap();
    let sample = Sample { id: 1, text: b"it's \\ here".to_vec(), number: -5, maybe: None, list: vec![1, 2] };
    insert.write(&sample).await.unwrap();
    insert.end().await.unwrap();
    let by_parameter = client
        .query("SELECT ?fields FROM samples WHERE text = {text:String}")
        .param("text", "it's \\ here")
        .fetch_one::<Sample>();
    assert_eq!(by_parameter.await.unwrap(), sample);
    let by_value =
        client.query("SELECT ?fields FROM samples WHERE number = ?").bind(-5).fetch_one::<Sample>();
    assert_eq!(by_value.await.unwrap(), sample);
}

#[tokio::test]
async fn an_insert_in_many_parts_is_one_insert() {
    let engine = shared();
    let (database, _) = engine.database().await;
    engine.ask(&format!("CREATE TABLE {database}.t (a String) ENGINE = MergeTree ORDER BY a")).await;
    // Parts end within rows and within their lengths.
    let row = [b"\x82\x01".as_slice(), &[b'\n'; 130]].concat();
    let all = row.repeat(5_000);
    let parts = all.chunks(977).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect::<Vec<_>>();
    let response = engine
        .post(&[("database", &database), ("query", "INSERT INTO t FORMAT RowBinary")])
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(parts)))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    let found = engine.ask(&format!("SELECT count(), uniqExact(a) FROM {database}.t")).await;
    assert_eq!(found, "5000\t1");
}

#[tokio::test]
async fn an_insert_cut_in_the_middle_leaves_nothing() {
    let engine = shared();
    let (database, _) = engine.database().await;
    engine.ask(&format!("CREATE TABLE {database}.t (a UInt64) ENGINE = MergeTree ORDER BY a")).await;
    let parts = (0..100).map(|_| Ok(vec![7; 8_001])).chain([Err(std::io::Error::other("the client dies"))]);
    let cut = engine
        .post(&[("database", &database), ("query", "INSERT INTO t FORMAT RowBinary")])
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(parts)))
        .send()
        .await;
    assert!(cut.is_err(), "the client died in the middle");
    // The insert was cancelled when this one, which needs the same table, has gone through.
    let whole = engine
        .post(&[("database", &database), ("query", "INSERT INTO t FORMAT RowBinary")])
        .body(vec![1; 16])
        .send()
        .await
        .unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(engine.ask(&format!("SELECT count() FROM {database}.t")).await, "2");
}

#[tokio::test]
async fn rows_that_end_in_the_middle_of_a_row_are_an_error() {
    let engine = shared();
    let (database, _) = engine.database().await;
    engine.ask(&format!("CREATE TABLE {database}.t (a UInt64) ENGINE = MergeTree ORDER BY a")).await;
    let response = engine
        .post(&[("database", &database), ("query", "INSERT INTO t FORMAT RowBinary")])
        .body(vec![1; 8 * 100 + 3])
        .send()
        .await
        .unwrap();
    assert!(!response.status().is_success());
    assert!(response.text().await.unwrap().starts_with("Code: "));
    assert_eq!(engine.ask(&format!("SELECT count() FROM {database}.t")).await, "0");
}

#[tokio::test]
async fn a_result_of_many_blocks_is_one_document() {
    let client = table().await;
    let numbers = client.query("SELECT number FROM numbers(300000)").fetch_all::<u64>().await.unwrap();
    assert_eq!((numbers.len(), numbers.iter().sum::<u64>()), (300_000, 44_999_850_000));
}
