//! What a replay keeps in ClickHouse: its state, the ranges that are done, and the differences found.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use schema::{Octets, SessionKey, UnixMicros, UnixTime};
use serde::{Deserialize, Serialize};

use super::Difference;
use super::compare::Change;
use crate::ApiError;
use crate::query::{fetch, seconds, time};
use crate::settled::{SettledRow, insert_settled};
use crate::settler::SettlerParts;

/// A row of `replays`.
#[derive(Clone, Debug, Row, Serialize, Deserialize)]
pub(super) struct ReplayRow {
    pub(super) generation: u32,
    state: String,
    pub(super) policies: String,
    pub(super) ranges: u32,
    pub(super) collectors: Vec<String>,
    pub(super) lsns: Vec<u64>,
    at: i64,
}

impl ReplayRow {
    pub(super) fn is_running(&self) -> bool {
        self.state == "running"
    }
}

/// A row of `replay_ranges`.
#[derive(Clone, Debug, Default, Row, Serialize, Deserialize)]
pub(super) struct RangeRow {
    pub(super) generation: u32,
    pub(super) range: u32,
    pub(super) keys: u64,
    pub(super) irregular: u64,
    pub(super) incomplete: u64,
    pub(super) records: u64,
    pub(super) done_at: i64,
}

/// A row of `replay_differences`.
#[derive(Row, Serialize)]
struct DifferenceRow<'a> {
    generation: u32,
    range: u32,
    login: &'a str,
    month_starts_at: u32,
    was_download: u64,
    was_upload: u64,
    is_download: u64,
    is_upload: u64,
    done_at: i64,
}

#[derive(Row, Deserialize)]
struct FoundDifference {
    login: String,
    month: u32,
    was_download: u64,
    was_upload: u64,
    is_download: u64,
    is_upload: u64,
}

#[derive(Row, Deserialize)]
struct Number {
    number: u64,
}

#[derive(Row, Deserialize)]
struct KeyRow {
    session_key: u128,
}

#[derive(Row, Deserialize)]
struct CursorRow {
    collector: String,
    lsn: u64,
}

/// Where replays are kept.
pub(super) struct Store {
    reader: Client,
    writer: Client,
}

fn milliseconds() -> i64 {
    UnixMicros::now().0 / 1_000
}

impl Store {
    pub(super) fn new(parts: &SettlerParts) -> Self {
        Self { reader: parts.reader.clone(), writer: parts.writer.clone() }
    }

    /// The newest replay, as it stands.
    pub(super) async fn newest(&self) -> Result<Option<ReplayRow>, ApiError> {
        let sql = "SELECT ?fields FROM replays ORDER BY generation DESC, at DESC LIMIT 1";
        Ok(fetch::<ReplayRow>(self.reader.query(sql)).await?.into_iter().next())
    }

    /// Begins a replay in a generation that nothing was published in.
    pub(super) async fn begin(
        &self,
        published: u32,
        policies: String,
        keys_per_range: u64,
    ) -> Result<ReplayRow, ApiError> {
        let newest = self.newest().await?.map_or(0, |row| row.generation);
        let sql = "SELECT uniq(session_key) AS number FROM sessions WHERE kind = 0";
        let keys = fetch::<Number>(self.reader.query(sql)).await?.first().map_or(0, |row| row.number);
        let sql = "SELECT collector, max(lsn) AS lsn FROM settler_cursors GROUP BY collector";
        let cursors = fetch::<CursorRow>(self.reader.query(sql)).await?;
        let (collectors, lsns) = cursors.into_iter().map(|row| (row.collector, row.lsn)).unzip();
        let row = ReplayRow {
            generation: newest.max(published) + 1,
            state: "running".into(),
            policies,
            ranges: u32::try_from(keys.div_ceil(keys_per_range)).unwrap_or(u32::MAX).max(1),
            collectors,
            lsns,
            at: milliseconds(),
        };
        self.note(&row).await?;
        Ok(row)
    }

    /// Notes how a replay ended.
    pub(super) async fn end(&self, row: &ReplayRow, state: &str) -> Result<(), ApiError> {
        self.note(&ReplayRow { state: state.into(), at: milliseconds().max(row.at + 1), ..row.clone() }).await
    }

    async fn note(&self, row: &ReplayRow) -> Result<(), ApiError> {
        let mut insert = self.writer.insert::<ReplayRow>("replays").await?;
        insert.write(row).await?;
        Ok(insert.end().await?)
    }

    /// The ranges that are done.
    pub(super) async fn ranges(&self, generation: u32) -> Result<BTreeMap<u32, RangeRow>, ApiError> {
        let sql = "SELECT ?fields FROM replay_ranges WHERE generation = ? ORDER BY done_at";
        let rows = fetch::<RangeRow>(self.reader.query(sql).bind(generation)).await?;
        Ok(rows.into_iter().map(|row| (row.range, row)).collect())
    }

    /// Notes that a range is done.
    pub(super) async fn done(&self, row: &RangeRow) -> Result<(), ApiError> {
        let mut insert = self.writer.insert::<RangeRow>("replay_ranges").await?;
        insert.write(&RangeRow { done_at: milliseconds(), ..row.clone() }).await?;
        Ok(insert.end().await?)
    }

    /// The keys of a range.
    pub(super) async fn keys(&self, range: u32, ranges: u32) -> Result<Vec<SessionKey>, ApiError> {
        let sql = "SELECT session_key FROM sessions WHERE kind = 0 AND session_key % ? = ? \
                   GROUP BY session_key ORDER BY session_key";
        let rows = fetch::<KeyRow>(self.reader.query(sql).bind(ranges).bind(range)).await?;
        Ok(rows.into_iter().map(|row| SessionKey(row.session_key)).collect())
    }

    /// From when on all records are there.
    pub(super) async fn records_since(&self) -> Result<UnixTime, ApiError> {
        let sql =
            "SELECT toUInt64(toUInt32(max(upto))) AS number FROM retention WHERE rows = 'accounting_records'";
        let rows = fetch::<Number>(self.reader.query(sql)).await?;
        Ok(UnixTime(rows.first().map_or(0, |row| i64::try_from(row.number).unwrap_or(i64::MAX))))
    }

    /// Writes settled rows, not visible yet.
    pub(super) async fn publish(&self, rows: Vec<SettledRow>) -> Result<(), ApiError> {
        let revision = u64::try_from(UnixMicros::now().0).unwrap_or(1);
        insert_settled(&self.writer, rows, revision).await
    }

    /// Writes what a range would change.
    pub(super) async fn differ(
        &self,
        generation: u32,
        range: u32,
        differences: &BTreeMap<(String, UnixTime), Change>,
    ) -> Result<(), ApiError> {
        if differences.is_empty() {
            return Ok(());
        }
        let mut insert = self.writer.insert::<DifferenceRow<'_>>("replay_differences").await?;
        for ((login, month), change) in differences {
            let row = DifferenceRow {
                generation,
                range,
                login,
                month_starts_at: seconds(*month),
                was_download: change.was.0.0,
                was_upload: change.was.1.0,
                is_download: change.is.0.0,
                is_upload: change.is.1.0,
                done_at: milliseconds(),
            };
            insert.write(&row).await?;
        }
        Ok(insert.end().await?)
    }

    /// What all ranges would change, the greatest change first.
    pub(super) async fn differences(
        &self,
        generation: u32,
        limit: Option<u64>,
    ) -> Result<Vec<Difference>, ApiError> {
        let limit = limit.map_or(String::new(), |limit| format!("LIMIT {limit}"));
        let sql = format!(
            "SELECT login, toUInt32(month_starts_at) AS month, sum(was.1) AS was_download, sum(was.2) AS was_upload, \
             sum(was.3) AS is_download, sum(was.4) AS is_upload FROM ( \
             SELECT login, month_starts_at, range, \
             argMax((d.was_download, d.was_upload, d.is_download, d.is_upload), d.done_at) AS was \
             FROM replay_differences AS d WHERE generation = ? GROUP BY login, month_starts_at, range) \
             GROUP BY login, month HAVING (was_download, was_upload) != (is_download, is_upload) \
             ORDER BY greatest(is_download, was_download) - least(is_download, was_download) \
             + greatest(is_upload, was_upload) - least(is_upload, was_upload) DESC, login, month {limit}"
        );
        let rows = fetch::<FoundDifference>(self.reader.query(&sql).bind(generation)).await?;
        let difference = |row: FoundDifference| Difference {
            login: row.login,
            month: time(row.month),
            was: (Octets(row.was_download), Octets(row.was_upload)),
            is: (Octets(row.is_download), Octets(row.is_upload)),
        };
        Ok(rows.into_iter().map(difference).collect())
    }
}
