//! Follows the journal from a number on: what is durable, in order, each record once, past damage.

use std::sync::Arc;

use schema::Lsn;
use tracing::error;

use super::format::Batch;
use super::recovery::{Hole, quarantine};
use super::scan::{Damage, Found, Scanner};
use super::{Files, JournalError, Segment, metrics};

/// A place in the journal.
pub struct Reader {
    files: Arc<Files>,
    next: Lsn,
    current: Option<(Segment, Scanner)>,
    damage: Option<Damage>,
}

impl Reader {
    pub(super) const fn new(files: Arc<Files>, from: Lsn) -> Self {
        Self { files, next: from, current: None, damage: None }
    }

    /// The next durable records; `None` where there are none yet. Records that cannot be read are passed over and
    /// reported as a [`Hole`].
    ///
    /// # Errors
    /// A segment cannot be opened or read.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, JournalError> {
        while self.next <= self.files.durable() {
            let Some((segment, scanner)) = &mut self.current else {
                if self.enter(None)? {
                    continue;
                }
                return Ok(None);
            };
            match scanner.next().map_err(JournalError::io("reading", &segment.path))? {
                // A group that a failing segment kept, and that its successor holds again, is read once.
                Found::Batch(batch) if batch.last() < self.next => self.damage = None,
                Found::Batch(batch) => return Ok(Some(self.pass(batch))),
                Found::Damage(damage) => self.damage = Some(damage),
                Found::Tail(_) | Found::End => {
                    let number = segment.number;
                    if !self.enter(Some(number))? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    fn pass(&mut self, batch: Batch) -> Batch {
        let first = batch.header().first;
        if first > self.next {
            self.report(Hole { first: self.next, last: Lsn(first.0 - 1) });
        }
        self.damage = None;
        let from = self.next;
        self.next = batch.last().next();
        batch.starting_at(from)
    }

    /// Opens the segment after number `after`, or the one that holds the next record; `false` where there is none.
    fn enter(&mut self, after: Option<u64>) -> Result<bool, JournalError> {
        let segment = {
            let segments = self.files.segments.lock();
            let wanted = match after {
                Some(number) => segments.iter().find(|segment| segment.number > number),
                None => segments
                    .iter()
                    .rev()
                    .find(|segment| segment.first <= self.next)
                    .or_else(|| segments.first()),
            };
            wanted.cloned()
        };
        let Some(segment) = segment else { return Ok(false) };
        let file =
            self.files.storage.open(&segment.path).map_err(JournalError::io("opening", &segment.path))?;
        // Damage at the end of the segment before is what a failed write left; its records are in this one.
        self.damage = None;
        self.current = Some((segment, Scanner::new(Arc::from(file))));
        Ok(true)
    }

    fn report(&self, hole: Hole) {
        // Numbers before the oldest segment were deleted on purpose, after their export.
        let oldest = self.files.segments.lock().first().map_or(Lsn::ZERO, |segment| segment.first);
        let mut holes = self.files.holes.lock();
        if hole.last < oldest || holes.contains(&hole) {
            return;
        }
        error!(first = %hole.first, last = %hole.last, "records that were durable cannot be read any more");
        metrics::hole(hole.last.0 - hole.first.0 + 1);
        if let (Some((segment, scanner)), Some(damage)) = (&self.current, self.damage) {
            quarantine(scanner.file(), &segment.path, damage, &self.files.config, &*self.files.storage);
        }
        holes.push(hole);
    }
}
