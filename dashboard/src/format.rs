//! Numbers and times as people read them.

use chrono_tz::Tz;
use schema::{BitsPerSecond, Octets, UnixTime};

/// Octets in the unit that fits, decimal as in tariffs: `1.23 GB`.
pub(crate) fn octets(octets: Octets) -> String {
    scaled(octets.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// Octets in GB: `0.004 GB`.
pub(crate) fn gigabytes(octets: Octets) -> String {
    let thousandths = (octets.0 + 500_000) / 1_000_000;
    format!("{}.{:03}", grouped(thousandths / 1000), thousandths % 1000)
}

/// Octets to the last one: `4,500,000,000 octets`.
pub(crate) fn exact(octets: Octets) -> String {
    format!("{} octets", grouped(octets.0))
}

/// A rate in the unit that fits: `12.3 Mbit/s`.
pub(crate) fn rate(rate: BitsPerSecond) -> String {
    scaled(rate.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// `HH:MM:SS`, hours as many as there are.
pub(crate) fn duration(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The local time, to the second.
pub(crate) fn local(time: UnixTime, zone: Tz) -> String {
    time.utc().with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A whole number with its thousands separated.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits and a decimal unit.
fn scaled(number: u64, units: &[&str]) -> String {
    let mut value = number as f64;
    let mut units = units.iter().peekable();
    let mut unit = units.next();
    // 999.5 would be shown as 1000.
    while value >= 999.5 && units.peek().is_some() {
        value /= 1000.0;
        unit = units.next();
    }
    let unit = unit.copied().unwrap_or_default();
    let digits = match value {
        _ if number < 1000 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_and_rates_are_decimal() {
        let shown =
            [0, 999, 1000, 12_345, 999_499, 999_500, 4_500_000_000, u64::MAX].map(|n| octets(Octets(n)));
        assert_eq!(shown, ["0 B", "999 B", "1.00 kB", "12.3 kB", "999 kB", "1.00 MB", "4.50 GB", "18447 PB"]);
        assert_eq!(rate(BitsPerSecond(99_960_000)), "100 Mbit/s");
        assert_eq!(gigabytes(Octets(4_500_400_000)), "4.500");
        assert_eq!(gigabytes(Octets(1_234_567_890_123)), "1,234.568");
        assert_eq!(exact(Octets(4_500_000_000)), "4,500,000,000 octets");
    }

    #[test]
    fn hours_do_not_wrap_into_days() {
        assert_eq!(duration(0), "00:00:00");
        assert_eq!(duration(100 * 3600 + 61), "100:01:01");
    }

    #[test]
    fn times_are_in_the_providers_zone() {
        assert_eq!(local(UnixTime(1_700_000_000), chrono_tz::Africa::Lagos), "2023-11-14 23:13:20");
    }
}
