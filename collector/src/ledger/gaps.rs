//! Known gaps: when packets came that could not be taken, or acknowledged records were lost, and whom that touches.
//!
//! They are found by looking at the ledger again and again, so that they cost a packet nothing: what a line has lost since
//! the last look was lost since then. Losses of one kind that follow each other closely are one gap.
//!
//! A gap that [`Gaps`] holds is written beside the journal (`checkpoints/gaps-*`, by the collector's ticker) and, from there,
//! to ClickHouse (`known_gaps`, by the exporter): the file is for the time in which ClickHouse does not answer, which is when
//! gaps happen; ClickHouse is where usage is read, of all collectors. A gap is inserted again whenever it has grown.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use schema::{ClientName, GapRow, Lsn, NasId, UnixMicros, UnixTime};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::LedgerReport;
use super::tally::Dropped;

/// Seconds without a loss after which the next one is another gap.
const APART: i64 = 60;
/// Most gaps kept; older ones are in ClickHouse alone.
const MOST: usize = 1_000;
/// Most NASes named by a gap; what further ones lost counts for their client as a whole.
const MOST_NAMED: usize = 200;

/// What made a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// Packets came faster than the disk took them.
    Overload,
    /// The journal could not be written.
    JournalStopped,
    /// The kernel dropped datagrams for want of receive buffer; whose they were nobody knows.
    Kernel,
    /// Damage to the journal took acknowledged records before they were in ClickHouse; whose they were nobody knows.
    Hole,
    /// The collector was not running; what was sent to it meanwhile nobody knows.
    NotRunning,
}

impl GapKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Overload, Self::JournalStopped, Self::Kernel, Self::Hole, Self::NotRunning];

    /// As API and ClickHouse name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overload => Dropped::Overload.reason(),
            Self::JournalStopped => Dropped::JournalStopped.reason(),
            Self::Kernel => "kernel",
            Self::Hole => "hole",
            Self::NotRunning => "not_running",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A time in which something was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Names it among the gaps of its collector; of a hole its first record's number.
    pub id: u64,
    /// Grows with each change of any gap.
    pub version: u64,
    /// What made it.
    pub kind: GapKind,
    /// Its first second.
    pub from: UnixTime,
    /// The first second after it.
    pub to: UnixTime,
    /// Packets lost; of a hole, records. The NASes send packets again that are not acknowledged, each counts.
    pub packets: u64,
    /// Who lost them; empty where that is not known, so that it may be anyone.
    pub touched: Vec<Touched>,
}

/// Somebody who lost packets in a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The client that sent them.
    pub client: ClientName,
    /// The NAS; `None`: one or more of the client's.
    pub nas: Option<NasId>,
    /// How many.
    pub packets: u64,
}

impl Gap {
    /// Whether it may have touched `[from, to)`.
    #[must_use]
    pub fn overlaps(&self, from: UnixTime, to: UnixTime) -> bool {
        self.from < to && from < self.to
    }

    /// Its row for ClickHouse.
    #[must_use]
    pub fn to_row(&self, collector: &str) -> GapRow {
        let texts = |text: fn(&Touched) -> String| self.touched.iter().map(text).collect();
        GapRow {
            collector: collector.to_owned(),
            id: self.id,
            version: self.version,
            kind: self.kind.as_str().to_owned(),
            from_at: to_seconds(self.from),
            to_at: to_seconds(self.to),
            packets: self.packets,
            clients: texts(|touched| touched.client.to_string()),
            nases: texts(|touched| touched.nas.as_ref().map(ToString::to_string).unwrap_or_default()),
            counts: self.touched.iter().map(|touched| touched.packets).collect(),
        }
    }

    fn add(&mut self, losses: impl IntoIterator<Item = Touched>) {
        for loss in losses {
            self.packets += loss.packets;
            let same = |known: &&mut Touched| known.client == loss.client && known.nas == loss.nas;
            if let Some(known) = self.touched.iter_mut().find(same) {
                known.packets += loss.packets;
            } else if loss.nas.is_some() && self.touched.len() >= MOST_NAMED {
                let packets = loss.packets;
                self.packets -= packets;
                self.add([Touched { client: loss.client, nas: None, packets }]);
            } else {
                self.touched.push(loss);
            }
        }
    }
}

fn to_seconds(time: UnixTime) -> u32 {
    u32::try_from(time.0.max(0)).unwrap_or(u32::MAX)
}

/// The gaps of this collector.
#[derive(Debug)]
pub struct Gaps {
    book: Mutex<Book>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    /// By their beginning, oldest first.
    gaps: VecDeque<Gap>,
    version: u64,
    /// What each line had lost by the last look.
    seen: HashMap<(Option<ClientName>, Option<NasId>, &'static str), u64>,
    kernel_drops: u64,
    looked_at: Option<UnixTime>,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { book: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl Gaps {
    /// Takes over what an earlier run knew, as [`Gaps::image`] wrote it.
    ///
    /// # Errors
    /// It is something else.
    pub fn load(&self, image: &[u8]) -> Result<(), serde_json::Error> {
        let gaps: VecDeque<Gap> = serde_json::from_slice(image)?;
        let mut book = self.book.lock();
        book.version = gaps.iter().map(|gap| gap.version).max().unwrap_or(0);
        book.gaps = gaps;
        self.news.send_replace(book.version);
        Ok(())
    }

    /// All gaps, for [`Gaps::load`].
    ///
    /// # Errors
    /// Never.
    pub fn image(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.book.lock().gaps)
    }

    /// Grows with each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.book.lock().version
    }

    /// Follows [`Gaps::version`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Those that have changed since `version`.
    #[must_use]
    pub fn since(&self, version: u64) -> Vec<Gap> {
        self.book.lock().gaps.iter().filter(|gap| gap.version > version).cloned().collect()
    }

    /// Those that overlap `[from, to)`, newest first.
    #[must_use]
    pub fn within(&self, from: UnixTime, to: UnixTime) -> Vec<Gap> {
        self.book.lock().gaps.iter().rev().filter(|gap| gap.overlaps(from, to)).cloned().collect()
    }

    /// Notes what was lost since the last look.
    pub fn look(&self, report: &LedgerReport, now: UnixTime) {
        let mut book = self.book.lock();
        let since = book.looked_at.replace(now).unwrap_or(report.since);
        for kind in [GapKind::Overload, GapKind::JournalStopped] {
            let losses = book.losses(report, kind.as_str());
            if !losses.is_empty() {
                book.note(kind, since, now.plus(1), 0, losses);
            }
        }
        let kernel = report.kernel_drops - std::mem::replace(&mut book.kernel_drops, report.kernel_drops);
        if kernel > 0 {
            book.note(GapKind::Kernel, since, now.plus(1), kernel, Vec::new());
        }
        self.tell(&book);
    }

    /// Notes that the collector was not running.
    pub fn not_running(&self, from: UnixTime, to: UnixTime) {
        let mut book = self.book.lock();
        book.note(GapKind::NotRunning, from, to, 0, Vec::new());
        self.tell(&book);
    }

    /// Notes acknowledged records, `first` and those after it, that are neither in the journal nor in ClickHouse; they came
    /// in this time.
    pub fn hole(&self, first: Lsn, records: u64, (from, to): (UnixTime, UnixTime)) {
        let mut book = self.book.lock();
        if !book.gaps.iter().any(|gap| gap.kind == GapKind::Hole && gap.id == first.0) {
            let (id, kind, touched) = (first.0, GapKind::Hole, Vec::new());
            book.keep(Gap { id, version: 0, kind, from, to, packets: records, touched });
            self.tell(&book);
        }
    }

    fn tell(&self, book: &Book) {
        self.news.send_if_modified(|version| std::mem::replace(version, book.version) != book.version);
    }
}

impl Book {
    /// What each line has lost for `reason` since this was last asked.
    fn losses(&mut self, report: &LedgerReport, reason: &'static str) -> Vec<Touched> {
        let mut losses = Vec::new();
        for line in report.lines.iter().filter(|line| !line.counts.dropped.is_empty()) {
            let lost = line.counts.dropped.get(reason).copied().unwrap_or(0);
            let seen = self.seen.entry((line.client.clone(), line.nas.clone(), reason)).or_default();
            let packets = lost - std::mem::replace(seen, lost);
            if let Some(client) = line.client.clone().filter(|_| packets > 0) {
                losses.push(Touched { client, nas: line.nas.clone(), packets });
            }
        }
        losses
    }

    /// Adds to the gap of this kind that has hardly ended, or opens one.
    fn note(&mut self, kind: GapKind, from: UnixTime, to: UnixTime, unnamed: u64, losses: Vec<Touched>) {
        let near = |gap: &&mut Gap| gap.kind == kind && from.since(gap.to) <= APART;
        let known = (kind != GapKind::NotRunning).then(|| self.gaps.iter_mut().rev().find(near)).flatten();
        if let Some(gap) = known {
            self.version += 1;
            gap.version = self.version;
            gap.to = gap.to.max(to);
            gap.packets += unnamed;
            gap.add(losses);
        } else {
            let id = u64::try_from(UnixMicros::now().0).unwrap_or(0);
            let mut gap = Gap { id, version: 0, kind, from, to, packets: unnamed, touched: Vec::new() };
            gap.add(losses);
            self.keep(gap);
        }
    }

    fn keep(&mut self, mut gap: Gap) {
        self.version += 1;
        gap.version = self.version;
        gap.to = gap.to.max(gap.from.plus(1));
        while self.gaps.len() >= MOST {
            self.gaps.pop_front();
        }
        let at = self.gaps.partition_point(|known| known.from <= gap.from);
        self.gaps.insert(at, gap);
    }
}

#[cfg(test)]
mod tests;
