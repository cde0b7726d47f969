//! The collector's metrics. Counts of packets come from the ledger, so that both always agree.
//!
//! The label `nas` is empty for packets that belong to no NAS, and [`REST`] for all NASes of a client beyond [`NASES`].

mod watch;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use schema::{ClientName, NasId, UnixMicros};

use crate::ledger::{LedgerReport, TallyReport};

pub use watch::Watch;

/// Most NASes with metrics of their own: the first that were heard.
const NASES: usize = 1_000;
/// What the others are called.
const REST: &str = "(others)";

/// Tells the recorder what metrics mean. Counters are there from then on: an alert on one that appears with its first event
/// would miss that one.
pub fn describe_all(
    counters: &[(&'static str, &'static str)],
    gauges: &[(&'static str, &'static str)],
    histograms: &[(&'static str, &'static str)],
) {
    for (name, meaning) in counters {
        describe_counter!(*name, *meaning);
        counter!(*name).increment(0);
    }
    gauges.iter().for_each(|(name, meaning)| describe_gauge!(*name, *meaning));
    histograms.iter().for_each(|(name, meaning)| describe_histogram!(*name, *meaning));
}

/// Tells the recorder what each metric means.
pub fn describe() {
    watch::describe();
    describe_counter!(
        "radtally_collector_packets_total",
        "Packets by client, NAS and outcome: acknowledged, duplicate, status_server, rejected (reason), dropped (reason)"
    );
    describe_gauge!(
        "radtally_collector_in_flight_packets",
        "Packets recorded but not yet durable, by client and NAS"
    );
    describe_counter!(
        "radtally_collector_kernel_drops_total",
        "Datagrams the kernel dropped for want of receive buffer"
    );
    describe_counter!(
        "radtally_collector_stored_records_total",
        "Acknowledged records that ClickHouse holds"
    );
    describe_gauge!("radtally_collector_pending_records", "Acknowledged records not yet in ClickHouse");
    describe_counter!(
        "radtally_collector_nas_stored_records_total",
        "Records acknowledged since the start that ClickHouse has taken, by client and NAS"
    );
    describe_gauge!("radtally_collector_unaccounted_packets", "Packets the ledger cannot place; 0 at rest");
    describe_histogram!("radtally_collector_export_insert_seconds", "Duration of an insert into ClickHouse");
}

/// Copies the ledger into the metrics.
#[derive(Debug, Default)]
pub struct Publisher {
    /// NASes with metrics of their own.
    named: HashSet<NasId>,
}

impl Publisher {
    /// Copies `report`.
    pub fn publish(&mut self, report: &LedgerReport) {
        let mut rest: BTreeMap<&ClientName, TallyReport> = BTreeMap::new();
        for line in &report.lines {
            let client = line.client.as_ref().map_or("", ClientName::as_str);
            match (&line.client, &line.nas) {
                (Some(of), Some(nas)) if !self.is_named(nas) => rest.entry(of).or_default().add(&line.counts),
                (_, nas) => publish_line(client, nas.as_ref().map_or("", NasId::as_str), &line.counts),
            }
        }
        rest.iter().for_each(|(client, counts)| publish_line(client.as_str(), REST, counts));
        counter!("radtally_collector_kernel_drops_total").absolute(report.kernel_drops);
        counter!("radtally_collector_stored_records_total").absolute(report.stored);
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 packets are not reached")]
        {
            gauge!("radtally_collector_pending_records").set(report.pending as f64);
            gauge!("radtally_collector_unaccounted_packets").set(report.unaccounted as f64);
        }
    }

    fn is_named(&mut self, nas: &NasId) -> bool {
        self.named.contains(nas) || (self.named.len() < NASES && self.named.insert(nas.clone()))
    }
}

/// A group's packets are answered, the first of which arrived at `oldest`.
pub(crate) fn acknowledged(oldest: UnixMicros, now: UnixMicros) {
    let micros = u64::try_from(now.0.saturating_sub(oldest.0)).unwrap_or(0);
    histogram!("radtally_collector_acknowledge_seconds").record(Duration::from_micros(micros).as_secs_f64());
}

fn publish_line(client: &str, nas: &str, counts: &TallyReport) {
    let outcomes = [
        ("acknowledged", counts.acknowledged),
        ("duplicate", counts.duplicates),
        ("status_server", counts.status_server),
    ];
    for (outcome, packets) in outcomes {
        count((client, nas), outcome, "", packets);
    }
    for (outcome, reasons) in [("rejected", &counts.rejected), ("dropped", &counts.dropped)] {
        for (reason, packets) in reasons {
            count((client, nas), outcome, reason, *packets);
        }
    }
    let labels = [("client", client.to_owned()), ("nas", nas.to_owned())];
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 packets are not reached")]
    gauge!("radtally_collector_in_flight_packets", &labels).set(counts.in_flight as f64);
    if !nas.is_empty() {
        counter!("radtally_collector_nas_stored_records_total", &labels).absolute(counts.stored);
    }
}

/// What never happened has no metric, lest every NAS have all of them.
fn count((client, nas): (&str, &str), outcome: &'static str, reason: &'static str, packets: u64) {
    if packets > 0 {
        let labels = [
            ("client", client.to_owned()),
            ("nas", nas.to_owned()),
            ("outcome", outcome.to_owned()),
            ("reason", reason.to_owned()),
        ];
        counter!("radtally_collector_packets_total", &labels).absolute(packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Outcome};

    #[test]
    fn nases_without_metrics_of_their_own_are_one() {
        let ledger = Ledger::default();
        for n in 0..NASES + 500 {
            ledger.nas("bng", &format!("bng/{n}")).count(Outcome::Duplicate);
        }
        let mut publisher = Publisher::default();
        publisher.publish(&ledger.report());
        ledger.nas("bng", "bng/ahead of the others").count(Outcome::Duplicate);
        publisher.publish(&ledger.report());
        assert_eq!(publisher.named.len(), NASES);
        assert!(!publisher.named.contains("bng/ahead of the others"), "a metric's meaning never changes");
    }
}
