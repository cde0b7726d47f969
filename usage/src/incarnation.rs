//! A key's records, split into the sessions that they speak of.
//!
//! Identifiers are reused: after a reboot, and by clients whose identifiers differ only by the second (pppd). Records that
//! tell one start (event time − Acct-Session-Time, within a tolerance) belong together. So do records whose starts differ
//! by their NAS's clock but agree by the arrival: that clock was set in mid-session. And a key names one session at a time:
//! what would run side by side, though as it arrived its session time and counters only rise, is one session whose records'
//! times are wrong (a backlog told without Event-Timestamp, a test typed in by hand). Sessions that began in one second are
//! told apart by User-Name, NAS-Port and address ([`collision`]).

mod collision;

use std::collections::HashSet;

use schema::{UnixMicros, UnixTime};

use crate::record::{Record, RecordName};

/// Seconds by which the starts that a session's records tell may differ from one to the next.
pub const START_TOLERANCE: i64 = 10;

/// The records of one session.
#[derive(Clone, Debug)]
pub(crate) struct Incarnation<'r> {
    /// When it began; without any record that tells it, the first record's time.
    pub(crate) start: UnixTime,
    /// Whether a record tells the start.
    pub(crate) dated: bool,
    /// Whether the NAS's clock was set while it lasted.
    pub(crate) clock_stepped: bool,
    /// In the order of the session's own clock.
    pub(crate) records: Vec<&'r Record>,
}

impl<'r> Incarnation<'r> {
    fn dated(records: Vec<&'r Record>) -> Self {
        let start = records.iter().filter_map(|record| record.started_at()).min().unwrap_or_default();
        Self { start, dated: true, clock_stepped: false, records }
    }

    fn undated(record: &'r Record) -> Self {
        Self { start: record.at, dated: false, clock_stepped: false, records: vec![record] }
    }

    /// The time of one of its records.
    pub(crate) fn time(&self, record: &Record) -> UnixTime {
        record.elapsed().map_or(record.at, |elapsed| self.start.plus(elapsed)).max(self.start)
    }

    /// A Start comes first and a Stop last within a second; then by counters, so that equal seconds do not fall.
    fn sort(&mut self) {
        let mut records = std::mem::take(&mut self.records);
        records.sort_by_cached_key(|record| {
            (self.time(record), record.rank(), record.counters, record.name.clone())
        });
        self.records = records;
    }

    /// The newest event time.
    fn last_at(&self) -> UnixTime {
        self.records.iter().map(|record| record.at).max().unwrap_or(self.start)
    }

    fn first_arrival(&self) -> Option<(UnixMicros, &RecordName)> {
        self.records.iter().map(|record| (record.arrived_at, &record.name)).min()
    }

    /// Both as one session, where they would run side by side and nothing falls in the order of arrival.
    fn join(&self, other: &Self) -> Option<Self> {
        let side_by_side = other.start <= self.last_at() && self.start <= other.last_at();
        let mut records: Vec<_> = self.records.iter().chain(&other.records).copied().collect();
        sort_by_arrival(&mut records);
        let rises = |pair: &[&Record]| match pair {
            [before, after] => before.elapsed() <= after.elapsed() && !falls(before, after),
            _ => true,
        };
        let rises = records.windows(2).all(rises);
        let start = self.start.min(other.start);
        (side_by_side && rises).then_some(Self { start, dated: true, clock_stepped: true, records })
    }

    /// When it began by the arrival of its records, which tells too late where they were all delayed.
    fn arrived_start(&self) -> UnixTime {
        let starts = self
            .records
            .iter()
            .filter_map(|record| record.elapsed().map(|elapsed| record.arrived_at.seconds().plus(-elapsed)));
        starts.min().unwrap_or(self.start)
    }
}

/// The sessions of one key, oldest first, from records no two of which are the same.
pub(crate) fn incarnations<'r>(records: &[&'r Record]) -> Vec<Incarnation<'r>> {
    let (dated, undated): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.elapsed().is_some());
    let mut found = join_side_by_side(join_clock_steps(by_start(dated)));
    found.sort_by_key(|incarnation| incarnation.start);
    assign(&mut found, undated);
    found.iter_mut().for_each(Incarnation::sort);
    let mut found: Vec<_> = found.into_iter().flat_map(collision::split).collect();
    found.sort_by_key(|incarnation| {
        (incarnation.start, incarnation.records.first().map(|record| record.name.clone()))
    });
    found
}

fn by_start(mut dated: Vec<&Record>) -> Vec<Incarnation<'_>> {
    dated.sort_by_key(|record| record.started_at());
    let apart = |a: &&Record, b: &&Record| match (a.started_at(), b.started_at()) {
        (Some(earlier), Some(later)) => later.since(earlier) <= START_TOLERANCE,
        _ => false,
    };
    dated.chunk_by(apart).map(|records| Incarnation::dated(records.to_vec())).collect()
}

/// Joins what began together by the arrival though not by a NAS's clock; the start nearest to the arrival's is right.
fn join_clock_steps(found: Vec<Incarnation<'_>>) -> Vec<Incarnation<'_>> {
    let (mut by_nas_clock, mut joined): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|one| one.records.iter().any(|record| record.nas_clock));
    by_nas_clock.sort_by_key(|one| (one.arrived_start(), one.start));
    let together =
        |a: &Incarnation, b: &Incarnation| b.arrived_start().since(a.arrived_start()) <= START_TOLERANCE;
    for group in by_nas_clock.chunk_by(together) {
        let off = |one: &&Incarnation| (one.start.since(one.arrived_start()).abs(), one.start);
        let Some(best) = group.iter().min_by_key(off) else { continue };
        joined.push(Incarnation {
            start: best.start,
            dated: true,
            clock_stepped: group.len() > 1,
            records: group.iter().flat_map(|one| one.records.iter().copied()).collect(),
        });
    }
    joined
}

/// A collector numbers records as they arrive, whatever its own clock, which may be set, says meanwhile; several collectors'
/// have only their clocks in common.
fn sort_by_arrival(records: &mut [&Record]) {
    let collector = |record: &&Record| record.name.collector.clone();
    if records.iter().map(collector).collect::<HashSet<_>>().len() > 1 {
        records.sort_by_key(|record| (record.arrived_at, &record.name));
    } else {
        records.sort_by_key(|record| record.name.lsn);
    }
}

fn falls(before: &Record, after: &Record) -> bool {
    matches!((before.counters, after.counters), (Some(before), Some(after)) if !after.is_at_least(&before))
}

/// Joins sessions that a NAS cannot have had at once under one identifier.
fn join_side_by_side(mut found: Vec<Incarnation<'_>>) -> Vec<Incarnation<'_>> {
    found.sort_by(|a, b| a.first_arrival().cmp(&b.first_arrival()));
    let mut joined: Vec<Incarnation<'_>> = Vec::new();
    for incarnation in found {
        match joined.last_mut().and_then(|last| last.join(&incarnation).map(|both| (last, both))) {
            Some((last, both)) => *last = both,
            None => joined.push(incarnation),
        }
    }
    joined
}

/// Gives records that tell no start to the session that was on at their time.
fn assign<'r>(found: &mut Vec<Incarnation<'r>>, mut undated: Vec<&'r Record>) {
    undated.sort_by_key(|record| (record.at, record.name.clone()));
    for record in undated {
        let begun = found.partition_point(|one| one.start <= record.at.plus(START_TOLERANCE));
        match begun.checked_sub(1).and_then(|last| found.get_mut(last)) {
            Some(on) => on.records.push(record),
            None => found.insert(0, Incarnation::undated(record)),
        }
    }
}
