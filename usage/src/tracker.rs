//! The engine's incremental form: one session's totals, rate and reporting interval, record by record as they arrive.
//!
//! It keeps the newest sample and what came before it, nothing more. What needs all of a session's records (late data,
//! duplicates, verdicts) is the business of [`crate::evaluate`]; for records that come in order both agree.

use schema::live::{Confidence, Rate};
use schema::{BitsPerSecond, Octets, RecordFlags, StatusType, UnixTime};
use serde::{Deserialize, Serialize};

/// Reporting interval assumed, in seconds, until a session has shown its own.
pub const ASSUMED_INTERVAL: i64 = 600;
/// A session is presumed dead after this many of its intervals without a record, but not before [`PATIENCE`].
const DEAD_AFTER: i64 = 10;
/// Seconds without a record before which no session is presumed dead.
const PATIENCE: i64 = 7_200;

/// What a record says of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerInput {
    /// Event time.
    pub at: UnixTime,
    /// Arrival.
    pub arrived_at: UnixTime,
    /// Acct-Session-Time.
    pub session_time: Option<u32>,
    /// Download counter: RADIUS output.
    pub download: Option<Octets>,
    /// Upload counter: RADIUS input.
    pub upload: Option<Octets>,
    /// Acct-Status-Type.
    pub status: StatusType,
    /// What the record carries.
    pub flags: RecordFlags,
}

/// The running state of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    started_at: Option<UnixTime>,
    newest: Option<Point>,
    rate: Option<Rate>,
    gigawords: bool,
    /// Wraps of the 32-bit counters inferred so far, download and upload.
    wraps: (u32, u32),
    /// Counters that were lost to resets: what had been counted before them.
    before_reset: (Octets, Octets),
    interval: Option<u32>,
    last_seen_at: UnixTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Point {
    at: UnixTime,
    /// Counters as reported.
    download: Octets,
    upload: Octets,
}

impl Tracker {
    /// Takes the next record to arrive.
    pub fn apply(&mut self, input: &TrackerInput) {
        self.last_seen_at = self.last_seen_at.max(input.arrived_at);
        self.gigawords |= input.flags.has(RecordFlags::GIGAWORDS);
        let elapsed = input.session_time.or_else(|| (input.status == StatusType::START).then_some(0));
        let started_at = elapsed.map(|elapsed| input.at.plus(-i64::from(elapsed)));
        self.started_at = match (self.started_at, started_at) {
            (Some(known), Some(said)) => Some(known.min(said)),
            (known, said) => known.or(said),
        };
        let at = match (self.started_at, elapsed) {
            (Some(started_at), Some(elapsed)) => started_at.plus(i64::from(elapsed)),
            _ => input.at,
        };
        let point = self.counters(input, at);
        match self.newest {
            None => self.open(at, point, input.status),
            Some(newest) if at > newest.at => self.advance(newest, point),
            Some(_) => {}
        }
    }

    /// The record's counters; where it carries none, those before it.
    fn counters(&self, input: &TrackerInput, at: UnixTime) -> Point {
        let before = self.newest.unwrap_or(Point { at, download: Octets(0), upload: Octets(0) });
        let absent = input.download.is_none() && input.upload.is_none();
        // Some NASes send a Stop with zero octets after Lost-Carrier: it says nothing of what was used.
        let zero = [input.download, input.upload].iter().flatten().all(|octets| octets.0 == 0);
        if absent || (input.status == StatusType::STOP && zero) {
            return Point { at, ..before };
        }
        Point {
            at,
            download: input.download.unwrap_or(before.download),
            upload: input.upload.unwrap_or(before.upload),
        }
    }

    fn open(&mut self, at: UnixTime, point: Point, status: StatusType) {
        // A Start is a sample of zero; so is the computed start of a session met at its first Interim-Update or Stop, but
        // no rate is shown across a time that may be days.
        self.newest = Some(if status == StatusType::START { Point { at, ..point } } else { point });
    }

    fn advance(&mut self, before: Point, after: Point) {
        let seconds = after.at.since(before.at);
        let down = step(before.download, after.download);
        let up = step(before.upload, after.upload);
        let wrapped = !self.gigawords && (down.wrapped_plausibly(seconds) ^ up.wrapped_plausibly(seconds));
        self.newest = Some(after);
        self.learn(seconds);
        match (down, up) {
            (Step::Up(down), Step::Up(up)) => self.rate = rate(before.at, after.at, down, up),
            _ if wrapped && !(down.fell() && up.fell()) => {
                self.wraps.0 += u32::from(down.fell());
                self.wraps.1 += u32::from(up.fell());
                self.rate = rate(before.at, after.at, down.unwrapped(), up.unwrapped());
            }
            _ => {
                // Counters began anew: what they show since is usage, but over which time is unknown.
                let (total_down, total_up) = (self.total(before.download, 0), self.total(before.upload, 1));
                self.before_reset = (total_down, total_up);
                self.wraps = (0, 0);
                self.rate = None;
            }
        }
    }

    /// Half the old estimate and half the new gap, so that a few reports after a change of interval suffice.
    fn learn(&mut self, seconds: i64) {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.interval = Some(self.interval.map_or(seconds, |known| u32::midpoint(known, seconds).max(1)));
    }

    fn total(&self, counter: Octets, direction: u8) -> Octets {
        let (wraps, before) = if direction == 0 {
            (self.wraps.0, self.before_reset.0)
        } else {
            (self.wraps.1, self.before_reset.1)
        };
        before + Octets(u64::from(wraps) << 32) + counter
    }

    /// When the session began, as far as its records tell.
    #[must_use]
    pub const fn started_at(&self) -> Option<UnixTime> {
        self.started_at
    }

    /// To the subscriber since the session began.
    #[must_use]
    pub fn download(&self) -> Octets {
        self.newest.map_or(Octets(0), |newest| self.total(newest.download, 0))
    }

    /// From the subscriber since the session began.
    #[must_use]
    pub fn upload(&self) -> Octets {
        self.newest.map_or(Octets(0), |newest| self.total(newest.upload, 1))
    }

    /// Seconds from the start to the newest sample.
    #[must_use]
    pub fn duration_seconds(&self) -> u64 {
        let newest = self.newest.map(|newest| newest.at);
        self.started_at.zip(newest).map_or(0, |(start, end)| u64::try_from(end.since(start)).unwrap_or(0))
    }

    /// The average rate between the last two samples; `None` until two are known, and after a reset until the next.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The learned reporting interval.
    #[must_use]
    pub const fn interval_seconds(&self) -> Option<u32> {
        self.interval
    }

    /// Whether the session is still up, as far as its silence tells. Silence counts from the newest arrival, so that a
    /// record that came late is not overdue at once.
    #[must_use]
    pub fn confidence(&self, now: UnixTime) -> Confidence {
        let silent = now.since(self.last_seen_at);
        let interval = self.interval.map_or(ASSUMED_INTERVAL, i64::from).max(1);
        if silent * 2 <= interval * 5 {
            Confidence::Live
        } else if silent <= (interval * DEAD_AFTER).max(PATIENCE) {
            Confidence::Overdue
        } else {
            Confidence::PresumedDead
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Up(Octets),
    /// The difference if the 32-bit counter wrapped once; `None` where the counter was above 32 bits.
    Down(Option<Octets>),
}

impl Step {
    const fn fell(self) -> bool {
        matches!(self, Self::Down(_))
    }

    fn unwrapped(self) -> Octets {
        match self {
            Self::Up(octets) | Self::Down(Some(octets)) => octets,
            Self::Down(None) => Octets(0),
        }
    }

    /// Whether it fell, and one wrap would explain it at up to 10 Gbit/s.
    fn wrapped_plausibly(self, seconds: i64) -> bool {
        const FASTEST: u64 = 10_000_000_000 / 8;
        matches!(self, Self::Down(Some(octets)) if octets.0 <= FASTEST.saturating_mul(u64::try_from(seconds).unwrap_or(0)))
    }
}

fn step(before: Octets, after: Octets) -> Step {
    const WRAP: u64 = 1 << 32;
    if after >= before {
        Step::Up(after.saturating_sub(before))
    } else if before.0 < WRAP {
        Step::Down(Some(Octets(after.0 + WRAP - before.0)))
    } else {
        Step::Down(None)
    }
}

fn rate(from: UnixTime, to: UnixTime, download: Octets, upload: Octets) -> Option<Rate> {
    let seconds = u64::try_from(to.since(from)).ok()?;
    let download_bps = BitsPerSecond::average(download, seconds)?;
    let upload_bps = BitsPerSecond::average(upload, seconds)?;
    Some(Rate { from, to, download_bps, upload_bps })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(status: StatusType, time: u32, download: u64, upload: u64) -> TrackerInput {
        TrackerInput {
            at: UnixTime(1_000_000 + i64::from(time)),
            arrived_at: UnixTime(1_000_000 + i64::from(time)),
            session_time: Some(time),
            download: Some(Octets(download)),
            upload: Some(Octets(upload)),
            status,
            flags: RecordFlags::default(),
        }
    }

    fn track(inputs: &[TrackerInput]) -> Tracker {
        let mut tracker = Tracker::default();
        inputs.iter().for_each(|input| tracker.apply(input));
        tracker
    }

    const START: StatusType = StatusType::START;
    const INTERIM: StatusType = StatusType::INTERIM_UPDATE;
    const STOP: StatusType = StatusType::STOP;

    #[test]
    fn the_rate_is_the_average_between_the_last_two_samples() {
        let tracker = track(&[input(START, 0, 0, 0), input(INTERIM, 300, 75_000_000, 3_000)]);
        let rate = tracker.rate().unwrap();
        assert_eq!((rate.download_bps.0, rate.upload_bps.0), (2_000_000, 80));
        assert_eq!(rate.to.since(rate.from), 300);
        assert_eq!(tracker.interval_seconds(), Some(300));
    }

    #[test]
    fn a_session_met_in_mid_life_shows_no_rate_until_its_second_record() {
        let mut tracker = track(&[input(INTERIM, 90_000, 5_000_000_000, 1)]);
        assert_eq!((tracker.rate(), tracker.download()), (None, Octets(5_000_000_000)));
        tracker.apply(&input(INTERIM, 90_300, 5_000_000_000, 1));
        assert_eq!(tracker.rate().unwrap().download_bps.0, 0);
    }

    #[test]
    fn records_out_of_order_and_repeated_change_nothing() {
        let ordered = track(&[input(START, 0, 0, 0), input(INTERIM, 600, 900, 9)]);
        let mut shuffled = ordered.clone();
        shuffled.apply(&input(INTERIM, 300, 500, 5));
        shuffled.apply(&input(INTERIM, 600, 900, 9));
        assert_eq!((shuffled.download(), shuffled.rate()), (ordered.download(), ordered.rate()));
    }

    #[test]
    fn a_stop_with_zero_octets_keeps_what_was_counted() {
        assert_eq!(track(&[input(INTERIM, 300, 500, 5), input(STOP, 310, 0, 0)]).download(), Octets(500));
    }

    #[test]
    fn one_direction_that_falls_without_gigawords_has_wrapped() {
        let tracker = track(&[
            input(START, 0, 0, 0),
            input(INTERIM, 300, 4_294_967_000, 10),
            input(INTERIM, 600, 704, 20),
        ]);
        assert_eq!(tracker.download(), Octets((1 << 32) + 704));
        assert_eq!(tracker.rate().unwrap().download_bps.0, 1_000 * 8 / 300);
    }

    #[test]
    fn both_directions_falling_is_a_reset_and_never_a_spike() {
        let tracker =
            track(&[input(START, 0, 0, 0), input(INTERIM, 300, 1_000, 1_000), input(INTERIM, 600, 10, 10)]);
        assert_eq!(
            (tracker.download(), tracker.upload(), tracker.rate()),
            (Octets(1_010), Octets(1_010), None)
        );
    }

    #[test]
    fn silence_makes_a_session_overdue_then_presumed_dead() {
        let tracker = track(&[input(START, 0, 0, 0), input(INTERIM, 300, 1, 1)]);
        let after = |seconds: i64| tracker.confidence(UnixTime(1_000_300 + seconds));
        assert_eq!(
            (after(750), after(751), after(7_200), after(7_201)),
            (Confidence::Live, Confidence::Overdue, Confidence::Overdue, Confidence::PresumedDead)
        );
    }
}
