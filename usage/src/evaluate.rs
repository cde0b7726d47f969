//! From the set of one key's records to sessions, with a verdict for each record.
//!
//! Repeated records are set aside, the others split into the sessions they speak of ([`crate::incarnation`]); within a
//! session the samples are put in the order of its own clock, and counters become 64-bit and monotone by the verdicts
//! ([`crate::counters`]). Nothing depends on the order or number of times a record is given.

use std::collections::{BTreeMap, HashMap, HashSet};

use schema::{Login, StatusType, TerminateCause, UnixTime};

use crate::counters::{Counters, Verdict};
use crate::curve::{Curve, Sample};
use crate::incarnation::{Incarnation, START_TOLERANCE, incarnations};
use crate::record::{Record, RecordName};

/// One session of a key.
#[derive(Clone, Debug)]
pub struct Session {
    /// When it began.
    pub started_at: UnixTime,
    /// Whether its NAS's clock was set while it lasted, so that its times are those of one of two clocks.
    pub clock_stepped: bool,
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
    let (distinct, repeated) = distinct(records);
    evaluation.verdicts.extend(repeated.iter().map(|record| (record.name.clone(), Verdict::Duplicate)));
    for mut incarnation in incarnations(&distinct) {
        start_with(&mut incarnation, &repeated);
        let reused = !evaluation.sessions.is_empty();
        let session = build(&incarnation, reused, &mut evaluation.verdicts);
        evaluation.sessions.push(session);
    }
    evaluation
}

/// One record per digest, the first to arrive, and the others.
fn distinct(records: &[Record]) -> (Vec<&Record>, Vec<&Record>) {
    let arrival = |record: &Record| (record.arrived_at, record.name.clone());
    let mut first: HashMap<u128, &Record> = HashMap::new();
    for record in records {
        let known = first.entry(record.digest).or_insert(record);
        if arrival(record) < arrival(known) {
            *known = record;
        }
    }
    let is_first =
        |record: &&Record| first.get(&record.digest).is_some_and(|known| known.name == record.name);
    let mut distinct: Vec<_> = first.values().copied().collect();
    distinct.sort_by_cached_key(|record| arrival(record));
    (distinct, records.iter().filter(|record| !is_first(record)).collect())
}

/// A retransmission tells the start as well as its original, where it is not a replay.
fn start_with(incarnation: &mut Incarnation<'_>, repeated: &[&Record]) {
    let earliest = incarnation.start.plus(-START_TOLERANCE);
    let digests: HashSet<u128> = incarnation.records.iter().map(|record| record.digest).collect();
    let own = repeated.iter().filter(|record| digests.contains(&record.digest));
    let told = own.filter_map(|record| record.started_at());
    let sooner = told.filter(|start| earliest <= *start && *start < incarnation.start).min();
    if let Some(sooner) = sooner.filter(|_| incarnation.dated) {
        incarnation.start = sooner;
    }
}

fn build(one: &Incarnation<'_>, reused: bool, verdicts: &mut BTreeMap<RecordName, Verdict>) -> Session {
    let gigawords = one.records.iter().any(|record| record.gigawords);
    let mut counters = Counters::new(gigawords, one.dated.then_some(one.start));
    let mut samples: Vec<(Sample, &Login)> = Vec::with_capacity(one.records.len());
    let mut stopped = None;
    for (record, late) in one.records.iter().zip(late(&one.records)) {
        let at = one.time(record);
        let verdict = match counters.take(record.status, record.octets, at) {
            Verdict::Ok if reused && samples.is_empty() => Verdict::IdReused,
            Verdict::Ok if late => Verdict::Late,
            verdict => verdict,
        };
        verdicts.insert(record.name.clone(), verdict);
        let (download, upload) = counters.total();
        samples.push((Sample { at, download, upload }, &record.login));
        if record.status == StatusType::STOP {
            stopped = Some((at, record.cause));
        }
    }
    let curves = by_login(one.start, &samples);
    Session { started_at: one.start, clock_stepped: one.clock_stepped, stopped, curves }
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

/// The session's curve, cut where User-Name changes: what was counted up to the first sample of the new login belongs to
/// the old one.
fn by_login(start: UnixTime, samples: &[(Sample, &Login)]) -> Vec<(Login, Curve)> {
    let whole = Curve::new(start, samples.iter().map(|(sample, _)| *sample).collect());
    let named = |(_, login): &&(Sample, &Login)| !login.as_str().is_empty();
    let mut parts: Vec<(Login, UnixTime)> = Vec::new();
    for (sample, login) in samples.iter().filter(named) {
        if parts.last().is_none_or(|(known, _)| known != *login) {
            let from = if parts.is_empty() { start } else { sample.at };
            parts.push(((*login).clone(), from));
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
