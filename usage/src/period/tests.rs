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

fn hours(zone: Tz, from: &str, to: &str) -> Vec<i64> {
    let steps = Calendar::new(zone).steps(Step::Hour, at(from), at(to)).unwrap();
    steps.iter().map(|(start, end)| end.since(*start) / 60).collect()
}

#[test]
fn hours_follow_the_local_clock() {
    assert_eq!(hours(Tz::Asia__Kolkata, "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"), [30, 60, 30]);
    // Berlin: of two o'clock there are none in spring and two in autumn.
    assert_eq!(hours(Tz::Europe__Berlin, "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"), [60, 60, 60]);
    assert_eq!(hours(Tz::Europe__Berlin, "2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z"), [30, 60, 60]);
    // Lord Howe: one o'clock lasts 90 minutes in autumn, two o'clock 30 minutes in spring.
    assert_eq!(
        hours(Tz::Australia__Lord_Howe, "2026-04-04T13:00:00Z", "2026-04-04T17:30:00Z"),
        [60, 90, 60, 60]
    );
    assert_eq!(hours(Tz::Australia__Lord_Howe, "2026-10-03T14:30:00Z", "2026-10-03T17:00:00Z"), [60, 30, 60]);
    // St. John's set its clock at one minute past midnight.
    assert_eq!(hours(Tz::America__St_Johns, "2010-11-07T01:30:00Z", "2010-11-07T04:30:00Z"), [60, 1, 59, 60]);
}

#[test]
fn what_repeats_of_yesterday_belongs_to_today() {
    let calendar = Calendar::new(Tz::America__St_Johns);
    let day = calendar.day_of(at("2010-11-07T03:00:00Z"));
    assert_eq!(calendar.local(at("2010-11-07T03:00:00Z")).to_string(), "2010-11-06 23:30:00 NST");
    assert_eq!((day.date.to_string(), day.starts_at), ("2010-11-07".to_owned(), at("2010-11-07T02:30:00Z")));
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
        Tz::America__St_Johns,
        Tz::America__Havana,
        Tz::Asia__Kathmandu,
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
    fn a_day_begins_at_the_first_minute_of_its_date(zone in zones(), time in 1_000_000_000i64..1_900_000_000) {
        let day = Calendar::new(zone).day_of(UnixTime(time));
        let minute = time - time.rem_euclid(60);
        let mut minutes = (-60 * 60..=0).map(|minutes| UnixTime(minute + minutes * 60));
        let first = minutes.find(|at| at.utc().with_timezone(&zone).date_naive() >= day.date);
        prop_assert_eq!(first, Some(day.starts_at));
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
