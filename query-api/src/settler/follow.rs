//! Following records: of each collector in the order of their numbers, from where the last settler had come.
//!
//! The exporter inserts a collector's records in order, but the parts of one insert become visible one by one; and numbers
//! whose records the journal lost never come. So a missing number is waited for a while and then passed over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use schema::{CountedRow, SessionKey, SessionKind, StatusType, UnixMicros, UnixTime};
use serde::{Deserialize, Serialize};
use usage::Record;

use crate::ApiError;
use crate::query::{fetch, seconds};

/// Record numbers read of a collector at once.
const AT_ONCE: u64 = 20_000;
/// How long a missing number is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// Seconds by which a collector's clock may go back before records are looked for among all.
const SLACK: i64 = 60;
/// Seconds of arrival in which collectors are looked for that are not known yet.
const RECENT: i64 = 60;

/// A record of a session, with what names it.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) key: SessionKey,
    pub(super) nas: String,
    pub(super) record: Record,
}

/// What was read at once.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// Records of sessions, in the order of their numbers within a collector.
    pub(super) records: Vec<Followed>,
    /// All records, those of no session included.
    pub(super) read: u64,
    /// When the newest of them arrived.
    pub(super) arrived_to: UnixTime,
    /// Whether there are more.
    pub(super) more: bool,
}

/// How far each collector's records have been followed.
#[derive(Debug, Default)]
pub(super) struct Follower {
    cursors: BTreeMap<String, Cursor>,
    /// Whether collectors were looked for among all records.
    complete: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Records up to here have been followed.
    lsn: u64,
    /// Where it was before the records last returned.
    before: u64,
    /// When the last of them arrived.
    arrived_at: UnixTime,
    /// Since when the next number is missing.
    missing_since: Option<Instant>,
}

#[derive(Row, Serialize, Deserialize)]
struct CursorRow {
    collector: String,
    lsn: u64,
    settled_at: i64,
}

#[derive(Row, Deserialize)]
struct Reach {
    collector: String,
    upto: u64,
}

impl Follower {
    /// From where the last settler had come.
    pub(super) async fn load(reader: &Client) -> Result<Self, ApiError> {
        let sql = "SELECT collector, max(lsn) AS upto FROM settler_cursors GROUP BY collector";
        let rows = fetch::<Reach>(reader.query(sql)).await?;
        Ok(Self::at(rows.into_iter().map(|row| (row.collector, row.upto))))
    }

    /// From these numbers on.
    pub(super) fn at(cursors: impl IntoIterator<Item = (String, u64)>) -> Self {
        let cursor = |(collector, lsn)| (collector, Cursor { lsn, before: lsn, ..Cursor::default() });
        Self { cursors: cursors.into_iter().map(cursor).collect(), complete: false }
    }

    /// Notes how far it has come.
    pub(super) async fn save(&self, writer: &Client) -> Result<(), ApiError> {
        let mut insert = writer.insert::<CursorRow>("settler_cursors").await?;
        for (collector, cursor) in &self.cursors {
            let settled_at = UnixMicros::now().0 / 1_000;
            insert.write(&CursorRow { collector: collector.clone(), lsn: cursor.lsn, settled_at }).await?;
        }
        Ok(insert.end().await?)
    }

    /// Where each collector's cursor was before the records last returned.
    pub(super) fn before(&self) -> Vec<(&str, u64)> {
        self.cursors.iter().map(|(collector, cursor)| (collector.as_str(), cursor.before)).collect()
    }

    /// The next records.
    pub(super) async fn next(&mut self, reader: &Client) -> Result<Stretch, ApiError> {
        let mut stretch = Stretch::default();
        for reach in self.reach(reader).await? {
            let cursor = self.cursors.entry(reach.collector.clone()).or_default();
            cursor.before = cursor.lsn;
            if reach.upto > cursor.lsn {
                let rows = read(reader, &reach, cursor).await?;
                let numbers: Vec<u64> = rows.iter().map(|row| row.lsn).collect();
                cursor.advance(&numbers, reach.upto);
                let rows: Vec<_> = rows.into_iter().take_while(|row| row.lsn <= cursor.lsn).collect();
                stretch.read += rows.len() as u64;
                stretch.more |= !rows.is_empty() && reach.upto > cursor.lsn;
                if let Some(row) = rows.last() {
                    cursor.arrived_at = UnixMicros(row.arrived_at).seconds();
                    stretch.arrived_to = stretch.arrived_to.max(cursor.arrived_at);
                }
                stretch.records.extend(rows.iter().filter_map(Followed::of));
            }
        }
        Ok(stretch)
    }

    /// How far each collector's records reach.
    async fn reach(&mut self, reader: &Client) -> Result<Vec<Reach>, ApiError> {
        let since = if self.complete { UnixTime::now().plus(-RECENT) } else { UnixTime(0) };
        let sql = "SELECT collector, max(lsn) AS upto FROM accounting_records WHERE arrived_at >= toDateTime(?) \
                   GROUP BY collector";
        let mut found = fetch::<Reach>(reader.query(sql).bind(seconds(since))).await?;
        self.complete = true;
        // What arrived long ago may be stored only now.
        let sql = "SELECT collector, max(lsn) AS upto FROM accounting_records WHERE collector = ? AND lsn > ? \
                   GROUP BY collector";
        for (collector, cursor) in &self.cursors {
            if found.iter().all(|reach| reach.collector != *collector) {
                found.extend(fetch::<Reach>(reader.query(sql).bind(collector).bind(cursor.lsn)).await?);
            }
        }
        Ok(found)
    }
}

/// The records after the cursor, each once, in their order. They arrived after those before them, which spares whatever
/// ClickHouse has merged long ago; where numbers are missing, a clock may have been set, and all are looked at.
async fn read(reader: &Client, reach: &Reach, cursor: &Cursor) -> Result<Vec<CountedRow>, ApiError> {
    let end = cursor.end(reach.upto);
    let sql = "SELECT ?fields FROM accounting_records WHERE collector = ? AND lsn > ? AND lsn <= ? \
               AND arrived_at >= toDateTime(?) ORDER BY lsn";
    let since = async |since: UnixTime| {
        let query = reader.query(sql).bind(&reach.collector).bind(cursor.lsn).bind(end).bind(seconds(since));
        let mut rows = fetch::<CountedRow>(query).await?;
        rows.dedup_by_key(|row| row.lsn);
        Ok::<_, ApiError>(rows)
    };
    let rows = since(cursor.arrived_at.plus(-SLACK)).await?;
    if rows.len() as u64 == end - cursor.lsn { Ok(rows) } else { since(UnixTime(0)).await }
}

impl Cursor {
    /// Up to where it is followed at once.
    fn end(&self, upto: u64) -> u64 {
        self.lsn.saturating_add(AT_ONCE).min(upto)
    }

    /// Goes on over `numbers` (ascending) to the last before one that is still waited for. What lies beyond `upto` came while
    /// the others were read: there may be more between them.
    fn advance(&mut self, numbers: &[u64], upto: u64) {
        let end = self.end(upto);
        let found = numbers.iter().copied().chain([u64::MAX]);
        let missing = (self.lsn + 1..=end).zip(found).find(|(expected, found)| expected != found);
        let Some((missing, found)) = missing else {
            (self.lsn, self.missing_since) = (end, None);
            return;
        };
        if missing > self.lsn + 1 {
            (self.lsn, self.missing_since) = (missing - 1, None);
            return;
        }
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= WAIT {
            // It never comes: go on with what there is.
            (self.lsn, self.missing_since) = ((found - 1).min(end), None);
            self.advance(numbers, upto);
        }
    }
}

impl Followed {
    fn of(row: &CountedRow) -> Option<Self> {
        let of_session = StatusType(row.status_type).is_session() && row.session_key != 0;
        (of_session && row.kind == SessionKind::SESSION.0).then(|| Self {
            key: SessionKey(row.session_key),
            nas: row.nas.clone(),
            record: Record::from(row),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_while_records_were_read_is_followed_after_what_is_between() {
        let mut cursor = Cursor { lsn: 4, ..Cursor::default() };
        cursor.advance(&[5, 6, 9], 6);
        assert_eq!(cursor.lsn, 6);
        cursor.advance(&[7, 8, 9], 9);
        assert_eq!(cursor.lsn, 9);
    }

    #[test]
    fn a_missing_number_is_waited_for_and_then_passed_over() {
        let mut cursor = Cursor::default();
        cursor.advance(&[1, 2, 4], 5);
        assert_eq!(cursor.lsn, 2);
        cursor.advance(&[4], 5);
        assert_eq!(cursor.lsn, 2, "for a while");
        cursor.missing_since = cursor.missing_since.and_then(|since| since.checked_sub(WAIT));
        cursor.advance(&[4], 5);
        assert_eq!(cursor.lsn, 4, "but not forever");
        cursor.missing_since = Instant::now().checked_sub(WAIT);
        cursor.advance(&[8], 5);
        assert_eq!(cursor.lsn, 5, "nor beyond what was there");
    }
}
