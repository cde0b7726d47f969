//! Parts of a total as texts: counters at the ends of a period, shares, verdicts.

use std::collections::BTreeMap;

use query_api::sessions::explain::{Reading, Settlement, Share};
use schema::{Octets, UnixTime};
use usage::{Calendar, Verdict};

use crate::format;

/// Octets as people read them, and to the last one.
pub(crate) struct Amount {
    pub(crate) text: String,
    pub(crate) exact: String,
}

impl From<Octets> for Amount {
    fn from(octets: Octets) -> Self {
        Self { text: format::octets(octets), exact: format::grouped(octets.0) }
    }
}

/// A session's counters at an end of the period.
pub(crate) struct Edge {
    pub(crate) download: String,
    pub(crate) upload: String,
    /// How they are known.
    pub(crate) how: String,
    pub(crate) computed: bool,
}

/// A session's part in a period.
pub(crate) struct ShareRow {
    /// The period, as a day or its two ends.
    pub(crate) label: String,
    pub(crate) login: String,
    pub(crate) begin: Edge,
    pub(crate) end: Edge,
    pub(crate) download: Amount,
    pub(crate) upload: Amount,
    /// `None` where nothing is.
    pub(crate) computed: Option<Amount>,
    pub(crate) online: String,
}

/// How many records have a verdict.
pub(crate) struct Count {
    pub(crate) records: String,
    pub(crate) badge: Badge,
}

/// A verdict in words and colour.
pub(crate) struct Badge {
    pub(crate) text: &'static str,
    pub(crate) class: &'static str,
}

impl ShareRow {
    pub(crate) fn of(share: &Share, calendar: &Calendar) -> Self {
        let usage = &share.usage;
        Self {
            label: period(share.from, share.to, calendar),
            login: share.login.to_string(),
            begin: Edge::of(&share.at_from, share.from, calendar),
            end: Edge::of(&share.at_to, share.to, calendar),
            download: usage.download_octets.into(),
            upload: usage.upload_octets.into(),
            computed: Some(usage.estimated_octets).filter(|octets| octets.0 > 0).map(Amount::from),
            online: format::duration(usage.online_seconds),
        }
    }
}

impl Edge {
    fn of(reading: &Reading, boundary: UnixTime, calendar: &Calendar) -> Self {
        let clock = |time| near(time, boundary, calendar);
        let how = match (&reading.before, &reading.after) {
            (Some(before), Some(after)) => {
                format!("computed between the reports of {} and {}", clock(before.at), clock(after.at))
            }
            _ if reading.at > boundary => format!("it began at {}", clock(reading.at)),
            _ if reading.at < boundary => format!("its last report was at {}", clock(reading.at)),
            _ => "reported at that second".to_owned(),
        };
        Self {
            download: format::grouped(reading.download_octets.0),
            upload: format::grouped(reading.upload_octets.0),
            how,
            computed: reading.before.is_some(),
        }
    }
}

/// A day by its date, anything else by its ends.
pub(crate) fn period(from: UnixTime, to: UnixTime, calendar: &Calendar) -> String {
    let day = calendar.day_of(from);
    if (day.starts_at, day.ends_at) == (from, to) {
        return day.date.format("%a %Y-%m-%d").to_string();
    }
    format!("{} to {}", instant(from, calendar), instant(to, calendar))
}

/// A local time; its seconds only where there are some.
pub(crate) fn instant(time: UnixTime, calendar: &Calendar) -> String {
    let format = if time.0 % 60 == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    calendar.local(time).format(format).to_string()
}

/// A local time, with its date where that is not plain from `boundary`.
fn near(time: UnixTime, boundary: UnixTime, calendar: &Calendar) -> String {
    const EVENING: i64 = 6 * 3_600;
    let plain = time.since(boundary).abs() < EVENING;
    calendar.local(time).format(if plain { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
}

/// Counts by verdict.
pub(crate) fn counts(verdicts: &BTreeMap<Verdict, u64>) -> Vec<Count> {
    let count = |(verdict, records): (&Verdict, &u64)| Count {
        records: format::grouped(*records),
        badge: badge(*verdict),
    };
    verdicts.iter().map(count).collect()
}

/// A verdict in words and colour: green for what was reported, blue for order, grey for what is set aside, amber for what
/// was inferred, red for what is not believed.
pub(crate) const fn badge(verdict: Verdict) -> Badge {
    const REPORTED: &str = "rt-up-badge";
    const ORDER: &str = "rt-info-badge";
    const INFERRED: &str = "rt-slow-badge";
    let (text, class) = match verdict {
        Verdict::Ok => ("ok", REPORTED),
        Verdict::Late => ("late", ORDER),
        Verdict::IdReused => ("identifier reused", ORDER),
        Verdict::Duplicate => ("duplicate", "rt-off-badge"),
        Verdict::WrapInferred => ("wrap inferred", INFERRED),
        Verdict::Reset => ("counters reset", INFERRED),
        Verdict::StopWithoutOctets => ("Stop without octets", INFERRED),
        Verdict::WithoutOctets => ("without octets", INFERRED),
        Verdict::Implausible => ("implausible", "rt-down-badge"),
    };
    Badge { text, class }
}

/// Where the numbers are read from, in a sentence.
pub(crate) fn settled(settled: Option<Settlement>, calendar: &Calendar) -> String {
    match settled {
        None => "Nothing had to be corrected: totals are read from its records.".to_owned(),
        Some(Settlement { settled_at, agrees: true, .. }) => format!(
            "Something had to be corrected: it was evaluated record by record and published at {}; its \
             records say the same now.",
            format::local(settled_at, calendar.zone())
        ),
        Some(Settlement { settled_at, agrees: false, .. }) => format!(
            "Totals are read from what was published at {}; its records say something else now, and a \
             new revision follows within seconds.",
            format::local(settled_at, calendar.zone())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Africa::Lagos;

    /// 2026-03-31 00:00 in Lagos.
    const DAY: UnixTime = UnixTime(1_774_911_600);

    fn reading(at: i64, enclosed: Option<(i64, i64)>) -> Reading {
        let report = |at: i64| query_api::sessions::explain::Report {
            at: DAY.plus(at),
            download_octets: Octets(0),
            upload_octets: Octets(0),
        };
        Reading {
            at: DAY.plus(at),
            download_octets: Octets(1_234_567),
            upload_octets: Octets(0),
            before: enclosed.map(|(before, _)| report(before)),
            after: enclosed.map(|(_, after)| report(after)),
        }
    }

    #[test]
    fn an_edge_says_how_its_counters_are_known() {
        let calendar = Calendar::new(Lagos);
        let how = |reading: Reading| Edge::of(&reading, DAY, &calendar).how;
        assert_eq!(
            how(reading(0, Some((-120, 180)))),
            "computed between the reports of 23:58:00 and 00:03:00"
        );
        assert_eq!(
            how(reading(0, Some((-86_400, 180)))),
            "computed between the reports of 2026-03-30 00:00:00 and 00:03:00"
        );
        assert_eq!(how(reading(61, None)), "it began at 00:01:01");
        assert_eq!(how(reading(-61, None)), "its last report was at 23:58:59");
        assert_eq!(how(reading(0, None)), "reported at that second");
    }

    #[test]
    fn a_local_day_is_named_by_its_date() {
        let calendar = Calendar::new(Lagos);
        assert_eq!(period(DAY, DAY.plus(86_400), &calendar), "Tue 2026-03-31");
        assert_eq!(period(DAY, DAY.plus(3_600), &calendar), "2026-03-31 00:00 to 2026-03-31 01:00");
    }
}
