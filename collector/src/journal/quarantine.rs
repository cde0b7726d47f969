//! Holes: records that were durable once and cannot be read any more.
//!
//! Each leaves a file `quarantine/FIRST-LAST.damaged` with the damaged octets, for whoever wants to look at them; its name
//! makes the hole known to later runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use schema::Lsn;
use serde::Serialize;
use tracing::{error, warn};

use super::scan::Damage;
use super::{JournalError, metrics};
use crate::storage::Storage;

/// Numbers of records that were durable once and cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// First number.
    pub first: Lsn,
    /// Last number.
    pub last: Lsn,
}

impl Hole {
    /// How many records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }

    /// The parts that none of `known` has, which come in order and do not overlap.
    fn without(self, known: &[Self]) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut next = self.first;
        for known in known.iter().filter(|known| self.first <= known.last && known.first <= self.last) {
            if next < known.first {
                parts.push(Self { first: next, last: Lsn(known.first.0 - 1) });
            }
            next = known.last.next();
        }
        if next <= self.last {
            parts.push(Self { first: next, last: self.last });
        }
        parts
    }

    fn from_path(path: &Path) -> Option<Self> {
        let (first, last) = path.file_name()?.to_str()?.strip_suffix(".damaged")?.split_once('-')?;
        let hole = Self { first: Lsn(first.parse().ok()?), last: Lsn(last.parse().ok()?) };
        (hole.first <= hole.last).then_some(hole)
    }
}

/// The holes of a journal.
pub struct Quarantine {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    holes: Mutex<Vec<Hole>>,
}

impl Quarantine {
    /// Those that earlier runs have found.
    pub fn open(journal: &Path, storage: Arc<dyn Storage>) -> Result<Self, JournalError> {
        let dir = journal.join("quarantine");
        storage.create_dir(&dir).map_err(JournalError::io("creating the folder", &dir))?;
        let paths = storage.list(&dir).map_err(JournalError::io("listing the folder", &dir))?;
        let mut holes: Vec<_> = paths.iter().filter_map(|path| Hole::from_path(path)).collect();
        holes.sort_by_key(|hole| hole.first);
        Ok(Self { dir, storage, holes: Mutex::new(holes) })
    }

    /// All that are known.
    pub fn holes(&self) -> Vec<Hole> {
        self.holes.lock().clone()
    }

    /// A hole was met, and before it stood this damage. Gives what of it was not known: holes never overlap.
    pub fn report(&self, hole: Hole, damage: &[Damage]) -> Vec<Hole> {
        let mut holes = self.holes.lock();
        let unknown = hole.without(&holes);
        holes.extend(&unknown);
        holes.sort_by_key(|hole| hole.first);
        drop(holes);
        for hole in &unknown {
            metrics::hole(hole.records());
            error!(first = %hole.first, last = %hole.last, "records that were durable cannot be read any more");
            // Failing to keep the octets is no reason not to go on.
            if let Err(error) = self.keep(*hole, damage) {
                warn!(%error, ?damage, "the damaged octets could not be copied to quarantine/");
            }
        }
        unknown
    }

    fn keep(&self, hole: Hole, damage: &[Damage]) -> io::Result<()> {
        let path = self.dir.join(format!("{:020}-{:020}.damaged", hole.first.0, hole.last.0));
        let mut bytes = Vec::new();
        for damage in damage {
            bytes.extend(damage.read()?);
        }
        let copy = self.storage.create(&path, 0)?;
        copy.write_at(&bytes, 0)?;
        copy.sync_all()?;
        self.storage.sync_dir(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_counted_for_what_no_known_hole_has() {
        let hole = |first, last| Hole { first: Lsn(first), last: Lsn(last) };
        let known = [hole(3, 4), hole(7, 7)];
        assert_eq!(hole(1, 9).without(&known), [hole(1, 2), hole(5, 6), hole(8, 9)]);
        assert_eq!(hole(4, 7).without(&known), [hole(5, 6)]);
        assert_eq!(hole(3, 3).without(&known), []);
        assert_eq!(hole(10, 12).without(&known), [hole(10, 12)]);
    }
}
