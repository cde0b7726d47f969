//! A world that knows the truth: sessions with their true counters, NASes with their manners, and a network that loses,
//! delays, repeats and reorders what they say.

use proptest::prelude::*;

use super::wire::{Attributes, Datagram, INTERIM, START, STOP};

/// 2026-10-23 00:00 in Berlin; the clock is set back on the 25th.
pub const FIRST: i64 = 1_792_706_400;

/// How a NAS reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Event-Timestamp and Gigawords.
    Timestamps,
    /// No Event-Timestamp.
    Plain,
    /// No Event-Timestamp, no Gigawords: counters wrap.
    NoGigawords,
    /// Input is to the subscriber.
    Reversed,
    /// IPv6 is counted by itself.
    SeparateIpv6,
    /// IPv6 is counted by itself as well as with the rest.
    IncludedIpv6,
    /// Its clock stands at 1970.
    Clock1970,
}

pub const MANNERS: [Manner; 7] = [
    Manner::Timestamps,
    Manner::Plain,
    Manner::NoGigawords,
    Manner::Reversed,
    Manner::SeparateIpv6,
    Manner::IncludedIpv6,
    Manner::Clock1970,
];

/// What becomes of a report.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub lost: bool,
    pub delay: i64,
    /// Sent again under a new identifier so many seconds later.
    pub again: Option<i64>,
    /// The same octets once more an hour later.
    pub replayed: bool,
    /// It comes to the second collector.
    pub failed_over: bool,
    pub without_port: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Seconds after the report before.
    pub step: i64,
    /// Octets since then.
    pub down: u64,
    pub up: u64,
    pub fate: Fate,
}

/// What is odd about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    None,
    /// Counters begin anew before this report.
    Reset(usize),
    /// From this report on another login is named.
    Renamed(usize),
    /// The NAS's clock is set by so much before this report.
    ClockSet(usize, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    Stop,
    /// A Stop that says zero, after Lost-Carrier.
    ZeroStop,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub manner: Manner,
    /// Seconds after [`FIRST`], or after the end of the session before it that has its identifier.
    pub start: i64,
    /// After the Start.
    pub reports: Vec<Report>,
    pub start_fate: Fate,
    pub oddity: Oddity,
    pub end: End,
}

/// All that is said under one identifier.
#[derive(Clone, Debug)]
pub struct Key {
    pub sessions: Vec<Session>,
    /// The second session begins in the same second as the first, for another subscriber.
    pub twins: bool,
    /// A service of the first session is reported, too.
    pub service: bool,
}

/// A sample of the truth.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: i64,
    pub down: u64,
    pub up: u64,
    pub renamed: bool,
}

/// A session placed in the world.
#[derive(Clone, Debug)]
pub struct Placed {
    pub session: Session,
    pub login: String,
    pub start: i64,
    pub port: u64,
}

fn fates() -> impl Strategy<Value = Fate> {
    let delay = prop_oneof![5 => Just(0), 1 => 1i64..40, 1 => 400i64..20_000];
    let again = proptest::option::weighted(0.15, 1i64..30);
    (proptest::bool::weighted(0.12), delay, again, proptest::bool::weighted(0.04)).prop_flat_map(
        |(lost, delay, again, replayed)| {
            (proptest::bool::weighted(0.1), proptest::bool::weighted(0.2)).prop_map(
                move |(failed_over, port)| Fate {
                    lost,
                    delay,
                    again,
                    replayed,
                    failed_over,
                    without_port: port,
                },
            )
        },
    )
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let report = (60i64..9_000, 0u64..900_000_000, 0u64..9_000_000, fates())
        .prop_map(|(step, down, up, fate)| Report { step, down, up, fate });
    proptest::collection::vec(report, 1..14)
}

fn sessions() -> impl Strategy<Value = Session> {
    let oddity = prop_oneof![
        6 => Just(Oddity::None),
        1 => (2usize..8).prop_map(Oddity::Reset),
        1 => (1usize..8).prop_map(Oddity::Renamed),
        1 => (1usize..8, prop_oneof![Just(-7_200), Just(7_200)]).prop_map(|(at, by)| Oddity::ClockSet(at, by)),
    ];
    let end = prop_oneof![2 => Just(End::Open), 4 => Just(End::Stop), 1 => Just(End::ZeroStop)];
    let manner = proptest::sample::select(MANNERS.to_vec());
    (manner, 100i64..300_000, reports(), fates(), oddity, end).prop_map(
        |(manner, start, reports, start_fate, oddity, end)| {
            Session { manner, start, reports, start_fate, oddity, end }.sensible()
        },
    )
}

pub fn keys() -> impl Strategy<Value = Key> {
    let several = prop_oneof![5 => Just(1usize), 2 => Just(2)];
    (
        proptest::collection::vec(sessions(), 2),
        several,
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(sessions, several, twins, service)| Key::of(sessions, several, twins, service))
}

impl Session {
    /// Takes away what would leave the truth open.
    fn sensible(mut self) -> Self {
        let last = self.reports.len() - 1;
        self.oddity = match self.oddity {
            Oddity::Reset(at) if at < last && self.manner != Manner::NoGigawords => Oddity::Reset(at),
            Oddity::Renamed(at) if at <= last => Oddity::Renamed(at),
            Oddity::ClockSet(at, by) if at <= last && self.manner == Manner::Timestamps => {
                Oddity::ClockSet(at, by)
            }
            _ => Oddity::None,
        };
        if let Oddity::Reset(at) = self.oddity {
            // The fall must be told: what was counted before is much, what is counted after it little.
            for (report, down, up) in [(at - 1, 50_000_000, 5_000_000), (at, 1_000, 100)] {
                self.reports[report].down = down;
                self.reports[report].up = up;
                self.reports[report].fate.lost = false;
            }
        }
        let prompt = matches!(self.oddity, Oddity::ClockSet(..)) || self.manner == Manner::Clock1970;
        let mut fates: Vec<&mut Fate> = std::iter::once(&mut self.start_fate)
            .chain(self.reports.iter_mut().map(|report| &mut report.fate))
            .collect();
        if prompt {
            // Only the arrival tells the time.
            for fate in &mut fates {
                (fate.delay, fate.replayed, fate.again) = (0, false, None);
            }
            fates[0].lost = false;
        }
        if self.manner == Manner::NoGigawords {
            // More than 4 GiB between two delivered reports cannot be told.
            for place in 2..fates.len() {
                if fates[place - 1].lost && fates[place - 2].lost {
                    fates[place].lost = false;
                }
            }
        }
        self
    }

    fn length(&self) -> i64 {
        self.reports.iter().map(|report| report.step).sum()
    }

    /// Whether the report's login is the other one.
    fn is_renamed(&self, report: usize) -> bool {
        matches!(self.oddity, Oddity::Renamed(at) if report >= at)
    }

    fn is_zero_stop(&self, report: usize) -> bool {
        self.end == End::ZeroStop && report + 1 == self.reports.len()
    }

    /// True time and counters at each report, the Start first.
    fn truth(&self, start: i64) -> Vec<(i64, u64, u64)> {
        let mut at = (start, 0, 0);
        let mut truth = vec![at];
        for report in &self.reports {
            at = (at.0 + report.step, at.1 + report.down, at.2 + report.up);
            truth.push(at);
        }
        truth
    }

    /// What the delivered reports tell, from zero at the start.
    pub fn delivered(&self, start: i64) -> Vec<Sample> {
        let truth = self.truth(start);
        let mut samples: Vec<Sample> = Vec::new();
        if !self.start_fate.lost {
            samples.push(Sample { at: start, down: 0, up: 0, renamed: false });
        }
        for (number, _) in self.reports.iter().enumerate().filter(|(_, report)| !report.fate.lost) {
            let renamed = self.is_renamed(number);
            if samples.is_empty() {
                samples.push(Sample { at: start, down: 0, up: 0, renamed });
            }
            let before = samples[samples.len() - 1];
            let (at, down, up) = truth[number + 1];
            let flat = self.is_zero_stop(number);
            let (down, up) = if flat { (before.down, before.up) } else { (down, up) };
            samples.push(Sample { at, down, up, renamed });
        }
        samples
    }
}

impl Key {
    fn of(mut sessions: Vec<Session>, several: usize, twins: bool, service: bool) -> Self {
        sessions.truncate(several);
        let twins = twins && several == 2;
        let manner = sessions[0].manner;
        for session in &mut sessions {
            session.manner = manner;
            *session = session.clone().sensible();
            if twins {
                // What tells them apart must be said.
                session.oddity = Oddity::None;
                session.start_fate.lost = false;
                let fates = session.reports.iter_mut().map(|report| &mut report.fate);
                fates.chain([&mut session.start_fate]).for_each(|fate| fate.without_port = false);
            }
        }
        Self { sessions, twins, service }
    }

    /// Its sessions in the world, for the subscriber of this number.
    pub fn place(&self, number: usize) -> Vec<Placed> {
        let mut placed: Vec<Placed> = Vec::new();
        for (which, session) in self.sessions.iter().enumerate() {
            let start = match placed.last() {
                None => FIRST + session.start,
                Some(twin) if self.twins => twin.start,
                Some(before) => before.start + before.session.length() + 200 + session.start % 50_000,
            };
            let other = if self.twins && which == 1 { "-twin" } else { "" };
            let login = format!("user{number}{other}");
            let port = (number * 2 + which + 1) as u64;
            placed.push(Placed { session: session.clone(), login, start, port });
        }
        placed
    }
}

impl Placed {
    pub fn login(&self, renamed: bool) -> String {
        if renamed { format!("{}-new", self.login) } else { self.login.clone() }
    }

    /// All that arrives of the session.
    pub fn datagrams(&self, nas: &str, id: &str) -> Vec<Datagram> {
        let session = &self.session;
        let truth = session.truth(self.start);
        let mut sent = Vec::new();
        let mut send = |at: i64, fate: &Fate, rest: Attributes, clock: i64| {
            if fate.lost {
                return;
            }
            let collector = usize::from(fate.failed_over);
            let mut one = |delay: i64, collector: usize, late: i64| {
                let mut attributes = rest.clone();
                match session.manner {
                    Manner::Timestamps => {
                        attributes = attributes.number(55, u64::try_from(at + clock).unwrap());
                    }
                    Manner::Clock1970 => attributes = attributes.number(55, 4_000),
                    _ => {}
                }
                if delay > 0 {
                    attributes = attributes.number(41, u64::try_from(delay).unwrap());
                }
                sent.push(Datagram { arrived_at: at + delay + late, collector, attributes });
            };
            one(fate.delay, collector, 0);
            if let Some(later) = fate.again {
                one(fate.delay + later, collector, 0);
            }
            if fate.replayed {
                one(fate.delay, 1 - collector, 3_600);
            }
        };
        let head = |status: u32, login: String, fate: &Fate| {
            let head =
                Attributes::default().number(40, status.into()).text(32, nas).text(44, id).text(1, &login);
            if fate.without_port { head } else { head.number(5, self.port) }
        };
        send(self.start, &session.start_fate, head(START, self.login(false), &session.start_fate), 0);
        for (number, report) in session.reports.iter().enumerate() {
            let (at, down, up) = truth[number + 1];
            let is_last = number + 1 == session.reports.len();
            let status = if is_last && session.end != End::Open { STOP } else { INTERIM };
            let (down, up) = match session.oddity {
                _ if session.is_zero_stop(number) => (0, 0),
                Oddity::Reset(reset) if number >= reset => (down - truth[reset].1, up - truth[reset].2),
                _ => (down, up),
            };
            let clock = match session.oddity {
                Oddity::ClockSet(set, by) if number >= set => by,
                _ => 0,
            };
            let rest = head(status, self.login(session.is_renamed(number)), &report.fate);
            let rest = rest.number(46, u64::try_from(at - self.start).unwrap());
            let rest = if status == STOP {
                rest.number(49, if session.end == End::Stop { 1 } else { 2 })
            } else {
                rest
            };
            send(at, &report.fate, session.manner.count(rest, down, up), clock);
        }
        sent
    }
}

impl Manner {
    /// Appends counters as such a NAS tells them.
    fn count(self, attributes: Attributes, down: u64, up: u64) -> Attributes {
        let standard = |attributes: Attributes, input, output| {
            attributes.counter(42, Some(52), input).counter(43, Some(53), output)
        };
        match self {
            Self::NoGigawords => attributes.counter(42, None, up).counter(43, None, down),
            Self::Reversed => standard(attributes, down, up),
            Self::SeparateIpv6 => {
                standard(attributes, up - up / 3, down - down / 3).erx_ipv6(up / 3, down / 3)
            }
            Self::IncludedIpv6 => standard(attributes, up, down).erx_ipv6(up / 3, down / 3),
            _ => standard(attributes, up, down),
        }
    }
}
