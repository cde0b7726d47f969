//! The engine's incremental form: one session's totals, rate and reporting interval, record by record as they arrive.
//!
//! It keeps the newest sample and what came before it, nothing more. What needs all of a session's records (late data,
//! duplicates, verdicts) is the business of [`crate::evaluate`]; for records that come in order both agree.

use schema::live::{Confidence, Rate};
use schema::{BitsPerSecond, Octets, RecordFlags, StatusType, UnixTime};
use serde::{Deserialize, Serialize};

use crate::counters::{Counters, Port, Verdict};
use crate::incarnation::START_TOLERANCE;

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

impl TrackerInput {
    fn elapsed(&self) -> Option<i64> {
        self.session_time.map(i64::from).or_else(|| (self.status == StatusType::START).then_some(0))
    }

    fn octets(&self) -> Option<(Octets, Octets)> {
        let any = self.download.is_some() || self.upload.is_some();
        any.then(|| (self.download.unwrap_or_default(), self.upload.unwrap_or_default()))
    }
}

/// Gaps between reports that the interval is learned from.
const GAPS: usize = 5;

/// The running state of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    started_at: Option<UnixTime>,
    counters: Counters,
    /// The newest sample's time by the session's own clock, which does not step with the NAS's.
    newest_at: Option<UnixTime>,
    rate: Option<Rate>,
    /// The last gaps between reports, in seconds, newest first; 0 where there was none yet.
    gaps: [u32; GAPS],
    last_seen_at: UnixTime,
}

impl Tracker {
    /// A session whose NAS's ports have this speed, where that is known.
    #[must_use]
    pub fn new(port_speed: Option<BitsPerSecond>) -> Self {
        Self { counters: Counters::new(false, Port::of(port_speed), None), ..Self::default() }
    }

    /// Takes the next record to arrive. `None`: it changes no counter, because it repeats another or a later one came before.
    pub fn apply(&mut self, input: &TrackerInput) -> Option<Verdict> {
        self.last_seen_at = self.last_seen_at.max(input.arrived_at);
        if input.flags.has(RecordFlags::GIGAWORDS) {
            self.counters.note_gigawords();
        }
        let at = self.time(input);
        match self.newest_at {
            None => Some(self.open(input, at)),
            Some(newest) if at > newest => Some(self.advance(input, newest, at)),
            // More is said of the same second: an Interim-Update and the Stop.
            Some(newest) if at == newest && self.counters.rise(input.octets()) => {
                Some(self.counters.take(input.status, input.octets(), at))
            }
            Some(_) => None,
        }
    }

    /// When the record speaks, by the session's clock; learns the start.
    fn time(&mut self, input: &TrackerInput) -> UnixTime {
        let Some(elapsed) = input.elapsed() else { return input.at };
        let told = input.at.plus(-elapsed);
        let known = self.started_at.unwrap_or(told);
        let sooner = told < known && known.since(told) <= START_TOLERANCE;
        let start = if sooner { told } else { known };
        self.started_at = Some(start);
        start.plus(elapsed)
    }

    /// The first sample. No rate is shown from a computed start to it: that time may be days.
    fn open(&mut self, input: &TrackerInput, at: UnixTime) -> Verdict {
        self.counters.start(self.started_at);
        self.newest_at = Some(at);
        self.counters.take(input.status, input.octets(), at)
    }

    fn advance(&mut self, input: &TrackerInput, newest: UnixTime, at: UnixTime) -> Verdict {
        let (before, counted_at) = (self.counters.total(), self.counters.at());
        let verdict = self.counters.take(input.status, input.octets(), at);
        self.learn(at.since(newest));
        self.newest_at = Some(at);
        match verdict {
            Verdict::Ok | Verdict::WrapInferred => {
                let now = self.counters.total();
                self.rate = counted_at.and_then(|from| rate(from, at, now.0 - before.0, now.1 - before.1));
            }
            // Nothing is said of the traffic.
            Verdict::WithoutOctets | Verdict::StopWithoutOctets => {}
            // What is counted since a reset is usage, but over which time is unknown.
            _ => self.rate = None,
        }
        verdict
    }

    fn learn(&mut self, seconds: i64) {
        self.gaps.rotate_right(1);
        self.gaps[0] = u32::try_from(seconds).unwrap_or(u32::MAX);
    }

    /// When the session began, as far as its records tell.
    #[must_use]
    pub const fn started_at(&self) -> Option<UnixTime> {
        self.started_at
    }

    /// To the subscriber since the session began.
    #[must_use]
    pub const fn download(&self) -> Octets {
        self.counters.total().0
    }

    /// From the subscriber since the session began.
    #[must_use]
    pub const fn upload(&self) -> Octets {
        self.counters.total().1
    }

    /// Seconds from the start to the newest sample.
    #[must_use]
    pub fn duration_seconds(&self) -> u64 {
        self.started_at
            .zip(self.newest_at)
            .map_or(0, |(start, end)| u64::try_from(end.since(start)).unwrap_or(0))
    }

    /// The average rate between the last two samples; `None` until two are known, and after a reset until the next.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The learned reporting interval: the median of the last gaps between reports, so that neither a lost report nor one
    /// sent early (an address came) changes it. `None` until two gaps are known.
    #[must_use]
    pub fn interval_seconds(&self) -> Option<u32> {
        let mut gaps = self.gaps;
        gaps.sort_unstable();
        let known = gaps.iter().filter(|gap| **gap > 0).count();
        gaps.get(GAPS - known + known / 2).copied().filter(|_| known >= 2)
    }

    /// Whether the session is still up, as far as its silence tells. Silence counts from the newest arrival, so that a
    /// record that came late is not overdue at once.
    #[must_use]
    pub fn confidence(&self, now: UnixTime) -> Confidence {
        let silent = now.since(self.last_seen_at);
        let interval = self.interval_seconds().map_or(ASSUMED_INTERVAL, i64::from);
        if silent * 2 <= interval * 5 {
            Confidence::Live
        } else if silent <= (interval * DEAD_AFTER).max(PATIENCE) {
            Confidence::Overdue
        } else {
            Confidence::PresumedDead
        }
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
        inputs.iter().for_each(|input| _ = tracker.apply(input));
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
    }

    #[test]
    fn the_interval_is_learned_from_two_gaps_and_survives_early_and_lost_reports() {
        let mut tracker = track(&[input(START, 0, 0, 0), input(INTERIM, 2, 1, 1)]);
        assert_eq!(tracker.interval_seconds(), None);
        for time in [302, 602, 902, 1_802] {
            tracker.apply(&input(INTERIM, time, 1, 1));
            assert_eq!(tracker.interval_seconds(), Some(300));
        }
    }

    #[test]
    fn a_step_of_the_clock_makes_no_spike_and_stops_nothing() {
        for step in [-7_200, 7_200] {
            let mut tracker = track(&[input(START, 0, 0, 0), input(INTERIM, 300, 75_000_000, 0)]);
            let mut stepped = input(INTERIM, 600, 150_000_000, 0);
            stepped.at = stepped.at.plus(step);
            tracker.apply(&stepped);
            assert_eq!(tracker.rate().unwrap().download_bps.0, 2_000_000);
            assert_eq!((tracker.download().0, tracker.duration_seconds()), (150_000_000, 600));
        }
    }

    #[test]
    fn more_octets_in_the_second_of_the_stop_are_counted() {
        let tracker = track(&[input(INTERIM, 300, 500, 5), input(STOP, 300, 600, 6)]);
        assert_eq!((tracker.download().0, tracker.upload().0), (600, 6));
    }

    #[test]
    fn a_counter_that_no_port_could_reach_is_never_added() {
        let mut tracker = track(&[input(START, 0, 0, 0), input(INTERIM, 300, u64::MAX, 5)]);
        assert_eq!((tracker.download(), tracker.rate()), (Octets(0), None));
        tracker.apply(&input(INTERIM, 600, 750, 5));
        assert_eq!((tracker.download(), tracker.rate().unwrap().download_bps.0), (Octets(750), 10));
    }

    #[test]
    fn a_slower_port_makes_less_plausible() {
        let reports = [input(START, 0, 0, 0), input(INTERIM, 300, 600_000_000_000, 5)];
        let download = |mut tracker: Tracker| {
            reports.iter().for_each(|input| _ = tracker.apply(input));
            tracker.download().0
        };
        assert_eq!(download(Tracker::default()), 600_000_000_000);
        assert_eq!(download(Tracker::new(Some(BitsPerSecond(1_000_000_000)))), 0);
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Tracker>() <= 256, "{}", size_of::<Tracker>());
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
        let tracker = track(&[input(START, 0, 0, 0), input(INTERIM, 300, 1, 1), input(INTERIM, 600, 1, 1)]);
        let after = |seconds: i64| tracker.confidence(UnixTime(1_000_600 + seconds));
        assert_eq!(
            (after(750), after(751), after(7_200), after(7_201)),
            (Confidence::Live, Confidence::Overdue, Confidence::Overdue, Confidence::PresumedDead)
        );
    }
}
