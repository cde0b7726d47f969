//! The rows behind totals: of each session the reports next to a period's ends, as buckets.
//!
//! Rollup rows are joined into a few stretches of time: those next to the ends stay by themselves, all between and before
//! becomes one. Whole days come from the day rollup; the days that an end falls within come from the five-minute one.

use std::collections::HashMap;

use clickhouse::Row;
use schema::{Octets, RecordFlags, SessionKey, UnixTime};
use serde::Deserialize;
use usage::{Bucket, Calendar, RawCounters};

use crate::query::{fetch, seconds, time};
use crate::reading::Session;
use crate::rules::Published;
use crate::settled::{SettledRow, newest};
use crate::{ApiError, Deps};

const FIVE_MINUTES: i64 = 300;
/// Seconds before the period in which a session's last report before it is looked for; if it is older than that, the
/// session is read by itself.
const LOOK_BACK: i64 = 35 * 86_400;

/// A session and what was picked of it.
pub(super) struct Picked {
    pub(super) key: SessionKey,
    pub(super) login: String,
    pub(super) nas: String,
    /// Whether it names no other login.
    pub(super) one_login: bool,
    pub(super) buckets: Vec<Bucket>,
}

#[derive(Row, Deserialize)]
struct PickedRow {
    session_key: u128,
    login: String,
    nas: String,
    one_login: u8,
    stretches: Vec<Stretch>,
}

/// Which stretch; least and greatest start, event time, session time, input, output, IPv6 input, IPv6 output; flags.
type Stretch = (u8, (u32, u32), (u32, u32), (u32, u32), (u64, u64), (u64, u64), (u64, u64), (u64, u64), u32);

/// Where the stretches meet, and which days need five-minute rows.
struct Plan {
    edges: Vec<UnixTime>,
    fine: Vec<(UnixTime, UnixTime)>,
}

impl Plan {
    fn of(calendar: Calendar, ends: [UnixTime; 2]) -> Self {
        let (mut edges, mut fine) = (Vec::new(), Vec::new());
        for end in ends {
            let day = calendar.day_of(end);
            edges.extend([calendar.day_of(day.starts_at.plus(-1)).starts_at, day.starts_at, day.ends_at]);
            if end != day.starts_at {
                let slot = UnixTime(end.0.div_euclid(FIVE_MINUTES) * FIVE_MINUTES);
                let near = [-1, 0, 1, 2].map(|slots| slot.plus(slots * FIVE_MINUTES));
                edges.extend(near.into_iter().filter(|edge| day.starts_at < *edge && *edge < day.ends_at));
                fine.push((day.starts_at, day.ends_at));
            }
        }
        edges.sort_unstable();
        edges.dedup();
        fine.dedup();
        Self { edges, fine }
    }

    /// What lies between two edges; stretches are numbered by the edges before them.
    fn bounds(&self, stretch: u8) -> (UnixTime, UnixTime) {
        let number = usize::from(stretch);
        let before = number.checked_sub(1).and_then(|number| self.edges.get(number)).copied();
        let after = self.edges.get(number).copied();
        (before.unwrap_or(UnixTime(0)), after.unwrap_or(UnixTime(u32::MAX.into())))
    }

    fn bucket(&self, stretch: &Stretch) -> Bucket {
        let (number, started_at, event_at, session_time, input, output, input_ipv6, output_ipv6, flags) =
            *stretch;
        let (starts_at, ends_at) = self.bounds(number);
        let times = |(least, greatest): (u32, u32)| (time(least), time(greatest));
        let octets = |choose: fn((u64, u64)) -> u64| RawCounters {
            input: Octets(choose(input)),
            output: Octets(choose(output)),
            input_ipv6: Octets(choose(input_ipv6)),
            output_ipv6: Octets(choose(output_ipv6)),
        };
        Bucket {
            starts_at,
            ends_at,
            started_at: times(started_at),
            event_at: times(event_at),
            session_time,
            counters: (octets(|range| range.0), octets(|range| range.1)),
            flags: RecordFlags(flags),
        }
    }
}

const COLUMNS: &str = "login, session_key, nas, min_started_at, max_started_at, min_event_at, max_event_at, \
     min_session_time, max_session_time, min_input, max_input, min_output, max_output, \
     min_input_ipv6, max_input_ipv6, min_output_ipv6, max_output_ipv6, flags";

/// Sessions that `[from, to)` may touch and the settler has not evaluated, one by one to `take`.
pub(super) async fn picked(
    deps: &Deps,
    rules: &Published,
    (from, to): (UnixTime, UnixTime),
    mut take: impl FnMut(Picked),
) -> Result<(), ApiError> {
    let plan = Plan::of(deps.calendar, [from, to]);
    let since = from.plus(-LOOK_BACK);
    let rows = if of_one_zone(deps, since).await? { plan.rows(since) } else { fine_rows(since) };
    let sql = format!(
        "SELECT session_key, any(k.least) AS login, any(k.nas) AS nas, min(k.least) = max(k.most) AS one_login, \
         groupArray(k.stretch) AS stretches FROM ( \
         SELECT session_key, min(r.login) AS least, max(r.login) AS most, any(r.nas) AS nas, \
         (toUInt8(arrayCount(edge -> edge <= r.starts_at, {edges})) AS number, \
         (toUInt32(min(r.min_started_at)), toUInt32(max(r.max_started_at))), \
         (toUInt32(min(r.min_event_at)), toUInt32(max(r.max_event_at))), \
         (min(r.min_session_time), max(r.max_session_time)), (min(r.min_input), max(r.max_input)), \
         (min(r.min_output), max(r.max_output)), (min(r.min_input_ipv6), max(r.max_input_ipv6)), \
         (min(r.min_output_ipv6), max(r.max_output_ipv6)), groupBitOr(r.flags)) AS stretch \
         FROM ({rows}) AS r WHERE r.session_key IN ( \
         SELECT s.session_key FROM sessions AS s WHERE s.month >= toStartOfMonth(toDateTime({from}, 'UTC')) \
         GROUP BY s.session_key HAVING max(s.max_event_at) >= toDateTime({from}) \
         AND min(least(s.min_started_at, s.min_event_at)) < toDateTime({to})) \
         AND r.session_key NOT IN (SELECT session_key FROM settled_sessions WHERE generation = {generation}) \
         GROUP BY session_key, number) AS k GROUP BY session_key",
        edges = numbers(&plan.edges),
        from = seconds(from),
        to = seconds(to),
        generation = rules.generation,
    );
    let mut rows = deps.clickhouse.query(&sql).fetch::<PickedRow>()?;
    while let Some(row) = rows.next().await? {
        take(plan.picked(row, (from, since)));
    }
    Ok(())
}

impl Plan {
    fn picked(&self, row: PickedRow, (from, since): (UnixTime, UnixTime)) -> Picked {
        let mut buckets: Vec<Bucket> = row.stretches.iter().map(|stretch| self.bucket(stretch)).collect();
        let began_before = buckets.iter().any(|bucket| bucket.started_at.0 < since);
        if began_before && buckets.iter().all(|bucket| bucket.ends_at > from) {
            // Its last report before the period was not looked for.
            buckets.clear();
        }
        Picked {
            key: SessionKey(row.session_key),
            login: row.login,
            nas: row.nas,
            one_login: row.one_login != 0,
            buckets,
        }
    }

    fn rows(&self, since: UnixTime) -> String {
        let within = |column: &str| {
            let day = |(from, to): &(UnixTime, UnixTime)| {
                let (from, to) = (seconds(*from), seconds(*to));
                format!("({column} >= toDateTime({from}) AND {column} < toDateTime({to}))")
            };
            self.fine.iter().map(day).collect::<Vec<_>>().join(" OR ")
        };
        let since = seconds(since);
        let days = format!(
            "SELECT toUInt32(day_starts_at) AS starts_at, {COLUMNS} FROM usage_1d \
             WHERE day_starts_at >= toDateTime({since})"
        );
        if self.fine.is_empty() {
            return days;
        }
        format!(
            "{days} AND NOT ({}) UNION ALL SELECT toUInt32(bucket) AS starts_at, {COLUMNS} FROM usage_5m WHERE {}",
            within("day_starts_at"),
            within("bucket")
        )
    }
}

/// Days of another time zone do not fit between ours.
fn fine_rows(since: UnixTime) -> String {
    let since = seconds(since);
    format!(
        "SELECT toUInt32(bucket) AS starts_at, {COLUMNS} FROM usage_5m WHERE bucket >= toDateTime({since})"
    )
}

#[derive(Row, Deserialize)]
struct Foreign {
    days: u64,
}

async fn of_one_zone(deps: &Deps, since: UnixTime) -> Result<bool, ApiError> {
    let sql = "SELECT count() AS days FROM (SELECT 1 FROM usage_1d WHERE day_starts_at >= toDateTime(?) \
               AND zone != ? LIMIT 1)";
    let query = deps.clickhouse.query(sql).bind(seconds(since)).bind(deps.calendar.zone().name());
    Ok(fetch::<Foreign>(query).await?.iter().all(|foreign| foreign.days == 0))
}

fn numbers(times: &[UnixTime]) -> String {
    let times: Vec<String> = times.iter().map(|edge| seconds(*edge).to_string()).collect();
    format!("[{}]", times.join(", "))
}

/// Settled sessions that `[from, to)` touches, each with its NAS and the samples next to the period's ends.
pub(super) async fn settled(
    deps: &Deps,
    rules: &Published,
    (from, to): (UnixTime, UnixTime),
) -> Result<Vec<(String, Session)>, ApiError> {
    let (from, to) = (seconds(from), seconds(to));
    // Of a session that changed its login, the samples at each change are needed, too.
    let picked = format!(
        "if(length(part_logins) > 1, range(1, length(sample_at) + 1), \
         arrayFilter(i -> i <= length(sample_at), arrayDistinct(arrayFlatten( \
         [[toUInt64(1), length(sample_at)], arrayMap(n -> n + arrayCount(at -> at <= {from}, sample_at), [toUInt64(0), 1]), \
         arrayMap(n -> n + arrayCount(at -> at <= {to}, sample_at), [toUInt64(0), 1])]))))"
    );
    let sql = format!(
        "SELECT ?fields FROM (SELECT s.* EXCEPT i REPLACE ( \
         arrayMap(n -> sample_at[n], i) AS sample_at, arrayMap(n -> sample_download[n], i) AS sample_download, \
         arrayMap(n -> sample_upload[n], i) AS sample_upload) \
         FROM (SELECT *, arrayFilter(n -> n > 0, {picked}) AS i FROM settled_sessions \
         WHERE generation = {generation}) AS s)",
        generation = rules.generation,
    );
    let mut keys: HashMap<u128, Vec<SettledRow>> = HashMap::new();
    let mut rows = deps.clickhouse.query(&sql).fetch::<SettledRow>()?;
    while let Some(row) = rows.next().await? {
        keys.entry(row.session_key).or_default().push(row);
    }
    let touches = |row: &SettledRow| row.started_at < to && row.last_at >= from;
    let newest = keys.into_values().flat_map(newest).filter(touches);
    Ok(newest.map(|row| (row.nas.clone(), row.session())).collect())
}
