//! Splits a statement as ClickHouse's Lexer.cpp does, by other means than `tokens`, whose work it checks.

/// A part of a statement.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A word, in lower case.
    Word(String),
    /// A quoted name without its quotes and escapes, in lower case.
    Name(String),
    /// A quoted text.
    Text,
    /// Anything else.
    Sign(u8),
}

/// The pieces of an admitted text.
///
/// # Panics
/// Something in it can be split in two ways.
pub fn pieces(text: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = match (*first, after) {
            (b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c, _) => after,
            (b'-', [b'-', ..]) | (b'#', [b'!' | b' ', ..]) | (b'/', [b'/', ..]) => line_end(after),
            (b'/', [b'*', inside @ ..]) => comment_end(inside),
            (b'\'', _) => {
                let (_, end) = unquoted(after, b'\'');
                pieces.push(Piece::Text);
                end
            }
            (quote @ (b'`' | b'"'), _) => {
                let (name, end) = unquoted(after, quote);
                pieces.push(Piece::Name(lower(&name)));
                end
            }
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_', _) => {
                let is_word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
                let end = rest.iter().position(|octet| !is_word(octet)).unwrap_or(rest.len());
                let (word, end) = rest.split_at(end);
                let bare = matches!(word, b"x" | b"X" | b"b" | b"B") && end.first() == Some(&b'\'');
                assert!(!bare, "a text without escapes");
                pieces.push(Piece::Word(lower(word)));
                end
            }
            (b'$' | b'\\' | 0..=0x1f | 0x7f.., _) => panic!("octet {first:#04x} outside quotes"),
            (sign, _) => {
                pieces.push(Piece::Sign(sign));
                after
            }
        };
    }
    pieces
}

fn lower(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).to_ascii_lowercase()
}

fn line_end(rest: &[u8]) -> &[u8] {
    rest.iter().position(|octet| *octet == b'\n').map_or(&[], |end| &rest[end..])
}

fn comment_end(mut rest: &[u8]) -> &[u8] {
    let mut depth = 1;
    while depth > 0 {
        rest = match rest {
            [b'/', b'*', after @ ..] => {
                depth += 1;
                after
            }
            [b'*', b'/', after @ ..] => {
                depth -= 1;
                after
            }
            [_, after @ ..] => after,
            [] => panic!("a comment without end"),
        };
    }
    rest
}

/// What stands before the closing quote, and what follows it.
fn unquoted(mut rest: &[u8], quote: u8) -> (Vec<u8>, &[u8]) {
    let mut inside = Vec::new();
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let code = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                inside.extend(code);
                if code.is_some() { after } else { &rest[2..] }
            }
            [b'\\', escaped, after @ ..] => {
                inside.push(*escaped);
                after
            }
            [first, second, after @ ..] if *first == quote && *second == quote => {
                inside.push(quote);
                after
            }
            [first, after @ ..] if *first == quote => return (inside, after),
            [first, after @ ..] => {
                inside.push(*first);
                after
            }
            [] => panic!("a quote without end"),
        };
    }
}
