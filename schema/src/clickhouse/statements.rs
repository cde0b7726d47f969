//! Splits SQL text into statements at semicolons that stand neither in a quoted text nor in a comment.

/// What the text at a place is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Sql,
    /// In quotes of this kind; a backslash escapes the next character, a doubled quote continues.
    Quotes(char),
    LineComment,
    BlockComment,
}

/// The statements of `text`, without surrounding space; what holds only comments is no statement.
pub(super) fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut inside = Inside::Sql;
    let (mut start, mut has_sql) = (0, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (inside, c) {
            (Inside::Sql, ';') => {
                found.extend(text.get(start..at).filter(|_| has_sql).map(str::trim));
                (start, has_sql) = (at + 1, false);
            }
            (Inside::Sql, '\'' | '"' | '`') => (inside, has_sql) = (Inside::Quotes(c), true),
            (Inside::Sql, '-') if next == Some('-') => inside = Inside::LineComment,
            (Inside::Sql, '/') if next == Some('*') => {
                chars.next();
                inside = Inside::BlockComment;
            }
            (Inside::Sql, _) => has_sql |= !c.is_whitespace(),
            (Inside::Quotes(_), '\\') => _ = chars.next(),
            (Inside::Quotes(quote), _) if c == quote => inside = Inside::Sql,
            (Inside::LineComment, '\n') => inside = Inside::Sql,
            (Inside::BlockComment, '*') if next == Some('/') => {
                chars.next();
                inside = Inside::Sql;
            }
            _ => {}
        }
    }
    found.extend(text.get(start..).filter(|_| has_sql).map(str::trim));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_split() {
        let text = "SELECT ';', 'it''s;', 'a\\';b' -- one; still one\n; /* ; */ SELECT \"x;y\", `a;b`;\n-- the end;\n";
        assert_eq!(
            statements(text),
            ["SELECT ';', 'it''s;', 'a\\';b' -- one; still one", "/* ; */ SELECT \"x;y\", `a;b`"]
        );
    }

    #[test]
    fn the_last_statement_needs_no_semicolon() {
        assert_eq!(statements("SELECT 1;\n\n SELECT 'ü' "), ["SELECT 1", "SELECT 'ü'"]);
        assert!(statements(" ;; -- nothing\n ; /* nothing */").is_empty());
    }
}
