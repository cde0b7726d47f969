//! Splits a query's text where ClickHouse does.
//!
//! What could be read in two ways is refused rather than guessed: dollar quotes, typographic quotes and spaces, escapes
//! inside quoted names, and a backslash outside quotes (`\G` is a sign of its own to ClickHouse, so that `\Gfile` is two). Nobody needs them, and a quote that only one side sees hides a name from the other.

use std::borrow::Cow;

/// Why a text cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A quote or comment does not end.
    #[error("a quote or comment that begins at octet {0} does not end")]
    Unclosed(usize),
    /// An octet that has no place outside quotes.
    #[error("octet {1:#04x} at {0} is not allowed outside quotes")]
    Octet(usize, u8),
    /// `\x66` and the like.
    #[error("the quoted name at octet {0} has an escape in it")]
    Escape(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    QuotedName,
    Text,
    Symbol(u8),
}

/// A word, a quoted name or text, or one sign.
#[derive(Clone, Copy, Debug)]
pub struct Token<'q> {
    kind: Kind,
    /// What it says, without quotes.
    pub text: &'q [u8],
    /// Where it begins in the query.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Token<'_> {
    /// Whether it is this word of the language.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it is this sign.
    #[must_use]
    pub const fn is_symbol(&self, symbol: u8) -> bool {
        matches!(self.kind, Kind::Symbol(is) if is == symbol)
    }

    /// The name, where it can be one.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, str>> {
        matches!(self.kind, Kind::Word | Kind::QuotedName).then(|| String::from_utf8_lossy(self.text))
    }
}

/// The token at or after `at`.
///
/// # Errors
/// [`Unreadable`].
pub fn next(query: &[u8], mut at: usize) -> Result<Option<Token<'_>>, Unreadable> {
    loop {
        let rest = query.get(at..).unwrap_or_default();
        let Some(first) = rest.first() else { return Ok(None) };
        // ClickHouse's white space, which has the vertical tab.
        if first.is_ascii_whitespace() || *first == 0x0b {
            at += 1;
        } else if [&b"--"[..], b"//", b"#!", b"# "].iter().any(|mark| rest.starts_with(mark)) {
            at += rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |end| end + 1);
        } else if rest.starts_with(b"/*") {
            at += comment(rest).ok_or(Unreadable::Unclosed(at))?;
        } else {
            return token(query, at, *first).map(Some);
        }
    }
}

/// Length of a comment, which may hold others.
fn comment(rest: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0u32);
    loop {
        match rest.get(at..at + 2)? {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
}

fn token(query: &[u8], start: usize, first: u8) -> Result<Token<'_>, Unreadable> {
    let rest = query.get(start..).unwrap_or_default();
    let word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    let (kind, length) = match first {
        b'\'' => (Kind::Text, quoted(rest, first, start)?),
        b'`' | b'"' => (Kind::QuotedName, quoted(rest, first, start)?),
        octet if word(&octet) => (Kind::Word, rest.iter().take_while(|octet| word(octet)).count()),
        b'$' | b'\\' | 0..=0x20 | 0x7f.. => return Err(Unreadable::Octet(start, first)),
        octet => (Kind::Symbol(octet), 1),
    };
    let whole = rest.get(..length).unwrap_or_default();
    let text = match kind {
        Kind::QuotedName | Kind::Text => whole.get(1..length - 1).unwrap_or_default(),
        Kind::Word | Kind::Symbol(_) => whole,
    };
    // x'..' and b'..' have no escapes.
    let bare = matches!(whole, b"x" | b"X" | b"b" | b"B") && rest.get(1) == Some(&b'\'');
    if bare || kind == Kind::QuotedName && text.contains(&b'\\') {
        return Err(Unreadable::Escape(start));
    }
    Ok(Token { kind, text, start, end: start + length })
}

/// Length of a quoted text with its quotes; a quote inside is doubled or escaped.
fn quoted(rest: &[u8], quote: u8, start: usize) -> Result<usize, Unreadable> {
    let mut at = 1;
    loop {
        match rest.get(at) {
            None => return Err(Unreadable::Unclosed(start)),
            Some(b'\\') => at += 2,
            Some(octet) if *octet == quote && rest.get(at + 1) == Some(&quote) => at += 2,
            Some(octet) if *octet == quote => return Ok(at + 1),
            Some(_) => at += 1,
        }
    }
}
