//! Made-up records, made by the engine itself.

use crate::place::Place;

/// 2026-05-01 00:00 UTC, when everything begins.
pub const FIRST: i64 = 1_777_593_600;
/// Length of a month, in seconds.
pub const MONTH: i64 = 31 * 86_400;

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
        let sql = format!(
            "INSERT INTO accounting_records (collector, lsn, arrived_at, client, nas, session_key, acct_session_id, login, \
             status_type, event_at, started_at, day_starts_at, local_day, zone, session_time, input_octets, output_octets, \
             digest, flags) \
             SELECT 'bench', {lsn} + number, toDateTime64(at, 6, 'UTC'), 'bench', concat('bench/bng-', toString(s % 8)), \
             reinterpretAsUInt128(sipHash128(s)), toString(s), concat('login', toString(s), if({renamed}, 'b', '')), \
             if(n = 0, 1, 3), at, start, toStartOfDay(at), toDate(at), 'UTC', n * {interval}, \
             n * (1000000 + s % 1000), n * (9000000 + s % 7000), reinterpretAsUInt128(sipHash128(s, n)), \
             1 + 2 + 4 + 16 + if(n = 0, 32, 0) \
             FROM (SELECT number, {first} + number % {count} AS s, {before} + intDiv(number, {count}) AS n, \
             toDateTime({FIRST} + s % 300, 'UTC') AS start, start + n * {interval} AS at FROM numbers({records}))",
            lsn = numbers.0,
        );
        numbers.0 += records;
        place.execute(&sql).await?;
        Ok(records)
    }
}
