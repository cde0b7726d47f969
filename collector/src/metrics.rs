//! The collector's metrics. Counts of packets come from the ledger, so that both always agree.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::ledger::{LedgerReport, TallyReport};

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_counter!(
        "radtally_collector_packets_total",
        "Packets by client and outcome: acknowledged, duplicate, status_server, rejected (reason), dropped (reason)"
    );
    describe_gauge!(
        "radtally_collector_in_flight_packets",
        "Packets recorded but not yet durable, by client"
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
    describe_gauge!("radtally_collector_unaccounted_packets", "Packets the ledger cannot place; 0 at rest");
    describe_counter!("radtally_collector_export_rows_total", "Rows inserted into ClickHouse");
    describe_counter!(
        "radtally_collector_export_again_rows_total",
        "Rows that ClickHouse had lost and got again"
    );
    describe_histogram!("radtally_collector_export_insert_seconds", "Duration of an insert into ClickHouse");
}

/// Copies the ledger into the metrics.
pub fn publish(report: &LedgerReport) {
    for (client, tally) in &report.clients {
        publish_tally(client.as_str(), tally);
    }
    let mut strangers = report.total.clone();
    strangers.rejected.retain(|reason, _| *reason == "unknown_client");
    count("", "rejected", &strangers.rejected);
    counter!("radtally_collector_kernel_drops_total").absolute(report.kernel_drops);
    counter!("radtally_collector_stored_records_total").absolute(report.stored);
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 packets are not reached")]
    {
        gauge!("radtally_collector_pending_records").set(report.pending as f64);
        gauge!("radtally_collector_unaccounted_packets").set(report.unaccounted as f64);
    }
}

fn publish_tally(client: &str, tally: &TallyReport) {
    let outcome = |outcome: &'static str| counter!("radtally_collector_packets_total", "client" => client.to_owned(), "outcome" => outcome, "reason" => "");
    outcome("acknowledged").absolute(tally.acknowledged);
    outcome("duplicate").absolute(tally.duplicates);
    outcome("status_server").absolute(tally.status_server);
    count(client, "rejected", &tally.rejected);
    count(client, "dropped", &tally.dropped);
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 packets are not reached")]
    gauge!("radtally_collector_in_flight_packets", "client" => client.to_owned()).set(tally.in_flight as f64);
}

fn count(client: &str, outcome: &'static str, reasons: &std::collections::BTreeMap<&'static str, u64>) {
    for (reason, packets) in reasons {
        let labels = [
            ("client", client.to_owned()),
            ("outcome", outcome.to_owned()),
            ("reason", (*reason).to_owned()),
        ];
        counter!("radtally_collector_packets_total", &labels).absolute(*packets);
    }
}
