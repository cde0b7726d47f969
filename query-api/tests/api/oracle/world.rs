//! A world that knows the truth: sessions with their true counters, what becomes of each report, and what the reports that
//! arrive tell.

/// Days in Berlin on which a world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// 2026-10-23 00:00: the clock is set back on the 25th.
    Autumn,
    /// 2026-03-27 00:00: the clock is set forward on the 29th, and a month ends.
    Spring,
}

impl Season {
    pub const fn first(self) -> i64 {
        match self {
            Self::Autumn => 1_792_706_400,
            Self::Spring => 1_774_566_000,
        }
    }
}

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

impl Manner {
    /// NAS-Identifier of the NAS that does so.
    pub fn nas(self) -> String {
        format!("{self:?}")
    }

    fn place(self) -> u8 {
        MANNERS.iter().zip(0..).find(|(manner, _)| **manner == self).unwrap().1
    }

    /// NAS-IP-Address by which it is known, too.
    pub fn address(self) -> [u8; 4] {
        [10, 0, 0, self.place()]
    }

    /// When that NAS says that it has come up, without naming a session.
    pub fn accounting_on(self, season: Season) -> i64 {
        season.first() + 100_000 + i64::from(self.place()) * 3_600
    }
}

/// What becomes of a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    pub lost: bool,
    /// Seconds by which its time is told too late: it waited within the NAS.
    pub held: i64,
    /// Seconds on the way, which Acct-Delay-Time tells.
    pub delay: i64,
    /// Sent again under a new identifier so many seconds later.
    pub again: Option<i64>,
    /// The same octets once more an hour later.
    pub replayed: bool,
    /// It comes to the second collector.
    pub failed_over: bool,
    pub without_port: bool,
    /// It comes from another address, and its NAS names itself by that.
    pub moved: bool,
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
    /// From this report on another login is named, up to that one.
    Renamed(usize, usize),
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
    /// Seconds after the first day's beginning, or after the end of the session before it that has its identifier.
    pub start: i64,
    /// After the Start.
    pub reports: Vec<Report>,
    pub start_fate: Fate,
    /// The Start is said once more so many seconds later, with an address.
    pub start_again: Option<i64>,
    pub oddity: Oddity,
    pub end: End,
}

/// All that is said under one identifier.
#[derive(Clone, Debug)]
pub struct Key {
    pub sessions: Vec<Session>,
    /// The second session begins in the same second as the first, for another subscriber.
    pub twins: bool,
    /// The second session is another subscriber's.
    pub reused: bool,
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
    /// Another session has its identifier at the same time; which of them a guess is about is not told.
    pub twin: bool,
    /// A later session has its identifier.
    pub succeeded: bool,
    /// What the delivered reports tell, from zero at the start; one sample a second. Empty: nobody heard of it.
    pub told: Vec<Sample>,
}

impl Session {
    pub fn length(&self) -> i64 {
        self.reports.iter().map(|report| report.step).sum()
    }

    /// Whether the report's login is the other one.
    pub fn is_renamed(&self, report: usize) -> bool {
        matches!(self.oddity, Oddity::Renamed(from, to) if (from..to).contains(&report))
    }

    pub fn is_zero_stop(&self, report: usize) -> bool {
        self.end == End::ZeroStop && report + 1 == self.reports.len()
    }

    /// True seconds and counters at each report, the Start first.
    pub fn truth(&self) -> Vec<(i64, u64, u64)> {
        let mut at = (0, 0, 0);
        let mut truth = vec![at];
        for report in &self.reports {
            at = (at.0 + report.step, at.1 + report.down, at.2 + report.up);
            truth.push(at);
        }
        truth
    }

    fn got(&self) -> impl Iterator<Item = (usize, &Report)> {
        self.reports.iter().enumerate().filter(|(_, report)| !report.fate.lost)
    }

    /// By how much the earliest start that a report tells is too late.
    fn told_late(&self) -> i64 {
        let start = Some(self.start_fate.held).filter(|_| !self.start_fate.lost);
        let reports = self.got().map(|(_, report)| report.fate.held);
        reports.chain(start).chain(self.start_again).min().unwrap_or(0)
    }

    /// What the delivered reports tell of it when it began at `start`.
    fn told(&self, start: i64) -> Vec<Sample> {
        let (truth, start) = (self.truth(), start + self.told_late());
        let mut samples: Vec<Sample> = Vec::new();
        if !self.start_fate.lost || self.start_again.is_some() {
            samples.push(Sample { at: start, down: 0, up: 0, renamed: false });
        }
        for (number, _) in self.got() {
            let renamed = self.is_renamed(number);
            if samples.is_empty() {
                samples.push(Sample { at: start, down: 0, up: 0, renamed });
            }
            let before = samples[samples.len() - 1];
            let (after, down, up) = truth[number + 1];
            let flat = self.is_zero_stop(number);
            let (down, up) = if flat { (before.down, before.up) } else { (down, up) };
            if before.at == start + after {
                samples.pop();
            }
            samples.push(Sample { at: start + after, down, up, renamed });
        }
        samples
    }
}

impl Placed {
    pub fn login(&self, renamed: bool) -> String {
        if renamed { format!("{}-new", self.login) } else { self.login.clone() }
    }

    /// Its login, and the one it has for a while.
    pub fn logins(&self) -> Vec<String> {
        let renamed = matches!(self.session.oddity, Oddity::Renamed(..));
        if renamed { vec![self.login(false), self.login(true)] } else { vec![self.login(false)] }
    }

    /// Whether its Stop arrived.
    pub fn stopped(&self) -> bool {
        let heard = self.session.reports.last().is_some_and(|report| !report.fate.lost);
        heard && self.session.end != End::Open
    }
}

impl Key {
    /// Its sessions in the world, for the subscriber of this number.
    pub fn place(&self, number: usize, season: Season) -> Vec<Placed> {
        let mut placed: Vec<Placed> = Vec::new();
        for (which, session) in self.sessions.iter().enumerate() {
            let start = match placed.last() {
                None => season.first() + session.start,
                Some(twin) if self.twins => twin.start,
                Some(before) => before.start + before.session.length() + 200 + session.start % 50_000,
            };
            let other = match which {
                1 if self.twins => "-twin",
                1 if self.reused => "-next",
                _ => "",
            };
            let login = format!("user{number}{other}");
            let port = (number * 2 + which + 1) as u64;
            let succeeded = which + 1 < self.sessions.len();
            let told = session.told(start);
            let session = session.clone();
            placed.push(Placed { session, login, start, port, twin: self.twins, succeeded, told });
        }
        placed
    }
}
