//! What kind of statement a text is, and whether it may run.
//!
//! The engine runs with the rights of radtally itself, so a query must not reach other files or hosts. ClickHouse has no
//! switch that forbids all of that at once; so a statement is split into tokens, and refused where it calls a function or
//! names an engine that leaves the database.

/// Functions and table engines that read or write outside the database.
const OUTSIDE: [&str; 12] = [
    "file",
    "filelog",
    "load_file",
    "input_file",
    "sqlite",
    "odbc",
    "jdbc",
    "python",
    "cluster",
    "distributed",
    "kafka",
    "nats",
];
/// The same, by how their names begin: `url`, `urlCluster`, `s3`, `s3Queue`, `remoteSecure`, `executablePool`, …
const OUTSIDE_PREFIXES: [&str; 21] = [
    "filecluster",
    "url",
    "s3",
    "gcs",
    "oss",
    "cosn",
    "hdfs",
    "azure",
    "remote",
    "clusterall",
    "executable",
    "mysql",
    "postgres",
    "materializedpostgres",
    "mongo",
    "redis",
    "iceberg",
    "hudi",
    "deltalake",
    "paimon",
    "rabbit",
];
/// Statements that work on the server's files as a whole.
const FORBIDDEN_STATEMENTS: [&str; 4] = ["backup", "restore", "attach", "system"];

/// A statement and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement<'q> {
    /// Its result can be fetched in parts.
    Select(&'q str),
    /// Its rows follow in `format`; the text without that clause, and what stood after it.
    Insert {
        /// The statement without FORMAT.
        sql: &'q str,
        /// The format of the rows.
        format: &'q str,
        /// Rows that came with the text.
        rows: &'q [u8],
    },
    /// Everything else.
    Other(&'q str),
}

/// Why a text may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It reaches out of the database.
    #[error(
        "Code: 497. DB::Exception: {0} is not allowed here: it reaches out of the database (ACCESS_DENIED)"
    )]
    Outside(String),
    /// It is no text.
    #[error("Code: 62. DB::Exception: the query is not UTF-8 (SYNTAX_ERROR)")]
    NotText,
    /// A quote or comment does not end.
    #[error(
        "Code: 62. DB::Exception: a quote or comment that begins at octet {0} does not end (SYNTAX_ERROR)"
    )]
    Unclosed(usize),
    /// There is nothing.
    #[error("Code: 62. DB::Exception: Empty query (SYNTAX_ERROR)")]
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    QuotedName,
    Text,
    Symbol(u8),
}

#[derive(Clone, Copy, Debug)]
struct Token<'q> {
    kind: Kind,
    text: &'q [u8],
    start: usize,
    end: usize,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    const fn is_symbol(&self, symbol: u8) -> bool {
        matches!(self.kind, Kind::Symbol(is) if is == symbol)
    }

    /// The name in lower case, where it is one.
    fn name(&self) -> Option<String> {
        matches!(self.kind, Kind::Word | Kind::QuotedName)
            .then(|| String::from_utf8_lossy(self.text).to_ascii_lowercase())
    }
}

/// Reads `query` as far as its rows, if it carries any.
///
/// # Errors
/// [`Refused`].
pub fn read<'q>(query: &'q [u8], default_format: &'q str) -> Result<Statement<'q>, Refused> {
    let mut tokens: Vec<Token<'q>> = Vec::new();
    let mut at = 0;
    let mut depth = 0i32;
    let mut rows_follow = true;
    while let Some(token) = next_token(query, at)? {
        at = token.end;
        let inserting = tokens.first().is_some_and(|first| first.is("insert"));
        if inserting && depth == 0 {
            if ["select", "with", "values", "watch"].iter().any(|word| token.is(word)) {
                rows_follow = false;
            }
            if let Some(format) = tokens.last().filter(|last| last.is("format") && rows_follow) {
                allow(&tokens)?;
                let sql = text(query, 0, format.start)?;
                let rows = query.get(token.end..).unwrap_or_default();
                // The data begins after one separator.
                let rows = rows
                    .strip_prefix(b"\r\n")
                    .or_else(|| rows.split_first().map(|(_, rest)| rest))
                    .unwrap_or_default();
                return Ok(Statement::Insert { sql, format: text(query, token.start, token.end)?, rows });
            }
        }
        depth += i32::from(token.is_symbol(b'(')) - i32::from(token.is_symbol(b')'));
        tokens.push(token);
    }
    allow(&tokens)?;
    let first = tokens.first().ok_or(Refused::Empty)?;
    let sql = text(query, 0, query.len())?.trim_end().trim_end_matches(';');
    let is_select = first.is("select") || first.is("with") || first.is_symbol(b'(');
    Ok(if is_select {
        Statement::Select(sql)
    } else if first.is("insert") && rows_follow {
        Statement::Insert { sql, format: default_format, rows: &[] }
    } else {
        Statement::Other(sql)
    })
}

fn text(query: &[u8], from: usize, to: usize) -> Result<&str, Refused> {
    std::str::from_utf8(query.get(from..to).unwrap_or_default()).map_err(|_| Refused::NotText)
}

fn allow(tokens: &[Token<'_>]) -> Result<(), Refused> {
    if let Some(first) =
        tokens.first().and_then(Token::name).filter(|first| FORBIDDEN_STATEMENTS.contains(&first.as_str()))
    {
        return Err(Refused::Outside(first.to_ascii_uppercase()));
    }
    for (place, token) in tokens.iter().enumerate() {
        let Some(name) = token.name() else { continue };
        if token.kind == Kind::Word && (name == "outfile" || name == "infile") {
            return Err(Refused::Outside(name.to_ascii_uppercase()));
        }
        let called = tokens.get(place + 1).is_some_and(|next| next.is_symbol(b'('));
        let before = |back: usize| place.checked_sub(back).and_then(|place| tokens.get(place));
        let is_engine = before(1).is_some_and(|last| last.is("engine"))
            || (before(1).is_some_and(|last| last.is_symbol(b'='))
                && before(2).is_some_and(|last| last.is("engine")));
        let outside = OUTSIDE.contains(&name.as_str())
            || OUTSIDE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if (called || is_engine) && outside {
            return Err(Refused::Outside(name));
        }
    }
    Ok(())
}

/// The token at or after `at`.
fn next_token(query: &[u8], mut at: usize) -> Result<Option<Token<'_>>, Refused> {
    loop {
        let rest = query.get(at..).unwrap_or_default();
        let Some(first) = rest.first() else { return Ok(None) };
        if first.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with(b"--") || rest.starts_with(b"#!") || rest.starts_with(b"# ") {
            at += rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |end| end + 1);
        } else if rest.starts_with(b"/*") {
            let end = rest.windows(2).skip(2).position(|pair| pair == b"*/").ok_or(Refused::Unclosed(at))?;
            at += end + 4;
        } else {
            return token(query, at, *first).map(Some);
        }
    }
}

fn token(query: &[u8], start: usize, first: u8) -> Result<Token<'_>, Refused> {
    let rest = query.get(start..).unwrap_or_default();
    let word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_' || *octet >= 0x80;
    let (kind, length) = match first {
        b'\'' => (Kind::Text, quoted(rest, first, start)?),
        b'`' | b'"' => (Kind::QuotedName, quoted(rest, first, start)?),
        octet if word(&octet) => (Kind::Word, rest.iter().take_while(|octet| word(octet)).count()),
        octet => (Kind::Symbol(octet), 1),
    };
    let whole = rest.get(..length).unwrap_or_default();
    let text = match kind {
        Kind::QuotedName => whole.get(1..length - 1).unwrap_or_default(),
        _ => whole,
    };
    Ok(Token { kind, text, start, end: start + length })
}

/// Length of a quoted text with its quotes; a quote inside is doubled or escaped.
fn quoted(rest: &[u8], quote: u8, start: usize) -> Result<usize, Refused> {
    let mut at = 1;
    loop {
        match rest.get(at) {
            None => return Err(Refused::Unclosed(start)),
            Some(b'\\') => at += 2,
            Some(octet) if *octet == quote && rest.get(at + 1) == Some(&quote) => at += 2,
            Some(octet) if *octet == quote => return Ok(at + 1),
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(query: &[u8]) -> Result<Statement<'_>, Refused> {
        super::read(query, "Values")
    }

    #[test]
    fn rows_begin_after_the_format_and_one_separator() {
        let insert = |sql, format, rows: &'static [u8]| Ok(Statement::Insert { sql, format, rows });
        assert_eq!(
            read(b"INSERT INTO t(`a`) FORMAT RowBinary"),
            insert("INSERT INTO t(`a`) ", "RowBinary", b"")
        );
        assert_eq!(
            read(b"INSERT INTO t FORMAT RowBinary\n\n\n\x00'"),
            insert("INSERT INTO t ", "RowBinary", b"\n\n\x00'")
        );
        assert_eq!(
            read(b"insert into t (format) format CSV\r\n1"),
            insert("insert into t (format) ", "CSV", b"1")
        );
        assert_eq!(read(b"INSERT INTO t"), insert("INSERT INTO t", "Values", b""));
    }

    #[test]
    fn selects_and_others_are_told_apart() {
        assert_eq!(read(b" /* x */ select 1;\n"), Ok(Statement::Select(" /* x */ select 1")));
        assert_eq!(
            read(b"INSERT INTO t SELECT 1 FORMAT Null"),
            Ok(Statement::Other("INSERT INTO t SELECT 1 FORMAT Null"))
        );
        assert_eq!(read(b"INSERT INTO t VALUES (1)"), Ok(Statement::Other("INSERT INTO t VALUES (1)")));
        assert_eq!(
            read(b"CREATE TABLE t (a Int8) ENGINE = Memory"),
            Ok(Statement::Other("CREATE TABLE t (a Int8) ENGINE = Memory"))
        );
        assert_eq!(read(b" -- nothing\n"), Err(Refused::Empty));
        assert_eq!(read(b"SELECT 'a"), Err(Refused::Unclosed(7)));
    }

    #[test]
    fn whatever_leaves_the_database_is_refused() {
        for query in [
            "SELECT * FROM file('/etc/passwd', 'LineAsString')",
            "SELECT * FROM FILE /* */ ('/etc/passwd')",
            "SELECT * FROM `file`('/etc/passwd')",
            "SELECT file('/etc/passwd')",
            "WITH x AS (SELECT * FROM urlCluster('c', 'http://x')) SELECT 1",
            "INSERT INTO FUNCTION file('x', 'CSV') SELECT 1",
            "INSERT INTO TABLE FUNCTION s3('x') FORMAT CSV\n1",
            "SELECT 1 INTO OUTFILE '/tmp/x'",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
            "CREATE TABLE t (a Int8) ENGINE = URL('http://x', CSV)",
            "CREATE TABLE t (a Int8) ENGINE File(CSV)",
            "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(EXECUTABLE(command 'x' format 'CSV')) LAYOUT(FLAT())",
            "SELECT * FROM remote('127.0.0.1', system.one)",
            "BACKUP DATABASE default TO Disk('x', 'y')",
            "system shutdown",
        ] {
            assert!(matches!(read(query.as_bytes()), Err(Refused::Outside(_))), "{query}");
        }
        for query in ["SELECT file FROM t", "SELECT 'file(1)'", "SELECT a AS url FROM t -- file('x')"] {
            assert!(read(query.as_bytes()).is_ok(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(query in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(read(&query));
        }
    }
}
