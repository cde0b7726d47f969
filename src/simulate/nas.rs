//! A NAS: which of its subscribers are connected, and what it reports about them and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::Ipv4Addr;

use chrono_tz::Tz;
use radius::core::rfc2866::{
    ACCT_STATUS_TYPE_ACCOUNTING_OFF, ACCT_STATUS_TYPE_ACCOUNTING_ON, ACCT_STATUS_TYPE_INTERIM_UPDATE,
    ACCT_STATUS_TYPE_START, ACCT_STATUS_TYPE_STOP, AcctStatusType, AcctTerminateCause,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng as _};

use super::population::{Line, Subscriber, address_pool};
use super::traffic::{Counters, Use, activity};
use super::wire::{Report, SessionReport};

/// When things happen; seconds since 1970 UTC.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Start of the past.
    pub from: i64,
    /// Its end.
    pub live_from: i64,
    /// Seconds between interim updates, live.
    pub interim: i64,
    /// Seconds between interim updates in the past.
    pub backlog_interim: i64,
    /// The subscribers' time zone.
    pub zone: Tz,
}

impl Timing {
    fn interim_after(&self, at: i64) -> i64 {
        if at + self.backlog_interim <= self.live_from { self.backlog_interim } else { self.interim }
    }
}

/// A NAS and what it knows.
pub struct Nas {
    index: u32,
    timing: Timing,
    rng: StdRng,
    lines: Vec<LineState>,
    /// What is due: a time and a line. Entries that no longer fit their line's `due` are stale.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    addresses: VecDeque<Ipv4Addr>,
    sessions_begun: u32,
    restart: Option<Restart>,
}

struct LineState {
    who: Subscriber,
    doing: Use,
    session: Option<Session>,
    due: i64,
}

struct Session {
    id: String,
    address: Ipv4Addr,
    started_at: i64,
    counted_to: i64,
    ends_at: i64,
    cause: AcctTerminateCause,
    counters: Counters,
}

/// Once in a long past a NAS restarts: it says Accounting-Off, forgets its sessions, and says Accounting-On.
#[derive(Clone, Copy)]
enum Restart {
    Off(i64),
    On(i64),
}

/// Seconds from Accounting-Off to Accounting-On.
const RESTART_TAKES: i64 = 95;

impl Nas {
    /// The NAS numbered `index`, with `subscribers` of its own.
    pub fn new(index: u32, subscribers: u32, seed: u64, timing: Timing) -> Self {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(u64::from(index)));
        let lines = (0..subscribers).map(|port| LineState {
            who: Subscriber::new(index, port, &mut rng),
            doing: Use::default(),
            session: None,
            due: 0,
        });
        let mut nas = Self {
            index,
            restart: first_restart(index, &timing),
            lines: lines.collect(),
            queue: BinaryHeap::new(),
            addresses: address_pool(index, subscribers).collect(),
            sessions_begun: 0,
            timing,
            rng,
        };
        for line in 0..nas.lines.len() {
            let within = nas.timing.interim_after(nas.timing.from).min(120);
            let at = nas.timing.from + nas.rng.random_range(0..=within);
            nas.schedule(line, at);
        }
        nas
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// When it has something to report next.
    pub fn next_at(&mut self) -> Option<i64> {
        while let Some(&Reverse((at, line))) = self.queue.peek() {
            if self.lines.get(line).is_some_and(|state| state.due == at) {
                break;
            }
            self.queue.pop();
        }
        let due = self.queue.peek().map(|Reverse((at, _))| *at);
        match self.restart {
            Some(Restart::Off(at) | Restart::On(at)) => Some(due.map_or(at, |due| due.min(at))),
            None => due,
        }
    }

    /// Goes on to [`Self::next_at`] and says what there is to report.
    pub fn advance(&mut self) -> Vec<Report> {
        let Some(at) = self.next_at() else { return Vec::new() };
        match self.restart {
            Some(Restart::Off(off)) if off == at => return vec![self.go_down(at)],
            Some(Restart::On(on)) if on == at => {
                self.restart = None;
                return vec![self.report(ACCT_STATUS_TYPE_ACCOUNTING_ON, at, None)];
            }
            _ => {}
        }
        let Some(Reverse((_, line))) = self.queue.pop() else { return Vec::new() };
        let report = if self.lines.get(line).is_some_and(|state| state.session.is_some()) {
            self.go_on(line, at)
        } else {
            self.connect(line, at)
        };
        report.into_iter().collect()
    }

    fn schedule(&mut self, line: usize, at: i64) {
        if let Some(state) = self.lines.get_mut(line) {
            state.due = at;
            self.queue.push(Reverse((at, line)));
        }
    }

    fn connect(&mut self, line: usize, at: i64) -> Option<Report> {
        let interim = self.timing.interim_after(at);
        let address = self.addresses.pop_front()?;
        let state = self.lines.get_mut(line)?;
        self.sessions_begun += 1;
        let (lasts, cause) = lifetime(state.who.line, &mut self.rng);
        state.session = Some(Session {
            id: format!("{:08X}{:06X}", at, self.sessions_begun),
            address,
            started_at: at,
            counted_to: at,
            ends_at: at + lasts,
            cause,
            counters: Counters::default(),
        });
        self.schedule(line, at + interim.min(lasts));
        Some(self.report(ACCT_STATUS_TYPE_START, at, Some(line)))
    }

    fn go_on(&mut self, line: usize, at: i64) -> Option<Report> {
        let interim = self.timing.interim_after(at);
        let zone = self.timing.zone;
        let state = self.lines.get_mut(line)?;
        let session = state.session.as_mut()?;
        state.doing.advance(&state.who, session.counted_to, at, zone, &mut session.counters, &mut self.rng);
        session.counted_to = at;
        if at < session.ends_at {
            let next = (at + interim).min(session.ends_at);
            self.schedule(line, next);
            return Some(self.report(ACCT_STATUS_TYPE_INTERIM_UPDATE, at, Some(line)));
        }
        let pause = pause(state.who.line, session.cause, activity(at, zone), &mut self.rng);
        let report = self.report(ACCT_STATUS_TYPE_STOP, at, Some(line));
        self.disconnect(line);
        self.schedule(line, at + pause);
        Some(report)
    }

    fn disconnect(&mut self, line: usize) {
        if let Some(session) = self.lines.get_mut(line).and_then(|state| state.session.take()) {
            self.addresses.push_back(session.address);
        }
    }

    fn go_down(&mut self, at: i64) -> Report {
        self.restart = Some(Restart::On(at + RESTART_TAKES));
        for line in 0..self.lines.len() {
            self.disconnect(line);
            let back = at + RESTART_TAKES + self.rng.random_range(5..240);
            self.schedule(line, back);
        }
        self.report(ACCT_STATUS_TYPE_ACCOUNTING_OFF, at, None)
    }

    fn report(&self, status: AcctStatusType, at: i64, line: Option<usize>) -> Report {
        let session = line.and_then(|line| self.lines.get(line)).and_then(|state| {
            let session = state.session.as_ref()?;
            Some(SessionReport {
                who: state.who.clone(),
                id: session.id.clone(),
                address: session.address,
                seconds: at - session.started_at,
                counters: session.counters,
                cause: session.cause,
            })
        });
        Report { nas: self.index, at, status, session }
    }
}

fn first_restart(index: u32, timing: &Timing) -> Option<Restart> {
    let past = timing.live_from - timing.from;
    (index == 1 && past >= 2 * 86_400).then(|| Restart::Off(timing.from + past * 45 / 100))
}

/// How long a session lasts, and why it ends.
fn lifetime(line: Line, rng: &mut StdRng) -> (i64, AcctTerminateCause) {
    const DAY: f64 = 86_400.0;
    let cause = cause(line, rng);
    let lasts = match line {
        // Many providers end each session after a day.
        Line::Fibre if cause == SESSION_TIMEOUT => DAY,
        Line::Fibre => exponential(3.0 * DAY, rng).max(1_800.0),
        Line::Flaky => exponential(0.2 * DAY, rng).max(120.0),
        Line::Hotspot if cause == SESSION_TIMEOUT => 2.0 * 3_600.0,
        Line::Hotspot => exponential(3_600.0, rng).max(120.0),
    };
    (whole(lasts), cause)
}

const USER_REQUEST: AcctTerminateCause = 1;
const LOST_CARRIER: AcctTerminateCause = 2;
const LOST_SERVICE: AcctTerminateCause = 3;
const IDLE_TIMEOUT: AcctTerminateCause = 4;
const SESSION_TIMEOUT: AcctTerminateCause = 5;
const ADMIN_RESET: AcctTerminateCause = 6;
const PORT_ERROR: AcctTerminateCause = 8;

fn cause(line: Line, rng: &mut StdRng) -> AcctTerminateCause {
    let dice = rng.random_range(0..100);
    match (line, dice) {
        (Line::Fibre, 0..45) => SESSION_TIMEOUT,
        (Line::Fibre, 45..75) => USER_REQUEST,
        (Line::Fibre, 75..80) => ADMIN_RESET,
        (Line::Flaky, 0..10) => PORT_ERROR,
        (Line::Flaky, 10..25) => LOST_SERVICE,
        (Line::Fibre | Line::Flaky, _) => LOST_CARRIER,
        (Line::Hotspot, 0..40) => USER_REQUEST,
        (Line::Hotspot, 40..85) => IDLE_TIMEOUT,
        (Line::Hotspot, 85..93) => SESSION_TIMEOUT,
        (Line::Hotspot, _) => LOST_CARRIER,
    }
}

/// Seconds until a line connects again.
fn pause(line: Line, cause: AcctTerminateCause, activity: f64, rng: &mut StdRng) -> i64 {
    let seconds = match line {
        Line::Hotspot => exponential(3_600.0 / activity.max(0.05), rng).max(60.0),
        _ if cause == USER_REQUEST => exponential(3_600.0, rng).max(30.0),
        _ => exponential(60.0, rng).max(3.0),
    };
    whole(seconds)
}

fn exponential(mean: f64, rng: &mut StdRng) -> f64 {
    -mean * rng.random::<f64>().max(1e-9).ln()
}

#[expect(clippy::cast_possible_truncation, reason = "at most some weeks")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn week(seed: u64) -> Vec<Report> {
        let live_from = 1_700_000_000;
        let timing = Timing {
            from: live_from - 3 * 86_400,
            live_from,
            interim: 10,
            backlog_interim: 300,
            zone: chrono_tz::Africa::Lagos,
        };
        let mut nas = Nas::new(1, 40, seed, timing);
        let mut reports = Vec::new();
        while nas.next_at().is_some_and(|at| at < live_from) {
            reports.extend(nas.advance());
        }
        reports
    }

    #[test]
    fn reports_come_in_the_order_of_time_and_counters_never_fall() {
        let mut counters: HashMap<String, (i64, Counters)> = HashMap::new();
        let mut last = 0;
        for report in week(1) {
            assert!(report.at >= last);
            last = report.at;
            let Some(session) = report.session else { continue };
            let before =
                counters.insert(session.id.clone(), (session.seconds, session.counters)).unwrap_or_default();
            assert!(session.seconds >= before.0);
            assert!(session.counters.download_octets >= before.1.download_octets);
            assert!(session.counters.upload_packets >= before.1.upload_packets);
        }
        assert!(counters.len() > 100, "{} sessions", counters.len());
    }

    #[test]
    fn every_kind_of_report_occurs_in_some_days() {
        let mut kinds: Vec<_> = week(2).iter().map(|report| report.status).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [1, 2, 3, 7, 8]);
    }

    #[test]
    fn one_seed_makes_one_week() {
        assert_eq!(week(3), week(3));
        assert_ne!(week(3), week(4));
    }
}
