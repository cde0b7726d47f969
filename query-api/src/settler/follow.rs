//! Following records: of each collector in the order of their numbers, from where the last settler had come.
//!
//! The exporter inserts a collector's records in order, but the parts of one insert become visible one by one; and numbers
//! whose records the journal lost never come. So a missing number is waited for a while and then passed over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use schema::{RecordRow, SessionKey, SessionKind, StatusType, UnixMicros, UnixTime};
use serde::{Deserialize, Serialize};
use usage::Record;

use crate::ApiError;
use crate::query::{fetch, seconds};

/// Record numbers read of a collector at once.
const AT_ONCE: u64 = 20_000;
/// How long a missing number is waited for.
const WAIT: Duration = Duration::from_secs(10);
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
                let rows = read(reader, &reach.collector, cursor.lsn).await?;
                let rows = cursor.advance(rows, reach.upto);
                stretch.read += rows.len() as u64;
                stretch.more |= !rows.is_empty() && reach.upto > cursor.lsn;
                let arrived_to = rows.last().map(|row| UnixMicros(row.arrived_at).seconds());
                stretch.arrived_to = stretch.arrived_to.max(arrived_to.unwrap_or_default());
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

/// What the settler needs of records; attributes are most of a record.
async fn read(reader: &Client, collector: &str, after: u64) -> Result<Vec<RecordRow>, ApiError> {
    let sql = "SELECT ?fields FROM (SELECT * REPLACE ('' AS attributes) FROM accounting_records \
               WHERE collector = ? AND lsn > ? AND lsn <= ?) ORDER BY lsn";
    let query = reader.query(sql).bind(collector).bind(after).bind(after.saturating_add(AT_ONCE));
    fetch(query).await
}

impl Cursor {
    /// The rows up to the first number that is still waited for.
    fn advance(&mut self, mut rows: Vec<RecordRow>, upto: u64) -> Vec<RecordRow> {
        rows.dedup_by_key(|row| row.lsn);
        let end = self.lsn.saturating_add(AT_ONCE).min(upto);
        let numbers = rows.iter().map(|row| row.lsn);
        let missing =
            (self.lsn + 1..=end).zip(numbers.chain([u64::MAX])).find(|(expected, found)| expected != found);
        let Some((missing, _)) = missing else {
            *self = Self { lsn: end, before: self.before, missing_since: None };
            return rows;
        };
        if missing > self.lsn + 1 {
            rows.retain(|row| row.lsn < missing);
            *self = Self { lsn: missing - 1, before: self.before, missing_since: None };
            return rows;
        }
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < WAIT {
            return Vec::new();
        }
        // It never comes: go on with what there is.
        self.lsn = rows.first().map_or(end, |row| row.lsn - 1);
        self.missing_since = None;
        self.advance(rows, upto)
    }
}

impl Followed {
    fn of(row: &RecordRow) -> Option<Self> {
        let of_session = StatusType(row.status_type).is_session() && row.session_key != 0;
        (of_session && row.kind == SessionKind::SESSION.0).then(|| Self {
            key: SessionKey(row.session_key),
            nas: row.nas.clone(),
            record: Record::from(row),
        })
    }
}
