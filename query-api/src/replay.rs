//! Replay: settles everything again by today's rules, into a generation of its own, and tells what would change.
//!
//! Nothing is visible before it is published; then all is at once. Keys are settled a range at a time, and each range is noted
//! when it is done, so that a replay that was stopped goes on there. Every session is evaluated from its records, also those
//! that rollups tell, so that a replay is an audit as well. A session whose records retention has dropped cannot be
//! evaluated again: it keeps what is published of it, and is counted.

mod compare;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::{Octets, UnixTime};
use subscribers::Directory;
use tokio_util::sync::CancellationToken;
use usage::PolicyBook;

use crate::ApiError;
use crate::rules::{Published, Rules};
use crate::settler::{LEASE, PUBLISHING, Settler, SettlerParts};
use compare::{Target, settle_again};
use store::{RangeRow, ReplayRow, Store};

/// Keys settled between two notes, where nothing speaks for another number.
pub const KEYS_PER_RANGE: u64 = 5_000;
/// Seconds for which the settler's lease is taken while a replay is published.
const LEASE_SECONDS: i64 = 300;
/// Seconds that the settler at work has to give way.
const PATIENCE: u64 = 60;

/// How far a replay has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Ranges done.
    pub done: u32,
    /// Of how many.
    pub ranges: u32,
    /// Session keys settled again.
    pub keys: u64,
    /// Of them, those that rollups cannot tell.
    pub irregular: u64,
    /// Of them, those whose records are no longer all there: what is published of them stays.
    pub incomplete: u64,
    /// Records evaluated.
    pub records: u64,
}

/// By how much a login's usage of a month would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// RADIUS User-Name.
    pub login: String,
    /// First instant of the month.
    pub month: UnixTime,
    /// Download and upload as published.
    pub was: (Octets, Octets),
    /// Download and upload by today's rules.
    pub is: (Octets, Octets),
}

/// A replay that is not published yet.
pub struct Replay {
    parts: SettlerParts,
    published: Arc<Published>,
    store: Store,
    row: ReplayRow,
    book: PolicyBook,
    resumed: bool,
}

/// Why a replay is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is not complete.
    #[error("{done} of {ranges} ranges are settled; run the replay to its end first")]
    Unfinished {
        /// Ranges done.
        done: u32,
        /// Of how many.
        ranges: u32,
    },
    /// Another process does not give way.
    #[error("\"{0}\" is still settling; try again")]
    Busy(String),
    /// ClickHouse or the database failed.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Replay {
    /// Goes on with the replay that was begun by these rules, else begins one whose ranges have so many keys.
    ///
    /// # Errors
    /// ClickHouse cannot be read or written.
    pub async fn open(parts: SettlerParts, keys_per_range: u64) -> Result<Self, ApiError> {
        let published = parts.rules.refresh(&parts.reader).await?;
        let book = PolicyBook::always(&parts.policies);
        let store = Store::new(&parts);
        let policies = serde_json::to_string(&book).map_err(ApiError::Rules)?;
        let unfinished = store.newest().await?.filter(|row| row.is_running() && row.policies == policies);
        let (row, resumed) = match unfinished {
            Some(row) => (row, true),
            None => (store.begin(published.generation, policies, keys_per_range).await?, false),
        };
        Ok(Self { parts, published, store, row, book, resumed })
    }

    /// Whether it goes on with one that was stopped.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// How far it has come.
    ///
    /// # Errors
    /// ClickHouse cannot be read.
    pub async fn progress(&self) -> Result<Progress, ApiError> {
        let ranges = self.store.ranges(self.row.generation).await?;
        Ok(ranges.values().fold(Progress { ranges: self.row.ranges, ..Progress::default() }, Progress::with))
    }

    /// Settles what is left, telling how far it has come after each range; ends early at `shutdown`.
    ///
    /// # Errors
    /// ClickHouse cannot be read or written; running again goes on.
    pub async fn run(
        &self,
        mut told: impl FnMut(&Progress),
        shutdown: &CancellationToken,
    ) -> Result<Progress, ApiError> {
        let done = self.store.ranges(self.row.generation).await?;
        let mut progress =
            done.values().fold(Progress { ranges: self.row.ranges, ..Progress::default() }, Progress::with);
        told(&progress);
        for range in (0..self.row.ranges).filter(|range| !done.contains_key(range)) {
            if shutdown.is_cancelled() {
                break;
            }
            progress = progress.with(&self.settle_range(range).await?);
            told(&progress);
        }
        Ok(progress)
    }

    async fn settle_range(&self, range: u32) -> Result<RangeRow, ApiError> {
        let generation = self.row.generation;
        let mut done = RangeRow { generation, range, ..RangeRow::default() };
        let mut differences: BTreeMap<(String, UnixTime), compare::Change> = BTreeMap::new();
        let keys = self.store.keys(range, self.row.ranges).await?;
        let target = Target {
            published: &self.published,
            book: &self.book,
            generation,
            watch: self.parts.watch().await?,
            records_since: self.store.records_since().await?,
        };
        for keys in keys.chunks(compare::KEYS_AT_ONCE) {
            let again = settle_again(&self.parts, &target, keys).await?;
            self.store.publish(again.rows).await?;
            done.keys += keys.len() as u64;
            done.irregular += again.irregular;
            done.incomplete += again.incomplete;
            done.records += again.records;
            for (place, change) in again.changes {
                differences.entry(place).or_default().add(&change);
            }
        }
        differences.retain(|_, change| change.is_change());
        self.store.differ(generation, range, &differences).await?;
        self.store.done(&done).await?;
        Ok(done)
    }

    /// By how much each login's usage would change, the greatest change first; at most `limit`, or all.
    ///
    /// # Errors
    /// ClickHouse cannot be read.
    pub async fn differences(&self, limit: Option<u64>) -> Result<Vec<Difference>, ApiError> {
        self.store.differences(self.row.generation, limit).await
    }

    /// Publishes it: what has arrived since it began is settled first, while the settler at work gives way.
    ///
    /// # Errors
    /// [`PublishError`] says what is missing; nothing has changed then.
    pub async fn publish(self, directory: &Directory, holder: &str) -> Result<(), PublishError> {
        let progress = self.progress().await?;
        if progress.done < progress.ranges {
            return Err(PublishError::Unfinished { done: progress.done, ranges: progress.ranges });
        }
        let mut settler = self.settler().await?;
        // Most of it while the other still works.
        settler.settle_pending().await?;
        let published = self.publish_last(directory, holder, &mut settler).await;
        for lease in [LEASE, PUBLISHING] {
            directory.release_lease(lease, holder).await.map_err(ApiError::from)?;
        }
        published
    }

    async fn publish_last(
        &self,
        directory: &Directory,
        holder: &str,
        settler: &mut Settler,
    ) -> Result<(), PublishError> {
        give_way(directory, holder).await?;
        settler.settle_pending().await?;
        let current = self.parts.rules.refresh(&self.parts.reader).await?;
        let rules = Published {
            version: current.version + 1,
            generation: self.row.generation,
            book: self.book.clone(),
        };
        self.parts.rules.publish(&self.parts.writer, rules).await?;
        settler.save().await?;
        Ok(self.store.end(&self.row, "published").await?)
    }

    /// A settler for the new generation, from where the records stood when the replay began.
    async fn settler(&self) -> Result<Settler, ApiError> {
        let rules = Rules::fixed(Published {
            version: self.published.version,
            generation: self.row.generation,
            book: self.book.clone(),
        });
        let cursors = self.row.collectors.iter().cloned().zip(self.row.lsns.iter().copied());
        Settler::catching_up(SettlerParts { rules, ..self.parts.clone() }, cursors).await
    }

    /// Forgets it; the next one begins anew.
    ///
    /// # Errors
    /// ClickHouse cannot be written.
    pub async fn discard(self) -> Result<(), ApiError> {
        self.store.end(&self.row, "discarded").await
    }
}

/// Asks the settler at work to give way, and takes its lease.
async fn give_way(directory: &Directory, holder: &str) -> Result<(), PublishError> {
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(PATIENCE);
    loop {
        let asked =
            directory.acquire_lease(PUBLISHING, holder, LEASE_SECONDS).await.map_err(ApiError::from)?;
        if asked && directory.acquire_lease(LEASE, holder, LEASE_SECONDS).await.map_err(ApiError::from)? {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            let lease = if asked { LEASE } else { PUBLISHING };
            let other = directory.lease_holder(lease).await.map_err(ApiError::from)?;
            return Err(PublishError::Busy(other.map(|(holder, _)| holder).unwrap_or_default()));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

impl Progress {
    fn with(self, range: &RangeRow) -> Self {
        Self {
            done: self.done + 1,
            ranges: self.ranges,
            keys: self.keys + range.keys,
            irregular: self.irregular + range.irregular,
            incomplete: self.incomplete + range.incomplete,
            records: self.records + range.records,
        }
    }
}
