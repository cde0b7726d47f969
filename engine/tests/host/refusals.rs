//! What nobody may do: without the key, through a browser, or out of the database.

use reqwest::StatusCode;

use crate::fixture::shared;

#[tokio::test]
async fn without_the_key_nothing_is_answered() {
    let engine = shared();
    let client = reqwest::Client::new();
    let ask = || client.post(&engine.endpoint.url).body("SELECT 1");
    for request in [
        ask(),
        ask().header("x-clickhouse-key", "wrong"),
        ask().basic_auth("default", Some("wrong")),
        ask().query(&[("password", "wrong")]),
        ask().header("x-clickhouse-key", ""),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["x-clickhouse-exception-code"], "516");
    }
    let right = ask().basic_auth("default", Some(&engine.endpoint.key)).send().await.unwrap();
    assert_eq!(right.text().await.unwrap(), "1\n");
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_ask_even_with_the_key() {
    let engine = shared();
    for (header, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example:8123"),
    ] {
        let response = engine.post(&[]).header(header, value).body("SELECT 1").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{header}: {value}");
        let ping = reqwest::Client::new().get(format!("{}/ping", engine.endpoint.url)).header(header, value);
        assert_eq!(ping.send().await.unwrap().status(), StatusCode::FORBIDDEN, "/ping, {header}: {value}");
    }
}

#[tokio::test]
async fn no_statement_reaches_files_or_hosts() {
    let engine = shared();
    for query in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `\\x66ile`('/etc/passwd', 'LineAsString')",
        "SELECT * FROM /* */ FILE /* */ ('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `/etc/passwd`",
        "SELECT * FROM '/etc/passwd'",
        "DESCRIBE TABLE file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT file('etc/passwd')",
        "INSERT INTO FUNCTION file('/tmp/radtally-must-not-exist', 'CSV') SELECT 1",
        "INSERT INTO FUNCTION file('/tmp/radtally-must-not-exist', 'CSV', 'a Int8') FORMAT CSV\n1",
        "SELECT 1 INTO OUTFILE '/tmp/radtally-must-not-exist'",
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/x/', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM executable('x', 'CSV', 'a String')",
        "SELECT * FROM sqlite('/tmp/x.db', 't')",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM eval('SELECT * FROM file(\\'/etc/passwd\\')')",
        "SELECT * FROM icebergLocal('/tmp')",
        "CREATE TABLE default.x (a String) ENGINE = File(CSV)",
        "CREATE TABLE default.x (a String) ENGINE = URL('http://127.0.0.1:1')",
        "CREATE TABLE default.x (a String) ENGINE = Executable('x', 'CSV')",
        "CREATE TABLE default.x (a String) ENGINE = FileLog('/etc', 'LineAsString')",
        "CREATE TABLE default.x (k UInt8) ENGINE = EmbeddedRocksDB(0, '/tmp/radtally-must-not-exist') PRIMARY KEY k",
        "CREATE TABLE default.x (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/tmp/radtally-must-not-exist/')",
        "CREATE DATABASE x ENGINE = Filesystem('/etc')",
        "CREATE DATABASE x ENGINE = SQLite('/tmp/x.db')",
        "CREATE DICTIONARY default.x (a Int8) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE USER x",
        "GRANT FILE ON *.* TO default",
        "BACKUP DATABASE default TO File('/tmp/radtally-must-not-exist')",
        "SYSTEM SHUTDOWN",
    ] {
        let response = engine.post(&[]).body(query).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_client_error() || status.is_server_error(), "{query}: {text}");
        assert!(!text.contains("root:"), "{query}: {text}");
    }
    assert!(!std::path::Path::new("/tmp/radtally-must-not-exist").exists());
    assert_eq!(engine.ask("SELECT 'still up'").await, "still up");
}
