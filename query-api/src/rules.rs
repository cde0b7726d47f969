//! The rules that hold: which generation of settled sessions is visible, and every NAS's policies over time.
//!
//! One row of the table `rules` publishes both at once. A request takes the rules once and reads everything by them, so that
//! no answer mixes two generations. With the rules goes what retention has left ([`Kept`]).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use clickhouse::{Client, Row};
use schema::UnixTime;
use schema::health::{CLICKHOUSE, HealthBoard};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use usage::{Calendar, PolicyBook};

use crate::ApiError;
use crate::query::{fetch, time};

/// Time between two looks for rules that another process published.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What was published last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Counted from 1; 0 before anything was published.
    pub version: u64,
    /// Generation of settled sessions.
    pub generation: u32,
    /// Policies.
    pub book: PolicyBook,
}

/// From when on rows are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Records that arrived since then.
    pub records_since: UnixTime,
    /// Five-minute rows since then; days are kept for ever.
    pub five_minutes_since: UnixTime,
}

impl Kept {
    /// The first instant of the local days of which all five-minute rows are there.
    pub(crate) fn five_minute_days_since(self, calendar: Calendar) -> UnixTime {
        let since = self.five_minutes_since;
        let day = calendar.day_of(since);
        if since == UnixTime(0) || day.starts_at == since { since } else { day.ends_at }
    }

    /// From when on usage is known by five minutes.
    pub(crate) fn fine_since(self, calendar: Calendar) -> UnixTime {
        self.records_since.max(self.five_minute_days_since(calendar))
    }
}

/// The rules that hold. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    published: ArcSwap<Published>,
    kept: ArcSwap<Kept>,
}

/// What retention calls records, and five-minute rows.
pub(crate) const RECORDS: &str = "accounting_records";
pub(crate) const FIVE_MINUTES: &str = "usage_5m";

#[derive(Row, Deserialize)]
struct KeptRow {
    rows: String,
    since: u32,
}

/// A row of the table `rules`.
#[derive(Row, Serialize, Deserialize)]
struct RulesRow {
    version: u64,
    generation: u32,
    policies: String,
}

impl Rules {
    /// Rules that stay as they are.
    pub(crate) fn fixed(rules: Published) -> Self {
        Self(Arc::new(Shared { published: ArcSwap::from_pointee(rules), kept: ArcSwap::default() }))
    }

    /// The rules, to be read by throughout one request.
    #[must_use]
    pub fn current(&self) -> Arc<Published> {
        self.0.published.load_full()
    }

    /// From when on rows are there.
    #[must_use]
    pub fn kept(&self) -> Kept {
        **self.0.kept.load()
    }

    /// Reads what was published last.
    ///
    /// # Errors
    /// ClickHouse cannot be read, or holds rules of another version of radtally.
    pub async fn refresh(&self, reader: &Client) -> Result<Arc<Published>, ApiError> {
        let sql = "SELECT version, generation, policies FROM rules ORDER BY version DESC LIMIT 1";
        if let Some(row) = fetch::<RulesRow>(reader.query(sql)).await?.into_iter().next() {
            let book = serde_json::from_str(&row.policies).map_err(ApiError::Rules)?;
            self.take(Published { version: row.version, generation: row.generation, book });
        }
        let sql = "SELECT rows, toUInt32(max(upto)) AS since FROM retention GROUP BY rows";
        let mut kept = Kept::default();
        for row in fetch::<KeptRow>(reader.query(sql)).await? {
            match row.rows.as_str() {
                RECORDS => kept.records_since = time(row.since),
                FIVE_MINUTES => kept.five_minutes_since = time(row.since),
                _ => {}
            }
        }
        self.0.kept.store(Arc::new(kept));
        Ok(self.current())
    }

    /// Publishes rules; they hold as soon as this has returned.
    ///
    /// # Errors
    /// ClickHouse does not take them.
    pub(crate) async fn publish(&self, writer: &Client, rules: Published) -> Result<(), ApiError> {
        let policies = serde_json::to_string(&rules.book).map_err(ApiError::Rules)?;
        let sql = "INSERT INTO rules (version, generation, policies, published_at) SELECT ?, ?, ?, now64(3)";
        let query = writer.query(sql).bind(rules.version).bind(rules.generation).bind(policies);
        query.execute().await?;
        self.take(rules);
        Ok(())
    }

    /// Follows what other processes publish, until `shutdown`.
    pub async fn follow(self, reader: Client, health: HealthBoard, shutdown: CancellationToken) {
        let mut failed = false;
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if health.is_down(CLICKHOUSE) {
                continue;
            }
            match self.refresh(&reader).await {
                Ok(_) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    warn!(%error, "the rules cannot be read; those known go on to hold");
                }
                Err(_) => {}
            }
        }
    }

    fn take(&self, rules: Published) {
        if rules.version > self.0.published.load().version {
            self.0.published.store(Arc::new(rules));
        }
    }
}
