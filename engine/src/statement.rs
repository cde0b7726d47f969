//! What kind of statement a text is, which decides how the library must run it, and whether it may run at all.
//!
//! The engine's grants and the sandbox keep a statement inside the database; a few names are refused here as well, because
//! the grants do not know them and a kernel may lack what the sandbox needs. For that the text is split exactly as
//! ClickHouse splits it (see `tokens`).

use crate::tokens::{self, Token};

/// Names that lead out of the database, or run text that nobody has looked at. `OUTFILE` and `INFILE` are words of the
/// language, the others functions, table engines and settings.
const OUTSIDE: [&str; 8] = [
    "file",
    "outfile",
    "infile",
    "embeddedrocksdb",
    "eval",
    "queryrunner",
    "additional_result_filter",
    "additional_table_filters",
];
/// The same by how they begin.
const OUTSIDE_PREFIX: &str = "executable";

/// First words of statements that change nothing.
const READING: [&str; 8] = ["show", "describe", "desc", "explain", "exists", "check", "set", "use"];

/// A statement and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement<'q> {
    /// Its result can be fetched in parts.
    Select {
        /// The text.
        sql: &'q str,
        /// What its FORMAT clause says.
        format: Option<&'q str>,
    },
    /// Its rows follow in `format`: never as a part of the text, which the library cuts at the first blank line.
    Insert {
        /// The text without FORMAT or VALUES.
        sql: &'q str,
        /// The format of the rows.
        format: &'q str,
        /// Rows that came with the text.
        rows: &'q [u8],
    },
    /// Everything else.
    Other {
        /// The text.
        sql: &'q str,
        /// What its FORMAT clause says.
        format: Option<&'q str>,
        /// Whether it changes nothing.
        reads: bool,
    },
}

/// Why a text may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It reaches out of the database.
    #[error(
        "Code: 497. DB::Exception: {0} is not allowed here: it reaches out of the database (ACCESS_DENIED)"
    )]
    Outside(String),
    /// It cannot be split into tokens.
    #[error("Code: 62. DB::Exception: {0} (SYNTAX_ERROR)")]
    Tokens(#[from] tokens::Unreadable),
    /// It is no text.
    #[error("Code: 62. DB::Exception: the query is not UTF-8 (SYNTAX_ERROR)")]
    NotText,
    /// More than one.
    #[error("Code: 62. DB::Exception: Multi-statements are not allowed (SYNTAX_ERROR)")]
    Several,
    /// There is nothing.
    #[error("Code: 62. DB::Exception: Empty query (SYNTAX_ERROR)")]
    Empty,
}

/// Whether a name leads out of the database.
#[must_use]
pub fn is_outside(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OUTSIDE.contains(&name.as_str()) || name.starts_with(OUTSIDE_PREFIX)
}

/// Reads `query` as far as its rows, if it carries any. Rows without a FORMAT clause are in `default_format`.
///
/// # Errors
/// [`Refused`].
pub fn read<'q>(query: &'q [u8], default_format: &'q str) -> Result<Statement<'q>, Refused> {
    let mut tokens: Vec<Token<'q>> = Vec::new();
    let mut depth = 0i32;
    let mut rows_follow = true;
    while let Some(token) = tokens::next(query, tokens.last().map_or(0, |last| last.end))? {
        allow(&token)?;
        let last = tokens.last();
        if last.is_some_and(|last| last.is_symbol(b';')) && !token.is_symbol(b';') {
            return Err(Refused::Several);
        }
        if rows_follow && depth == 0 && tokens.first().is_some_and(|first| first.is("insert")) {
            if let Some(format) = last.filter(|last| last.is("format")) {
                let rows = query.get(token.end..).unwrap_or_default();
                let (sql, format) = (text(query, 0, format.start)?, text(query, token.start, token.end)?);
                return Ok(Statement::Insert { sql, format, rows: after_separator(rows) });
            }
            if token.is("values") && tokens::next(query, token.end)?.is_none() {
                return Ok(Statement::Insert {
                    sql: text(query, 0, token.start)?,
                    format: "Values",
                    rows: &[],
                });
            }
        }
        let opens = depth == 0 || last.is_some_and(|last| last.is_symbol(b'('));
        rows_follow &= !(opens && ["select", "with", "values"].iter().any(|word| token.is(word)));
        depth += i32::from(token.is_symbol(b'(')) - i32::from(token.is_symbol(b')'));
        tokens.push(token);
    }
    whole(query, &tokens, rows_follow, default_format)
}

/// A statement without rows in its text.
fn whole<'q>(
    query: &'q [u8],
    tokens: &[Token<'q>],
    rows_follow: bool,
    default_format: &'q str,
) -> Result<Statement<'q>, Refused> {
    let end = tokens.iter().rfind(|token| !token.is_symbol(b';')).map_or(0, |last| last.end);
    let first = tokens.first().filter(|_| end > 0).ok_or(Refused::Empty)?;
    let sql = text(query, 0, end)?;
    let format = format_clause(tokens).and_then(|name| std::str::from_utf8(name.text).ok());
    let selects = ["select", "with", "from"].iter().any(|word| first.is(word)) || first.is_symbol(b'(');
    Ok(if selects && !(first.is("with") && inserts(tokens)) {
        Statement::Select { sql, format }
    } else if first.is("insert") && rows_follow {
        Statement::Insert { sql, format: default_format, rows: &[] }
    } else {
        Statement::Other { sql, format, reads: READING.iter().any(|word| first.is(word)) }
    })
}

/// Whether what follows a `WITH` is an `INSERT`, which ClickHouse takes: the word stands outside parentheses.
fn inserts(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0i32;
    tokens.iter().any(|token| {
        depth += i32::from(token.is_symbol(b'(')) - i32::from(token.is_symbol(b')'));
        depth <= 0 && token.is("insert")
    })
}

/// The name in a last `FORMAT name`, which only SETTINGS may follow.
fn format_clause<'t, 'q>(tokens: &'t [Token<'q>]) -> Option<&'t Token<'q>> {
    let place = tokens.iter().rposition(|token| token.is("format"))?;
    let name = tokens.get(place + 1)?;
    let followed = tokens.get(place + 2);
    followed.is_none_or(|next| next.is("settings") || next.is_symbol(b';')).then_some(name)
}

/// Rows begin after one separator.
fn after_separator(rows: &[u8]) -> &[u8] {
    let rest = rows.strip_prefix(b"\r\n").or_else(|| rows.split_first().map(|(_, rest)| rest));
    rest.unwrap_or_default()
}

fn text(query: &[u8], from: usize, to: usize) -> Result<&str, Refused> {
    std::str::from_utf8(query.get(from..to).unwrap_or_default()).map_err(|_| Refused::NotText)
}

fn allow(token: &Token<'_>) -> Result<(), Refused> {
    match token.name() {
        Some(name) if is_outside(&name) => Err(Refused::Outside(name.into_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
