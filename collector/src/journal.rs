//! The journal: a record is here, on disk, before it is acknowledged.
//!
//! **Constraints.** An acknowledged record survives a crash, a power cut and a full disk. One `fdatasync` covers all
//! records that arrived while the last one ran. Appending never waits for the disk.
//!
//! **On disk.** Segment files ([`segment`]) of preallocated size, so that a full disk shows before a record is
//! acknowledged; file and folder are synced on creation. A segment holds batches ([`format`]); records are numbered (LSN)
//! from 1 without gaps. A segment's unused tail is zeros. The folder is locked: one process at a time.
//!
//! **Failure.** A failed write or `fdatasync` is never retried on its file, whose dirty pages the kernel may have dropped:
//! the segment ends at the last durable record, and the group goes whole into a new one. Where that fails too, nothing is
//! acknowledged; the group stays in memory and a new segment is tried every second.
//!
//! **Recovery** ([`recovery`]). Appending starts in a new segment. Each header says what was known durable when it was
//! written, and each segment's name says so too. Octets after the last sound batch are a *torn* tail, never acknowledged
//! and cut, unless such a word attests that they were durable; then they are *damage*, and so is whatever is unreadable
//! before a sound batch. Damage leaves a *hole* ([`quarantine`]): it is reported, its octets are kept aside, and reading
//! goes on after it. What the system reports as a read error is neither: it may pass, so nothing is given up for it.
//!
//! **Retention.** A segment is deleted when everything in it is exported and below the oldest kept checkpoint (the caller
//! says so with [`Journal::release`]) and it is older than the retention. The newest segment stays.

mod format;
mod metrics;
mod quarantine;
mod reader;
mod recovery;
mod scan;
mod segment;
mod writer;

#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, clippy::indexing_slicing, reason = "a panic there is what fuzzing looks for")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use schema::{Lsn, UnixMicros, UnixTime};
use tokio::sync::watch;

use crate::storage::{Storage, StoredFile};
use quarantine::Quarantine;
use segment::Segment;

pub use format::{Batch, Entry};
pub use quarantine::Hole;
pub use reader::Reader;
pub use recovery::RecoveryReport;
pub use writer::{Group, Writer};

/// How the journal is laid out.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Its folder.
    pub dir: PathBuf,
    /// Size of a segment file.
    pub segment_bytes: u64,
    /// Most octets of records that may wait for the disk. Full: [`Journal::append`] refuses, and the packet is dropped
    /// before it is acknowledged.
    pub group_bytes: usize,
    /// How long segments are kept at least.
    pub retention: Duration,
    /// Time between two attempts to open a new segment while none can be written.
    pub retry: Duration,
    /// A record number that was seen elsewhere (a checkpoint, the exporter's cursor): numbers up to it are not reused,
    /// even if the journal's tail is gone.
    pub known: Lsn,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            dir: "journal".into(),
            segment_bytes: 64 << 20,
            group_bytes: 4 << 20,
            retention: Duration::from_secs(7 * 86_400),
            retry: Duration::from_secs(1),
            known: Lsn::ZERO,
        }
    }
}

/// What can go wrong with the journal's files.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A system call failed.
    #[error("{}: {what} failed: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The segment size is too small for a group.
    #[error("a journal segment of {segment} octets cannot hold a group of {group}")]
    SegmentTooSmall {
        /// Configured size of a segment.
        segment: u64,
        /// Configured size of a group.
        group: usize,
    },
}

impl JournalError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { what, path, error }
    }
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits for the disk.
    #[error("records arrive faster than the disk takes them")]
    Full,
    /// The disk takes nothing.
    #[error("the journal is stopped: {0}")]
    Stopped(Arc<str>),
}

/// Whether records are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalStatus {
    /// They are.
    Running,
    /// They are not.
    Stopped {
        /// What fails, and on which file.
        reason: Arc<str>,
        /// Since when.
        since: UnixMicros,
    },
}

/// What the journal takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalSize {
    /// Segment files.
    pub segments: u64,
    /// Octets of them.
    pub bytes: u64,
}

impl JournalSize {
    fn of(segments: &[Segment]) -> Self {
        let bytes = segments.iter().map(|segment| segment.size).sum();
        Self { segments: segments.len() as u64, bytes }
    }
}

/// A record number of which it is known that it and all before it are on disk. Only the journal makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurableLsn(Lsn);

impl DurableLsn {
    /// The number.
    #[must_use]
    pub const fn lsn(self) -> Lsn {
        self.0
    }
}

impl fmt::Display for DurableLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The journal. Cloning shares it; `T` is what must happen once a record is durable.
pub struct Journal<T>(Arc<Shared<T>>);

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<T> {
    pending: Mutex<Pending<T>>,
    wake: Condvar,
    files: Arc<Files>,
}

/// What readers and the writer share.
struct Files {
    config: JournalConfig,
    storage: Arc<dyn Storage>,
    /// Oldest first; the last is the one being written.
    segments: Mutex<Vec<Segment>>,
    quarantine: Quarantine,
    durable: AtomicU64,
    news: watch::Sender<Lsn>,
    status: Mutex<JournalStatus>,
    /// Held as long as the journal lives.
    _lock: Box<dyn Any + Send + Sync>,
}

/// Records that wait for the disk.
struct Pending<T> {
    /// Room for a batch header, then the entries.
    bytes: Vec<u8>,
    tickets: Vec<(Lsn, T)>,
    next: Lsn,
    stopped: Option<Arc<str>>,
    closing: bool,
}

impl<T> Journal<T> {
    /// Recovers the journal in the configured folder; makes the folder where there is none.
    ///
    /// # Errors
    /// A file or folder cannot be read or made. Damage in the files is no error: it is in the report.
    pub fn open(
        config: JournalConfig,
        storage: Arc<dyn Storage>,
    ) -> Result<(Self, Writer<T>, RecoveryReport), JournalError> {
        let least = config.group_bytes as u64 + 64 * 1024;
        if config.segment_bytes < least {
            return Err(JournalError::SegmentTooSmall {
                segment: config.segment_bytes,
                group: config.group_bytes,
            });
        }
        let dir = &config.dir;
        storage.create_dir(dir).map_err(JournalError::io("creating the folder", dir))?;
        let lock = storage.lock(dir).map_err(JournalError::io("locking (is it in use?)", dir))?;
        let quarantine = Quarantine::open(dir, Arc::clone(&storage))?;
        let recovery::Recovered { segments, next_number, report } =
            recovery::recover(&config, &*storage, &quarantine)?;
        let last = report.last;
        let files = Arc::new(Files {
            config,
            storage,
            segments: Mutex::new(segments),
            quarantine,
            durable: AtomicU64::new(last.0),
            news: watch::Sender::new(last),
            status: Mutex::new(JournalStatus::Running),
            _lock: lock,
        });
        metrics::size(JournalSize::of(&files.segments.lock()));
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::new(last.next())),
            wake: Condvar::new(),
            files: Arc::clone(&files),
        });
        let writer = Writer::new(Arc::clone(&shared), next_number);
        Ok((Self(shared), writer, report))
    }

    /// Takes a record; it becomes durable with the next group. Never waits for the disk.
    ///
    /// # Errors
    /// [`AppendError`]: the record is not in the journal and must not be acknowledged.
    pub fn append(&self, entry: &Entry<'_>, ticket: T) -> Result<Lsn, AppendError> {
        let mut pending = self.0.pending.lock();
        if let Some(reason) = &pending.stopped {
            return Err(AppendError::Stopped(Arc::clone(reason)));
        }
        if pending.bytes.len() + entry.packet.len() + 512 > self.0.files.config.group_bytes {
            return Err(AppendError::Full);
        }
        let lsn = pending.next;
        entry.encode(&mut pending.bytes);
        pending.tickets.push((lsn, ticket));
        pending.next = lsn.next();
        // The writer sleeps only while nothing waits.
        let first = pending.tickets.len() == 1;
        drop(pending);
        if first {
            self.0.wake.notify_one();
        }
        Ok(lsn)
    }

    /// The last durable record.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.0.files.durable()
    }

    /// The last durable record, as a proof.
    #[must_use]
    pub fn durable_proof(&self) -> DurableLsn {
        DurableLsn(self.durable())
    }

    /// Follows the last durable record.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Lsn> {
        self.0.files.news.subscribe()
    }

    /// The oldest record that is still kept; the next one where the journal is empty.
    #[must_use]
    pub fn oldest(&self) -> Lsn {
        self.0.files.oldest()
    }

    /// Holes found so far: at recovery, while reading, and by earlier runs.
    #[must_use]
    pub fn holes(&self) -> Vec<Hole> {
        self.0.files.quarantine.holes()
    }

    /// About when the records of a hole came: between those before it and those after it, as far as these can be read.
    #[must_use]
    pub fn time_of(&self, hole: Hole) -> (UnixTime, UnixTime) {
        let mut reader = self.reader(Lsn(hole.first.0.saturating_sub(1)).max(self.oldest()));
        let (mut before, mut after) = (None, None);
        while let (None, Ok(Some(batch))) = (after, reader.next_batch()) {
            for (lsn, entry) in batch.iter() {
                let side = if lsn < hole.first { &mut before } else { &mut after };
                *side = side.filter(|_| lsn > hole.last).or(Some(entry.arrived_at.seconds()));
            }
        }
        let after = after.unwrap_or_else(UnixTime::now);
        (before.unwrap_or(after), after.plus(1))
    }

    /// What it takes on disk.
    #[must_use]
    pub fn size(&self) -> JournalSize {
        JournalSize::of(&self.0.files.segments.lock())
    }

    /// Whether records are taken.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        self.0.files.status.lock().clone()
    }

    /// Reads durable records from `from` on, as long as the journal lives.
    #[must_use]
    pub fn reader(&self, from: Lsn) -> Reader {
        Reader::new(Arc::clone(&self.0.files), from)
    }

    /// Deletes segments that hold only records before `before` and are older than the retention.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn release(&self, before: Lsn) -> Result<(), JournalError> {
        self.0.files.release(before, UnixMicros::now())
    }

    /// Asks the writer to end after the records it has; further ones are refused.
    pub fn stop(&self) {
        let mut pending = self.0.pending.lock();
        pending.closing = true;
        pending.stopped.get_or_insert_with(|| "the service is stopping".into());
        drop(pending);
        self.0.wake.notify_one();
    }
}

impl Files {
    fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    fn oldest(&self) -> Lsn {
        self.segments.lock().first().map_or_else(|| self.durable().next(), |segment| segment.first)
    }

    /// The segment that holds a record; the oldest where the record is no longer kept.
    fn segment_with(&self, lsn: Lsn) -> Option<Segment> {
        let segments = self.segments.lock();
        segments.iter().rfind(|segment| segment.first <= lsn).or_else(|| segments.first()).cloned()
    }

    fn segment_after(&self, number: u64) -> Option<Segment> {
        self.segments.lock().iter().find(|segment| segment.number > number).cloned()
    }

    /// Makes a segment's file, durably and with its room.
    fn make_file(&self, segment: &Segment) -> Result<Box<dyn StoredFile>, JournalError> {
        let (path, dir) = (&segment.path, &self.config.dir);
        let file =
            self.storage.create(path, segment.size).map_err(JournalError::io("creating a segment", path))?;
        file.sync_all().map_err(JournalError::io("syncing a new segment", path))?;
        self.storage.sync_dir(dir).map_err(JournalError::io("syncing the folder", dir))?;
        Ok(file)
    }

    fn add(&self, segment: Segment) {
        let mut segments = self.segments.lock();
        segments.push(segment);
        metrics::size(JournalSize::of(&segments));
    }

    fn forget(&self, number: u64) {
        let mut segments = self.segments.lock();
        segments.retain(|segment| segment.number != number);
        metrics::size(JournalSize::of(&segments));
    }

    fn resize(&self, number: u64, size: u64) {
        let mut segments = self.segments.lock();
        if let Some(segment) = segments.iter_mut().find(|segment| segment.number == number) {
            segment.size = size;
        }
        metrics::size(JournalSize::of(&segments));
    }

    fn release(&self, before: Lsn, now: UnixMicros) -> Result<(), JournalError> {
        let retention = i64::try_from(self.config.retention.as_micros()).unwrap_or(i64::MAX);
        let until = UnixMicros(now.0.saturating_sub(retention));
        loop {
            let oldest = {
                let segments = self.segments.lock();
                let [oldest, next, ..] = segments.as_slice() else { return Ok(()) };
                if next.first > before || next.started_at > until {
                    return Ok(());
                }
                oldest.clone()
            };
            self.storage
                .remove(&oldest.path)
                .map_err(JournalError::io("removing a segment", &oldest.path))?;
            self.forget(oldest.number);
            metrics::segment_removed();
        }
    }
}

impl<T> Pending<T> {
    fn new(next: Lsn) -> Self {
        Self { bytes: vec![0; format::HEADER], tickets: Vec::new(), next, stopped: None, closing: false }
    }
}
