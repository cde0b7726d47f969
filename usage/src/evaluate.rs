//! From the set of one key's records to sessions, with a verdict for each record.
//!
//! A key may name several sessions: NASes reuse identifiers after a reboot. Records are split by the start that each
//! tells (event time − Acct-Session-Time); within a session the samples are put in the order of its own clock, and counters
//! become 64-bit and monotone by the verdicts. Nothing depends on the order or number of times a record is given.

use std::collections::{BTreeMap, HashMap};

use schema::{Login, Octets, StatusType, TerminateCause, UnixTime};

use crate::curve::{Curve, Sample};
use crate::record::{Record, RecordName};

/// Seconds by which the starts that a session's records tell may differ.
pub const START_TOLERANCE: i64 = 10;
/// Fastest port assumed, bit/s, when a wrap of a 32-bit counter is inferred.
const FASTEST: u64 = 10_000_000_000;
const WRAP: u64 = 1 << 32;

/// What a record was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A sample, as it stands.
    Ok,
    /// A sample that arrived after a later one.
    Late,
    /// Repeats another record: a retransmission under a new identifier, or a replay.
    Duplicate,
    /// A sample whose 32-bit counter wrapped: one direction fell, no Gigawords in the session, plausible for the time.
    WrapInferred,
    /// Counters began anew within the session.
    Reset,
    /// A Stop that says zero though octets were counted before; the value stays flat.
    StopWithoutOctets,
    /// A sample that carries no counters; the value stays flat.
    WithoutOctets,
}

/// One session of a key.
#[derive(Clone, Debug)]
pub struct Session {
    /// When it began.
    pub started_at: UnixTime,
    /// When and why it was stopped.
    pub stopped: Option<(UnixTime, TerminateCause)>,
    /// Its counters over time, by login; more than one where User-Name changed.
    pub curves: Vec<(Login, Curve)>,
}

/// What a key's records mean.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// The key's sessions, oldest first.
    pub sessions: Vec<Session>,
    /// A verdict for each record.
    pub verdicts: BTreeMap<RecordName, Verdict>,
}

/// Evaluates all records of one session key.
#[must_use]
pub fn evaluate(records: &[Record]) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let distinct = distinct(records, &mut evaluation.verdicts);
    for session in split(distinct) {
        let session = build(session, &mut evaluation.verdicts);
        evaluation.sessions.push(session);
    }
    evaluation
}

/// One record per digest, the first to arrive; the others are duplicates.
fn distinct<'r>(records: &'r [Record], verdicts: &mut BTreeMap<RecordName, Verdict>) -> Vec<&'r Record> {
    let arrival = |record: &Record| (record.arrived_at, record.name.clone());
    let mut first: HashMap<u128, &Record> = HashMap::new();
    for record in records {
        first
            .entry(record.digest)
            .and_modify(|known| {
                if arrival(record) < arrival(known) {
                    *known = record;
                }
            })
            .or_insert(record);
    }
    for record in records {
        if first.get(&record.digest).is_some_and(|known| known.name != record.name) {
            verdicts.insert(record.name.clone(), Verdict::Duplicate);
        }
    }
    let mut distinct: Vec<_> = first.into_values().collect();
    distinct.sort_by_key(|record| arrival(record));
    distinct
}

/// Splits records into sessions by the start they tell; those that tell none go to the session that was on at their time.
fn split(records: Vec<&Record>) -> Vec<(UnixTime, Vec<&Record>)> {
    let (mut dated, undated): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.started_at().is_some());
    dated.sort_by_key(|record| record.started_at());
    let mut sessions: Vec<(UnixTime, Vec<&Record>)> = Vec::new();
    let mut previous: Option<UnixTime> = None;
    for record in dated {
        let Some(start) = record.started_at() else { continue };
        match sessions.last_mut() {
            Some((_, session))
                if previous.is_some_and(|previous| start.since(previous) <= START_TOLERANCE) =>
            {
                session.push(record)
            }
            _ => sessions.push((start, vec![record])),
        }
        previous = Some(start);
    }
    for record in undated {
        let later = sessions.partition_point(|(start, _)| *start <= record.at.plus(START_TOLERANCE));
        match sessions.get_mut(later.saturating_sub(1)) {
            Some((_, session)) => session.push(record),
            None => sessions.push((record.at, vec![record])),
        }
    }
    // Without any dated record the first undated one opened the session; the earliest is its start.
    for (start, session) in &mut sessions {
        let earliest =
            session.iter().filter(|record| record.started_at().is_none()).map(|record| record.at).min();
        if session.iter().all(|record| record.started_at().is_none()) {
            *start = earliest.unwrap_or(*start);
        }
    }
    sessions
}

fn build(
    (start, mut records): (UnixTime, Vec<&Record>),
    verdicts: &mut BTreeMap<RecordName, Verdict>,
) -> Session {
    let time = |record: &Record| record.elapsed().map_or(record.at, |elapsed| start.plus(elapsed)).max(start);
    // A Start comes first and a Stop last within a second; then by counters, so that equal seconds do not fall.
    let rank = |record: &Record| match record.status {
        StatusType::START => 0,
        StatusType::STOP => 2,
        _ => 1,
    };
    records.sort_by_key(|record| (time(record), rank(record), record.octets, record.name.clone()));
    let mut counters =
        Counters { gigawords: records.iter().any(|record| record.gigawords), ..Counters::default() };
    let mut samples: Vec<(Sample, Login)> = Vec::new();
    let late = late(&records);
    let mut stopped = None;
    let mut at_before = start;
    for (record, late) in records.iter().zip(late) {
        let at = time(record);
        let verdict = counters.take(record, at.since(at_before));
        let verdict = if late && verdict == Verdict::Ok { Verdict::Late } else { verdict };
        verdicts.insert(record.name.clone(), verdict);
        samples.push((
            Sample { at, download: counters.total.0, upload: counters.total.1 },
            record.login.clone(),
        ));
        if record.status == StatusType::STOP {
            stopped = Some((at, record.cause));
        }
        at_before = at;
    }
    Session { started_at: start, stopped, curves: by_login(start, &samples) }
}

/// For each record, in the order of the session's clock, whether a later one had arrived before it.
fn late(records: &[&Record]) -> Vec<bool> {
    let mut earliest = None;
    let mut late = Vec::with_capacity(records.len());
    for record in records.iter().rev() {
        let arrival = (record.arrived_at, &record.name);
        late.push(earliest.is_some_and(|earliest| arrival > earliest));
        earliest = Some(earliest.map_or(arrival, |earliest| arrival.min(earliest)));
    }
    late.reverse();
    late
}

/// Counters so far, as 64-bit and monotone.
#[derive(Default)]
struct Counters {
    gigawords: bool,
    /// As last reported.
    raw: (Octets, Octets),
    total: (Octets, Octets),
}

impl Counters {
    fn take(&mut self, record: &Record, seconds: i64) -> Verdict {
        let Some(now) = record.octets else {
            return if record.status == StatusType::START { Verdict::Ok } else { Verdict::WithoutOctets };
        };
        let counted = self.raw != (Octets(0), Octets(0));
        if record.status == StatusType::STOP && now == (Octets(0), Octets(0)) && counted {
            return Verdict::StopWithoutOctets;
        }
        let fell = (now.0 < self.raw.0, now.1 < self.raw.1);
        let (down, up, verdict) = match fell {
            (false, false) => (now.0 - self.raw.0, now.1 - self.raw.1, Verdict::Ok),
            (true, false) if self.wrapped(self.raw.0, now.0, seconds) => {
                (unwrapped(self.raw.0, now.0), now.1 - self.raw.1, Verdict::WrapInferred)
            }
            (false, true) if self.wrapped(self.raw.1, now.1, seconds) => {
                (now.0 - self.raw.0, unwrapped(self.raw.1, now.1), Verdict::WrapInferred)
            }
            // Both began anew: what they show since is usage.
            _ => (now.0, now.1, Verdict::Reset),
        };
        self.total = (self.total.0 + down, self.total.1 + up);
        self.raw = now;
        verdict
    }

    fn wrapped(&self, before: Octets, after: Octets, seconds: i64) -> bool {
        let fastest = FASTEST / 8 * u64::try_from(seconds).unwrap_or(0);
        !self.gigawords && before.0 < WRAP && unwrapped(before, after).0 <= fastest
    }
}

const fn unwrapped(before: Octets, after: Octets) -> Octets {
    Octets(after.0 + WRAP - before.0)
}

/// The session's curve, cut where User-Name changes: what was counted up to the first sample of the new login belongs to
/// the old one.
fn by_login(start: UnixTime, samples: &[(Sample, Login)]) -> Vec<(Login, Curve)> {
    let whole = Curve::new(start, samples.iter().map(|(sample, _)| *sample).collect());
    let named = |(_, login): &&(Sample, Login)| !login.as_str().is_empty();
    let mut parts: Vec<(Login, UnixTime)> = Vec::new();
    for (sample, login) in samples.iter().filter(named) {
        if parts.last().is_none_or(|(known, _)| known != login) {
            let from = if parts.is_empty() { start } else { sample.at };
            parts.push((login.clone(), from));
        }
    }
    if parts.is_empty() {
        return vec![(Login::default(), whole)];
    }
    let ends = parts.iter().skip(1).map(|(_, from)| *from).chain([whole.ends_at()]);
    parts
        .iter()
        .zip(ends)
        .map(|((login, from), to)| (login.clone(), whole.clone().within(*from, to)))
        .collect()
}

#[cfg(test)]
mod tests;
