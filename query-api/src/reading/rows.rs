//! The queries behind curves: rollup rows and records of a set of session keys.

use std::collections::{HashMap, HashSet};

use clickhouse::{Client, Row};
use schema::{CountedRow, Octets, RecordFlags, SessionKey, UnixTime};
use serde::Deserialize;
use usage::{Bucket, RawCounters, Record};

use super::Source;
use crate::ApiError;
use crate::query::{self, DRIFT, fetch, seconds, time};
use crate::stored::StoredSession;

const FIVE_MINUTES: i64 = 300;
/// A record's event time lies at most so many seconds before its arrival.
const OLDEST: i64 = 8 * 86_400;
/// With more buckets than this, keys' records are read whole.
const MANY_BUCKETS: usize = 5_000;

/// What finds the keys' rows quickly.
pub(crate) struct Keys {
    numbers: Vec<u128>,
    logins: Vec<String>,
    /// Event times of all their records.
    first: UnixTime,
    last: UnixTime,
}

impl Keys {
    pub(crate) fn of(stored: &[&StoredSession]) -> Self {
        let logins: HashSet<&String> = stored.iter().flat_map(|session| &session.logins).collect();
        Self {
            numbers: stored.iter().map(|session| session.session_key).collect(),
            logins: logins.into_iter().cloned().collect(),
            first: time(stored.iter().map(|session| session.first_event_at).min().unwrap_or(0)),
            last: time(stored.iter().map(|session| session.last_event_at).max().unwrap_or(0)),
        }
    }

    /// With records of up to this event time, of which the rollups may not know yet; nor need they know all the keys.
    pub(crate) fn reaching(self, last: UnixTime, keys: usize) -> Self {
        let first = if self.numbers.len() < keys { UnixTime(0) } else { self.first };
        Self { first, last: self.last.max(last), ..self }
    }
}

#[derive(Row, Deserialize)]
struct RollupRow {
    session_key: u128,
    starts_at: u32,
    zone: String,
    min_started_at: u32,
    max_started_at: u32,
    min_event_at: u32,
    max_event_at: u32,
    min_session_time: u32,
    max_session_time: u32,
    min_input: u64,
    max_input: u64,
    min_output: u64,
    max_output: u64,
    min_input_ipv6: u64,
    max_input_ipv6: u64,
    min_output_ipv6: u64,
    max_output_ipv6: u64,
    flags: u32,
}

impl RollupRow {
    const fn key(&self) -> SessionKey {
        SessionKey(self.session_key)
    }

    fn starts_at(&self) -> UnixTime {
        time(self.starts_at)
    }

    fn until(&self, ends_at: UnixTime) -> Bucket {
        Bucket {
            starts_at: self.starts_at(),
            ends_at,
            started_at: (time(self.min_started_at), time(self.max_started_at)),
            event_at: (time(self.min_event_at), time(self.max_event_at)),
            session_time: (self.min_session_time, self.max_session_time),
            counters: (
                RawCounters {
                    input: Octets(self.min_input),
                    output: Octets(self.min_output),
                    input_ipv6: Octets(self.min_input_ipv6),
                    output_ipv6: Octets(self.min_output_ipv6),
                },
                RawCounters {
                    input: Octets(self.max_input),
                    output: Octets(self.max_output),
                    input_ipv6: Octets(self.max_input_ipv6),
                    output_ipv6: Octets(self.max_output_ipv6),
                },
            ),
            flags: RecordFlags(self.flags),
        }
    }
}

const JOINED: &str = "min(r.min_started_at) AS min_started_at, max(r.max_started_at) AS max_started_at, \
     min(r.min_event_at) AS min_event_at, max(r.max_event_at) AS max_event_at, \
     min(r.min_session_time) AS min_session_time, max(r.max_session_time) AS max_session_time, \
     min(r.min_input) AS min_input, max(r.max_input) AS max_input, \
     min(r.min_output) AS min_output, max(r.max_output) AS max_output, \
     min(r.min_input_ipv6) AS min_input_ipv6, max(r.max_input_ipv6) AS max_input_ipv6, \
     min(r.min_output_ipv6) AS min_output_ipv6, max(r.max_output_ipv6) AS max_output_ipv6, \
     groupBitOr(r.flags) AS flags";

/// The keys' buckets: of five minutes on the local days that the period touches, whole days elsewhere.
pub(super) async fn buckets(
    source: Source<'_>,
    keys: &Keys,
    (from, to): (UnixTime, UnixTime),
) -> Result<Vec<(SessionKey, Bucket)>, ApiError> {
    let day_of = |time| source.calendar.day_of(time);
    let from = day_of(from.plus(-DRIFT).clamp(keys.first, keys.last)).starts_at;
    // Of days whose five-minute rows are gone there is only the day.
    let kept = source.kept.five_minute_days_since(source.calendar);
    let from = from.max(kept);
    let to = day_of(to.plus(DRIFT).clamp(keys.first, keys.last)).ends_at;
    let to = to.max(kept);
    let all_within = from <= keys.first && keys.last < to;
    let days = if all_within { Vec::new() } else { days(source, keys, (from, to)).await? };
    // Days of another time zone do not fit between ours.
    let foreign = days.iter().any(|day| day.zone != source.calendar.zone().name());
    let (fine, days) =
        if foreign { ((UnixTime(0), UnixTime(i64::MAX)), Vec::new()) } else { ((from, to), days) };
    if foreign && keys.first < kept {
        return Err(ApiError::Expired { at: keys.first, since: kept });
    }
    let five_minutes = five_minutes(source, keys, fine).await?;
    let fine = five_minutes.iter().map(|row| (row.key(), row.until(row.starts_at().plus(FIVE_MINUTES))));
    let days = days.iter().map(|row| (row.key(), row.until(day_of(row.starts_at()).ends_at)));
    Ok(fine.chain(days).collect())
}

async fn five_minutes(
    source: Source<'_>,
    keys: &Keys,
    (from, to): (UnixTime, UnixTime),
) -> Result<Vec<RollupRow>, ApiError> {
    let sql = format!(
        "SELECT r.session_key AS session_key, toUInt32(r.bucket) AS starts_at, '' AS zone, {JOINED} \
         FROM usage_5m AS r WHERE r.login IN ? AND r.session_key IN ? \
         AND r.bucket >= toDateTime(?) AND r.bucket < toDateTime(?) GROUP BY session_key, starts_at"
    );
    let query = source.client.query(&sql).bind(&keys.logins).bind(&keys.numbers);
    fetch(query.bind(seconds(from)).bind(seconds(to))).await
}

/// Rows of whole days outside of a period of whole days, and of any day of another time zone.
async fn days(
    source: Source<'_>,
    keys: &Keys,
    (from, to): (UnixTime, UnixTime),
) -> Result<Vec<RollupRow>, ApiError> {
    let sql = format!(
        "SELECT r.session_key AS session_key, toUInt32(r.day_starts_at) AS starts_at, r.zone AS zone, {JOINED} \
         FROM usage_1d AS r WHERE r.login IN ? AND r.session_key IN ? \
         AND (r.day_starts_at < toDateTime(?) OR r.day_starts_at >= toDateTime(?) OR r.zone != ?) \
         GROUP BY session_key, starts_at, zone"
    );
    let query = source.client.query(&sql).bind(&keys.logins).bind(&keys.numbers);
    fetch(query.bind(seconds(from)).bind(seconds(to)).bind(source.calendar.zone().name())).await
}

/// Records by session key.
pub(crate) type Records = HashMap<SessionKey, Vec<Record>>;

/// Records of the buckets that each key needs. Records of buckets that another key needs may be among them.
pub(super) async fn records_in(
    client: &Client,
    keys: &Keys,
    needed: &HashMap<SessionKey, Vec<(UnixTime, UnixTime)>>,
) -> Result<Records, ApiError> {
    let mut slots = HashSet::new();
    for (starts_at, ends_at) in needed.values().flatten() {
        slots.extend(starts_at.0.div_euclid(FIVE_MINUTES)..=ends_at.plus(-1).0.div_euclid(FIVE_MINUTES));
    }
    let wanted: Vec<SessionKey> = needed.keys().copied().collect();
    let slots: Vec<i64> = slots.into_iter().collect();
    let few = slots.len() <= MANY_BUCKETS;
    records(client, keys, &wanted, few.then_some(&slots)).await
}

/// Records of `wanted`: of the given five-minute buckets, or all.
pub(crate) async fn records(
    client: &Client,
    keys: &Keys,
    wanted: &[SessionKey],
    slots: Option<&[i64]>,
) -> Result<Records, ApiError> {
    let mut records = Records::new();
    if wanted.is_empty() {
        return Ok(records);
    }
    let within =
        slots.map_or(String::new(), |_| format!("AND intDiv(toUInt32(event_at), {FIVE_MINUTES}) IN ?"));
    let sql = format!(
        "SELECT ?fields FROM accounting_records WHERE session_key IN ? AND status_type IN (1, 2, 3) \
         AND arrived_at >= toDateTime(?) AND arrived_at < toDateTime(?) {within}"
    );
    let (first, last) = (keys.first.plus(-DRIFT), keys.last.plus(OLDEST));
    let query = client.query(&sql).bind(query::numbers(wanted));
    let query = query.bind(seconds(first)).bind(seconds(last));
    let query = slots.iter().fold(query, |query, slots| query.bind(*slots));
    for row in fetch::<CountedRow>(query).await? {
        records.entry(SessionKey(row.session_key)).or_default().push(Record::from(&row));
    }
    Ok(records)
}
