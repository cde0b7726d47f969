//! The loss ledger: where every received packet went, per NAS, per client and in total.
//!
//! `received = acknowledged + in_flight + duplicates + status_server + rejected + dropped`, and
//! `acknowledged = stored + pending`. The counts are kept once, here; `/metrics` and `GET /api/v1/ledger` read them.
//!
//! A packet counts in one [`Tally`], its *line*: its NAS's, once its sender has proved to know the secret; else its client's
//! own (what is refused, Status-Server), or that of unknown sources. Clients and the total are sums of lines, but for the
//! total's `received`, which is counted at the sockets: what the lines do not add up to is unaccounted for. Likewise
//! `stored` is counted where ClickHouse takes records, by the NAS that each says it is of.

pub mod gaps;
mod strangers;
mod tally;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use schema::{ClientName, Lsn, NasId, UnixTime};
use serde::Serialize;

use crate::journal::Hole;

pub use gaps::{Gap, GapKind, Gaps, Touched};
pub use strangers::{Stranger, Strangers};
pub use tally::{Dropped, Outcome, Tally, TallyReport};

/// Most NASes with a line of their own. Identifiers are what a NAS says: packets of further ones count in their client's own
/// line.
const NASES: usize = 20_000;

/// The ledger. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Books>);

#[derive(Debug)]
struct Books {
    since: UnixTime,
    clients: RwLock<BTreeMap<ClientName, Lines>>,
    nases: AtomicUsize,
    unknown: Tally,
    received: AtomicU64,
    unknown_sources: Strangers,
    wrong_secrets: Strangers,
    kernel_drops: AtomicU64,
    /// The last record of earlier runs.
    opened: AtomicU64,
    durable: AtomicU64,
    exported: AtomicU64,
    holes: Mutex<Vec<Hole>>,
    gaps: Gaps,
}

/// A client's lines.
#[derive(Debug, Default)]
struct Lines {
    /// Of packets that belong to none of its NASes.
    own: Arc<Tally>,
    nases: BTreeMap<NasId, Arc<Tally>>,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            since: UnixTime::now(),
            clients: RwLock::default(),
            nases: AtomicUsize::new(0),
            unknown: Tally::default(),
            received: AtomicU64::new(0),
            unknown_sources: Strangers::default(),
            wrong_secrets: Strangers::default(),
            kernel_drops: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            holes: Mutex::default(),
            gaps: Gaps::default(),
        }
    }
}

impl Ledger {
    /// The line of the client named `name`, for packets that belong to none of its NASes.
    #[must_use]
    pub fn client(&self, name: &ClientName) -> Arc<Tally> {
        Arc::clone(&self.0.clients.write().entry(name.clone()).or_default().own)
    }

    /// The line of a client's NAS, by its identity `client/identifier`.
    #[must_use]
    pub fn nas(&self, client: &str, nas: &str) -> Arc<Tally> {
        let mut clients = self.0.clients.write();
        if !clients.contains_key(client) {
            clients.insert(client.into(), Lines::default());
        }
        let Some(lines) = clients.get_mut(client) else { return Arc::default() };
        if let Some(tally) = lines.nases.get(nas) {
            return Arc::clone(tally);
        }
        if self.0.nases.fetch_add(1, Ordering::Relaxed) >= NASES {
            self.0.nases.store(NASES, Ordering::Relaxed);
            return Arc::clone(&lines.own);
        }
        Arc::clone(lines.nases.entry(nas.into()).or_default())
    }

    /// Counts datagrams taken from the kernel.
    pub fn received(&self, datagrams: usize) {
        self.0.received.fetch_add(datagrams as u64, Ordering::Relaxed);
    }

    /// Counts a packet from an address that no client has.
    pub fn unknown_source(&self, source: IpAddr, now: UnixTime) {
        self.0.unknown.count(Outcome::Rejected("unknown_client"));
        self.0.unknown_sources.note(source, now);
    }

    /// Notes that `source` does not know its client's secret.
    pub fn wrong_secret(&self, source: IpAddr, now: UnixTime) {
        self.0.wrong_secrets.note(source, now);
    }

    /// Counts datagrams that the kernel dropped for want of buffer.
    pub fn kernel_drops(&self, datagrams: u64) {
        self.0.kernel_drops.fetch_add(datagrams, Ordering::Relaxed);
    }

    /// Notes how far the journal is durable.
    pub fn durable(&self, lsn: Lsn) {
        self.0.durable.store(lsn.0, Ordering::Relaxed);
    }

    /// Notes how far ClickHouse holds the journal.
    pub fn exported(&self, lsn: Lsn) {
        self.0.exported.store(lsn.0, Ordering::Relaxed);
    }

    /// Notes the records that the journal has lost to damage.
    pub fn lost(&self, holes: Vec<Hole>) {
        *self.0.holes.lock() = holes;
    }

    /// Notes the last record of earlier runs: `stored` counts those after it.
    pub fn opened(&self, lsn: Lsn) {
        self.0.opened.store(lsn.0, Ordering::Relaxed);
    }

    /// Counts records that ClickHouse has taken, each given by its number, its client and its NAS.
    pub fn stored<'r>(&self, records: impl Iterator<Item = (Lsn, &'r str, &'r str)>) {
        let opened = self.0.opened.load(Ordering::Relaxed);
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (_, client, nas) in records.filter(|(lsn, _, _)| lsn.0 > opened) {
            *counts.entry((client, nas)).or_default() += 1;
        }
        counts.into_iter().for_each(|((client, nas), records)| self.nas(client, nas).stored(records));
    }

    /// When packets were lost, and whose.
    #[must_use]
    pub fn gaps(&self) -> &Gaps {
        &self.0.gaps
    }

    /// The ledger of this moment.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let lines = self.lines();
        let (mut total, mut clients) = (TallyReport::default(), BTreeMap::<ClientName, TallyReport>::new());
        for line in &lines {
            total.add(&line.counts);
            line.client.iter().for_each(|name| clients.entry(name.clone()).or_default().add(&line.counts));
        }
        // Read last: a packet is received before it has a line.
        total.received = self.0.received.load(Ordering::Acquire);
        let exported = self.0.exported.load(Ordering::Relaxed);
        let durable = self.0.durable.load(Ordering::Relaxed).max(exported);
        LedgerReport {
            since: self.0.since,
            unaccounted: total.received.cast_signed() - total.placed().cast_signed(),
            total,
            clients,
            lines,
            stored: exported,
            pending: durable - exported,
            kernel_drops: self.0.kernel_drops.load(Ordering::Relaxed),
            unknown_sources: self.0.unknown_sources.report(),
            wrong_secrets: self.0.wrong_secrets.report(),
            holes: self.0.holes.lock().clone(),
        }
    }

    fn lines(&self) -> Vec<LedgerLine> {
        let line = |client: Option<&ClientName>, nas: Option<&NasId>, tally: &Tally| LedgerLine {
            client: client.cloned(),
            nas: nas.cloned(),
            counts: tally.report(),
        };
        let mut lines = Vec::new();
        for (client, of_client) in &*self.0.clients.read() {
            lines.extend(of_client.nases.iter().map(|(nas, tally)| line(Some(client), Some(nas), tally)));
            lines.push(line(Some(client), None, &of_client.own));
        }
        lines.push(line(None, None, &self.0.unknown));
        lines
    }
}

/// The counts of a NAS; of a client's packets that belong to none of its NASes; or of packets from unknown sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerLine {
    /// The client; `None` for unknown sources.
    pub client: Option<ClientName>,
    /// The NAS.
    pub nas: Option<NasId>,
    /// What became of its packets.
    #[serde(flatten)]
    pub counts: TallyReport,
}

/// What `GET /api/v1/ledger` shows. Counts of packets are since the process started; `stored` and `pending` at the top are of
/// the whole journal.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerReport {
    /// When the counts began.
    pub since: UnixTime,
    /// All clients together, unknown sources included.
    pub total: TallyReport,
    /// Packets whose whereabouts are unknown: 0 at rest.
    pub unaccounted: i64,
    /// By client.
    pub clients: BTreeMap<ClientName, TallyReport>,
    /// By NAS; together they are the total.
    pub lines: Vec<LedgerLine>,
    /// Acknowledged records that ClickHouse holds.
    pub stored: u64,
    /// Acknowledged records on their way from the journal to ClickHouse.
    pub pending: u64,
    /// Datagrams the kernel dropped before they were received.
    pub kernel_drops: u64,
    /// Addresses that no client has.
    pub unknown_sources: Vec<Stranger>,
    /// Addresses whose packets do not fit their client's secret.
    pub wrong_secrets: Vec<Stranger>,
    /// Acknowledged records that damage to the journal's files has taken, as record numbers. What ClickHouse already held of
    /// them is not lost.
    pub holes: Vec<Hole>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_balances_over_every_outcome() {
        let ledger = Ledger::default();
        let (own, nas) = (ledger.client(&"bng".into()), ledger.nas("bng", "bng/a"));
        for outcome in
            [Outcome::Recorded, Outcome::Recorded, Outcome::Duplicate, Outcome::Dropped(Dropped::Overload)]
        {
            nas.count(outcome);
        }
        own.count(Outcome::StatusServer);
        own.count(Outcome::Rejected("wrong_code"));
        nas.acknowledged();
        ledger.opened(Lsn(7));
        ledger.stored([(Lsn(7), "bng", "bng/a"), (Lsn(8), "bng", "bng/a")].into_iter());
        ledger.unknown_source("192.0.2.9".parse().unwrap(), UnixTime(5));
        ledger.received(7);
        let report = ledger.report();
        let total = &report.total;
        assert_eq!((total.received, total.acknowledged, total.in_flight, report.unaccounted), (7, 1, 1, 0));
        assert_eq!((total.stored, total.pending), (1, 0), "record 7 is of an earlier run");
        assert_eq!(report.unknown_sources[0].packets, 1);
        let shown: Vec<_> = report
            .lines
            .iter()
            .map(|line| (line.nas.as_ref().map(NasId::as_str), line.counts.received))
            .collect();
        assert_eq!(shown, [(Some("bng/a"), 4), (None, 2), (None, 1)]);
        assert_eq!(report.clients["bng"].received, 6);
    }

    #[test]
    fn a_packet_that_no_line_counts_is_unaccounted_for() {
        let ledger = Ledger::default();
        ledger.received(2);
        ledger.nas("bng", "bng/a").count(Outcome::Recorded);
        assert_eq!(ledger.report().unaccounted, 1);
    }

    #[test]
    fn nases_beyond_the_limit_count_in_their_clients_own_line() {
        let ledger = Ledger::default();
        for n in 0..NASES + 10 {
            ledger.nas("bng", &format!("bng/{n}")).count(Outcome::Duplicate);
        }
        let report = ledger.report();
        assert_eq!((report.lines.len(), report.total.duplicates), (NASES + 2, NASES as u64 + 10));
        assert_eq!(report.lines[NASES].counts.duplicates, 10);
    }
}
