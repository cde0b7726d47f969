//! The loss ledger: where every received packet went, per client and in total.
//!
//! `received = recorded + duplicates + status_server + rejected + dropped`, and `recorded = acknowledged + in_flight`,
//! `acknowledged = stored + pending`. The counts are kept once, here; `/metrics` and `GET /api/v1/ledger` read them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use schema::{ClientName, Lsn, UnixTime};
use serde::Serialize;

use crate::journal::Hole;

/// Most addresses kept in each list of strangers; packets of further ones are still counted.
const STRANGERS: usize = 1_000;

/// Why a packet was not answered though it may have been valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// The journal's pending group was full: packets arrive faster than the disk takes them.
    Overload,
    /// The journal cannot write; the NAS will send again.
    JournalStopped,
}

impl Dropped {
    /// The reason as metrics and ledger name it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::JournalStopped => "journal_stopped",
        }
    }
}

/// One client's counts since the process started.
#[derive(Debug, Default)]
pub struct Tally {
    received: AtomicU64,
    recorded: AtomicU64,
    acknowledged: AtomicU64,
    duplicates: AtomicU64,
    status_server: AtomicU64,
    /// Few reasons, counted off the fast path.
    rejected: Mutex<BTreeMap<&'static str, u64>>,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It is in the journal, and will be acknowledged once durable.
    Recorded,
    /// It came before: answered again, or about to be answered.
    Duplicate,
    /// A Status-Server, answered or (while packets cannot be acknowledged) not.
    StatusServer,
    /// It is invalid; for this reason.
    Rejected(&'static str),
    /// It may be valid, but could not be recorded.
    Dropped(Dropped),
}

impl Tally {
    /// Counts a packet.
    pub fn count(&self, outcome: Outcome) {
        self.received.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Recorded => _ = self.recorded.fetch_add(1, Ordering::Relaxed),
            Outcome::Duplicate => _ = self.duplicates.fetch_add(1, Ordering::Relaxed),
            Outcome::StatusServer => _ = self.status_server.fetch_add(1, Ordering::Relaxed),
            Outcome::Rejected(reason) => *self.rejected.lock().entry(reason).or_default() += 1,
            Outcome::Dropped(dropped) => *self.dropped.lock().entry(dropped.reason()).or_default() += 1,
        }
    }

    /// Counts an acknowledgement of a recorded packet.
    pub fn acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn report(&self) -> TallyReport {
        // Read against the flow, so that a packet counted meanwhile never makes a difference negative.
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        let recorded = self.recorded.load(Ordering::Acquire);
        let duplicates = self.duplicates.load(Ordering::Acquire);
        let status_server = self.status_server.load(Ordering::Acquire);
        let rejected = self.rejected.lock().clone();
        let dropped = self.dropped.lock().clone();
        let received = self.received.load(Ordering::Acquire);
        let in_flight = recorded.saturating_sub(acknowledged);
        TallyReport { received, acknowledged, in_flight, duplicates, status_server, rejected, dropped }
    }
}

/// One client's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TallyReport {
    /// Packets taken from the kernel.
    pub received: u64,
    /// Recorded and acknowledged.
    pub acknowledged: u64,
    /// Recorded, not yet durable.
    pub in_flight: u64,
    /// Seen before; the first copy is what counts.
    pub duplicates: u64,
    /// Status-Server requests.
    pub status_server: u64,
    /// Invalid, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Not recorded, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl TallyReport {
    /// Packets whose whereabouts are unknown: 0 at rest.
    #[must_use]
    pub fn unaccounted(&self) -> i64 {
        let rejected: u64 = self.rejected.values().sum();
        let dropped: u64 = self.dropped.values().sum();
        let known =
            self.acknowledged + self.in_flight + self.duplicates + self.status_server + rejected + dropped;
        self.received.cast_signed() - known.cast_signed()
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.acknowledged += other.acknowledged;
        self.in_flight += other.in_flight;
        self.duplicates += other.duplicates;
        self.status_server += other.status_server;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (reason, count) in &other.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
    }
}

/// Packets from one address that were refused for who sent them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// The source address.
    pub source: IpAddr,
    /// Packets seen.
    pub packets: u64,
    /// When the first came.
    pub since: UnixTime,
    /// When the newest came.
    pub last_at: UnixTime,
}

/// A bounded list of strangers.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<HashMap<IpAddr, (u64, UnixTime, UnixTime)>>);

impl Strangers {
    /// Notes a packet from `source`.
    pub fn note(&self, source: IpAddr, now: UnixTime) {
        let mut list = self.0.lock();
        if list.len() >= STRANGERS && !list.contains_key(&source) {
            return;
        }
        let (packets, _, last) = list.entry(source).or_insert((0, now, now));
        *packets += 1;
        *last = now;
    }

    fn report(&self) -> Vec<Stranger> {
        let list = self.0.lock();
        let mut strangers: Vec<_> = list
            .iter()
            .map(|(&source, &(packets, since, last_at))| Stranger { source, packets, since, last_at })
            .collect();
        strangers.sort_by_key(|stranger| (std::cmp::Reverse(stranger.packets), stranger.source));
        strangers
    }
}

/// The ledger. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Books>);

#[derive(Debug, Default)]
struct Books {
    clients: RwLock<BTreeMap<ClientName, Arc<Tally>>>,
    unknown: Tally,
    unknown_sources: Strangers,
    wrong_secrets: Strangers,
    kernel_drops: AtomicU64,
    durable: AtomicU64,
    exported: AtomicU64,
    holes: Mutex<Vec<Hole>>,
}

impl Ledger {
    /// The counts of the client named `name`.
    #[must_use]
    pub fn client(&self, name: &ClientName) -> Arc<Tally> {
        Arc::clone(self.0.clients.write().entry(name.clone()).or_default())
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

    /// The ledger of this moment.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let clients: BTreeMap<_, _> =
            self.0.clients.read().iter().map(|(name, tally)| (name.clone(), tally.report())).collect();
        let mut total = self.0.unknown.report();
        clients.values().for_each(|client| total.add(client));
        let exported = self.0.exported.load(Ordering::Relaxed);
        let durable = self.0.durable.load(Ordering::Relaxed).max(exported);
        LedgerReport {
            unaccounted: total.unaccounted(),
            total,
            clients,
            stored: exported,
            pending: durable - exported,
            kernel_drops: self.0.kernel_drops.load(Ordering::Relaxed),
            unknown_sources: self.0.unknown_sources.report(),
            wrong_secrets: self.0.wrong_secrets.report(),
            holes: self.0.holes.lock().clone(),
        }
    }
}

/// What `GET /api/v1/ledger` shows. Counts of packets are since the process started; `stored` and `pending` are of the
/// whole journal.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerReport {
    /// All clients together, unknown sources included.
    pub total: TallyReport,
    /// Packets whose whereabouts are unknown: 0 at rest.
    pub unaccounted: i64,
    /// By client.
    pub clients: BTreeMap<ClientName, TallyReport>,
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
        let tally = ledger.client(&"bng".into());
        for outcome in [
            Outcome::Recorded,
            Outcome::Recorded,
            Outcome::Duplicate,
            Outcome::StatusServer,
            Outcome::Rejected("wrong_code"),
            Outcome::Dropped(Dropped::Overload),
        ] {
            tally.count(outcome);
        }
        tally.acknowledged();
        ledger.unknown_source("192.0.2.9".parse().unwrap(), UnixTime(5));
        let report = ledger.report();
        assert_eq!(
            (report.total.received, report.total.acknowledged, report.total.in_flight, report.unaccounted),
            (7, 1, 1, 0)
        );
        assert_eq!(report.unknown_sources[0].packets, 1);
    }

    #[test]
    fn the_list_of_strangers_is_bounded() {
        let strangers = Strangers::default();
        for n in 0..5_000u32 {
            strangers.note(IpAddr::from(n.to_be_bytes()), UnixTime(1));
        }
        assert_eq!(strangers.report().len(), STRANGERS);
    }
}
