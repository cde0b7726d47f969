//! Sessions that go on from before this settler began: how they stood.

use std::collections::{HashMap, HashSet};

use clickhouse::{Client, Row};
use schema::{CountedRow, SessionKey, UnixTime};
use serde::Deserialize;
use usage::{Record, Tail, Watch};

use super::SettlerParts;
use crate::ApiError;
use crate::query::{KEYS_PER_QUERY, fetch, numbers, time};
use crate::rules::Published;

#[derive(Row, Deserialize)]
struct KeyRow {
    session_key: u128,
}

/// What all of a key's records tell.
#[derive(Row, Deserialize)]
struct Spread {
    session_key: u128,
    first: u32,
    last: u32,
    regular: u8,
}

/// Tails of those of `keys` that have records from before the numbers `before`, or were settled already.
pub(super) async fn tails(
    parts: &SettlerParts,
    watch: Watch,
    rules: &Published,
    keys: &[SessionKey],
    before: Vec<(&str, u64)>,
) -> Result<HashMap<SessionKey, Tail>, ApiError> {
    let mut tails = HashMap::new();
    for keys in keys.chunks(KEYS_PER_QUERY) {
        let earlier = newest(&parts.reader, keys, &before).await?;
        let keys: Vec<SessionKey> = earlier.iter().map(|row| SessionKey(row.session_key)).collect();
        if keys.is_empty() {
            continue;
        }
        let settled = settled(&parts.reader, &keys, rules.generation).await?;
        let mut spreads = spreads(&parts.reader, &keys).await?;
        // Rollups are written after records, if need be when those are inserted again.
        let unwritten: Vec<SessionKey> =
            keys.iter().copied().filter(|key| !spreads.contains_key(key)).collect();
        spreads.extend(spreads_of_records(&parts.reader, &unwritten).await?);
        for row in earlier {
            let key = SessionKey(row.session_key);
            let record = Record::from(&row);
            let policy = rules.book.of(&row.nas).at(record.started_at().unwrap_or(record.at));
            let spread = spreads.get(&key).filter(|_| !settled.contains(&key));
            let tail = match spread.and_then(Spread::of_regular) {
                Some(starts) => Tail::resumed(&record, starts, policy, watch),
                None => Tail::irregular(&record, policy, watch),
            };
            tails.insert(key, tail);
        }
    }
    Ok(tails)
}

/// The newest record of each key up to the given numbers.
async fn newest(
    reader: &Client,
    keys: &[SessionKey],
    upto: &[(&str, u64)],
) -> Result<Vec<CountedRow>, ApiError> {
    let upto: Vec<_> = upto.iter().filter(|(_, lsn)| *lsn > 0).collect();
    if upto.is_empty() {
        return Ok(Vec::new());
    }
    let of_each = vec!["(collector = ? AND lsn <= ?)"; upto.len()].join(" OR ");
    let sql = format!(
        "SELECT ?fields FROM accounting_records \
         WHERE session_key IN ? AND status_type IN (1, 2, 3) AND kind = 0 AND ({of_each}) \
         ORDER BY arrived_at DESC, lsn DESC LIMIT 1 BY session_key"
    );
    let query = reader.query(&sql).bind(numbers(keys));
    fetch(upto.iter().fold(query, |query, (collector, lsn)| query.bind(*collector).bind(*lsn))).await
}

async fn settled(
    reader: &Client,
    keys: &[SessionKey],
    generation: u32,
) -> Result<HashSet<SessionKey>, ApiError> {
    let sql = "SELECT DISTINCT session_key FROM settled_sessions WHERE generation = ? AND session_key IN ?";
    let rows = fetch::<KeyRow>(reader.query(sql).bind(generation).bind(numbers(keys))).await?;
    Ok(rows.into_iter().map(|row| SessionKey(row.session_key)).collect())
}

/// What rollups tell of the keys that they know.
async fn spreads(reader: &Client, keys: &[SessionKey]) -> Result<HashMap<SessionKey, Spread>, ApiError> {
    let sql = "SELECT s.session_key AS session_key, toUInt32(min(s.min_started_at)) AS first, \
               toUInt32(max(s.max_started_at)) AS last, \
               uniqExact(s.login) = 1 AND length(groupUniqArrayArray(s.collectors)) = 1 AS regular \
               FROM sessions AS s WHERE s.session_key IN ? GROUP BY session_key";
    by_key(reader, sql, keys).await
}

/// The same from the records themselves.
async fn spreads_of_records(
    reader: &Client,
    keys: &[SessionKey],
) -> Result<HashMap<SessionKey, Spread>, ApiError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT r.session_key AS session_key, toUInt32(min(r.started_at)) AS first, \
               toUInt32(max(r.started_at)) AS last, \
               uniqExact(r.login) = 1 AND uniqExact(r.collector) = 1 AS regular FROM accounting_records AS r \
               WHERE r.session_key IN ? AND r.status_type IN (1, 2, 3) AND r.kind = 0 AND toUInt32(r.started_at) != 0 \
               GROUP BY session_key";
    by_key(reader, sql, keys).await
}

async fn by_key(
    reader: &Client,
    sql: &str,
    keys: &[SessionKey],
) -> Result<HashMap<SessionKey, Spread>, ApiError> {
    let rows = fetch::<Spread>(reader.query(sql).bind(numbers(keys))).await?;
    Ok(rows.into_iter().map(|row| (SessionKey(row.session_key), row)).collect())
}

impl Spread {
    /// Least and greatest start, where one collector heard the session for one login.
    fn of_regular(&self) -> Option<(UnixTime, UnixTime)> {
        (self.regular != 0).then(|| (time(self.first), time(self.last)))
    }
}
