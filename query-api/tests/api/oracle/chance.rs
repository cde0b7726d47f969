//! Draws worlds: what may happen, how often, and what must not, because it would leave the truth open.

use proptest::prelude::*;

use super::world::{End, Fate, Key, MANNERS, Manner, Oddity, Report, Season, Session};

/// Seconds before a reset: in one bucket of a rollup it would not show.
const BEFORE_RESET: i64 = 310;

fn fates() -> impl Strategy<Value = Fate> {
    let held = prop_oneof![6 => Just(0), 1 => 1i64..5];
    let delay = prop_oneof![5 => Just(0), 1 => 1i64..40, 1 => 400i64..20_000];
    let again = proptest::option::weighted(0.15, 1i64..30);
    let rare = proptest::bool::weighted;
    (rare(0.12), held, delay, again, rare(0.04), rare(0.1), rare(0.2), rare(0.2)).prop_map(
        |(lost, held, delay, again, replayed, failed_over, without_port, moved)| Fate {
            lost,
            held,
            delay,
            again,
            replayed,
            failed_over,
            without_port,
            moved,
        },
    )
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let step = prop_oneof![8 => 60i64..9_000, 2 => 0i64..60];
    let report = (step, 0u64..900_000_000, 0u64..9_000_000, fates())
        .prop_map(|(step, down, up, fate)| Report { step, down, up, fate });
    proptest::collection::vec(report, 1..14)
}

fn oddities() -> impl Strategy<Value = Oddity> {
    let clocks = prop_oneof![Just(-86_400), Just(-7_200), Just(-60), Just(7_200)];
    prop_oneof![
        6 => Just(Oddity::None),
        1 => (2usize..8).prop_map(Oddity::Reset),
        1 => (0usize..8, 1usize..20).prop_map(|(from, count)| Oddity::Renamed(from, from + count)),
        1 => (1usize..8, clocks).prop_map(|(at, by)| Oddity::ClockSet(at, by)),
    ]
}

fn sessions() -> impl Strategy<Value = Session> {
    let end = prop_oneof![2 => Just(End::Open), 4 => Just(End::Stop), 1 => Just(End::ZeroStop)];
    let manner = proptest::sample::select(MANNERS.to_vec());
    let start_again = proptest::option::weighted(0.1, prop_oneof![1i64..8, 30i64..400]);
    (manner, 100i64..450_000, reports(), fates(), start_again, oddities(), end).prop_map(
        |(manner, start, reports, start_fate, start_again, oddity, end)| {
            Session { manner, start, reports, start_fate, start_again, oddity, end }.sensible()
        },
    )
}

pub fn keys() -> impl Strategy<Value = Key> {
    let several = prop_oneof![5 => Just(1usize), 2 => Just(2)];
    let rare = proptest::bool::weighted;
    (proptest::collection::vec(sessions(), 2), several, rare(0.3), rare(0.5), rare(0.1)).prop_map(
        |(sessions, several, twins, reused, service)| Key::of(sessions, several, twins, reused, service),
    )
}

pub fn seasons() -> impl Strategy<Value = Season> {
    prop_oneof![Just(Season::Autumn), Just(Season::Spring)]
}

impl Session {
    /// Takes away what would leave the truth open.
    fn sensible(mut self) -> Self {
        // A Start long after the session's may be one of another session.
        self.start_fate.lost &= self.start_again.is_none();
        let last = self.reports.len() - 1;
        self.oddity = match self.oddity {
            Oddity::Reset(at) if at < last && self.manner != Manner::NoGigawords => Oddity::Reset(at),
            // Names that come back and counters that fall might as well be two sessions.
            Oddity::Renamed(from, to)
                if from <= last && (to > last || self.manner != Manner::NoGigawords) =>
            {
                Oddity::Renamed(from, to)
            }
            Oddity::ClockSet(at, by) if at <= last && self.manner == Manner::Timestamps => {
                Oddity::ClockSet(at, by)
            }
            _ => Oddity::None,
        };
        if let Oddity::Reset(at) = self.oddity {
            self.tell_reset(at);
        }
        if matches!(self.oddity, Oddity::ClockSet(..)) || self.manner == Manner::Clock1970 {
            self.be_prompt();
        }
        if self.manner == Manner::NoGigawords {
            self.tell_wraps();
        }
        // Counters before the first second are nobody's; of two reports in one second the order is not told.
        let least = if self.oddity == Oddity::None { 0 } else { 1 };
        self.reports.iter_mut().for_each(|report| report.step = report.step.max(least));
        self.reports[0].step = self.reports[0].step.max(1);
        self
    }

    /// The fall must be told: what was counted before is much, what is counted after it little.
    fn tell_reset(&mut self, at: usize) {
        for (report, down, up) in [(at - 1, 50_000_000, 5_000_000), (at, 1_000, 100)] {
            self.reports[report].down = down;
            self.reports[report].up = up;
            self.reports[report].fate.lost = false;
        }
        self.reports[at].step = self.reports[at].step.max(BEFORE_RESET);
    }

    /// Only the arrival tells the time.
    fn be_prompt(&mut self) {
        for fate in self.fates() {
            (fate.delay, fate.replayed, fate.again) = (0, false, None);
        }
        self.start_fate.lost = false;
        if let Oddity::ClockSet(..) = self.oddity {
            self.fates().for_each(|fate| fate.held = 0);
            self.start_again = None;
        }
    }

    /// More than 4 GiB between two delivered reports cannot be told, nor more than the port carries.
    fn tell_wraps(&mut self) {
        let mut lost = 0;
        for report in &mut self.reports {
            report.fate.lost &= lost < 2;
            lost = if report.fate.lost { lost + 1 } else { 0 };
            report.down = report.down.min(u64::try_from(report.step).unwrap() * 10_000_000);
        }
    }

    fn fates(&mut self) -> impl Iterator<Item = &mut Fate> {
        let reports = self.reports.iter_mut().map(|report| &mut report.fate);
        reports.chain([&mut self.start_fate])
    }
}

impl Key {
    fn of(mut sessions: Vec<Session>, several: usize, twins: bool, reused: bool, service: bool) -> Self {
        sessions.truncate(several);
        let twins = twins && several == 2;
        let manner = sessions[0].manner;
        for session in &mut sessions {
            session.manner = manner;
            *session = session.clone().sensible();
            if twins {
                // What tells them apart must be said.
                (session.oddity, session.start_again) = (Oddity::None, None);
                session.start_fate.lost = false;
                session.fates().for_each(|fate| fate.without_port = false);
            }
        }
        Self { sessions, twins, reused, service }
    }
}
