//! What a start makes of the files that the last run left, whatever ended it.
//!
//! Only the newest segments are read whole, back to the first one that holds a sound batch: the numbers in older ones
//! follow from the first batch of the next. Damage in those is found when they are read ([`super::reader`]).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use schema::{Lsn, UnixMicros};
use tracing::{error, warn};

use super::scan::{Damage, Found, Scanner};
use super::{JournalConfig, JournalError, Segment, metrics};
use crate::storage::{Storage, StoredFile};

/// Numbers of records that were durable once and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// First number.
    pub first: Lsn,
    /// Last number.
    pub last: Lsn,
}

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments kept.
    pub segments: usize,
    /// The last record.
    pub last: Lsn,
    /// Octets of a torn tail, never acknowledged.
    pub torn: u64,
    /// Records lost to damage.
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

/// A segment as it was found.
struct Scanned {
    segment: Segment,
    last: Lsn,
    /// Numbers missing between its batches.
    holes: Vec<Hole>,
    /// Damage after its last batch: octets.
    torn: u64,
}

/// Gives the segments that hold records, oldest first, and the last record.
pub(super) fn recover(
    config: &JournalConfig,
    storage: &dyn Storage,
) -> Result<(Vec<Segment>, Lsn, RecoveryReport), JournalError> {
    storage.create_dir(&config.dir).map_err(JournalError::io("creating the folder", &config.dir))?;
    let mut paths = storage.list(&config.dir).map_err(JournalError::io("listing the folder", &config.dir))?;
    paths.retain(|path| number_of(path).is_some());
    paths.sort();
    let mut report = RecoveryReport::default();
    let mut segments: Vec<Segment> = Vec::new();
    let mut newest: Vec<Scanned> = Vec::new();
    while let Some(path) = paths.pop() {
        if newest.is_empty() {
            match scan(&path, config, storage)? {
                Ok(scanned) => newest.push(scanned),
                Err(torn) => report.torn += remove_empty(&path, torn, storage)?,
            }
        } else if let Some(segment) = glance(&path, storage)? {
            segments.push(segment);
        } else {
            match scan(&path, config, storage)? {
                Ok(scanned) => segments.push(scanned.segment),
                Err(torn) => report.torn += remove_empty(&path, torn, storage)?,
            }
        }
    }
    segments.reverse();
    let mut last = Lsn::ZERO;
    if let Some(scanned) = newest.pop() {
        last = scanned.last;
        report.torn += scanned.torn;
        report.holes = scanned.holes;
        segments.push(scanned.segment);
    }
    if config.known > last {
        report.holes.push(Hole { first: last.next(), last: config.known });
        last = config.known;
    }
    for hole in &report.holes {
        error!(first = %hole.first, last = %hole.last, "records that were durable cannot be read any more");
        metrics::hole(hole.last.0 - hole.first.0 + 1);
    }
    report.segments = segments.len();
    report.last = last;
    Ok((segments, last, report))
}

/// The number in a segment's file name.
fn number_of(path: &Path) -> Option<u64> {
    if path.extension()? != "journal" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

fn open(path: &Path, storage: &dyn Storage) -> Result<Arc<dyn StoredFile>, JournalError> {
    storage.open(path).map(Arc::from).map_err(JournalError::io("opening", path))
}

/// A segment by its first header alone.
fn glance(path: &Path, storage: &dyn Storage) -> Result<Option<Segment>, JournalError> {
    let scanner = Scanner::new(open(path, storage)?);
    let header = scanner.header().map_err(JournalError::io("reading", path))?;
    let sound = header.filter(|header| header.entries > 0 && header.first > Lsn::ZERO);
    Ok(sound.map(|header| segment(path, header.first, header.written_at)))
}

fn segment(path: &Path, first: Lsn, started_at: UnixMicros) -> Segment {
    Segment { number: number_of(path).unwrap_or(0), path: path.to_owned(), first, started_at }
}

/// Reads a segment whole. `Err` holds the octets of one without any sound batch.
fn scan(
    path: &Path,
    config: &JournalConfig,
    storage: &dyn Storage,
) -> Result<Result<Scanned, u64>, JournalError> {
    let mut scanner = Scanner::new(open(path, storage)?);
    let mut scanned: Option<Scanned> = None;
    let mut damage = None;
    let mut torn = 0;
    let mut end = 0;
    loop {
        match scanner.next().map_err(JournalError::io("reading", path))? {
            Found::End => break,
            Found::Tail(tail) => {
                torn = tail.length;
                break;
            }
            Found::Damage(before) => damage = Some(before),
            Found::Batch(batch) => {
                end = scanner.offset();
                let header = *batch.header();
                let found = scanned.get_or_insert_with(|| Scanned {
                    segment: segment(path, header.first, header.written_at),
                    last: Lsn(header.first.0 - 1),
                    holes: Vec::new(),
                    torn: 0,
                });
                if header.first > found.last.next() {
                    found.holes.push(Hole { first: found.last.next(), last: Lsn(header.first.0 - 1) });
                    if let Some(damage) = damage {
                        quarantine(scanner.file(), path, damage, config, storage);
                    }
                }
                damage = None;
                found.last = found.last.max(batch.last());
            }
        }
    }
    let Some(mut scanned) = scanned else { return Ok(Err(torn)) };
    scanned.torn = torn;
    // The unused rest goes back to the disk, and with it a torn tail.
    scanner.file().set_len(end).map_err(JournalError::io("cutting", path))?;
    scanner.file().sync_all().map_err(JournalError::io("syncing", path))?;
    Ok(Ok(scanned))
}

fn remove_empty(path: &Path, torn: u64, storage: &dyn Storage) -> Result<u64, JournalError> {
    storage.remove(path).map_err(JournalError::io("removing an empty segment", path))?;
    Ok(torn)
}

/// Copies damaged octets aside, for whoever wants to look at them. Failing to is no reason not to start.
pub(super) fn quarantine(
    file: &dyn StoredFile,
    path: &Path,
    damage: Damage,
    config: &JournalConfig,
    storage: &dyn Storage,
) {
    let Damage { offset, length } = damage;
    let dir = config.dir.join("quarantine");
    let name = format!("{}-{offset}", path.file_stem().unwrap_or_default().to_string_lossy());
    let copy = || {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = file.read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        storage.create_dir(&dir)?;
        let copy = storage.create(&dir.join(name), 0)?;
        copy.write_at(&bytes, 0)?;
        copy.sync_all()?;
        storage.sync_dir(&dir)
    };
    match copy() {
        Ok(()) => {
            error!(segment = %path.display(), offset, length, "damaged octets of the journal are copied to quarantine/")
        }
        Err(error) => {
            warn!(%error, segment = %path.display(), offset, length, "damaged octets of the journal stay where they are")
        }
    }
}
