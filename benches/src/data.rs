//! Made-up records, made by the engine itself.

use crate::place::Place;

/// 2026-05-01 00:00 UTC, when everything begins.
pub const FIRST: i64 = 1_777_593_600;
/// Length of a day, in seconds.
pub const DAY: i64 = 86_400;
/// Length of a month.
pub const MONTH: i64 = 31 * DAY;

/// Sessions that last a month.
#[derive(Clone, Copy)]
pub struct Sessions {
    /// Number of the first login.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Reports of each, after those that came before.
    pub reports: u64,
    /// How many came before.
    pub before: u64,
    /// Seconds between two.
    pub interval: u64,
    /// Whether another login is named half-way, so that no rollup tells the session.
    pub irregular: bool,
}

/// Number of the first record of the collector that comes next.
pub struct Numbers(pub u64);

impl Sessions {
    /// Stores them; how many records these are.
    pub async fn store(self, place: &Place, numbers: &mut Numbers) -> anyhow::Result<u64> {
        let records = self.count * self.reports;
        let Self { first, count, reports, before, interval, irregular } = self;
        let renamed = if irregular { format!("n >= {}", before.max(reports / 2)) } else { "0".to_owned() };
        let sql = insert(&format!(
            "SELECT {lsn} + number AS lsn, s, n, toString(s) AS id, concat('login', toString(s), if({renamed}, 'b', '')) AS name, \
             toDateTime({FIRST} + s % 300, 'UTC') AS start, n * {interval} AS seconds FROM ( \
             SELECT number, {first} + number % {count} AS s, {before} + intDiv(number, {count}) AS n FROM numbers({records}))",
            lsn = numbers.0,
        ));
        numbers.0 += records;
        place.execute(&sql).await?;
        Ok(records)
    }
}

/// A day of everybody's five-minute reports, in a session each.
#[derive(Clone, Copy)]
pub struct Days {
    /// How many.
    pub logins: u64,
    /// Days after the first.
    pub day: i64,
}

impl Days {
    /// Stores it.
    pub async fn store(self, place: &Place) -> anyhow::Result<()> {
        let Self { logins, day } = self;
        let sql = insert(&format!(
            "SELECT {lsn} + number AS lsn, s, n, concat(toString(s), '-{day}') AS id, concat('login', toString(s)) AS name, \
             toDateTime({midnight} + s % 200, 'UTC') AS start, n * 300 AS seconds FROM ( \
             SELECT number, number % {logins} AS s, intDiv(number, {logins}) AS n FROM numbers({records}))",
            records = 288 * logins,
            lsn = 1 + day as u64 * 288 * logins,
            midnight = FIRST + day * DAY,
        ));
        place.execute(&sql).await
    }
}

/// Inserts records: the `n`th of the session `id` of the login `name`, which is the `s`th.
fn insert(reports: &str) -> String {
    format!(
        "INSERT INTO accounting_records (collector, lsn, arrived_at, client, nas, session_key, acct_session_id, login, \
         status_type, event_at, started_at, day_starts_at, local_day, zone, session_time, input_octets, output_octets, \
         digest, flags) \
         SELECT 'bench', lsn, toDateTime64(start + seconds AS at, 6, 'UTC'), 'bench', concat('bench/bng-', toString(s % 8)), \
         reinterpretAsUInt128(sipHash128(id)), id, name, if(n = 0, 1, 3), at, start, toStartOfDay(at), toDate(at), 'UTC', \
         seconds, n * (1000000 + s % 1000), n * (9000000 + s % 7000), reinterpretAsUInt128(sipHash128(id, n)), \
         1 + 2 + 4 + 16 + if(n = 0, 32, 0) FROM ({reports})"
    )
}
