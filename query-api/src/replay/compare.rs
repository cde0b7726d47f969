//! Settling keys again, and comparing with what is published.

use std::collections::{BTreeMap, HashMap};

use schema::{Octets, SessionKey, UnixTime};
use tokio::task::spawn_blocking;
use usage::{Calendar, Curve, PolicyBook, PolicyHistory, Record, Tail, Watch, amendments, evaluate};

use crate::ApiError;
use crate::reading::{Extent, Keys, Session, Source, records, sessions_from};
use crate::rules::Published;
use crate::settled::{SettledRow, Stamp, rows, settled_rows};
use crate::settler::{SettlerParts, newest_event};
use crate::stored::{self, Match, Sort, StoredSession};

/// Keys whose records are in memory at once.
pub(super) const KEYS_AT_ONCE: usize = 50;

/// Download and upload as published, and by today's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) was: (Octets, Octets),
    pub(super) is: (Octets, Octets),
}

impl Change {
    pub(super) fn add(&mut self, other: &Self) {
        let sum = |a: (Octets, Octets), b: (Octets, Octets)| (a.0 + b.0, a.1 + b.1);
        self.was = sum(self.was, other.was);
        self.is = sum(self.is, other.is);
    }

    pub(super) fn is_change(&self) -> bool {
        self.was != self.is
    }
}

/// By login and first instant of a month.
pub(super) type Changes = BTreeMap<(String, UnixTime), Change>;

/// Keys that were settled again.
#[derive(Debug, Default)]
pub(super) struct Again {
    pub(super) rows: Vec<SettledRow>,
    pub(super) changes: Changes,
    pub(super) irregular: u64,
    pub(super) incomplete: u64,
    pub(super) records: u64,
}

/// What keys are settled again into, and compared with.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) published: &'a Published,
    pub(super) book: &'a PolicyBook,
    pub(super) generation: u32,
    pub(super) watch: Watch,
    /// Records from before are no longer all there.
    pub(super) records_since: UnixTime,
}

/// Settles `keys` again.
pub(super) async fn settle_again(
    parts: &SettlerParts,
    target: &Target<'_>,
    keys: &[SessionKey],
) -> Result<Again, ApiError> {
    let Target { published, book, generation, watch, records_since } = *target;
    let wanted = Match { keys: Some(keys), ..Match::default() };
    let stored = stored::find(&parts.reader, &wanted, Sort::default(), None, None).await?;
    let is_whole = |stored: &&StoredSession| UnixTime(stored.first_event_at.into()) >= records_since;
    let (whole, incomplete): (Vec<&StoredSession>, Vec<&StoredSession>) = stored.iter().partition(is_whole);
    let mut again = Again { incomplete: incomplete.len() as u64, ..Again::default() };
    again.rows = kept(parts, published, generation, &incomplete).await?;
    if whole.is_empty() {
        return Ok(again);
    }
    let whole: Vec<StoredSession> = whole.into_iter().cloned().collect();
    let was = read(parts, published, &whole).await?;
    let all: Vec<&StoredSession> = whole.iter().collect();
    let keys: Vec<SessionKey> = whole.iter().map(StoredSession::key).collect();
    let mut found = records(&parts.reader, &Keys::of(&all), &keys, None).await?;
    let work = |stored: StoredSession| {
        let policies = book.of(&stored.nas).clone();
        Some(Work { records: found.remove(&stored.key())?, policies, stored })
    };
    let work: Vec<Work> = whole.into_iter().filter_map(work).collect();
    let computed =
        spawn_blocking(move || work.iter().map(|work| work.again(generation, watch, &was)).collect());
    let computed: Vec<Again> =
        computed.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    computed.into_iter().for_each(|one| again.add(one));
    Ok(again)
}

impl Again {
    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.irregular += other.irregular;
        self.records += other.records;
        for (place, change) in other.changes {
            self.changes.entry(place).or_default().add(&change);
        }
    }
}

/// What is published of keys that cannot be settled again.
async fn kept(
    parts: &SettlerParts,
    published: &Published,
    generation: u32,
    stored: &[&StoredSession],
) -> Result<Vec<SettledRow>, ApiError> {
    let keys: Vec<SessionKey> = stored.iter().map(|stored| stored.key()).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = settled_rows(&parts.reader, &keys, published.generation).await?;
    Ok(rows.into_values().flatten().map(|row| SettledRow { generation, ..row }).collect())
}

/// The sessions as published, right at the ends of months.
async fn read(
    parts: &SettlerParts,
    published: &Published,
    stored: &[StoredSession],
) -> Result<HashMap<SessionKey, Vec<Session>>, ApiError> {
    let first = stored.iter().map(|stored| stored.first_event_at).min().unwrap_or(0);
    let last = stored.iter().map(|stored| stored.last_event_at).max().unwrap_or(0);
    let (first, last) = (UnixTime(first.into()), UnixTime(last.into()));
    let months = months(parts.calendar, first, last);
    let edges: Vec<UnixTime> = months.iter().map(|(from, _)| *from).collect();
    let (client, calendar, kept) = (&parts.reader, parts.calendar, parts.rules.kept());
    let source = Source { client, calendar, rules: published, kept };
    sessions_from(source, stored, Extent { period: (first, first), boundaries: &edges }).await
}

fn months(calendar: Calendar, first: UnixTime, last: UnixTime) -> Vec<(UnixTime, UnixTime)> {
    let mut months = vec![calendar.month_of(first)];
    while let Some((_, end)) = months.last().copied().filter(|(_, end)| *end <= last) {
        months.push(calendar.month_of(end));
    }
    months
}

struct Work {
    stored: StoredSession,
    records: Vec<Record>,
    policies: PolicyHistory,
}

impl Work {
    fn again(&self, generation: u32, watch: Watch, was: &HashMap<SessionKey, Vec<Session>>) -> Again {
        let calendar = watch.calendar;
        let evaluation = evaluate(&self.records, &self.policies);
        let mut again = Again { records: self.records.len() as u64, ..Again::default() };
        if !self.is_regular(watch) {
            let amendments = amendments(&self.records, &self.policies, watch);
            let (key, nas, kind) = (self.stored.key(), self.stored.nas.as_str(), self.stored.kind);
            let newest_event_at = newest_event(&self.records);
            let stamp = Stamp { key, nas, kind, generation, newest_event_at };
            again.rows = rows(&stamp, &evaluation, &amendments);
            again.irregular = 1;
        }
        let was = was.get(&self.stored.key()).map(Vec::as_slice).unwrap_or_default();
        // A session that is on may have gone on between two looks.
        let both = was.iter().map(Session::last_at).max();
        let both =
            both.into_iter().chain(evaluation.sessions.iter().map(usage::Session::last_at).max()).min();
        let until = both.unwrap_or_default();
        for (login, curve) in was.iter().flat_map(|session| &session.curves) {
            add(&mut again.changes, calendar, (login.as_str(), curve, until), |change| &mut change.was);
        }
        for (login, curve) in evaluation.sessions.iter().flat_map(|session| &session.curves) {
            add(&mut again.changes, calendar, (login.as_str(), curve, until), |change| &mut change.is);
        }
        again
    }

    /// Whether rollups tell the session, by the records in the order of their arrival.
    fn is_regular(&self, watch: Watch) -> bool {
        let mut records: Vec<&Record> = self.records.iter().collect();
        records.sort_by_key(|record| (record.arrived_at, &record.name));
        records.dedup_by_key(|record| &record.name);
        let policy = |record: &Record| self.policies.at(record.started_at().unwrap_or(record.at));
        let Some((first, rest)) = records.split_first() else { return true };
        let mut tail = Tail::open(first, policy(first), watch);
        rest.iter().for_each(|record| _ = tail.follow(record, policy(record), watch));
        tail.is_regular()
    }
}

fn add(
    changes: &mut Changes,
    calendar: Calendar,
    (login, curve, until): (&str, &Curve, UnixTime),
    side: fn(&mut Change) -> &mut (Octets, Octets),
) {
    for (from, to) in months(calendar, curve.starts_at(), curve.ends_at()) {
        let usage = curve.usage(from.max(calendar.usage_starts_at()), to.min(until));
        let sum = side(changes.entry((login.to_owned(), from)).or_default());
        *sum = (sum.0 + usage.download, sum.1 + usage.upload);
    }
}
