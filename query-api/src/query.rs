//! Running queries: with a time limit, with times as ClickHouse keeps them, and with keys a batch at a time.

use std::time::Duration;

use clickhouse::RowOwned;
use clickhouse::RowRead;
use clickhouse::query::Query;
use schema::clickhouse::QUERY_SECONDS;
use schema::{SessionKey, UnixTime};

use crate::ApiError;

/// ClickHouse ends a query by itself after [`QUERY_SECONDS`]; this is for one that does not answer at all.
const PATIENCE: u64 = QUERY_SECONDS as u64 + 5;

/// Most keys named in one query, far below the limit on a query's length.
pub(crate) const KEYS_PER_QUERY: usize = 1_000;

/// A record's event time lies at most so many seconds after its arrival, and a sample at most so many before the event
/// time by which its bucket was chosen.
pub(crate) const DRIFT: i64 = 60;

/// All rows of a query's answer.
pub(crate) async fn fetch<T: RowOwned + RowRead>(query: Query) -> Result<Vec<T>, ApiError> {
    let rows = tokio::time::timeout(Duration::from_secs(PATIENCE), query.fetch_all::<T>());
    Ok(rows.await.map_err(|_| ApiError::TooSlow(PATIENCE))??)
}

/// A time as a DateTime column can be compared with.
pub(crate) fn seconds(time: UnixTime) -> u32 {
    u32::try_from(time.0.max(0)).unwrap_or(u32::MAX)
}

/// A DateTime column's value.
pub(crate) fn time(seconds: u32) -> UnixTime {
    UnixTime(i64::from(seconds))
}

/// Keys as numbers.
pub(crate) fn numbers(keys: &[SessionKey]) -> Vec<u128> {
    keys.iter().map(|key| key.0).collect()
}
