//! The journal's metrics.

use std::time::Duration;

use metrics::{counter, histogram};

/// A group became durable.
pub fn group_written(records: usize, octets: usize, took: Duration) {
    counter!("radtally_collector_journal_groups_total").increment(1);
    counter!("radtally_collector_journal_records_total").increment(records as u64);
    counter!("radtally_collector_journal_octets_total").increment(octets as u64);
    histogram!("radtally_collector_journal_write_seconds").record(took.as_secs_f64());
}

/// A group could not be written to a segment.
pub fn write_failed() {
    counter!("radtally_collector_journal_write_failures_total").increment(1);
}

/// A segment was deleted.
pub fn segment_removed() {
    counter!("radtally_collector_journal_segments_removed_total").increment(1);
}

/// Numbers whose records cannot be read any more.
pub fn hole(records: u64) {
    counter!("radtally_collector_journal_lost_records_total").increment(records);
}
