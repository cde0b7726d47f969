//! Small files that say how far something has come: written aside, synced, renamed; the two newest are kept.
//!
//! `NAME-LSN.checkpoint` = magic u32 | crc u32 | LSN u64 | payload; little-endian, `crc` covers LSN and payload. A file
//! that cannot be read or does not check is passed over for the one before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::Lsn;
use tracing::warn;

use crate::journal::JournalError;
use crate::storage::Storage;

const MAGIC: u32 = u32::from_le_bytes(*b"RTC1");
const HEADER: usize = 16;

/// The checkpoints of one thing in one folder.
#[derive(Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    name: &'static str,
    storage: Arc<dyn Storage>,
}

impl Checkpoints {
    /// Checkpoints called `name` in `dir`, which is made where there is none.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(dir: PathBuf, name: &'static str, storage: Arc<dyn Storage>) -> Result<Self, JournalError> {
        storage.create_dir(&dir).map_err(JournalError::io("creating the folder", &dir))?;
        Ok(Self { dir, name, storage })
    }

    /// Writes a checkpoint at `lsn` and removes all but the two newest.
    ///
    /// # Errors
    /// It is not durable; the ones before it still are.
    pub fn write(&self, lsn: Lsn, payload: &[u8]) -> Result<(), JournalError> {
        let path = self.dir.join(format!("{}-{:020}.checkpoint", self.name, lsn.0));
        let aside = self.dir.join(format!("{}.new", self.name));
        let mut body = lsn.0.to_le_bytes().to_vec();
        body.extend(payload);
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        let file = self.storage.create(&aside, 0).map_err(JournalError::io("creating", &aside))?;
        file.write_at(&bytes, 0).map_err(JournalError::io("writing", &aside))?;
        file.sync_all().map_err(JournalError::io("syncing", &aside))?;
        self.storage.rename(&aside, &path).map_err(JournalError::io("renaming", &aside))?;
        self.storage.sync_dir(&self.dir).map_err(JournalError::io("syncing the folder", &self.dir))?;
        for (_, old) in self.newest_first()?.into_iter().skip(2) {
            // The next write tries again.
            if let Err(error) = self.storage.remove(&old) {
                warn!(%error, path = %old.display(), "an old checkpoint could not be removed");
            }
        }
        Ok(())
    }

    /// The newest checkpoint that can be read.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn load(&self) -> Result<Option<(Lsn, Vec<u8>)>, JournalError> {
        for (lsn, path) in self.newest_first()? {
            match self.read(&path) {
                Ok(Some(payload)) => return Ok(Some((lsn, payload))),
                Ok(None) => {
                    warn!(path = %path.display(), "a checkpoint is damaged; the one before it is taken")
                }
                Err(error) => warn!(%error, "a checkpoint cannot be read; the one before it is taken"),
            }
        }
        Ok(None)
    }

    /// How far the older of the two kept checkpoints has come: the journal must reach back to there.
    #[must_use]
    pub fn oldest_kept(&self) -> Option<Lsn> {
        self.newest_first().ok()?.last().map(|(lsn, _)| *lsn)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
        let file = self.storage.open(path).map_err(JournalError::io("opening", path))?;
        let length = file.size().map_err(JournalError::io("reading", path))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = file.read_at(&mut bytes, 0).map_err(JournalError::io("reading", path))?;
        bytes.truncate(read);
        let Some((header, _)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let [m0, m1, m2, m3, c0, c1, c2, c3] = *header;
        let body = bytes.get(8..).unwrap_or_default();
        let sound = u32::from_le_bytes([m0, m1, m2, m3]) == MAGIC
            && u32::from_le_bytes([c0, c1, c2, c3]) == crc32fast::hash(body)
            && bytes.len() >= HEADER;
        Ok(sound.then(|| bytes.split_off(HEADER)))
    }

    fn newest_first(&self) -> Result<Vec<(Lsn, PathBuf)>, JournalError> {
        let paths =
            self.storage.list(&self.dir).map_err(JournalError::io("listing the folder", &self.dir))?;
        let lsn = |path: &Path| {
            let stem = path.file_name()?.to_str()?.strip_suffix(".checkpoint")?;
            stem.strip_prefix(self.name)?.strip_prefix('-')?.parse().ok().map(Lsn)
        };
        let mut found: Vec<_> = paths.into_iter().filter_map(|path| Some((lsn(&path)?, path))).collect();
        found.sort_by_key(|(lsn, _)| std::cmp::Reverse(*lsn));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;
    use crate::storage::faulty::{Fault, FaultyDisk};

    #[test]
    fn the_newest_sound_checkpoint_is_loaded_and_two_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path().join("c"), "x", Arc::new(Disk)).unwrap();
        assert_eq!(checkpoints.load().unwrap(), None);
        for n in 1..=4u8 {
            checkpoints.write(Lsn(u64::from(n)), &[n; 3]).unwrap();
        }
        assert_eq!(checkpoints.load().unwrap(), Some((Lsn(4), vec![4; 3])));
        assert_eq!(checkpoints.oldest_kept(), Some(Lsn(3)));
        let newest = dir.path().join("c/x-00000000000000000004.checkpoint");
        let mut bytes = std::fs::read(&newest).unwrap();
        bytes[17] ^= 1;
        std::fs::write(&newest, bytes).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some((Lsn(3), vec![3; 3])));
    }

    #[test]
    fn whatever_system_call_fails_or_is_the_last_one_of_the_last_two_is_loaded() {
        let (mut cases, mut done) = (0, false);
        for call in 0.. {
            for fault in [Fault::End, Fault::Broken, Fault::Error(std::io::ErrorKind::StorageFull)] {
                let disk = FaultyDisk::default();
                let checkpoints = Checkpoints::new("c".into(), "x", Arc::new(disk.clone())).unwrap();
                checkpoints.write(Lsn(1), &[1; 200]).unwrap();
                checkpoints.write(Lsn(2), &[2; 200]).unwrap();
                disk.fail_at(call, fault);
                let written = checkpoints.write(Lsn(3), &[3; 200]).is_ok();
                done = disk.calls() <= call;
                for seed in 1..9 {
                    let found = Arc::new(disk.after_power_cut(seed));
                    let checkpoints = Checkpoints::new("c".into(), "x", found).unwrap();
                    let (lsn, payload) = checkpoints.load().unwrap().unwrap();
                    assert!(lsn == Lsn(3) || (lsn == Lsn(2) && !written), "{lsn} at call {call}, {fault:?}");
                    assert_eq!(payload, [u8::try_from(lsn.0).unwrap(); 200]);
                    assert!(checkpoints.oldest_kept().unwrap() <= lsn);
                    cases += 1;
                }
            }
            if done {
                break;
            }
        }
        println!("checkpoints: {cases} crash cases");
    }
}
