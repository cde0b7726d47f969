//! Amendments: by how much late data changed local days that were settled.
//!
//! A day is settled for a session once a sample at or past the day's end is there, the session was stopped, or nothing was
//! heard of it for [`PATIENCE`] after the day's end. What changes a settled day after that is an amendment; everything
//! before it is a day being filled. Amendments follow from the records and the times of their arrival alone, so the same
//! set of records always gives the same amendments, and a day's usage at any time in the past is its usage now without
//! the amendments since.

use std::collections::BTreeMap;

use schema::{Login, StatusType, UnixTime};
use serde::Serialize;

use crate::evaluate::{Evaluation, Session, evaluate};
use crate::incarnation::START_TOLERANCE;
use crate::period::{Calendar, LocalDay};
use crate::policy::PolicyHistory;
use crate::record::Record;

/// Seconds without a record after which a session that was not stopped is taken to say no more of a day that is over.
pub const PATIENCE: i64 = 7_200;
/// Records that arrive within the same so many seconds of the clock amend together.
const TOGETHER: i64 = 300;

/// Which days can be settled: those that were not over yet when somebody began to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The provider's calendar.
    pub calendar: Calendar,
    /// When radtally was installed: what arrives of days before it fills them.
    pub since: UnixTime,
}

impl Watch {
    /// Watching from the beginning of time.
    #[must_use]
    pub const fn always(calendar: Calendar) -> Self {
        Self { calendar, since: UnixTime(i64::MIN) }
    }

    /// Whether the day that holds `time` could be settled and was over for `patience` seconds at `now`.
    pub(crate) fn is_over(&self, time: UnixTime, patience: i64, now: UnixTime) -> bool {
        let ends_at = self.calendar.day_of(time.max(self.since)).ends_at;
        ends_at.plus(patience) <= now
    }
}

/// A change of a settled day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Amendment {
    /// The day's first instant.
    pub day: UnixTime,
    /// Whose usage changed.
    pub login: Login,
    /// When: the arrival of the last of the records that amend together.
    pub at: UnixTime,
    /// Octets more (or fewer, where negative) to the subscriber.
    pub download: i64,
    /// Octets more (or fewer, where negative) from the subscriber.
    pub upload: i64,
}

/// The amendments that the records of one key made, oldest first.
#[must_use]
pub fn amendments(records: &[Record], policies: &PolicyHistory, watch: Watch) -> Vec<Amendment> {
    let mut arrived: Vec<&Record> = records.iter().collect();
    arrived.sort_by_key(|record| (record.arrived_at, &record.name));
    let slot = |record: &Record| record.arrived_at.seconds().0.div_euclid(TOGETHER);
    let mut known: Vec<Record> = Vec::with_capacity(records.len());
    let mut seen = Seen::default();
    let mut found = Vec::new();
    for group in arrived.chunk_by(|a, b| slot(a) == slot(b)) {
        let before = known.len();
        known.extend(group.iter().copied().cloned());
        if group.iter().any(|record| seen.may_amend(record, watch)) {
            found.extend(compare(&known, before, policies, watch));
        }
        group.iter().for_each(|record| seen.note(record));
    }
    found
}

/// What tells cheaply that a record amends nothing.
#[derive(Default)]
struct Seen {
    newest_at: Option<UnixTime>,
    heard_at: UnixTime,
    started_at: Option<UnixTime>,
    gigawords: bool,
    stopped: bool,
}

impl Seen {
    fn may_amend(&self, record: &Record, watch: Watch) -> bool {
        let arrived_at = record.arrived_at.seconds();
        let told = record.started_at().unwrap_or(record.at).min(record.at);
        let over = |time: UnixTime, patience: i64| watch.is_over(time, patience, arrived_at);
        let Some(newest) = self.newest_at else { return over(told, PATIENCE) };
        let moves_start =
            self.started_at.is_some_and(|known| record.started_at().is_some_and(|told| told < known));
        if record.at < newest || moves_start || (record.gigawords && !self.gigawords) {
            return over(told, 0);
        }
        let silent = arrived_at.since(self.heard_at.max(watch.calendar.day_of(newest).ends_at)) >= PATIENCE;
        over(newest, 0) && (silent || self.stopped || over(told, PATIENCE))
    }

    fn note(&mut self, record: &Record) {
        self.newest_at = self.newest_at.max(Some(record.at));
        self.heard_at = self.heard_at.max(record.arrived_at.seconds());
        self.started_at = self.started_at.into_iter().chain(record.started_at()).min();
        self.gigawords |= record.gigawords;
        self.stopped |= record.status == StatusType::STOP;
    }
}

/// What the records from `before` on changed.
fn compare(known: &[Record], before: usize, policies: &PolicyHistory, watch: Watch) -> Vec<Amendment> {
    let (earlier, newer) = known.split_at(before);
    let arrivals = || newer.iter().map(|record| record.arrived_at.seconds());
    let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) else { return Vec::new() };
    let (old, new) = (evaluate(earlier, policies), evaluate(known, policies));
    let heard = heard(earlier, &old);
    let mut changes: BTreeMap<(UnixTime, Login), (i128, i128)> = BTreeMap::new();
    for (was, is) in pairs(&old, &new) {
        for day in days(was.map(|(_, session)| session), is, watch) {
            let heard_at = was.and_then(|(number, _)| heard.get(&number).copied());
            if is_settled(was.map(|(_, session)| session), &day, heard_at, first) {
                add(&mut changes, is, &day, 1);
                add(&mut changes, was.map(|(_, session)| session), &day, -1);
            }
        }
    }
    let octets = |change: i128| i64::try_from(change).unwrap_or(i64::MAX);
    let changed = changes.into_iter().filter(|(_, change)| *change != (0, 0));
    changed
        .map(|((day, login), (download, upload))| Amendment {
            day,
            login,
            at: last,
            download: octets(download),
            upload: octets(upload),
        })
        .collect()
}

/// When each session was last heard of.
fn heard(records: &[Record], evaluation: &Evaluation) -> BTreeMap<usize, UnixTime> {
    let mut heard = BTreeMap::new();
    for record in records {
        if let Some(finding) = evaluation.findings.get(&record.name) {
            let at: &mut UnixTime = heard.entry(finding.session).or_default();
            *at = record.arrived_at.seconds().max(*at);
        }
    }
    heard
}

type Pair<'a> = (Option<(usize, &'a Session)>, Option<&'a Session>);

/// Each session as it was and as it is; they are the same where they began together.
fn pairs<'a>(old: &'a Evaluation, new: &'a Evaluation) -> Vec<Pair<'a>> {
    let mut gone: Vec<(usize, &Session)> = old.sessions.iter().enumerate().collect();
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    for session in &new.sessions {
        let apart = |other: &Session| other.started_at.since(session.started_at).abs();
        let nearest = gone.iter().enumerate().min_by_key(|(_, (_, other))| apart(other));
        let same = nearest.filter(|(_, (_, other))| apart(other) <= START_TOLERANCE).map(|(place, _)| place);
        pairs.push((same.map(|place| gone.remove(place)), Some(session)));
    }
    pairs.extend(gone.into_iter().map(|one| (Some(one), None)));
    pairs
}

/// Every day that a session touches and that could be settled.
fn days(was: Option<&Session>, is: Option<&Session>, watch: Watch) -> Vec<LocalDay> {
    let both = || was.into_iter().chain(is);
    let (Some(first), Some(last)) =
        (both().map(|session| session.started_at).min(), both().map(Session::last_at).max())
    else {
        return Vec::new();
    };
    let first = first.max(watch.since);
    let mut days = vec![watch.calendar.day_of(first)];
    while let Some(day) = days.last().filter(|day| day.ends_at <= last) {
        days.push(watch.calendar.day_of(day.ends_at));
    }
    days
}

fn is_settled(was: Option<&Session>, day: &LocalDay, heard_at: Option<UnixTime>, now: UnixTime) -> bool {
    let silent_since = heard_at.unwrap_or(day.ends_at).max(day.ends_at);
    let said_all = was.is_some_and(|session| session.stopped.is_some() || session.last_at() >= day.ends_at);
    day.ends_at <= now && (said_all || now.since(silent_since) >= PATIENCE)
}

fn add(
    changes: &mut BTreeMap<(UnixTime, Login), (i128, i128)>,
    session: Option<&Session>,
    day: &LocalDay,
    sign: i128,
) {
    for (login, curve) in session.into_iter().flat_map(|session| &session.curves) {
        let usage = curve.usage(day.starts_at, day.ends_at);
        let change = changes.entry((day.starts_at, login.clone())).or_default();
        change.0 += sign * i128::from(usage.download.0);
        change.1 += sign * i128::from(usage.upload.0);
    }
}

#[cfg(test)]
mod tests;
