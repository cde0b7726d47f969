//! A NAS, its subscribers' traffic, and a network that loses, delays and repeats its packets.

use std::ops::Range;

use proptest::prelude::*;
use radtally_usage::{RawCounters, Record, RecordName};
use schema::{CollectorId, Lsn, Octets, StatusType, TerminateCause, UnixMicros, UnixTime};

/// When the first session begins.
pub const EPOCH: i64 = 1_700_000_000;

/// All that is reported under one identifier.
#[derive(Clone, Debug)]
pub struct Key {
    pub sessions: Vec<Session>,
    /// Seeds the order in which records are given to the engine.
    order: u64,
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    lost: bool,
    /// Seconds by which its time is told too late.
    held: i64,
    /// Seconds after its event that it arrives; its sender says so in Acct-Delay-Time.
    delay: i64,
    /// Sent again under a new identifier, by so many seconds later.
    again: Option<i64>,
    /// Replayed an hour later as it was, by another collector.
    replayed: bool,
    without_port: bool,
}

/// What the NAS does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// 64-bit counters.
    Gigawords,
    /// 32-bit counters that wrap.
    NoGigawords,
    /// The counters begin anew before this report.
    Reset(usize),
    /// The clock is set by so many seconds before the second report.
    ClockSet(i64),
}

/// One report, as it truly was.
#[derive(Clone, Debug)]
struct Report {
    elapsed: i64,
    down: u64,
    up: u64,
    fate: Fate,
}

#[derive(Clone, Debug)]
pub struct Session {
    start: i64,
    manner: Manner,
    /// The Start first.
    reports: Vec<Report>,
    stopped: bool,
    /// The Stop says zero.
    zero_stop: bool,
    /// The reports that name another login.
    renamed: Range<usize>,
    /// The Start is said once more so many seconds later, with an address.
    start_again: Option<i64>,
    /// Whose it is, and whose it becomes.
    logins: [&'static str; 2],
    port: u32,
}

/// A delivered sample with the true counters.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: i64,
    pub down: u64,
    pub up: u64,
    pub login: &'static str,
}

impl Session {
    fn login(&self, report: usize) -> &'static str {
        self.logins[usize::from(self.renamed.contains(&report))]
    }

    fn is_zero_stop(&self, report: usize) -> bool {
        self.stopped && self.zero_stop && report + 1 == self.reports.len()
    }

    fn got(&self) -> impl Iterator<Item = (usize, &Report)> {
        self.reports.iter().enumerate().filter(|(_, report)| !report.fate.lost)
    }

    /// The earliest start that a report which arrived tells.
    fn told_start(&self) -> i64 {
        let late = self.got().map(|(_, report)| report.fate.held).chain(self.start_again);
        self.start + late.min().unwrap_or(0)
    }

    /// The true counters at the times of the reports that arrived; the start, with zeros, first.
    pub fn delivered(&self) -> Vec<Sample> {
        let start = self.told_start();
        let mut samples: Vec<Sample> = Vec::new();
        if self.start_again.is_some() {
            samples.push(Sample { at: start, down: 0, up: 0, login: self.login(0) });
        }
        for (number, report) in self.got() {
            let login = self.login(number);
            if samples.is_empty() {
                samples.push(Sample { at: start, down: 0, up: 0, login });
            }
            let told = samples.last().filter(|_| self.is_zero_stop(number)).map(|last| (last.down, last.up));
            let (down, up) = told.unwrap_or((report.down, report.up));
            if report.elapsed > 0 {
                samples.retain(|sample| sample.at < start + report.elapsed);
                samples.push(Sample { at: start + report.elapsed, down, up, login });
            }
        }
        samples
    }

    /// What the report's counters show.
    fn shown(&self, number: usize) -> (u64, u64) {
        let report = &self.reports[number];
        match self.manner {
            _ if self.is_zero_stop(number) => (0, 0),
            Manner::NoGigawords => (report.down % (1 << 32), report.up % (1 << 32)),
            Manner::Reset(at) if number >= at => {
                let before = &self.reports[at - 1];
                (report.down - before.down, report.up - before.up)
            }
            _ => (report.down, report.up),
        }
    }

    fn status(&self, number: usize) -> StatusType {
        match number {
            0 => StatusType::START,
            _ if self.stopped && number + 1 == self.reports.len() => StatusType::STOP,
            _ => StatusType::INTERIM_UPDATE,
        }
    }

    fn record(&self, number: usize, digest: u128) -> Record {
        let report = &self.reports[number];
        let at = self.start + report.elapsed + report.fate.held;
        let set = match self.manner {
            Manner::ClockSet(by) if number >= 2 => by,
            _ => 0,
        };
        let (down, up) = self.shown(number);
        Record {
            name: RecordName { collector: CollectorId::default(), lsn: Lsn(0) },
            at: UnixTime(at + set),
            nas_clock: matches!(self.manner, Manner::ClockSet(_)),
            arrived_at: UnixMicros((at + report.fate.delay) * 1_000_000),
            status: self.status(number),
            session_time: (number > 0).then(|| u32::try_from(report.elapsed).unwrap()),
            counters: (number > 0).then_some(RawCounters::standard(Octets(up), Octets(down))),
            gigawords: self.manner != Manner::NoGigawords,
            doubtful: false,
            login: self.login(number).into(),
            nas_port: Some(self.port).filter(|_| !report.fate.without_port),
            address: None,
            cause: TerminateCause(0),
            digest,
        }
    }

    fn records(&self, session: u128) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some(later) = self.start_again {
            let start = self.record(0, session << 64 | 1 << 32);
            let (at, arrived_at) = (self.start + later, UnixMicros((self.start + later) * 1_000_000));
            let address = Some([100, 64, 0, 7].into());
            records.push(Record { at: UnixTime(at), arrived_at, address, ..start });
        }
        for (number, report) in self.got() {
            let sent = self.record(number, session << 64 | number as u128);
            if let Some(later) = report.fate.again {
                let arrived_at = UnixMicros(sent.arrived_at.0 + later * 1_000_000);
                records.push(Record { arrived_at, ..sent.clone() });
            }
            if report.fate.replayed {
                let arrived_at = UnixMicros(sent.arrived_at.0 + 3_600_000_000);
                records.push(Record { arrived_at, at: sent.at.plus(3_600), ..sent.clone() });
            }
            records.push(sent);
        }
        records
    }
}

impl Key {
    /// What the collectors recorded, in no order; some records are given twice.
    pub fn records(&self) -> Vec<Record> {
        let sessions = self.sessions.iter().zip(1..);
        let mut records: Vec<_> = sessions.flat_map(|(session, number)| session.records(number)).collect();
        for (record, lsn) in records.iter_mut().zip(1u64..) {
            let collector = if (lsn ^ self.order).is_multiple_of(3) { "west" } else { "east" };
            record.name = RecordName { collector: collector.into(), lsn: Lsn(lsn) };
        }
        let twice = records.clone().into_iter().step_by(4);
        records.extend(twice);
        records.sort_by_key(|record| record.name.lsn.0.wrapping_mul(self.order | 1) % 1_009);
        records
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    let rare = prop::bool::weighted;
    let held = prop_oneof![6 => Just(0), 1 => 1i64..5];
    let delay = prop_oneof![8 => 0i64..30, 1 => 400i64..20_000];
    let again = prop::option::weighted(0.2, 1i64..60);
    (rare(0.2), held, delay, again, rare(0.1), rare(0.2)).prop_map(
        |(lost, held, delay, again, replayed, without_port)| Fate {
            lost,
            held,
            delay,
            again,
            replayed,
            without_port,
        },
    )
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        3 => Just(Manner::Gigawords),
        3 => Just(Manner::NoGigawords),
        2 => (2usize..6).prop_map(Manner::Reset),
        2 => prop::sample::select(vec![-86_400i64, -3_600, 20, 3_600, 86_400]).prop_map(Manner::ClockSet),
    ]
}

fn session() -> impl Strategy<Value = Session> {
    let seconds = prop_oneof![6 => 60i64..1_800, 1 => 0i64..60];
    let step = (seconds, 0u64..1 << 30, 0u64..1 << 20, fate());
    let steps = proptest::collection::vec(step, 1..12);
    let renamed = (1usize..20, 1usize..20).prop_map(|(from, count)| from..from + count);
    let start_again = prop::option::weighted(0.1, prop_oneof![1i64..8, 30i64..400]);
    let end = (any::<bool>(), prop::bool::weighted(0.2));
    (fate(), steps, manner(), end, renamed, start_again).prop_map(
        |(fate, steps, manner, (stopped, zero_stop), renamed, start_again)| {
            let mut reports = vec![Report { elapsed: 0, down: 0, up: 0, fate }];
            for (seconds, down, up, fate) in steps {
                let last = reports.last().unwrap();
                // Counters before the first second are nobody's; of two odd reports in one second the order is not told.
                let odd = renamed.start < 12 || matches!(manner, Manner::Reset(_));
                let seconds = seconds.max(i64::from(odd || reports.len() == 1));
                // No more than a port carries.
                let down = down.min(seconds.unsigned_abs() << 27);
                let (elapsed, down, up) = (last.elapsed + seconds, last.down + down, last.up + up);
                reports.push(Report { elapsed, down, up, fate });
            }
            let (start, logins, port) = (EPOCH, ["anna", "bert"], 1);
            let mut session =
                Session { start, manner, reports, stopped, zero_stop, renamed, start_again, logins, port };
            session.make_knowable();
            session
        },
    )
}

impl Session {
    /// Changes what no one could know from the records.
    fn make_knowable(&mut self) {
        // A Start long after the session's may be one of another session.
        self.reports[0].fate.lost &= self.start_again.is_none();
        if let Manner::Reset(at) = self.manner
            && at < self.reports.len()
        {
            // The last report before the reset arrived, and the counters after it are less.
            self.reports[at - 1].fate.lost = false;
            for report in self.reports.iter_mut().skip(1) {
                (report.down, report.up) = (report.down + (1 << 40), report.up + (1 << 30));
            }
        }
        if self.manner == Manner::NoGigawords {
            // Lost reports never hide a whole wrap.
            self.reports.iter_mut().step_by(3).for_each(|report| report.fate.lost = false);
        }
        if matches!(self.manner, Manner::NoGigawords | Manner::Reset(_)) {
            // Names that come back and counters that fall might as well be two sessions.
            self.renamed.end = usize::MAX;
        }
        if let Manner::ClockSet(_) = self.manner {
            // One report tells what the clock said before, and when it arrived.
            self.reports[0].fate.lost = false;
            self.start_again = None;
            for report in &mut self.reports {
                report.fate = Fate { held: 0, delay: 0, again: None, replayed: false, ..report.fate };
            }
        }
    }
}

/// The second session in the same second, under the same identifier.
fn twin(mut one: Session, mut other: Session) -> [Session; 2] {
    (other.logins, other.port) = (["cleo", "cleo"], 2);
    for session in [&mut one, &mut other] {
        // What tells them apart must be said.
        session.renamed = 0..0;
        session.start_again = None;
        session.reports[0].fate.lost = false;
        session.reports.iter_mut().for_each(|report| report.fate.without_port = false);
    }
    [one, other]
}

pub fn keys() -> impl Strategy<Value = Key> {
    let sessions = proptest::collection::vec((session(), 60i64..5_000, any::<bool>()), 1..4);
    (sessions, prop::bool::weighted(0.2), any::<u64>()).prop_map(|(sessions, twins, order)| {
        let clock_set = |session: &Session| matches!(session.manner, Manner::ClockSet(_));
        let mut start = EPOCH;
        let mut placed: Vec<Session> = Vec::new();
        for (mut session, pause, reused) in sessions {
            // A clock that is set while identifiers are reused may leave no way to tell sessions apart.
            if !placed.is_empty() && (clock_set(&session) || placed.iter().any(clock_set)) {
                continue;
            }
            session.start = start;
            start += session.reports.last().map_or(0, |last| last.elapsed) + pause;
            if reused && !placed.is_empty() {
                session.logins = ["cleo", "bert"];
            }
            placed.push(session);
        }
        if twins && placed.len() == 2 {
            let other = placed.pop().unwrap();
            let one = placed.pop().unwrap();
            let other = Session { start: one.start, ..other };
            placed.extend(twin(one, other));
        }
        Key { sessions: placed, order }
    })
}
