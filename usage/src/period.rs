//! The provider's calendar: days, weeks and months in local time, as instants.
//!
//! A local day begins at its first instant: midnight, or where the clock skips midnight, the first instant after the
//! skip; where midnight occurs twice, the first one. Days of 23 and 25 hours follow from that.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use schema::UnixTime;

/// Most steps that a series may have.
pub const MAX_STEPS: usize = 10_000;

/// One local day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDay {
    /// Its date.
    pub date: NaiveDate,
    /// Its first instant.
    pub starts_at: UnixTime,
    /// The next day's first instant.
    pub ends_at: UnixTime,
}

/// The length of a series' steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Five minutes.
    FiveMinutes,
    /// An hour of the local clock.
    Hour,
    /// A local day.
    Day,
    /// A local week, from Monday (ISO 8601).
    Week,
    /// A local month.
    Month,
}

/// A text that is no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a step: 5m, 1h, 1d, 1w or 1mo is expected")]
pub struct UnknownStep(pub String);

/// A series with too many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the period has more than {MAX_STEPS} steps of {0}; choose a longer step or a shorter period")]
pub struct TooManySteps(pub Step);

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::FiveMinutes, Self::Hour, Self::Day, Self::Week, Self::Month]
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or_else(|| UnknownStep(text.to_owned()))
    }
}

impl Step {
    /// As the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Week => "1w",
            Self::Month => "1mo",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Instants of a time zone's days, weeks and months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    zone: Tz,
}

impl Calendar {
    /// The calendar of `zone`.
    #[must_use]
    pub const fn new(zone: Tz) -> Self {
        Self { zone }
    }

    /// The time zone.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// A time on the local clock.
    #[must_use]
    pub fn local(&self, time: UnixTime) -> DateTime<Tz> {
        time.utc().with_timezone(&self.zone)
    }

    /// The local day that holds `time`.
    #[must_use]
    pub fn day_of(&self, time: UnixTime) -> LocalDay {
        self.day(self.local(time).date_naive())
    }

    /// The local day with this date.
    #[must_use]
    pub fn day(&self, date: NaiveDate) -> LocalDay {
        let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
        LocalDay { date, starts_at: self.first_instant(date), ends_at: self.first_instant(next) }
    }

    /// First instants of the month that holds `time` and of the next.
    #[must_use]
    pub fn month_of(&self, time: UnixTime) -> (UnixTime, UnixTime) {
        let date = self.local(time).date_naive();
        let first = date.with_day(1).unwrap_or(date);
        (self.first_instant(first), self.first_instant(add_months(first, 1)))
    }

    /// The billing cycle that holds `time`, for an anchor day of 1 to 31. In a month that has no such day the cycle
    /// begins on the month's last day.
    #[must_use]
    pub fn cycle_of(&self, time: UnixTime, anchor: u32) -> (UnixTime, UnixTime) {
        let month = self.local(time).date_naive().with_day(1).unwrap_or_default();
        let start = |months: i32| self.first_instant(anchored(add_months(month, months), anchor));
        if time < start(0) { (start(-1), start(0)) } else { (start(0), start(1)) }
    }

    /// The steps of a series: aligned to the local clock, the first and last clipped to `[from, to)`.
    ///
    /// # Errors
    /// There are more than [`MAX_STEPS`].
    pub fn steps(
        &self,
        step: Step,
        from: UnixTime,
        to: UnixTime,
    ) -> Result<Vec<(UnixTime, UnixTime)>, TooManySteps> {
        let mut steps = Vec::new();
        let mut at = from;
        while at < to {
            if steps.len() == MAX_STEPS {
                return Err(TooManySteps(step));
            }
            let end = self.end_of_step(step, at).min(to);
            steps.push((at, end));
            at = end;
        }
        Ok(steps)
    }

    /// Where the step that holds `time` ends.
    fn end_of_step(&self, step: Step, time: UnixTime) -> UnixTime {
        let local = self.local(time);
        let date = local.date_naive();
        match step {
            // Five minutes divide every UTC offset in use today; a step never leaves its hour otherwise.
            Step::FiveMinutes => UnixTime(time.0 - time.0.rem_euclid(300) + 300),
            Step::Hour => {
                let into_hour = i64::from(local.minute() * 60 + local.second());
                // A change of the clock by less than an hour (Lord Howe) ends the hour early or late by that much.
                let end = time.plus(3_600 - into_hour);
                let clock = self.local(end);
                let off = i64::from(clock.minute() * 60 + clock.second());
                if off == 0 { end } else { end.plus(-off).max(time.plus(1)) }
            }
            Step::Day => self.day(date).ends_at,
            Step::Week => {
                let to_monday = 7 - u64::from(date.weekday().num_days_from_monday());
                self.first_instant(date.checked_add_days(Days::new(to_monday)).unwrap_or(date))
            }
            Step::Month => self.month_of(time).1,
        }
    }

    fn first_instant(&self, date: NaiveDate) -> UnixTime {
        let midnight = date.and_time(NaiveTime::MIN);
        let instant = self
            .zone
            .from_local_datetime(&midnight)
            .earliest()
            .map_or_else(|| self.after_gap(midnight), |at| at.to_utc());
        UnixTime::from(instant)
    }

    /// The instant at which the clock jumps over `missing`.
    fn after_gap(&self, missing: NaiveDateTime) -> DateTime<Utc> {
        // Gaps are shorter than a day or a whole day (Samoa, 2011). The last instant before the gap, by bisection.
        let (mut before, mut after) =
            (missing.and_utc() - TimeDelta::days(2), missing.and_utc() + TimeDelta::days(2));
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if middle.with_timezone(&self.zone).naive_local() < missing {
                before = middle
            } else {
                after = middle
            }
        }
        after
    }
}

fn add_months(date: NaiveDate, months: i32) -> NaiveDate {
    let count = Months::new(months.unsigned_abs());
    let moved = if months < 0 { date.checked_sub_months(count) } else { date.checked_add_months(count) };
    moved.unwrap_or(date)
}

/// The anchor day in the month that begins with `first`, or the month's last day.
fn anchored(first: NaiveDate, anchor: u32) -> NaiveDate {
    (1..=anchor.clamp(1, 31)).rev().find_map(|day| first.with_day(day)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> UnixTime {
        UnixTime::from(DateTime::parse_from_rfc3339(text).unwrap().to_utc())
    }

    fn day_hours(zone: Tz, date: &str) -> i64 {
        let day = Calendar::new(zone).day(date.parse().unwrap());
        day.ends_at.since(day.starts_at) / 3_600
    }

    #[test]
    fn days_have_23_and_25_hours_when_the_clock_changes() {
        assert_eq!(day_hours(Tz::Europe__Berlin, "2026-03-29"), 23);
        assert_eq!(day_hours(Tz::Europe__Berlin, "2026-10-25"), 25);
        assert_eq!(day_hours(Tz::Africa__Lagos, "2026-10-25"), 24);
        // Midnight does not exist: the day begins at 01:00.
        assert_eq!(day_hours(Tz::Africa__Cairo, "2026-04-24"), 23);
        let day = Calendar::new(Tz::America__Sao_Paulo).day("2018-11-04".parse().unwrap());
        assert_eq!(day.starts_at, at("2018-11-04T03:00:00Z"));
        // A date that never was.
        assert_eq!(day_hours(Tz::Pacific__Apia, "2011-12-30"), 0);
    }

    #[test]
    fn hours_follow_the_local_clock() {
        let lord_howe = Calendar::new(Tz::Australia__Lord_Howe);
        let steps =
            lord_howe.steps(Step::Hour, at("2026-04-04T13:30:00Z"), at("2026-04-04T18:00:00Z")).unwrap();
        for window in steps.windows(2) {
            assert_eq!(window[0].1, window[1].0);
        }
        let kolkata = Calendar::new(Tz::Asia__Kolkata);
        let steps =
            kolkata.steps(Step::Hour, at("2026-01-01T00:00:00Z"), at("2026-01-01T02:00:00Z")).unwrap();
        assert_eq!(steps[0], (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:30:00Z")));
        assert_eq!(steps.len(), 3);
    }

    #[test]
    fn cycles_begin_on_the_last_day_of_short_months() {
        let calendar = Calendar::new(Tz::UTC);
        assert_eq!(
            calendar.cycle_of(at("2026-02-27T12:00:00Z"), 31),
            (at("2026-01-31T00:00:00Z"), at("2026-02-28T00:00:00Z"))
        );
        assert_eq!(
            calendar.cycle_of(at("2026-02-28T00:00:00Z"), 31),
            (at("2026-02-28T00:00:00Z"), at("2026-03-31T00:00:00Z"))
        );
        assert_eq!(
            calendar.cycle_of(at("2028-02-29T00:00:00Z"), 29),
            (at("2028-02-29T00:00:00Z"), at("2028-03-29T00:00:00Z"))
        );
        assert_eq!(
            calendar.cycle_of(at("2026-01-14T23:59:59Z"), 15),
            (at("2025-12-15T00:00:00Z"), at("2026-01-15T00:00:00Z"))
        );
    }

    #[test]
    fn unknown_steps_and_endless_series_are_named() {
        assert_eq!(
            "2h".parse::<Step>().unwrap_err().to_string(),
            "\"2h\" is not a step: 5m, 1h, 1d, 1w or 1mo is expected"
        );
        let error =
            Calendar::new(Tz::UTC).steps(Step::FiveMinutes, UnixTime(0), UnixTime(86_400 * 365)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the period has more than 10000 steps of 5m; choose a longer step or a shorter period"
        );
    }

    fn zones() -> impl Strategy<Value = Tz> {
        prop::sample::select(vec![
            Tz::UTC,
            Tz::Europe__Berlin,
            Tz::Africa__Cairo,
            Tz::America__Sao_Paulo,
            Tz::Australia__Lord_Howe,
            Tz::Asia__Kolkata,
            Tz::Pacific__Apia,
        ])
    }

    fn all_steps() -> impl Strategy<Value = Step> {
        prop::sample::select(vec![Step::FiveMinutes, Step::Hour, Step::Day, Step::Week, Step::Month])
    }

    proptest! {
        #[test]
        fn a_day_holds_its_times_and_days_adjoin(zone in zones(), time in 1_000_000_000i64..1_900_000_000) {
            let calendar = Calendar::new(zone);
            let day = calendar.day_of(UnixTime(time));
            prop_assert!(day.starts_at.0 <= time && time < day.ends_at.0);
            prop_assert_eq!(calendar.day_of(day.starts_at), day);
            prop_assert_eq!(calendar.day_of(day.ends_at).starts_at, day.ends_at);
        }

        #[test]
        fn steps_cover_the_period_without_gap(zone in zones(), step in all_steps(), from in 1_000_000_000i64..1_900_000_000, length in 1i64..2_000_000) {
            let steps = Calendar::new(zone).steps(step, UnixTime(from), UnixTime(from + length)).unwrap();
            prop_assert_eq!(steps.first().unwrap().0, UnixTime(from));
            prop_assert_eq!(steps.last().unwrap().1, UnixTime(from + length));
            prop_assert!(steps.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].0 < pair[0].1));
        }

        #[test]
        fn a_cycle_holds_its_times(zone in zones(), time in 1_000_000_000i64..1_900_000_000, anchor in 1u32..=31) {
            let calendar = Calendar::new(zone);
            let (start, end) = calendar.cycle_of(UnixTime(time), anchor);
            prop_assert!(start.0 <= time && time < end.0);
            prop_assert_eq!(calendar.cycle_of(end, anchor).0, end);
        }
    }
}
