//! Keyset pages: what follows a place in an order, however the list changes meanwhile.

use std::fmt;
use std::str::FromStr;

use schema::SessionKey;
use serde::Serialize;

use crate::ApiError;
use crate::params::Params;

/// Items of a page where the request does not say.
pub const DEFAULT_LIMIT: usize = 50;
/// Most items of a page.
pub const MAX_LIMIT: usize = 500;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last.
    pub next: Option<String>,
}

/// A place in a list of sessions: what they are sorted by there, then the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The value they are sorted by.
    pub value: i64,
    /// The session.
    pub id: SessionKey,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.value, self.id)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts =
            text.split_once('.').and_then(|(value, id)| Some((value.parse().ok()?, id.parse().ok()?)));
        let (value, id) =
            parts.ok_or_else(|| format!("\"{text}\" is no cursor: take it from a page's \"next\""))?;
        Ok(Self { value, id })
    }
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Most items.
    pub limit: usize,
    /// Where the previous page ended.
    pub cursor: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, cursor: None }
    }
}

impl PageRequest {
    /// From the parameters `limit` and `cursor`.
    ///
    /// # Errors
    /// Names the one that is not usable.
    pub fn of(params: &Params) -> Result<Self, ApiError> {
        Ok(Self {
            limit: params.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            cursor: params.read("cursor", str::parse)?,
        })
    }
}

impl<T> Page<T> {
    /// A page of at most `limit` of the `items`, of which there is one more where a page follows; `place` tells an item's
    /// place.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> Cursor) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| place(last).to_string());
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_writes() {
        let cursor = Cursor { value: -5, id: SessionKey(42) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!("5".parse::<Cursor>().unwrap_err().contains("\"5\""));
    }

    #[test]
    fn the_last_page_has_no_next() {
        let place = |item: &i64| Cursor { value: *item, id: SessionKey(0) };
        assert_eq!(Page::cut(vec![1, 2], 2, place).next, None);
        let page = Page::cut(vec![1, 2, 3], 2, place);
        assert_eq!(
            (page.items, page.next),
            (vec![1, 2], Some(Cursor { value: 2, id: SessionKey(0) }.to_string()))
        );
    }
}
