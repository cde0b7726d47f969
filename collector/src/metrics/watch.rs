//! What alerts need besides the ledger's counts: whether records are taken and carried on, and how each NAS does.

use std::time::Instant;

use metrics::gauge;
use schema::{Lsn, UnixTime};

use crate::journal::{Journal, JournalStatus};
use crate::ledger::LedgerReport;
use crate::online::Online;

use super::{NASES, describe_all};

/// NASes change slowly, and counting their sessions goes through all that are online: once in so many looks.
const NASES_EVERY: u32 = 20;

const COUNTERS: [(&str, &str); 8] = [
    ("radtally_collector_journal_groups_total", "Groups of records that became durable together"),
    ("radtally_collector_journal_records_total", "Records that became durable"),
    ("radtally_collector_journal_octets_total", "Octets written to the journal"),
    ("radtally_collector_journal_write_failures_total", "Groups that a segment could not keep"),
    (
        "radtally_collector_journal_segments_removed_total",
        "Segments deleted after their export and retention",
    ),
    (
        "radtally_collector_journal_lost_records_total",
        "Records that were durable and cannot be read any more",
    ),
    ("radtally_collector_export_rows_total", "Rows inserted into ClickHouse"),
    ("radtally_collector_export_again_rows_total", "Rows that ClickHouse had lost and got again"),
];

const GAUGES: [(&str, &str); 8] = [
    ("radtally_collector_journal_segments", "Segment files"),
    ("radtally_collector_journal_bytes", "What the journal takes on disk"),
    (
        "radtally_collector_journal_stopped",
        "1 while nothing can be written and nothing is acknowledged, else 0",
    ),
    ("radtally_collector_export_lag_seconds", "How long at least the oldest record waits for ClickHouse"),
    ("radtally_collector_online_sessions", "Sessions online, by NAS"),
    ("radtally_collector_nas_last_record_timestamp_seconds", "When a NAS's newest record arrived"),
    (
        "radtally_collector_nas_clock_ahead_seconds",
        "By how much a NAS's clock was ahead of ours in its newest record with an Event-Timestamp",
    ),
    ("radtally_collector_nases", "NASes that have reported"),
];

const HISTOGRAMS: [(&str, &str); 3] = [
    (
        "radtally_collector_acknowledge_seconds",
        "From a packet's arrival to its reply: the longest of each group",
    ),
    ("radtally_collector_journal_write_seconds", "Duration of writing and syncing a group"),
    ("radtally_collector_journal_group_records", "Records of a group"),
];

/// Tells the recorder what each metric means.
pub(super) fn describe() {
    describe_all(&COUNTERS, &GAUGES, &HISTOGRAMS);
}

/// Looks at the journal, the export and the NASes.
pub struct Watch {
    online: Online,
    waiting: Waiting,
    looks: u32,
}

impl Watch {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(online: Online) -> Self {
        Self { online, waiting: Waiting { upto: Lsn::ZERO, since: Instant::now() }, looks: 0 }
    }

    /// Looks once.
    pub fn look<T>(&mut self, journal: &Journal<T>, report: &LedgerReport) {
        let stopped = journal.status() != JournalStatus::Running;
        gauge!("radtally_collector_journal_stopped").set(f64::from(u8::from(stopped)));
        let lag = self.waiting.seconds(journal.durable(), report.pending, Instant::now());
        gauge!("radtally_collector_export_lag_seconds").set(lag);
        if self.looks.is_multiple_of(NASES_EVERY) {
            self.look_at_nases();
        }
        self.looks = self.looks.wrapping_add(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 sessions are not reached")]
    fn look_at_nases(&self) {
        let nases = self.online.nases(UnixTime::now());
        gauge!("radtally_collector_nases").set(nases.len() as f64);
        for nas in nases.iter().take(NASES) {
            let name = || nas.nas.as_str().to_owned();
            gauge!("radtally_collector_online_sessions", "nas" => name()).set(nas.online as f64);
            gauge!("radtally_collector_nas_last_record_timestamp_seconds", "nas" => name())
                .set(nas.last_seen_at.0 as f64);
            if let Some(ahead) = nas.clock_ahead {
                gauge!("radtally_collector_nas_clock_ahead_seconds", "nas" => name()).set(ahead as f64);
            }
        }
    }
}

/// How long records wait: all up to one that was the newest at some moment, until they are exported.
struct Waiting {
    upto: Lsn,
    since: Instant,
}

impl Waiting {
    fn seconds(&mut self, durable: Lsn, pending: u64, now: Instant) -> f64 {
        if durable.0.saturating_sub(pending) >= self.upto.0 {
            (self.upto, self.since) = (durable, now);
        }
        if pending == 0 { 0.0 } else { now.duration_since(self.since).as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn records_wait_from_when_they_are_seen_until_they_are_exported() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waiting = Waiting { upto: Lsn::ZERO, since: start };
        let looks = [
            // Seconds, durable, pending, lag.
            (0, 0, 0, 0.0),
            (1, 10, 10, 0.0),
            (5, 30, 30, 4.0),
            (9, 40, 25, 0.0),
            (12, 60, 30, 3.0),
            (15, 60, 20, 0.0),
            (18, 60, 20, 3.0),
            (20, 60, 0, 0.0),
        ];
        for (seconds, durable, pending, lag) in looks {
            let found = waiting.seconds(Lsn(durable), pending, at(seconds));
            assert!((found - lag).abs() < 0.001, "at {seconds}: {found}, not {lag}");
        }
    }
}
