//! One session's counters, made 64-bit and monotone step by step, with a verdict for each step.
//!
//! The same code serves the engine, which knows all of a session's records, and the tracker, which takes them as they
//! arrive.

use schema::{BitsPerSecond, Octets, StatusType, UnixTime};
use serde::{Deserialize, Serialize};

/// Seconds of slack before a step is implausible: counters and times of one report need not be of one moment.
const SLACK: u64 = 3_600;
const WRAP: u64 = 1 << 32;
const NOTHING: (Octets, Octets) = (Octets(0), Octets(0));

/// The port that a session's traffic goes through, by its speed in octets per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port(u64);

impl Default for Port {
    /// The fastest port assumed: 10 Gbit/s.
    fn default() -> Self {
        Self(10_000_000_000 / 8)
    }
}

impl Port {
    /// A port of this speed; the default where it is not known.
    pub(crate) fn of(speed: Option<BitsPerSecond>) -> Self {
        speed.map_or_else(Self::default, |speed| Self(speed.0 / 8))
    }

    /// A step of at most this many octets is never implausible.
    pub(crate) const fn always_plausible(self) -> Octets {
        self.most(0, SLACK)
    }

    /// Whether the port may carry so many octets in `seconds`.
    pub(crate) fn is_plausible(self, octets: Octets, seconds: i64) -> bool {
        octets <= self.most(seconds, SLACK)
    }

    /// Most octets that the port carries in `seconds` and the slack.
    const fn most(self, seconds: i64, slack: u64) -> Octets {
        let seconds = if seconds < 0 { 0 } else { seconds.unsigned_abs() };
        Octets(self.0.saturating_mul(seconds.saturating_add(slack)))
    }
}

/// What a record was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A sample, as it stands.
    Ok,
    /// A sample that arrived after a later one.
    Late,
    /// Repeats another record: a retransmission under a new identifier, or a replay.
    Duplicate,
    /// Opens a session under an identifier that an earlier session had.
    IdReused,
    /// A sample whose 32-bit counter wrapped: one direction fell, no Gigawords in the session, plausible for the time.
    WrapInferred,
    /// Counters began anew within the session.
    Reset,
    /// A Stop that says zero though octets were counted before; the value stays flat.
    StopWithoutOctets,
    /// A sample that lacks counters, or one of them; what it lacks stays flat.
    WithoutOctets,
    /// More octets than any port carries in the time; never added.
    Implausible,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Late,
        Self::Duplicate,
        Self::IdReused,
        Self::WrapInferred,
        Self::Reset,
        Self::StopWithoutOctets,
        Self::WithoutOctets,
        Self::Implausible,
    ];

    /// The verdict that [`Self::as_str`] wrote.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == name)
    }

    /// As the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::IdReused => "id_reused",
            Self::WrapInferred => "wrap_inferred",
            Self::Reset => "reset",
            Self::StopWithoutOctets => "stop_without_octets",
            Self::WithoutOctets => "without_octets",
            Self::Implausible => "implausible",
        }
    }
}

/// Counters so far, download first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    gigawords: bool,
    port: Port,
    /// As last reported.
    reported: (Octets, Octets),
    total: (Octets, Octets),
    /// When they were last reported, else the start; `None` before the first report of a session of unknown start.
    at: Option<UnixTime>,
}

impl Counters {
    /// Counters of a session that began at `start`, if that is known.
    pub(crate) const fn new(gigawords: bool, port: Port, start: Option<UnixTime>) -> Self {
        Self { gigawords, port, reported: NOTHING, total: NOTHING, at: start }
    }

    /// Notes that the session's NAS sends Gigawords: its counters do not wrap.
    pub(crate) const fn note_gigawords(&mut self) {
        self.gigawords = true;
    }

    /// Notes when the session began, before its first report.
    pub(crate) const fn start(&mut self, start: Option<UnixTime>) {
        self.at = start;
    }

    /// When they were last reported, else the session's start where that is known.
    pub(crate) const fn at(&self) -> Option<UnixTime> {
        self.at
    }

    /// Whether a report is no less than the last in either direction.
    pub(crate) fn rise(&self, octets: Option<(Octets, Octets)>) -> bool {
        octets.is_some_and(|now| now.0 >= self.reported.0 && now.1 >= self.reported.1)
    }

    /// Since the session's start.
    pub(crate) const fn total(&self) -> (Octets, Octets) {
        self.total
    }

    /// Takes the next report by the session's clock.
    pub(crate) fn take(
        &mut self,
        status: StatusType,
        octets: Option<(Octets, Octets)>,
        at: UnixTime,
    ) -> Verdict {
        let Some(now) = octets else {
            return if status == StatusType::START { Verdict::Ok } else { Verdict::WithoutOctets };
        };
        if status == StatusType::STOP && now == NOTHING && self.reported != NOTHING {
            return Verdict::StopWithoutOctets;
        }
        let (added, reported, verdict) = self.step(now, at);
        if self.at.is_some_and(|before| !self.port.is_plausible(added.0.max(added.1), at.since(before))) {
            return Verdict::Implausible;
        }
        self.total = (self.total.0 + added.0, self.total.1 + added.1);
        self.reported = reported;
        self.at = Some(at);
        verdict
    }

    /// What a report adds, the counters after it, and why.
    fn step(&self, now: (Octets, Octets), at: UnixTime) -> ((Octets, Octets), (Octets, Octets), Verdict) {
        let before = self.reported;
        let risen = (now.0 - before.0, now.1 - before.1);
        match (now.0 < before.0, now.1 < before.1) {
            (false, false) => (risen, now, Verdict::Ok),
            // A counter that alone is zero was not sent; a wrap does not land on it.
            (true, false) if now.0 == Octets(0) => (risen, (before.0, now.1), Verdict::WithoutOctets),
            (false, true) if now.1 == Octets(0) => (risen, (now.0, before.1), Verdict::WithoutOctets),
            (true, false) if self.wrapped(before.0, now.0, at) => {
                ((unwrapped(before.0, now.0), risen.1), now, Verdict::WrapInferred)
            }
            (false, true) if self.wrapped(before.1, now.1, at) => {
                ((risen.0, unwrapped(before.1, now.1)), now, Verdict::WrapInferred)
            }
            // Both began anew: what they show since is usage.
            _ => (now, now, Verdict::Reset),
        }
    }

    fn wrapped(&self, before: Octets, now: Octets, at: UnixTime) -> bool {
        let seconds = self.at.map_or(0, |reported| at.since(reported));
        !self.gigawords && before.0 < WRAP && unwrapped(before, now) <= self.port.most(seconds, 0)
    }
}

const fn unwrapped(before: Octets, now: Octets) -> Octets {
    Octets(now.0.saturating_add(WRAP).saturating_sub(before.0))
}
