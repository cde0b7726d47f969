//! The journal's one writing thread: group commit, new segments, and what happens when the disk refuses.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use schema::{Lsn, UnixMicros};
use tracing::{error, info, warn};

use super::format::{self, Batch, HEADER};
use super::{DurableLsn, JournalError, JournalStatus, Pending, Segment, Shared, metrics};
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
    /// The segment being written and the offset of its next batch.
    current: Option<(Box<dyn StoredFile>, PathBuf, u64)>,
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
            let entries = u32::try_from(tickets.len()).unwrap_or(u32::MAX);
            let started = Instant::now();
            let written_at = UnixMicros::now();
            format::seal(&mut bytes, entries, first, self.shared.files.durable(), written_at);
            if !self.write_until_durable(&bytes, first, written_at) {
                return;
            }
            metrics::group_written(tickets.len(), bytes.len(), started.elapsed());
            self.shared.files.durable.store(last.0, Ordering::Release);
            if let Some(batch) = Batch::check_own(bytes) {
                on_durable(Group { last: DurableLsn(last), entries: Arc::new(batch), tickets });
            }
            self.shared.files.news.send_replace(last);
        }
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
    fn write_until_durable(&mut self, bytes: &[u8], first: Lsn, written_at: UnixMicros) -> bool {
        loop {
            match self.write(bytes, first, written_at) {
                Ok(()) => {
                    self.resume();
                    return true;
                }
                Err(error) => {
                    metrics::write_failed();
                    // Whatever of the segment is not durable now never will be: nothing more goes into it.
                    let had_segment = self.current.take().is_some();
                    if had_segment {
                        warn!(%error, "a journal segment is given up; its last group goes into a new one");
                        continue;
                    }
                    if !self.wait_stopped(&error) {
                        return false;
                    }
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8], first: Lsn, written_at: UnixMicros) -> Result<(), JournalError> {
        let size = self.shared.files.config.segment_bytes;
        if self.current.as_ref().is_some_and(|(_, _, offset)| offset + bytes.len() as u64 > size) {
            self.current = None;
        }
        if self.current.is_none() {
            self.current = Some(self.create(first, written_at)?);
        }
        let Some((file, path, offset)) = &mut self.current else { return Ok(()) };
        file.write_at(bytes, *offset).map_err(JournalError::io("writing", path))?;
        file.sync_data().map_err(JournalError::io("fdatasync", path))?;
        *offset += bytes.len() as u64;
        Ok(())
    }

    fn create(
        &mut self,
        first: Lsn,
        started_at: UnixMicros,
    ) -> Result<(Box<dyn StoredFile>, PathBuf, u64), JournalError> {
        let files = &self.shared.files;
        let number = self.next_number;
        let path = files.config.dir.join(format!("{number:010}.journal"));
        let result = (|| {
            let size = files.config.segment_bytes;
            let file =
                files.storage.create(&path, size).map_err(JournalError::io("creating a segment", &path))?;
            file.sync_all().map_err(JournalError::io("syncing a new segment", &path))?;
            files
                .storage
                .sync_dir(&files.config.dir)
                .map_err(JournalError::io("syncing the folder", &files.config.dir))?;
            Ok(file)
        })();
        match result {
            Ok(file) => {
                self.next_number += 1;
                files.segments.lock().push(Segment { number, path: path.clone(), first, started_at });
                Ok((file, path, 0))
            }
            Err(error) => {
                // Half a segment would take the room that the next attempt needs. It may not be there at all.
                _ = files.storage.remove(&path);
                Err(error)
            }
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
        if let JournalStatus::Stopped { since, .. } = &*status {
            info!(seconds = (UnixMicros::now().0 - since.0) / 1_000_000, "the journal writes again");
            *status = JournalStatus::Running;
            let mut pending: parking_lot::MutexGuard<'_, Pending<T>> = self.shared.pending.lock();
            if !pending.closing {
                pending.stopped = None;
            }
        }
    }
}
