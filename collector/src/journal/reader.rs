//! Follows the journal from a number on: what is durable, in order, each record once, past damage.

use std::sync::Arc;

use schema::Lsn;

use super::format::Batch;
use super::quarantine::Hole;
use super::scan::{Damage, Found, Scanner};
use super::segment::Segment;
use super::{Files, JournalError};

/// A place in the journal.
pub struct Reader {
    files: Arc<Files>,
    next: Lsn,
    current: Option<(Segment, Scanner)>,
    /// What was passed over since the last sound batch.
    damage: Vec<Damage>,
}

impl Reader {
    pub(super) const fn new(files: Arc<Files>, from: Lsn) -> Self {
        Self { files, next: from, current: None, damage: Vec::new() }
    }

    /// The next durable records; `None` where there are none yet. Records that cannot be read are passed over and
    /// reported as a [`Hole`].
    ///
    /// # Errors
    /// A segment cannot be opened or read.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, JournalError> {
        loop {
            let durable = self.files.durable();
            if self.next > durable {
                return Ok(None);
            }
            let Some((segment, scanner)) = &mut self.current else {
                let Some(segment) = self.files.segment_with(self.next) else { return Ok(None) };
                self.enter(segment)?;
                continue;
            };
            // Asked before looking: where there is a next segment, the writer is done with this one.
            let successor = self.files.segment_after(segment.number);
            let found = scanner.look().map_err(JournalError::io("reading", &segment.path))?;
            if found.first().is_some_and(|first| first > durable) {
                return Ok(None);
            }
            if !found.may_be_followed() && successor.is_none() {
                return Ok(None);
            }
            scanner.pass(&found);
            let over = !found.may_be_followed();
            match found {
                Found::Batch(batch) => {
                    if let Some(batch) = self.give(batch) {
                        return Ok(Some(batch));
                    }
                }
                Found::Damage(damage, _) => self.damage.push(damage),
                Found::End => {}
            }
            if let Some(successor) = successor.filter(|_| over) {
                self.enter(successor)?;
            }
        }
    }

    fn enter(&mut self, segment: Segment) -> Result<(), JournalError> {
        let file =
            self.files.storage.open(&segment.path).map_err(JournalError::io("opening", &segment.path))?;
        let scanner = Scanner::new(Arc::from(file), segment.salt);
        self.current = Some((segment, scanner));
        Ok(())
    }

    /// What of a sound batch was not given yet. A group that a failing segment kept, and that its successor holds again,
    /// is given once.
    fn give(&mut self, batch: Batch) -> Option<Batch> {
        let damage = std::mem::take(&mut self.damage);
        if batch.last() < self.next {
            return None;
        }
        let first = batch.header().first;
        // Numbers before the oldest segment were deleted on purpose, after their export.
        let missing = self.next.max(self.files.oldest());
        if first > missing {
            self.files.quarantine.report(Hole { first: missing, last: Lsn(first.0 - 1) }, &damage);
        }
        let from = self.next;
        self.next = batch.last().next();
        Some(batch.starting_at(from))
    }
}
