//! What a start makes of the files that the last run left, whatever ended it.
//!
//! Only the newest segment that holds records is read whole. Damage in older ones is found when they are read
//! ([`super::reader`]). What is *attested* was durable for certain: a header says so that was written later, or a segment
//! that was made later.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use schema::{Lsn, UnixMicros};

use super::format::Batch;
use super::quarantine::{Hole, Quarantine};
use super::scan::{Damage, Found, Scanner};
use super::segment::Segment;
use super::{JournalConfig, JournalError};
use crate::storage::Storage;

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments kept.
    pub segments: usize,
    /// The last record.
    pub last: Lsn,
    /// Octets of a torn tail, never acknowledged.
    pub torn: u64,
    /// Records lost to damage and not known before.
    pub holes: Vec<Hole>,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} segments, last record {}", self.segments, self.last)?;
        if self.torn > 0 {
            write!(f, ", {} octets of an unfinished group cut", self.torn)?;
        }
        for hole in &self.holes {
            write!(f, ", records {} to {} LOST", hole.first, hole.last)?;
        }
        Ok(())
    }
}

/// What recovery leaves.
pub struct Recovered {
    /// Segments with records, oldest first.
    pub segments: Vec<Segment>,
    /// A number that no segment has had.
    pub next_number: u64,
    /// For the operator.
    pub report: RecoveryReport,
}

/// Makes the files what they must be before anything is appended.
pub fn recover(
    config: &JournalConfig,
    storage: &dyn Storage,
    quarantine: &Quarantine,
) -> Result<Recovered, JournalError> {
    let paths = storage.list(&config.dir).map_err(JournalError::io("listing the folder", &config.dir))?;
    let mut found: Vec<_> = paths.iter().filter_map(|path| Segment::from_path(path)).collect();
    found.sort_by_key(|segment| Reverse(segment.number));
    let next_number = found.first().map_or(1, |newest| newest.number + 1);
    let mut report = RecoveryReport::default();
    let mut segments: Vec<Segment> = Vec::new();
    let mut attested = Lsn::ZERO;
    for mut segment in found {
        let kept = if segments.is_empty() {
            let newest = Newest::read(&segment, storage, attested)?;
            newest.settle(&mut segment, quarantine, &mut report)?
        } else {
            // A segment with the first number of its successor holds nothing that was durable.
            look_at(&mut segment, storage)?;
            segments.last().is_some_and(|later| segment.first < later.first)
        };
        attested = attested.max(Lsn(segment.first.0 - 1));
        if kept {
            segments.push(segment);
        } else {
            let path = &segment.path;
            storage.remove(path).map_err(JournalError::io("removing an empty segment", path))?;
        }
    }
    segments.reverse();
    report.last = report.last.max(attested);
    let known = Hole { first: report.last.next(), last: config.known };
    if known.first <= known.last {
        report.report(known, &[], quarantine);
        report.last = config.known;
    }
    report.segments = segments.len();
    Ok(Recovered { segments, next_number, report })
}

impl RecoveryReport {
    fn report(&mut self, hole: Hole, damage: &[Damage], quarantine: &Quarantine) {
        self.holes.extend(quarantine.report(hole, damage));
    }
}

fn open(segment: &Segment, storage: &dyn Storage) -> Result<Scanner, JournalError> {
    let file = storage.open(&segment.path).map_err(JournalError::io("opening", &segment.path))?;
    Ok(Scanner::new(Arc::from(file), segment.salt))
}

/// Fills in a segment's age and size. One whose first header is damaged counts as new.
fn look_at(segment: &mut Segment, storage: &dyn Storage) -> Result<(), JournalError> {
    let scanner = open(segment, storage)?;
    let header = scanner.header().map_err(JournalError::io("reading", &segment.path))?;
    segment.started_at = header.map_or_else(UnixMicros::now, |header| header.written_at);
    segment.size = scanner.file().size().map_err(JournalError::io("reading", &segment.path))?;
    Ok(())
}

/// The newest segment, as it was found.
struct Newest {
    scanner: Scanner,
    /// Number that comes after its last sound batch.
    next: Lsn,
    /// Numbers missing before a sound batch, with the damage there.
    holes: Vec<(Hole, Vec<Damage>)>,
    /// Damage after its last sound batch.
    rest: Vec<Damage>,
    /// Up to here all was durable.
    attested: Lsn,
    /// Its last sound batch and the offset of that.
    last: Option<(Batch, u64)>,
    started_at: Option<UnixMicros>,
}

impl Newest {
    fn read(segment: &Segment, storage: &dyn Storage, attested: Lsn) -> Result<Self, JournalError> {
        let mut newest = Self {
            scanner: open(segment, storage)?,
            next: segment.first,
            holes: Vec::new(),
            rest: Vec::new(),
            attested,
            last: None,
            started_at: None,
        };
        loop {
            let found = newest.scanner.look().map_err(JournalError::io("reading", &segment.path))?;
            let offset = newest.scanner.offset();
            newest.scanner.pass(&found);
            match found {
                Found::End => return Ok(newest),
                Found::Damage(damage, header) => {
                    newest.rest.push(damage);
                    newest.attested =
                        header.map_or(newest.attested, |header| newest.attested.max(header.durable));
                }
                Found::Batch(batch) => newest.take(batch, offset),
            }
        }
    }

    fn take(&mut self, batch: Batch, offset: u64) {
        let header = *batch.header();
        let damage = std::mem::take(&mut self.rest);
        if header.first > self.next {
            self.holes.push((Hole { first: self.next, last: Lsn(header.first.0 - 1) }, damage));
        }
        self.started_at.get_or_insert(header.written_at);
        self.attested = self.attested.max(header.durable);
        self.next = self.next.max(header.last().next());
        self.last = Some((batch, offset));
    }

    /// Cuts what was never durable, and makes durable what stays; `false` where nothing stays.
    fn settle(
        mut self,
        segment: &mut Segment,
        quarantine: &Quarantine,
        report: &mut RecoveryReport,
    ) -> Result<bool, JournalError> {
        let missing = Hole { first: self.next, last: self.attested };
        if missing.first <= missing.last {
            self.holes.push((missing, std::mem::take(&mut self.rest)));
        }
        for (hole, damage) in &self.holes {
            report.report(*hole, damage, quarantine);
        }
        report.torn += self.rest.iter().map(|damage| damage.length).sum::<u64>();
        report.last = report.last.max(self.attested).max(Lsn(self.next.0 - 1));
        if self.last.is_none() && self.holes.is_empty() {
            return Ok(false);
        }
        segment.started_at = self.started_at.unwrap_or_else(UnixMicros::now);
        let file = self.scanner.file();
        if let Some((batch, offset)) = &self.last {
            // Nothing attests the last batch: a run whose fdatasync failed leaves pages that can be read but are not on
            // disk, and that no later fdatasync would write. Written again, they are.
            file.write_at(batch.bytes(), *offset).map_err(JournalError::io("writing", &segment.path))?;
            if missing.first > missing.last {
                // The unused rest goes back to the disk, and with it a torn tail.
                let end = offset + batch.header().batch_size();
                file.set_len(end).map_err(JournalError::io("cutting", &segment.path))?;
            }
        }
        file.sync_all().map_err(JournalError::io("syncing", &segment.path))?;
        segment.size = file.size().map_err(JournalError::io("reading", &segment.path))?;
        Ok(true)
    }
}
