//! From the set of one key's records to sessions, with a verdict for each record.
//!
//! Repeated records are set aside, the others split into the sessions they speak of ([`crate::incarnation`]); within a
//! session the samples are put in the order of its own clock, and counters become 64-bit and monotone by the verdicts
//! ([`crate::counters`]). Nothing depends on the order or number of times a record is given.

use std::collections::{BTreeMap, HashMap, HashSet};

use schema::{Login, Octets, StatusType, TerminateCause, UnixTime};

use crate::counters::{Counters, Port, Verdict};
use crate::curve::{Curve, Sample};
use crate::incarnation::{Incarnation, START_TOLERANCE, incarnations};
use crate::policy::PolicyHistory;
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

impl Session {
    /// Its newest sample.
    #[must_use]
    pub fn last_at(&self) -> UnixTime {
        self.curves.iter().map(|(_, curve)| curve.ends_at()).max().unwrap_or(self.started_at)
    }
}

/// What a record was found to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub verdict: Verdict,
    /// Its session's place in [`Evaluation::sessions`].
    pub session: usize,
    /// When it speaks, by its session's clock.
    pub at: UnixTime,
    /// What it adds, download first.
    pub added: (Octets, Octets),
    /// Counters of the session after it.
    pub total: (Octets, Octets),
    /// The record that it repeats.
    pub repeats: Option<RecordName>,
}

/// What a key's records mean.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// The key's sessions, oldest first.
    pub sessions: Vec<Session>,
    /// What each record was found to say.
    pub findings: BTreeMap<RecordName, Finding>,
}

/// Evaluates all records of one session key by the policies of its NAS.
#[must_use]
pub fn evaluate(records: &[Record], policies: &PolicyHistory) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let (distinct, repeated) = distinct(records);
    for mut incarnation in incarnations(&distinct) {
        start_with(&mut incarnation, &repeated);
        build(&incarnation, policies, &mut evaluation);
    }
    evaluation.find_repeated(&distinct, &repeated);
    evaluation
}

impl Evaluation {
    /// How often each verdict was given.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<Verdict, u64> {
        let mut counts = BTreeMap::new();
        for finding in self.findings.values() {
            *counts.entry(finding.verdict).or_default() += 1;
        }
        counts
    }

    fn find_repeated(&mut self, distinct: &[&Record], repeated: &[&Record]) {
        let mut originals: HashMap<u128, Vec<&Record>> = HashMap::new();
        distinct.iter().for_each(|record| originals.entry(record.digest).or_default().push(record));
        for record in repeated {
            let same = originals.get(&record.digest).into_iter().flatten();
            let Some(original) = same.min_by_key(|original| original.at.since(record.at).abs()) else {
                continue;
            };
            let Some(finding) = self.findings.get(&original.name) else { continue };
            let finding = Finding {
                verdict: Verdict::Duplicate,
                added: (Octets(0), Octets(0)),
                repeats: Some(original.name.clone()),
                ..finding.clone()
            };
            self.findings.insert(record.name.clone(), finding);
        }
    }
}

/// One record per digest, the first to arrive, and the others. The Starts of all sessions that one identifier ever names may
/// say the same: one that begins a session of which other records tell is that session's own.
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
    let mut others: Vec<&Record> = records.iter().filter(|record| !is_first(record)).collect();
    others.sort_by_cached_key(|record| arrival(record));
    others.dedup_by_key(|record| &record.name);
    let mut repeated = Vec::with_capacity(others.len());
    for record in others {
        if begins_another(record, &distinct) { distinct.push(record) } else { repeated.push(record) }
    }
    distinct.sort_by_cached_key(|record| arrival(record));
    (distinct, repeated)
}

fn begins_another(start: &Record, distinct: &[&Record]) -> bool {
    let agrees = |other: &&&Record| match (start.started_at(), other.started_at()) {
        (Some(start), Some(other)) => start.since(other).abs() <= START_TOLERANCE,
        _ => false,
    };
    start.status == StatusType::START
        && distinct.iter().filter(agrees).any(|other| other.status != StatusType::START)
        && !distinct.iter().filter(agrees).any(|other| other.digest == start.digest)
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

/// Adds a session and what its records say.
fn build(one: &Incarnation<'_>, policies: &PolicyHistory, to: &mut Evaluation) {
    let session = to.sessions.len();
    let policy = policies.at(one.start);
    let gigawords = one.records.iter().any(|record| record.gigawords);
    let mut counters = Counters::new(gigawords, Port::of(policy.port_speed), one.dated.then_some(one.start));
    let mut samples: Vec<(Sample, &Login)> = Vec::with_capacity(one.records.len());
    let mut stopped = None;
    for (record, late) in one.records.iter().zip(late(&one.records)) {
        let at = one.time(record);
        let before = counters.total();
        let octets = record.counters.map(|counters| policy.octets(counters));
        let verdict = match counters.take(record.status, octets, at) {
            Verdict::Ok if session > 0 && samples.is_empty() => Verdict::IdReused,
            Verdict::Ok if late => Verdict::Late,
            verdict => verdict,
        };
        let total = counters.total();
        let added = (total.0 - before.0, total.1 - before.1);
        let finding = Finding { verdict, session, at, added, total, repeats: None };
        to.findings.insert(record.name.clone(), finding);
        let (download, upload) = total;
        samples.push((Sample { at, download, upload }, &record.login));
        if record.status == StatusType::STOP {
            stopped = Some((at, record.cause));
        }
    }
    let curves = by_login(one.start, &samples);
    to.sessions.push(Session { started_at: one.start, clock_stepped: one.clock_stepped, stopped, curves });
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
