//! Tests of `statement` and, through it, of `tokens`.

use super::*;
use proptest::prelude::*;

fn read(query: &[u8]) -> Result<Statement<'_>, Refused> {
    super::read(query, "Values")
}

fn insert<'q>(sql: &'q str, format: &'q str, rows: &'q [u8]) -> Result<Statement<'q>, Refused> {
    Ok(Statement::Insert { sql, format, rows })
}

fn select<'q>(sql: &'q str, format: Option<&'q str>) -> Result<Statement<'q>, Refused> {
    Ok(Statement::Select { sql, format })
}

fn other(sql: &str, reads: bool) -> Result<Statement<'_>, Refused> {
    Ok(Statement::Other { sql, format: None, reads })
}

#[test]
fn rows_begin_after_the_format_and_one_separator() {
    assert_eq!(read(b"INSERT INTO t(`a`) FORMAT RowBinary"), insert("INSERT INTO t(`a`) ", "RowBinary", b""));
    assert_eq!(
        read(b"INSERT INTO t FORMAT RowBinary\n\n\n\x00'"),
        insert("INSERT INTO t ", "RowBinary", b"\n\n\x00'")
    );
    assert_eq!(
        read(b"insert into t (format) format CSV\r\n1"),
        insert("insert into t (format) ", "CSV", b"1")
    );
    assert_eq!(read(b"INSERT INTO t"), insert("INSERT INTO t", "Values", b""));
    assert_eq!(read(b"INSERT INTO t VALUES -- x\n"), insert("INSERT INTO t ", "Values", b""));
}

#[test]
fn selects_and_others_are_told_apart() {
    assert_eq!(read(b" /* x */ select 1;\n"), select(" /* x */ select 1", None));
    assert_eq!(read(b"(SELECT 1) UNION ALL (SELECT 2)"), select("(SELECT 1) UNION ALL (SELECT 2)", None));
    let query = "INSERT INTO t (SELECT 1)";
    assert_eq!(read(query.as_bytes()), other(query, false));
    let query = "INSERT INTO t VALUES (1)";
    assert_eq!(read(query.as_bytes()), other(query, false));
    let query = "CREATE TABLE t (a Int8) ENGINE = Memory";
    assert_eq!(read(query.as_bytes()), other(query, false));
    let query = "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x";
    assert_eq!(read(query.as_bytes()), other(query, false));
    let query = "WITH x AS (SELECT insert FROM t) SELECT * FROM x";
    assert_eq!(read(query.as_bytes()), select(query, None));
    assert_eq!(read(b"DESCRIBE TABLE t"), other("DESCRIBE TABLE t", true));
    assert_eq!(read(b" -- nothing\n;"), Err(Refused::Empty));
    assert_eq!(read(b"SELECT 1; SELECT 2"), Err(Refused::Several));
}

#[test]
fn the_format_clause_is_found_where_there_is_one() {
    assert_eq!(read(b"SELECT 1 FORMAT JSON"), select("SELECT 1 FORMAT JSON", Some("JSON")));
    let query = "SELECT 1 FORMAT CSV SETTINGS max_threads = 1";
    assert_eq!(read(query.as_bytes()), select(query, Some("CSV")));
    assert_eq!(read(b"SELECT format FROM t"), select("SELECT format FROM t", None));
    let query = "INSERT INTO t SELECT 1 FORMAT Null";
    assert_eq!(
        read(query.as_bytes()),
        Ok(Statement::Other { sql: query, format: Some("Null"), reads: false })
    );
}

#[test]
fn names_that_leave_the_database_are_refused_however_they_are_written() {
    for query in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM FILE /* */ ('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "file('/etc/passwd')",
        "SELECT 1 /* /* */ ' */, file('/etc/passwd') -- '",
        "SELECT 1 // '\n, file('/etc/passwd') // '",
        "INSERT INTO FUNCTION file('x', 'CSV') SELECT 1",
        "INSERT INTO FUNCTION file('x') FORMAT CSV\n1",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "CREATE TABLE t (a Int8) ENGINE File(CSV)",
        "CREATE TABLE t (a Int8) ENGINE = ExecutablePool('x', CSV)",
        "SELECT 1 SETTINGS additional_result_filter = 'length(file(0))'",
    ] {
        assert!(matches!(read(query.as_bytes()), Err(Refused::Outside(_))), "{query}");
    }
    for query in
        ["SELECT files FROM t", "SELECT 'file(1)'", "SELECT a FROM t -- file('x')", "SELECT '—', \"ü\""]
    {
        assert!(read(query.as_bytes()).is_ok(), "{query}");
    }
}

#[test]
fn what_could_hide_a_name_is_refused() {
    for query in [
        "SELECT `\\x66ile`('/etc/passwd')",
        "SELECT $$'$$, file($$/etc/passwd$$), $$'$$",
        "SELECT ‘'’, file(‘/etc/passwd’), ‘'’",
        "SELECT x'\\', file(x'2f') -- '",
        "SELECT 'a",
        "SELECT /* /* */",
        "SELECT \u{a0}1",
        "SELECT 1\0",
        "SELECT 1 \\Gfile('/etc/passwd')",
    ] {
        assert!(matches!(read(query.as_bytes()), Err(Refused::Tokens(_))), "{query}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(query in proptest::collection::vec(any::<u8>(), 0..60)) {
        drop(read(&query));
    }

    #[test]
    fn rows_come_out_as_they_went_in(rows in proptest::collection::vec(any::<u8>(), 0..60)) {
        let query = [b"INSERT INTO t FORMAT RowBinary\n".as_slice(), &rows].concat();
        prop_assert_eq!(read(&query), insert("INSERT INTO t ", "RowBinary", &rows));
    }
}
