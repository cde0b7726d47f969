//! The settler: evaluates the sessions that rollups cannot tell, within seconds of their records.
//!
//! It follows each collector's records by their numbers ([`follow`]) and remembers the end of every session
//! ([`usage::Tail`]). A session that stops being well-behaved is evaluated from all its records, and what comes out is
//! published under a new revision, all sessions of its key at once; readers prefer it to the rollups. Everything is a function
//! of the records, so a settler that starts anew, or two that overlap for a moment, publish the same.
//!
//! One settler works at a time, by a lease; it alone writes `rules` and `settled_sessions`.

mod evaluate;
mod follow;
mod known;
mod run;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use schema::{NasId, SessionKey, UnixMicros, UnixTime};
use serde::Deserialize;
use usage::{Calendar, NasPolicy, PolicyBook, Tail, Watch};

use crate::ApiError;
use crate::query::{fetch, time};
use crate::rules::{Published, Rules};
use crate::settled::{SettledRow, insert_settled};
use evaluate::Waiting;
pub(crate) use evaluate::newest_event;
use follow::{Followed, Follower};
pub use run::{LEASE, PUBLISHING, SettlerLease, run};

/// Keys evaluated at once.
const KEYS_AT_ONCE: usize = 100;
/// Sessions silent for so many seconds are looked up again if they go on.
const FORGET_AFTER: i64 = 86_400;
/// How long keys wait to be evaluated while there are more records to follow, which may be of the same keys.
const DEFER: Duration = Duration::from_secs(30);
/// Time between two notes of how far it has come.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Remembered sessions above which silent ones are forgotten.
const REMEMBERED: usize = 500_000;

/// What the settler works with.
#[derive(Clone)]
pub struct SettlerParts {
    /// A client that may write.
    pub writer: Client,
    /// A client for queries.
    pub reader: Client,
    /// The provider's calendar.
    pub calendar: Calendar,
    /// The rules that hold.
    pub rules: Rules,
    /// The policies that are configured.
    pub policies: BTreeMap<NasId, NasPolicy>,
    /// Days that were over by then are filled by what arrives, not amended; when ClickHouse was first migrated, where
    /// `None`.
    pub watching_since: Option<UnixTime>,
}

#[derive(Row, Deserialize)]
struct Installed {
    at: u32,
}

impl SettlerParts {
    /// Which days can be settled.
    pub(crate) async fn watch(&self) -> Result<Watch, ApiError> {
        let since = match self.watching_since {
            Some(since) => since,
            None => {
                let sql = "SELECT toUInt32(min(applied_at)) AS at FROM migrations";
                let installed = fetch::<Installed>(self.reader.query(sql)).await?;
                time(installed.first().map_or(0, |installed| installed.at))
            }
        };
        Ok(Watch { calendar: self.calendar, since })
    }
}

/// What a round of work amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Records followed.
    pub records: u64,
    /// Keys evaluated.
    pub evaluated: u64,
    /// Keys of which something new was published.
    pub published: u64,
}

/// Evaluates sessions that rollups cannot tell.
pub struct Settler {
    parts: SettlerParts,
    watch: Watch,
    follower: Follower,
    tails: HashMap<SessionKey, Tail>,
    /// Keys to evaluate.
    pending: HashMap<SessionKey, Waiting>,
    /// When all that waited had been evaluated.
    evaluated_at: Instant,
    /// When the newest record it has seen arrived, while there are more that it has not.
    behind: Option<UnixTime>,
    /// The last revision published.
    revision: u64,
    begun: bool,
    saved_at: Option<Instant>,
}

#[derive(Row, Deserialize)]
struct Newest {
    revision: u64,
}

async fn newest_revision(reader: &Client) -> Result<u64, ApiError> {
    let newest =
        fetch::<Newest>(reader.query("SELECT max(revision) AS revision FROM settled_sessions")).await?;
    Ok(newest.first().map_or(0, |newest| newest.revision))
}

impl Settler {
    /// A settler that has not begun yet.
    #[must_use]
    pub fn new(parts: SettlerParts) -> Self {
        Self {
            watch: Watch::always(parts.calendar),
            parts,
            follower: Follower::default(),
            tails: HashMap::new(),
            pending: HashMap::new(),
            evaluated_at: Instant::now(),
            behind: None,
            revision: 0,
            begun: false,
            saved_at: None,
        }
    }

    /// A settler that takes the rules as they are, from these record numbers on.
    pub(crate) async fn catching_up(
        parts: SettlerParts,
        cursors: impl IntoIterator<Item = (String, u64)>,
    ) -> Result<Self, ApiError> {
        let revision = newest_revision(&parts.reader).await?;
        let follower = Follower::at(cursors);
        let watch = parts.watch().await?;
        Ok(Self { watch, follower, revision, begun: true, ..Self::new(parts) })
    }

    /// Settles until no record is left that it has not seen.
    ///
    /// # Errors
    /// ClickHouse cannot be read or written; nothing is lost by trying again.
    pub async fn settle_pending(&mut self) -> Result<Settlement, ApiError> {
        let mut sum = Settlement::default();
        loop {
            let step = self.step().await?;
            sum.records += step.records;
            sum.evaluated += step.evaluated;
            sum.published += step.published;
            if step.records == 0 && self.pending.is_empty() {
                return Ok(sum);
            }
        }
    }

    /// Follows the next records and settles what they make necessary; from a backlog, once most of it has been followed.
    pub(crate) async fn step(&mut self) -> Result<Settlement, ApiError> {
        self.begin().await?;
        let stretch = self.follower.next(&self.parts.reader).await?;
        self.note(&stretch.records).await?;
        let mut done = Settlement { records: stretch.read, ..Settlement::default() };
        self.behind = stretch.more.then_some(stretch.arrived_to);
        if !stretch.more || self.evaluated_at.elapsed() >= DEFER {
            self.evaluate(&mut done).await?;
        }
        if stretch.read > 0 && self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_EVERY) {
            self.save().await?;
        }
        self.forget();
        Ok(done)
    }

    /// Settles all keys that wait.
    async fn evaluate(&mut self, done: &mut Settlement) -> Result<(), ApiError> {
        while !self.pending.is_empty() {
            let next = self.pending.iter().take(KEYS_AT_ONCE);
            let keys: Vec<(SessionKey, Waiting)> =
                next.map(|(key, waiting)| (*key, waiting.clone())).collect();
            done.published += self.settle(&keys).await?;
            done.evaluated += keys.len() as u64;
            keys.iter().for_each(|(key, _)| _ = self.pending.remove(key));
        }
        self.evaluated_at = Instant::now();
        Ok(())
    }

    /// Notes how far it has come, so that the next settler goes on there. What it then reads again changes nothing.
    pub(crate) async fn save(&mut self) -> Result<(), ApiError> {
        if self.begun && self.pending.is_empty() {
            self.follower.save(&self.parts.writer).await?;
            self.saved_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Seconds since the newest record it has seen arrived, while there are more that it has not.
    pub(crate) fn lag(&self, now: UnixTime) -> i64 {
        self.behind.map_or(0, |arrived_at| now.since(arrived_at))
    }

    async fn begin(&mut self) -> Result<(), ApiError> {
        if self.begun {
            return Ok(());
        }
        let SettlerParts { reader, writer, rules, policies, .. } = &self.parts;
        let published = rules.refresh(reader).await?;
        let book = match published.version {
            // What was configured before anything was counted holds for all of it.
            0 => PolicyBook::always(policies),
            _ => published.book.changed(policies, UnixTime::now()),
        };
        if published.version == 0 || book != published.book {
            let next = Published { version: published.version + 1, generation: published.generation, book };
            rules.publish(writer, next).await?;
        }
        self.revision = newest_revision(reader).await?;
        self.watch = self.parts.watch().await?;
        self.follower = Follower::load(reader).await?;
        self.begun = true;
        Ok(())
    }

    /// Follows records; keys that are or become irregular wait to be evaluated.
    async fn note(&mut self, records: &[Followed]) -> Result<(), ApiError> {
        let unknown: HashSet<SessionKey> =
            records.iter().map(|record| record.key).filter(|key| !self.tails.contains_key(key)).collect();
        let unknown: Vec<SessionKey> = unknown.into_iter().collect();
        let rules = self.parts.rules.current();
        let known = known::tails(&self.parts, self.watch, &rules, &unknown, self.follower.before()).await?;
        self.tails.extend(known);
        for followed in records {
            let record = &followed.record;
            let start = record.started_at().unwrap_or(record.at);
            let policy = rules.book.of(&followed.nas).at(start);
            let regular = match self.tails.get_mut(&followed.key) {
                Some(tail) => tail.follow(record, policy, self.watch),
                None => {
                    let tail = Tail::open(record, policy, self.watch);
                    let regular = tail.is_regular();
                    self.tails.insert(followed.key, tail);
                    regular
                }
            };
            if !regular {
                let waiting = self.pending.entry(followed.key).or_insert_with(|| Waiting::of(followed));
                waiting.note(record.at);
            }
        }
        Ok(())
    }

    /// Evaluates keys and publishes what is new of them; how many were.
    async fn settle(&mut self, keys: &[(SessionKey, Waiting)]) -> Result<u64, ApiError> {
        let rules = self.parts.rules.current();
        let keys = evaluate::evaluated(&self.parts, self.watch, &rules.book, rules.generation, keys).await?;
        let published = keys.len() as u64;
        let rows: Vec<SettledRow> = keys.into_iter().flatten().collect();
        self.publish(rows).await?;
        Ok(published)
    }

    /// Publishes rows under the next revision, at once.
    async fn publish(&mut self, rows: Vec<SettledRow>) -> Result<(), ApiError> {
        let now = UnixMicros::now().0;
        self.revision = self.revision.saturating_add(1).max(u64::try_from(now).unwrap_or(0));
        insert_settled(&self.parts.writer, rows, self.revision).await
    }

    fn forget(&mut self) {
        if self.tails.len() > REMEMBERED {
            let now = UnixTime::now();
            self.tails.retain(|_, tail| !tail.is_idle(now, FORGET_AFTER));
        }
    }
}
