//! What became of the packets of one line of the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

/// Why a packet was not answered though it may have been valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// The journal's pending group was full: packets arrive faster than the disk takes them.
    Overload,
    /// The journal cannot write; the NAS will send again.
    JournalStopped,
}

impl Dropped {
    const ALL: [Self; 2] = [Self::Overload, Self::JournalStopped];

    /// The reason as metrics and ledger name it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::JournalStopped => "journal_stopped",
        }
    }
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

/// A line's counts since the process started. A packet costs one of them, without a lock unless it is refused.
#[derive(Debug, Default)]
pub struct Tally {
    recorded: AtomicU64,
    acknowledged: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    status_server: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    /// Few reasons, counted off the fast path.
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    /// Counts a packet.
    pub fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Recorded => &self.recorded,
            Outcome::Duplicate => &self.duplicates,
            Outcome::StatusServer => &self.status_server,
            Outcome::Dropped(Dropped::Overload) => &self.dropped[0],
            Outcome::Dropped(Dropped::JournalStopped) => &self.dropped[1],
            Outcome::Rejected(reason) => {
                *self.rejected.lock().entry(reason).or_default() += 1;
                return;
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an acknowledgement of a recorded packet.
    pub fn acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts acknowledged records that ClickHouse has taken.
    pub fn stored(&self, records: u64) {
        self.stored.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> TallyReport {
        // Read against the flow, so that a packet counted meanwhile never makes a difference negative.
        let stored = self.stored.load(Ordering::Acquire);
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        let recorded = self.recorded.load(Ordering::Acquire);
        let dropped = Dropped::ALL.iter().zip(&self.dropped);
        let dropped = dropped.map(|(dropped, count)| (dropped.reason(), count.load(Ordering::Acquire)));
        let mut report = TallyReport {
            received: 0,
            acknowledged,
            in_flight: recorded.saturating_sub(acknowledged),
            duplicates: self.duplicates.load(Ordering::Acquire),
            status_server: self.status_server.load(Ordering::Acquire),
            rejected: self.rejected.lock().clone(),
            dropped: dropped.filter(|(_, packets)| *packets > 0).collect(),
            stored,
            pending: acknowledged.saturating_sub(stored),
        };
        report.received = report.placed();
        report
    }
}

/// What became of packets: of a NAS, of a client, or of all.
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
    /// Of the acknowledged, those that ClickHouse has taken.
    pub stored: u64,
    /// Of the acknowledged, those on their way to ClickHouse.
    pub pending: u64,
}

impl TallyReport {
    /// Packets of which it is known what became of them.
    #[must_use]
    pub fn placed(&self) -> u64 {
        let rejected: u64 = self.rejected.values().sum();
        let dropped: u64 = self.dropped.values().sum();
        self.acknowledged + self.in_flight + self.duplicates + self.status_server + rejected + dropped
    }

    /// Adds what became of others.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.acknowledged += other.acknowledged;
        self.in_flight += other.in_flight;
        self.duplicates += other.duplicates;
        self.status_server += other.status_server;
        self.stored += other.stored;
        self.pending += other.pending;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (reason, count) in &other.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
    }
}
