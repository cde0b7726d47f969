//! The provider's calendar: days, weeks and months in local time, as instants.
//!
//! A local day begins at its first instant: midnight, or where the clock skips midnight, the first instant after the
//! skip; where midnight occurs twice, the first one. Days of 23 and 25 hours follow from that. Where a clock is set back
//! across midnight, what then repeats of the old date belongs to the new day.
//!
//! A local hour ends where the clock shows a full hour or another hour than before: of an hour that occurs twice there
//! are two; where a clock is set by half an hour (Lord Howe), one hour has 30 or 90 minutes.

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

/// Instants of a time zone's days, weeks and months, and since when usage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    zone: Tz,
    usage_starts_at: UnixTime,
}

impl Calendar {
    /// The calendar of `zone`, in which all usage counts.
    #[must_use]
    pub const fn new(zone: Tz) -> Self {
        Self { zone, usage_starts_at: UnixTime(0) }
    }

    /// The same, but what was used before `usage_starts_at` is somebody else's to count.
    #[must_use]
    pub const fn counting_since(self, usage_starts_at: UnixTime) -> Self {
        Self { usage_starts_at, ..self }
    }

    /// Since when usage counts.
    #[must_use]
    pub const fn usage_starts_at(&self) -> UnixTime {
        self.usage_starts_at
    }

    /// The instant that `text` tells in RFC 3339 (2026-01-31T00:00:00Z), or the first one of a local date (2026-01-31).
    #[must_use]
    pub fn instant(&self, text: &str) -> Option<UnixTime> {
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Some(self.day(date).starts_at);
        }
        DateTime::parse_from_rfc3339(text).ok().map(|time| UnixTime(time.timestamp()))
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
        let day = self.day(self.local(time).date_naive());
        if time < day.ends_at { day } else { self.day(next_day(day.date)) }
    }

    /// The local day with this date.
    #[must_use]
    pub fn day(&self, date: NaiveDate) -> LocalDay {
        LocalDay { date, starts_at: self.first_instant(date), ends_at: self.first_instant(next_day(date)) }
    }

    /// First instants of the month that holds `time` and of the next.
    #[must_use]
    pub fn month_of(&self, time: UnixTime) -> (UnixTime, UnixTime) {
        let first = first_of_month(self.day_of(time).date);
        (self.first_instant(first), self.first_instant(add_months(first, 1)))
    }

    /// The billing cycle that holds `time`, for an anchor day of 1 to 31. In a month that has no such day the cycle
    /// begins on the month's last day.
    #[must_use]
    pub fn cycle_of(&self, time: UnixTime, anchor: u32) -> (UnixTime, UnixTime) {
        let month = first_of_month(self.day_of(time).date);
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
        match step {
            // Every UTC offset since 1972 is a multiple of five minutes but for Liberia's, which ended that year.
            Step::FiveMinutes => UnixTime(time.0 - time.0.rem_euclid(300) + 300),
            Step::Hour => self.end_of_hour(time),
            Step::Day => self.day_of(time).ends_at,
            Step::Week => {
                let date = self.day_of(time).date;
                let to_monday = 7 - u64::from(date.weekday().num_days_from_monday());
                self.first_instant(date.checked_add_days(Days::new(to_monday)).unwrap_or(date))
            }
            Step::Month => self.month_of(time).1,
        }
    }

    fn end_of_hour(&self, time: UnixTime) -> UnixTime {
        let local = self.local(time);
        let end = time.plus(3_600 - into_hour(&local));
        let steady = |at: UnixTime| {
            self.local(at).naive_local() - local.naive_local() == TimeDelta::seconds(at.since(time))
        };
        if steady(end) {
            return end;
        }
        // The clock is set on the way.
        let set = first_not(time, end, steady);
        let clock = self.local(set);
        let same_hour = (clock.date_naive(), clock.hour()) == (local.date_naive(), local.hour());
        if same_hour && into_hour(&clock) > 0 { self.end_of_hour(set) } else { set }
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
        // Gaps are shorter than a day, or a whole day (Samoa, 2011).
        let midnight = UnixTime::from(missing.and_utc());
        let before = |at: UnixTime| self.local(at).naive_local() < missing;
        first_not(midnight.plus(-2 * 86_400), midnight.plus(2 * 86_400), before).utc()
    }
}

/// The first second after `from`, up to `to`, at which `holds` does not, by bisection: it holds at `from`, not at `to`.
fn first_not(from: UnixTime, to: UnixTime, holds: impl Fn(UnixTime) -> bool) -> UnixTime {
    let (mut last, mut first) = (from.0, to.0);
    while first - last > 1 {
        let middle = i64::midpoint(last, first);
        if holds(UnixTime(middle)) { last = middle } else { first = middle }
    }
    UnixTime(first)
}

fn into_hour(local: &DateTime<Tz>) -> i64 {
    i64::from(local.minute() * 60 + local.second())
}

fn next_day(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).unwrap_or(date)
}

fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
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
mod tests;
