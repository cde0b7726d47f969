//! From rollups and records to curves: what is read of a session key, and when.
//!
//! What the settler evaluated is read as it stands. A clean key is read from the rollups: whole days before and after the period that matters, five-minute buckets within
//! it. Where a boundary of the period lies between the first and last sample of one bucket, that bucket's records are read
//! too. Any other key is evaluated from all its records. Every query aggregates by itself what merges may not have yet.

mod rows;

use std::collections::{HashMap, HashSet};

use clickhouse::Client;
use schema::{Login, SessionKey, SessionKind, TerminateCause, UnixTime};
use usage::{Amendment, Bucket, Calendar, Curve, Dirty, PolicyHistory, Record, SessionView, evaluate};

use crate::query;
use crate::rules::{Kept, Published};
use crate::settled::settled;
use crate::stored::StoredSession;
use crate::{ApiError, Deps};
pub(crate) use rows::{Keys, records};
use rows::{buckets, records_in};

/// One session, as the engine understands it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    /// Counted from 1 among the sessions of its key, oldest first.
    pub(crate) number: usize,
    /// Of how many.
    pub(crate) of: usize,
    pub(crate) started_at: UnixTime,
    /// When and why it was stopped.
    pub(crate) stopped: Option<(UnixTime, TerminateCause)>,
    /// By login; more than one where User-Name changed.
    pub(crate) curves: Vec<(Login, Curve)>,
    /// Records next to a boundary are gone: up to [`NEAR`] seconds of traffic may be on its wrong side.
    pub(crate) approximate: bool,
    /// What late data changed of the whole key's settled days; with its first session.
    pub(crate) amendments: Vec<Amendment>,
}

impl Session {
    fn count_since(&mut self, time: UnixTime, first_day: UnixTime) {
        for (_, curve) in &mut self.curves {
            *curve = std::mem::take(curve).counted_since(time);
        }
        self.amendments.retain(|amendment| amendment.day >= first_day);
    }

    /// The newest sample.
    pub(crate) fn last_at(&self) -> UnixTime {
        self.curves.iter().map(|(_, curve)| curve.ends_at()).max().unwrap_or(self.started_at)
    }

    /// When the part that is `login`'s began; and when it ended, where another login followed.
    pub(crate) fn part_of(&self, login: Option<&str>) -> (UnixTime, Option<UnixTime>) {
        let starts_at = self.curves_of(login).map(Curve::starts_at).min().unwrap_or(self.started_at);
        let named_last =
            self.curves.last().is_none_or(|(name, _)| login.is_none_or(|login| name.as_str() == login));
        let ended_at = self.curves_of(login).map(Curve::ends_at).max();
        (starts_at, ended_at.filter(|_| !named_last))
    }

    /// The curves of `login`, or all.
    pub(crate) fn curves_of<'a>(&'a self, login: Option<&'a str>) -> impl Iterator<Item = &'a Curve> {
        let wanted = move |name: &Login| login.is_none_or(|login| name.as_str() == login);
        self.curves.iter().filter(move |(name, _)| wanted(name)).map(|(_, curve)| curve)
    }
}

/// Seconds from a known sample within which a boundary is right but for the traffic of that time.
pub(crate) const NEAR: i64 = 10;

/// What is read of the keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent<'a> {
    /// The period that is read by five-minute buckets.
    pub(crate) period: (UnixTime, UnixTime),
    /// The instants at which the curves must be right, ascending.
    pub(crate) boundaries: &'a [UnixTime],
}

/// Where sessions are read from, and by which rules.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) client: &'a Client,
    pub(crate) calendar: Calendar,
    pub(crate) rules: &'a Published,
    pub(crate) kept: Kept,
}

/// The sessions of `stored` by the rules that hold.
pub(crate) async fn sessions(
    deps: &Deps,
    stored: &[StoredSession],
    extent: Extent<'_>,
) -> Result<HashMap<SessionKey, Vec<Session>>, ApiError> {
    let rules = deps.rules.current();
    let (client, calendar) = (&deps.clickhouse, deps.calendar);
    let source = Source { client, calendar, rules: &rules, kept: deps.rules.kept() };
    sessions_from(source, stored, extent).await
}

/// The sessions of `stored`, key by key, oldest first within a key.
pub(crate) async fn sessions_from(
    source: Source<'_>,
    stored: &[StoredSession],
    extent: Extent<'_>,
) -> Result<HashMap<SessionKey, Vec<Session>>, ApiError> {
    let since = source.calendar.usage_starts_at();
    let extent = Extent { period: (extent.period.0.max(since), extent.period.1.max(since)), ..extent };
    let mut boundaries: Vec<UnixTime> = extent.boundaries.iter().map(|time| since.max(*time)).collect();
    boundaries.dedup();
    let extent = Extent { boundaries: &boundaries, ..extent };
    let mut found: HashMap<SessionKey, Vec<Session>> = HashMap::with_capacity(stored.len());
    for stored in stored.chunks(query::KEYS_PER_QUERY) {
        let keys: Vec<SessionKey> = stored.iter().map(StoredSession::key).collect();
        let mut settled = settled(source.client, &keys, source.rules.generation).await?;
        // What has come since is evaluated here and now.
        let is_newest = |stored: &&StoredSession| {
            settled.get(&stored.key()).is_some_and(|settled| settled.newest_event_at >= stored.last_event_at)
        };
        let (newest, rest): (Vec<&StoredSession>, Vec<&StoredSession>) = stored.iter().partition(is_newest);
        found.extend(
            newest.iter().filter_map(|stored| Some((stored.key(), settled.remove(&stored.key())?.sessions))),
        );
        if !rest.is_empty() {
            found.extend(unsettled(source, &rest, extent).await?);
        }
    }
    let first_day = source.calendar.day_of(since).starts_at;
    found.values_mut().flatten().for_each(|session| session.count_since(since, first_day));
    Ok(found)
}

/// Keys that the settler has not evaluated: most of them need not be.
async fn unsettled(
    source: Source<'_>,
    stored: &[&StoredSession],
    extent: Extent<'_>,
) -> Result<HashMap<SessionKey, Vec<Session>>, ApiError> {
    let keys = Keys::of(stored);
    let irregular = stored.iter().filter(|stored| !stored.is_regular());
    let mut dirty: HashSet<SessionKey> = irregular.map(|stored| stored.key()).collect();
    let views = views(source, stored, &keys, &mut dirty, extent.period).await?;
    let approximate = check_kept(source, &views, extent.boundaries)?;
    let views = refine(source, &keys, views, &mut dirty, extent.boundaries).await?;
    let clean = stored.iter().filter_map(|stored| {
        let view = views.get(&stored.key())?;
        let approximate = approximate.contains(&stored.key());
        Some((stored.key(), vec![Session { approximate, ..clean(stored, view) }]))
    });
    let mut found: HashMap<SessionKey, Vec<Session>> = clean.collect();
    found.extend(evaluated(source, stored, &keys, &dirty).await?);
    Ok(found)
}

fn clean(stored: &StoredSession, view: &SessionView) -> Session {
    let curve = view.curve();
    let cause = TerminateCause(stored.terminate_cause);
    let login = stored.logins.first().map(String::as_str).unwrap_or_default();
    Session {
        key: stored.key(),
        number: 1,
        of: 1,
        started_at: view.started_at(),
        stopped: view.is_stopped().then(|| (curve.ends_at(), cause)),
        curves: vec![(Login::from(login), curve)],
        approximate: false,
        amendments: Vec::new(),
    }
}

type Views = HashMap<SessionKey, SessionView>;

/// The clean keys' views; the others become dirty.
async fn views(
    source: Source<'_>,
    stored: &[&StoredSession],
    keys: &Keys,
    dirty: &mut HashSet<SessionKey>,
    period: (UnixTime, UnixTime),
) -> Result<Views, ApiError> {
    let mut found: HashMap<SessionKey, Vec<Bucket>> = HashMap::new();
    for (key, bucket) in buckets(source, keys, period).await? {
        found.entry(key).or_default().push(bucket);
    }
    let mut views = HashMap::with_capacity(stored.len());
    for stored in stored {
        let key = stored.key();
        if dirty.contains(&key) {
            continue;
        }
        match SessionView::new(found.remove(&key).unwrap_or_default(), source.rules.book.of(&stored.nas)) {
            Ok(view) => _ = views.insert(key, view),
            Err(_) => _ = dirty.insert(key),
        }
    }
    Ok(views)
}

/// The keys for which records next to a boundary are gone, but the boundary is next to one that is known.
fn check_kept(
    source: Source<'_>,
    views: &Views,
    boundaries: &[UnixTime],
) -> Result<HashSet<SessionKey>, ApiError> {
    let since = source.kept.records_since;
    let gone = |(starts_at, _): &(UnixTime, UnixTime)| *starts_at < since;
    let mut approximate = HashSet::new();
    for (key, view) in views.iter().filter(|(_, view)| view.started_at() < since) {
        if let Some((at, _)) = view.needs_records(boundaries, NEAR).into_iter().find(gone) {
            return Err(ApiError::Expired { at, since });
        }
        if view.needs_records(boundaries, 0).iter().any(gone) {
            approximate.insert(*key);
        }
    }
    Ok(approximate)
}

/// Adds the records that the boundaries need; a view that turns out not to be clean becomes dirty.
async fn refine(
    source: Source<'_>,
    keys: &Keys,
    mut views: Views,
    dirty: &mut HashSet<SessionKey>,
    boundaries: &[UnixTime],
) -> Result<Views, ApiError> {
    let mut needed: HashMap<SessionKey, Vec<(UnixTime, UnixTime)>> = HashMap::new();
    for (key, view) in &views {
        let buckets = view.needs_records(boundaries, 0);
        if !buckets.is_empty() {
            needed.insert(*key, buckets);
        }
    }
    let records = records_in(source.client, keys, &needed).await?;
    for (key, records) in records {
        if views.get_mut(&key).is_some_and(|view| view.refine(&records) == Err(Dirty::Fall)) {
            views.remove(&key);
            dirty.insert(key);
        }
    }
    Ok(views)
}

/// The dirty keys' sessions, from all their records.
async fn evaluated(
    source: Source<'_>,
    stored: &[&StoredSession],
    keys: &Keys,
    dirty: &HashSet<SessionKey>,
) -> Result<Vec<(SessionKey, Vec<Session>)>, ApiError> {
    let since = source.kept.records_since;
    let gone = |stored: &&&StoredSession| {
        let session = stored.kind == SessionKind::SESSION.0;
        session && dirty.contains(&stored.key()) && query::time(stored.first_event_at) < since
    };
    if let Some(stored) = stored.iter().find(gone) {
        return Err(ApiError::Expired { at: query::time(stored.first_event_at), since });
    }
    let wanted: Vec<SessionKey> = dirty.iter().copied().collect();
    let nases: HashMap<SessionKey, &str> =
        stored.iter().map(|stored| (stored.key(), stored.nas.as_str())).collect();
    let policies = |key| source.rules.book.of(nases.get(&key).copied().unwrap_or_default());
    let records = records(source.client, keys, &wanted, None).await?;
    Ok(records.into_iter().map(|(key, records)| (key, sessions_of(key, &records, policies(key)))).collect())
}

fn sessions_of(key: SessionKey, records: &[Record], policies: &PolicyHistory) -> Vec<Session> {
    let sessions = evaluate(records, policies).sessions;
    let of = sessions.len();
    let numbered = (1..).zip(sessions);
    numbered
        .map(|(number, session)| Session {
            key,
            number,
            of,
            started_at: session.started_at,
            stopped: session.stopped,
            curves: session.curves,
            approximate: false,
            amendments: Vec::new(),
        })
        .collect()
}
