//! The journal's metrics.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::JournalSize;

/// A group became durable.
pub fn group_written(records: usize, octets: usize, took: Duration) {
    counter!("radtally_collector_journal_groups_total").increment(1);
    counter!("radtally_collector_journal_records_total").increment(records as u64);
    counter!("radtally_collector_journal_octets_total").increment(octets as u64);
    histogram!("radtally_collector_journal_write_seconds").record(took.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a group has fewer records than 2^53")]
    histogram!("radtally_collector_journal_group_records").record(records as f64);
}

/// What the journal takes on disk now.
pub fn size(size: JournalSize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact to 2^53")]
    {
        gauge!("radtally_collector_journal_segments").set(size.segments as f64);
        gauge!("radtally_collector_journal_bytes").set(size.bytes as f64);
    }
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
