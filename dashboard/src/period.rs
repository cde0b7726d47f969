//! The period that the statistics page shows: a preset or whole days, in the provider's zone.

use chrono::{Days, NaiveDate};
use schema::UnixTime;
use usage::{Calendar, Step};

/// Longest period in days; what ClickHouse keeps is the other limit.
const MAX_DAYS: i64 = 1100;

/// A way to choose a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    Today,
    SevenDays,
    Month,
    LastMonth,
    Custom,
}

impl Preset {
    /// Those that a link chooses.
    pub(crate) const LINKS: [Self; 4] = [Self::Today, Self::SevenDays, Self::Month, Self::LastMonth];

    /// As it stands in the address.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::SevenDays => "7d",
            Self::Month => "month",
            Self::LastMonth => "last-month",
            Self::Custom => "custom",
        }
    }

    /// As people read it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Today => "Today",
            Self::SevenDays => "7 days",
            Self::Month => "This month",
            Self::LastMonth => "Last month",
            Self::Custom => "Dates",
        }
    }
}

/// A period of whole local days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) preset: Preset,
    /// The first day.
    pub(crate) first: NaiveDate,
    /// The last day; it belongs to the period.
    pub(crate) last: NaiveDate,
    /// The first day's first instant.
    pub(crate) from: UnixTime,
    /// The first instant after the last day.
    pub(crate) to: UnixTime,
}

impl Period {
    /// The period that an address names. What cannot be read becomes the last seven days, and a sentence that says so.
    pub(crate) fn read(
        preset: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
        calendar: &Calendar,
        now: UnixTime,
    ) -> (Self, Option<String>) {
        let today = calendar.day_of(now).date;
        let whole = |preset, first, last| Self {
            preset,
            first,
            last,
            from: calendar.day(first).starts_at,
            to: calendar.day(last).ends_at,
        };
        let week = || whole(Preset::SevenDays, today - Days::new(6), today);
        let month = |preset, (from, to): (UnixTime, UnixTime)| {
            whole(preset, calendar.day_of(from).date, calendar.day_of(to.plus(-1)).date)
        };
        let this_month = calendar.month_of(now);
        match preset.unwrap_or(Preset::SevenDays.as_str()) {
            "today" => (whole(Preset::Today, today, today), None),
            "7d" => (week(), None),
            "month" => (month(Preset::Month, this_month), None),
            "last-month" => (month(Preset::LastMonth, calendar.month_of(this_month.0.plus(-1))), None),
            "custom" => match days(from, to) {
                Ok((first, last)) => (whole(Preset::Custom, first, last), None),
                Err(problem) => (week(), Some(format!("{problem} The last 7 days are shown."))),
            },
            other => (week(), Some(format!("\"{other}\" is not a period. The last 7 days are shown."))),
        }
    }

    /// The step of its chart: bars that can be told apart.
    pub(crate) fn step(&self) -> Step {
        match (self.last - self.first).num_days() + 1 {
            ..=2 => Step::Hour,
            3..=93 => Step::Day,
            94..=400 => Step::Week,
            _ => Step::Month,
        }
    }

    /// The step of its rates: as fine as the chart can show.
    pub(crate) fn rate_step(&self) -> Step {
        match (self.last - self.first).num_days() + 1 {
            ..=2 => Step::FiveMinutes,
            3..=31 => Step::Hour,
            _ => Step::Day,
        }
    }
}

/// A step in words: `day`, `Day`.
pub(crate) const fn step_words(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::FiveMinutes => ("5 minutes", "From"),
        Step::Hour => ("hour", "Hour"),
        Step::Day => ("day", "Day"),
        Step::Week => ("week", "Week"),
        Step::Month => ("month", "Month"),
    }
}

fn days(from: Option<&str>, to: Option<&str>) -> Result<(NaiveDate, NaiveDate), String> {
    let date = |text: Option<&str>| {
        let text = text.unwrap_or_default();
        text.parse::<NaiveDate>().map_err(|_| format!("\"{text}\" is not a date like 2026-01-31."))
    };
    let (first, last) = (date(from)?, date(to)?);
    if first > last {
        return Err(format!("The period would end on {last}, before it begins on {first}."));
    }
    if (last - first).num_days() >= MAX_DAYS {
        return Err(format!("{first} to {last} is longer than {MAX_DAYS} days."));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Africa::Lagos;
    use chrono_tz::Europe::Berlin;

    // 2026-03-31 23:30 UTC: April has begun in Lagos and in Berlin.
    const NOW: UnixTime = UnixTime(1_774_999_800);

    fn read(preset: &str, from: &str, to: &str) -> (Period, Option<String>) {
        Period::read(Some(preset), Some(from), Some(to), &Calendar::new(Lagos), NOW)
    }

    fn dates(preset: &str) -> (String, String) {
        let (period, problem) = read(preset, "", "");
        assert_eq!(problem, None);
        (period.first.to_string(), period.last.to_string())
    }

    #[test]
    fn presets_follow_the_providers_clock() {
        assert_eq!(dates("today"), ("2026-04-01".into(), "2026-04-01".into()));
        assert_eq!(dates("7d"), ("2026-03-26".into(), "2026-04-01".into()));
        assert_eq!(dates("month"), ("2026-04-01".into(), "2026-04-30".into()));
        assert_eq!(dates("last-month"), ("2026-03-01".into(), "2026-03-31".into()));
        assert_eq!(read("today", "", "").0.from.to_string(), "2026-03-31T23:00:00Z");
    }

    #[test]
    fn a_range_includes_its_last_day_also_when_the_clock_changes() {
        let calendar = Calendar::new(Berlin);
        let (period, _) =
            Period::read(Some("custom"), Some("2026-03-29"), Some("2026-03-29"), &calendar, NOW);
        assert_eq!(period.to.since(period.from), 23 * 3600);
        assert_eq!(period.step(), Step::Hour);
    }

    #[test]
    fn what_is_no_period_is_said_and_replaced() {
        for (preset, from, to, named) in [
            ("custom", "yesterday", "2026-01-01", "\"yesterday\""),
            ("custom", "2026-01-02", "2026-01-01", "2026-01-02"),
            ("custom", "1990-01-02", "2026-01-01", "1100 days"),
            ("fortnight", "", "", "\"fortnight\""),
        ] {
            let (period, problem) = read(preset, from, to);
            assert_eq!(period.preset, Preset::SevenDays);
            assert!(problem.as_ref().is_some_and(|problem| problem.contains(named)), "{problem:?}");
        }
    }
}
