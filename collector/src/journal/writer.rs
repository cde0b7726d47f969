//! The journal's one writing thread: group commit, new segments, and what happens when the disk refuses.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use schema::{Lsn, UnixMicros};
use tracing::{error, info, warn};

use super::format::{Batch, HEADER, Header};
use super::segment::Segment;
use super::{DurableLsn, JournalError, JournalStatus, Shared, metrics};
use crate::storage::StoredFile;

/// Records that became durable together.
#[derive(Debug)]
pub struct Group<T> {
    /// The last of them, as a proof.
    pub last: DurableLsn,
    /// The records.
    pub entries: Arc<Batch>,
    /// What each of them was appended with.
    pub tickets: Vec<(Lsn, T)>,
}

type Tickets<T> = Vec<(Lsn, T)>;

/// Writes what is appended. There is one per journal.
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    next_number: u64,
    current: Option<Current>,
}

/// The segment being written.
struct Current {
    segment: Segment,
    file: Box<dyn StoredFile>,
    /// Where its next batch goes; all before is durable.
    offset: u64,
}

impl<T> Writer<T> {
    pub(super) const fn new(shared: Arc<Shared<T>>, next_number: u64) -> Self {
        Self { shared, next_number, current: None }
    }

    /// Writes groups until the journal is asked to stop, and hands each durable one to `on_durable`. Each group is what
    /// arrived while the one before it was written: on an idle journal a single record, on a busy one thousands.
    pub fn run(mut self, mut on_durable: impl FnMut(Group<T>)) {
        while let Some((mut bytes, tickets)) = self.take() {
            let (Some((first, _)), Some((last, _))) = (tickets.first(), tickets.last()) else { continue };
            let (first, last) = (*first, *last);
            let started = Instant::now();
            let entries = u32::try_from(tickets.len()).unwrap_or(u32::MAX);
            let payload = bytes.get(HEADER..).unwrap_or_default();
            let header = Header::of(payload, entries, first, self.shared.files.durable(), UnixMicros::now());
            if !self.write_until_durable(&header, &mut bytes) {
                return;
            }
            metrics::group_written(tickets.len(), bytes.len(), started.elapsed());
            self.shared.files.durable.store(last.0, Ordering::Release);
            let entries = Arc::new(Batch::own(header, bytes));
            on_durable(Group { last: DurableLsn(last), entries, tickets });
            self.shared.files.news.send_replace(last);
        }
        self.seal();
    }

    /// Waits for records and takes all there are; `None` when the journal is to end and nothing is left.
    fn take(&self) -> Option<(Vec<u8>, Tickets<T>)> {
        let mut pending = self.shared.pending.lock();
        while pending.tickets.is_empty() {
            if pending.closing {
                return None;
            }
            self.shared.wake.wait(&mut pending);
        }
        let capacity = pending.bytes.len();
        let mut bytes = Vec::with_capacity(capacity);
        bytes.resize(HEADER, 0);
        let tickets = Vec::with_capacity(pending.tickets.len());
        Some((mem::replace(&mut pending.bytes, bytes), mem::replace(&mut pending.tickets, tickets)))
    }

    /// Writes a group, in as many segments as it takes; `false` when the journal was asked to end meanwhile.
    fn write_until_durable(&mut self, header: &Header, bytes: &mut [u8]) -> bool {
        loop {
            let Err(error) = self.write(header, bytes) else {
                self.resume();
                return true;
            };
            metrics::write_failed();
            // Whatever of the group is not durable in this segment now never will be: nothing more goes into it.
            let fresh = self.current.as_ref().is_none_or(|current| current.offset == 0);
            self.seal();
            if !fresh {
                warn!(%error, "a journal segment is given up; its last group goes into a new one");
            } else if !self.wait_stopped(&error) {
                return false;
            }
        }
    }

    fn write(&mut self, header: &Header, bytes: &mut [u8]) -> Result<(), JournalError> {
        let size = self.shared.files.config.segment_bytes;
        if self.current.as_ref().is_some_and(|current| current.offset + header.batch_size() > size) {
            self.seal();
        }
        if self.current.is_none() {
            self.current = Some(self.create(header)?);
        }
        let Some(Current { segment, file, offset }) = &mut self.current else { return Ok(()) };
        if let Some(room) = bytes.get_mut(..HEADER) {
            room.copy_from_slice(&header.encode(segment.salt));
        }
        file.write_at(bytes, *offset).map_err(JournalError::io("writing", &segment.path))?;
        file.sync_data().map_err(JournalError::io("fdatasync", &segment.path))?;
        *offset += header.batch_size();
        Ok(())
    }

    fn create(&mut self, header: &Header) -> Result<Current, JournalError> {
        let files = &self.shared.files;
        let number = self.next_number;
        self.next_number += 1;
        let mut salt = [0; 4];
        getrandom::fill(&mut salt)
            .map_err(|error| JournalError::io("drawing a salt", &files.config.dir)(error.into()))?;
        let (salt, size) = (u32::from_le_bytes(salt), files.config.segment_bytes);
        let segment = Segment::new(&files.config.dir, number, header.first, salt, header.written_at, size);
        match files.make_file(&segment) {
            Ok(file) => {
                files.add(segment.clone());
                Ok(Current { segment, file, offset: 0 })
            }
            Err(error) => {
                // Half a segment would take the room that the next attempt needs. It may not be there at all.
                _ = files.storage.remove(&segment.path);
                Err(error)
            }
        }
    }

    /// Ends the current segment: gives its unused rest back, or all of it where nothing in it is durable. Only space
    /// depends on it, so that it may fail.
    fn seal(&mut self) {
        let Some(Current { segment, file, offset }) = self.current.take() else { return };
        let files = &self.shared.files;
        if offset == 0 {
            files.forget(segment.number);
            _ = files.storage.remove(&segment.path);
        } else if file.set_len(offset).is_ok() {
            files.resize(segment.number, offset);
        }
    }

    /// Refuses records, and waits before the next attempt; `false` when the journal is to end.
    fn wait_stopped(&self, error: &JournalError) -> bool {
        let reason: Arc<str> = error.to_string().into();
        {
            let mut status = self.shared.files.status.lock();
            if *status == JournalStatus::Running {
                error!(%error, "the journal cannot write: nothing is acknowledged until it can");
                *status = JournalStatus::Stopped { reason: Arc::clone(&reason), since: UnixMicros::now() };
            }
        }
        let mut pending = self.shared.pending.lock();
        if pending.closing {
            return false;
        }
        pending.stopped = Some(reason);
        self.shared.wake.wait_for(&mut pending, self.shared.files.config.retry);
        !pending.closing
    }

    fn resume(&self) {
        let mut status = self.shared.files.status.lock();
        let JournalStatus::Stopped { since, .. } = *status else { return };
        info!(seconds = (UnixMicros::now().0 - since.0) / 1_000_000, "the journal writes again");
        *status = JournalStatus::Running;
        drop(status);
        let mut pending = self.shared.pending.lock();
        if !pending.closing {
            pending.stopped = None;
        }
    }
}
