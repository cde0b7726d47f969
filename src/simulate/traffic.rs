//! What a subscriber does with their line: idle, browse, watch, download, upload, each for a while, more of it in the
//! evening.

use chrono::{DateTime, Datelike as _, Timelike as _, Weekday};
use chrono_tz::Tz;
use rand::Rng;
use rand::rngs::StdRng;

use super::population::Subscriber;

/// How busy the network is in each local hour, 1 being the evening's peak.
const DAY: [f64; 24] = [
    0.45, 0.30, 0.20, 0.14, 0.11, 0.11, 0.15, 0.25, 0.35, 0.42, 0.46, 0.48, 0.52, 0.53, 0.52, 0.54, 0.60,
    0.68, 0.78, 0.90, 1.0, 0.99, 0.85, 0.65,
];

/// How busy the network is at `at`, between 0 and 1.
pub fn activity(at: i64, zone: Tz) -> f64 {
    let local = DateTime::from_timestamp(at, 0).unwrap_or_default().with_timezone(&zone);
    let hour = |hour: u32| DAY.get(hour as usize % 24).copied().unwrap_or(0.5);
    let through = f64::from(local.minute()) / 60.0;
    let level = hour(local.hour()) * (1.0 - through) + hour(local.hour() + 1) * through;
    let weekend = matches!(local.weekday(), Weekday::Sat | Weekday::Sun) && (8..18).contains(&local.hour());
    if weekend { (level * 1.3).min(1.0) } else { level }
}

/// What a subscriber is doing, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    download_bps: f64,
    upload_bps: f64,
    until: i64,
}

/// The counters of a session, as its NAS keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Octets to the subscriber (RADIUS output).
    pub download_octets: u64,
    /// Octets from the subscriber (RADIUS input).
    pub upload_octets: u64,
    /// Packets to the subscriber.
    pub download_packets: u64,
    /// Packets from the subscriber.
    pub upload_packets: u64,
}

impl Use {
    /// Goes on from `from` to `to`, adding to `counters`.
    pub fn advance(
        &mut self,
        who: &Subscriber,
        from: i64,
        to: i64,
        zone: Tz,
        counters: &mut Counters,
        rng: &mut StdRng,
    ) {
        let mut at = from;
        while at < to {
            if at >= self.until {
                *self = Self::choose(who, at, zone, rng);
            }
            let end = self.until.min(to);
            counters.add(self, end - at, rng);
            at = end;
        }
    }

    fn choose(who: &Subscriber, at: i64, zone: Tz, rng: &mut StdRng) -> Self {
        let wish = rng.random::<f64>() / (activity(at, zone) * who.appetite).clamp(0.02, 3.0);
        let (down, up, minutes) = match wish {
            // Most of what one wishes for most.
            _ if wish < 0.05 => {
                (who.download_bps * rng.random_range(0.6..0.95), who.upload_bps * 0.04, 2..12)
            }
            _ if wish < 0.30 => (rng.random_range(3.0e6..9.0e6), 120e3, 20..110),
            _ if wish < 0.34 => {
                (rng.random_range(0.2e6..1e6), who.upload_bps * rng.random_range(0.4..0.9), 3..20)
            }
            _ if wish < 0.40 => (2.2e6, 1.8e6, 10..50),
            _ if wish < 0.80 => (rng.random_range(0.2e6..2.5e6), rng.random_range(30e3..250e3), 3..20),
            _ => (rng.random_range(4e3..60e3), rng.random_range(3e3..40e3), 5..45),
        };
        Self {
            download_bps: f64::min(down, who.download_bps * 0.95),
            upload_bps: f64::min(up, who.upload_bps * 0.95),
            until: at + rng.random_range(minutes) * 60 + rng.random_range(0..60),
        }
    }
}

impl Counters {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small positive amounts"
    )]
    fn add(&mut self, doing: &Use, seconds: i64, rng: &mut StdRng) {
        let octets =
            |bps: f64, rng: &mut StdRng| (bps / 8.0 * seconds as f64 * rng.random_range(0.75..1.15)) as u64;
        let (down, up) = (octets(doing.download_bps, rng), octets(doing.upload_bps, rng));
        self.download_octets += down;
        self.upload_octets += up;
        self.download_packets += down / rng.random_range(700..1_300) + up / 1_200;
        self.upload_packets += up / rng.random_range(150..900) + down / 2_600;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evening_is_busier_than_the_night() {
        let zone = chrono_tz::Africa::Lagos;
        let at = |hour: i64| 1_700_006_400 + (hour - 1) * 3_600; // 15 November 2023, Lagos
        assert!(activity(at(20), zone) > 5.0 * activity(at(4), zone));
    }
}
