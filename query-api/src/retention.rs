//! Retention: drops records and five-minute rows of long ago by whole partitions.
//!
//! What days amount to is kept for ever, and so are evaluated sessions. Before five-minute rows go, each day's highest rates are
//! written down. What is gone is noted first: a question that would need it is refused rather than guessed.

use std::time::Duration;

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime};
use clickhouse::{Client, Row};
use schema::health::{CLICKHOUSE, SETTLER};
use schema::{BitsPerSecond, UnixTime};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use usage::Step;

use crate::metrics::Dropping;
use crate::query::{fetch, seconds, time};
use crate::rules::{FIVE_MINUTES, RECORDS};
use crate::usage::UsageQuery;
use crate::usage::series::{Rates, series};
use crate::{ApiError, Deps};

/// `[retention]`: how long ClickHouse keeps what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Days that records are kept; 0 for ever. Sessions older than that can be neither explained nor replayed.
    pub records_days: u32,
    /// Days that five-minute rows are kept; 0 for ever. Older days have totals and highest rates.
    pub five_minutes_days: u32,
}

/// A day's rates, kept beyond its five-minute rows.
#[derive(Row, Serialize, Deserialize)]
struct PeakRow {
    login: String,
    day_starts_at: u32,
    maximum_download: u64,
    maximum_upload: u64,
    last_download: u64,
    last_upload: u64,
}

#[derive(Row, Deserialize)]
struct Oldest {
    oldest: u32,
}

#[derive(Row, Deserialize)]
struct LoginRow {
    login: String,
}

/// Name of the lease.
const LEASE: &str = "retention";
/// Time between two looks at what is too old.
const EVERY: Duration = Duration::from_secs(3_600);

/// Drops what is too old once an hour until `shutdown`, in one process at a time.
pub async fn run(
    deps: Deps,
    writer: Client,
    config: RetentionConfig,
    holder: String,
    shutdown: CancellationToken,
) {
    if config == RetentionConfig::default() {
        return;
    }
    while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let seconds = i64::try_from(EVERY.as_secs()).unwrap_or(i64::MAX);
        match deps.directory.acquire_lease(LEASE, &holder, seconds).await {
            // What the settler has not seen yet must stay.
            Ok(true) if !deps.health.is_down(CLICKHOUSE) && !deps.health.is_down(SETTLER) => {}
            Ok(_) => continue,
            Err(error) => {
                warn!(%error, "nothing is dropped: the lease cannot be had");
                continue;
            }
        }
        match apply(&deps, &writer, config, UnixTime::now()).await {
            Ok(dropped) => {
                Dropping::dropped(dropped.len());
                dropped.iter().for_each(|what| info!(what, "dropped, as retention says"));
            }
            Err(error) => {
                Dropping::failed();
                warn!(%error, "what is too old could not be dropped; the next try is in an hour");
            }
        }
    }
}

/// Drops what is older than `config` says; what was dropped, in words.
///
/// # Errors
/// ClickHouse refuses; what was not dropped is the next time.
pub async fn apply(
    deps: &Deps,
    writer: &Client,
    config: RetentionConfig,
    now: UnixTime,
) -> Result<Vec<String>, ApiError> {
    let mut dropped = Vec::new();
    // Rates first: they need records, too.
    if let Some(upto) = limit(config.five_minutes_days, now, first_of_month) {
        let mut before = None;
        while let Some(month) = oldest(deps, "bucket", FIVE_MINUTES).await?.map(first_of_month)
            && month < upto
            && before.replace(month) != Some(month)
        {
            let next = month.checked_add_months(Months::new(1)).unwrap_or(month);
            keep_peaks(deps, writer, (midnight(month), midnight(next))).await?;
            note(deps, writer, FIVE_MINUTES, midnight(next)).await?;
            drop_partition(writer, FIVE_MINUTES, &month.format("%Y%m").to_string()).await?;
            dropped.push(format!("five-minute rows of {}", month.format("%Y-%m")));
        }
    }
    if let Some(upto) = limit(config.records_days, now, monday) {
        let mut before = None;
        while let Some(first) = oldest(deps, "arrived_at", RECORDS).await?.map(monday)
            && first < upto
            && before.replace(first) != Some(first)
        {
            let next = first.checked_add_days(Days::new(7)).unwrap_or(first);
            note(deps, writer, RECORDS, midnight(next)).await?;
            drop_partition(writer, RECORDS, &format!("'{first}'")).await?;
            dropped.push(format!("records of the week of {first}"));
        }
    }
    Ok(dropped)
}

/// The first date that is kept, at a partition's beginning.
fn limit(days: u32, now: UnixTime, partition: fn(NaiveDate) -> NaiveDate) -> Option<NaiveDate> {
    let kept = (days > 0).then(|| now.utc().date_naive().checked_sub_days(Days::new(days.into())))?;
    kept.map(partition)
}

fn monday(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into())).unwrap_or(date)
}

fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
}

fn midnight(date: NaiveDate) -> UnixTime {
    date.and_time(NaiveTime::MIN).and_utc().into()
}

/// The date of the oldest row.
async fn oldest(deps: &Deps, column: &str, table: &str) -> Result<Option<NaiveDate>, ApiError> {
    let sql = format!("SELECT toUInt32(toDateTime(min({column}))) AS oldest FROM {table}");
    let rows = fetch::<Oldest>(deps.clickhouse.query(&sql)).await?;
    let found = rows.first().filter(|row| row.oldest > 0);
    Ok(found.map(|row| time(row.oldest).utc().date_naive()))
}

async fn note(deps: &Deps, writer: &Client, rows: &str, upto: UnixTime) -> Result<(), ApiError> {
    let sql = "INSERT INTO retention (rows, upto, dropped_at) SELECT ?, toDateTime(?), now64(3)";
    writer.query(sql).bind(rows).bind(seconds(upto)).execute().await?;
    deps.rules.refresh(&deps.clickhouse).await?;
    Ok(())
}

async fn drop_partition(writer: &Client, table: &str, partition: &str) -> Result<(), ApiError> {
    let sql = format!("ALTER TABLE {table} DROP PARTITION {partition}");
    Ok(writer.query(&sql).execute().await?)
}

/// Writes down the highest rates of every login's days that begin in a period.
async fn keep_peaks(deps: &Deps, writer: &Client, (from, to): (UnixTime, UnixTime)) -> Result<(), ApiError> {
    let sql = "SELECT DISTINCT login FROM usage_5m WHERE bucket >= toDateTime(?) AND bucket < toDateTime(?)";
    let query = deps.clickhouse.query(sql).bind(seconds(from)).bind(seconds(to));
    let logins = fetch::<LoginRow>(query).await?;
    // Local days that begin in it, whole.
    let whole = |time| deps.calendar.day_of(time).starts_at;
    let (from, to) = (whole(from), deps.calendar.day_of(to).ends_at);
    for logins in logins.chunks(500) {
        let mut insert = writer.insert::<PeakRow>("usage_peaks").await?;
        for LoginRow { login } in logins {
            let days = series(deps, &UsageQuery { login: login.clone(), from, to }, Step::Day).await?;
            for day in days.items {
                let (Some(maximum), Some(last)) = (day.maximum, day.last) else { continue };
                let row = PeakRow {
                    login: login.clone(),
                    day_starts_at: seconds(day.from),
                    maximum_download: maximum.download_bps.0,
                    maximum_upload: maximum.upload_bps.0,
                    last_download: last.download_bps.0,
                    last_upload: last.upload_bps.0,
                };
                insert.write(&row).await?;
            }
        }
        insert.end().await?;
    }
    Ok(())
}

/// The rates that were kept of a login's days.
pub(crate) struct Peaks(Vec<PeakRow>);

impl Peaks {
    /// Of days that begin in a period.
    pub(crate) async fn of(
        deps: &Deps,
        login: &str,
        (from, to): (UnixTime, UnixTime),
    ) -> Result<Self, ApiError> {
        if to <= from {
            return Ok(Self(Vec::new()));
        }
        let sql = "SELECT ?fields FROM usage_peaks FINAL WHERE login = ? AND day_starts_at >= toDateTime(?) \
                   AND day_starts_at < toDateTime(?) ORDER BY day_starts_at";
        let query = deps.clickhouse.query(sql).bind(login).bind(seconds(from)).bind(seconds(to));
        Ok(Self(fetch(query).await?))
    }

    /// Highest and last rates of the days that begin within a step.
    pub(crate) fn within(&self, from: UnixTime, to: UnixTime) -> (Option<Rates>, Option<Rates>) {
        let rates = |download, upload| Rates {
            download_bps: BitsPerSecond(download),
            upload_bps: BitsPerSecond(upload),
        };
        let days = || self.0.iter().filter(|day| (from..to).contains(&time(day.day_starts_at)));
        let maximum = days().map(|day| rates(day.maximum_download, day.maximum_upload)).reduce(Rates::max);
        (maximum, days().next_back().map(|day| rates(day.last_download, day.last_upload)))
    }
}
