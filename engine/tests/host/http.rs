//! ClickHouse's HTTP interface: where a query may stand, parameters, settings, headers and errors.

use reqwest::StatusCode;

use crate::fixture::shared;

#[tokio::test]
async fn a_query_may_stand_in_the_url_or_in_the_body() {
    let engine = shared();
    let url = &engine.endpoint.url;
    assert_eq!(reqwest::get(format!("{url}/ping")).await.unwrap().text().await.unwrap(), "Ok.\n");
    assert_eq!(reqwest::get(format!("{url}/")).await.unwrap().text().await.unwrap(), "Ok.\n");
    let in_url = engine.post(&[("query", "SELECT 1 + 1")]).send().await.unwrap();
    assert_eq!(in_url.text().await.unwrap(), "2\n");
    assert_eq!(engine.ask("SELECT 'body'").await, "body");
    let got = reqwest::Client::new()
        .get(url)
        .query(&[("query", "SELECT 3"), ("user", "default"), ("password", &engine.endpoint.key)])
        .send()
        .await
        .unwrap();
    assert_eq!(got.text().await.unwrap(), "3\n");
}

#[tokio::test]
async fn rows_may_follow_a_query_in_the_url_or_in_the_body() {
    let engine = shared();
    let (database, _) = engine.database().await;
    engine.ask(&format!("CREATE TABLE {database}.t (a UInt8, b String) ENGINE = MergeTree ORDER BY a")).await;
    let insert = engine
        .post(&[("database", &database), ("query", "INSERT INTO t FORMAT CSV")])
        .body("1,\"x\"\n2,\"y\"\n")
        .send()
        .await
        .unwrap();
    assert_eq!(insert.status(), StatusCode::OK, "{}", insert.text().await.unwrap());
    assert_eq!(engine.ask(&format!("INSERT INTO {database}.t FORMAT CSV\n3,z\n")).await, "");
    assert_eq!(engine.ask(&format!("INSERT INTO {database}.t VALUES (4, 'v')")).await, "");
    let rows = engine.ask(&format!("SELECT * FROM {database}.t ORDER BY a FORMAT CSV")).await;
    assert_eq!(rows, "1,\"x\"\n2,\"y\"\n3,\"z\"\n4,\"v\"");
}

#[tokio::test]
async fn parameters_are_values_and_never_sql() {
    let engine = shared();
    for value in ["it's", "a\\'b", "');DROP TABLE x;--", "{b:String}", "tab\\there", "ü"] {
        let response = engine
            .post(&[("query", "SELECT {a:String} FORMAT RawBLOB"), ("param_a", value)])
            .send()
            .await
            .unwrap();
        // A parameter's text is unescaped as in TabSeparated; only \t and \\ mean something here.
        let expected = value.replace("\\t", "\t").replace("\\'", "'");
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let number = engine
        .post(&[("query", "SELECT {n:UInt64} + 1"), ("param_n", "18446744073709551614")])
        .send()
        .await
        .unwrap();
    assert_eq!(number.text().await.unwrap(), "18446744073709551615\n");
}

#[tokio::test]
async fn settings_hold_for_their_statement_alone() {
    let engine = shared();
    let query = "SELECT getSetting('max_block_size'), getSetting('insert_deduplicate')";
    let before = engine.ask(query).await;
    let response = engine
        .post(&[("query", query), ("max_block_size", "123"), ("insert_deduplicate", "0")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "123\tfalse\n");
    for _ in 0..20 {
        assert_eq!(engine.ask(query).await, before);
    }
    let unknown = engine.post(&[("query", "SELECT 1"), ("no_such_setting", "1")]).send().await.unwrap();
    assert_eq!(unknown.headers()["x-clickhouse-exception-code"], "115");
}

#[tokio::test]
async fn answers_name_their_query_format_and_zone() {
    let engine = shared();
    let response = engine
        .post(&[("query", "SELECT 1 AS a"), ("query_id", "mine"), ("default_format", "JSONEachRow")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-clickhouse-query-id"], "mine");
    assert_eq!(response.headers()["x-clickhouse-format"], "JSONEachRow");
    assert_eq!(response.headers()["x-clickhouse-timezone"], "UTC");
    assert_eq!(response.text().await.unwrap(), "{\"a\":1}\n");
}

#[tokio::test]
async fn errors_have_clickhouses_form() {
    let engine = shared();
    for (query, code, status) in [
        ("SELEC 1", "62", StatusCode::BAD_REQUEST),
        ("SELECT * FROM no_such_table", "60", StatusCode::NOT_FOUND),
        ("SELECT * FROM no_such_database.t", "81", StatusCode::NOT_FOUND),
        ("SELECT no_such_column", "47", StatusCode::NOT_FOUND),
        ("INSERT INTO no_such_table FORMAT CSV\n1", "60", StatusCode::NOT_FOUND),
        ("SELECT throwIf(1)", "395", StatusCode::INTERNAL_SERVER_ERROR),
        ("", "62", StatusCode::BAD_REQUEST),
    ] {
        let response = engine.post(&[]).body(query).send().await.unwrap();
        assert_eq!(response.status(), status, "{query}");
        assert_eq!(response.headers()["x-clickhouse-exception-code"], code, "{query}");
        let text = response.text().await.unwrap();
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{query}: {text}");
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped() {
    let engine = shared();
    let response = engine
        .post(&[
            ("query", "SELECT max(sipHash64(number)) FROM numbers(1000000000000)"),
            ("max_execution_time", "1"),
        ])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(response.headers()["x-clickhouse-exception-code"], "159");
}

#[tokio::test]
async fn compressed_bodies_are_refused_with_a_reason() {
    for name in ["compress", "decompress"] {
        let response = shared().post(&[("query", "SELECT 1"), (name, "1")]).send().await.unwrap();
        assert_eq!(response.headers()["x-clickhouse-exception-code"], "48");
        assert!(response.text().await.unwrap().contains("not supported"));
    }
}
