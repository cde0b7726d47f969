//! A disk in memory on which any one system call can fail or be the last before a power cut.
//!
//! It keeps what a real disk may lose: pages written since the last sync, names since the folder's last sync, and, after a
//! failed `fdatasync`, pages that a later successful one does not bring back.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Storage, StoredFile};

const PAGE: usize = 64;

/// What happens at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes or the process is killed: this call and all later ones do nothing.
    End,
    /// The disk breaks: this call and all later ones fail; a write has half happened, a sync drops what it should write.
    Broken,
    /// The call fails once; a write or allocation has half happened.
    Error(io::ErrorKind),
}

#[derive(Clone, Default)]
struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Pages that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Pages that a failed sync dropped.
    forgotten: BTreeSet<usize>,
}

#[derive(Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    calls: Vec<&'static str>,
    fault: Option<(usize, Fault)>,
    off: bool,
    broken: bool,
    full: bool,
    syncs_fail: bool,
    on_end: Option<Box<dyn Fn() + Send>>,
}

/// The disk.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

struct FaultyFile(FaultyDisk, usize);

impl FaultyDisk {
    /// Lets system call number `call` (from 0) meet `fault`.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        let mut state = self.0.lock();
        state.calls.clear();
        state.fault = Some((call, fault));
    }

    /// How many calls so far.
    pub fn calls(&self) -> usize {
        self.0.lock().calls.len()
    }

    /// Which calls so far.
    pub fn trace(&self) -> Vec<&'static str> {
        self.0.lock().calls.clone()
    }

    /// While set, nothing can be allocated or written.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// While set, no `fdatasync` succeeds; making a segment still does.
    pub fn set_syncs_fail(&self, fail: bool) {
        self.0.lock().syncs_fail = fail;
    }

    /// What to do at [`Fault::End`] and [`Fault::Broken`].
    pub fn on_end(&self, run: impl Fn() + Send + 'static) {
        self.0.lock().on_end = Some(Box::new(run));
    }

    /// The disk as the next process finds it when only the last one was killed: all that was written can be read, on disk
    /// or not.
    pub fn after_kill(&self) -> Self {
        let state = self.0.lock();
        let found = State {
            contents: state.contents.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(found)))
    }

    /// The disk as it is found when the power is back; `seed` decides which unsynced pages and names survived.
    pub fn after_power_cut(&self, mut seed: u64) -> Self {
        let mut coin = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed & 1 == 1
        };
        let state = self.0.lock();
        let mut names = state.durable_names.clone();
        for (path, inode) in &state.names {
            if !names.contains_key(path) && coin() {
                names.insert(path.clone(), *inode);
            }
        }
        names.retain(|path, _| state.names.contains_key(path) || coin());
        let mut contents = state.contents.clone();
        for content in &mut contents {
            let pages: Vec<_> =
                content.dirty.iter().filter(|page| !content.forgotten.contains(page)).copied().collect();
            for page in pages {
                if coin() {
                    content.write_back(page);
                }
            }
            if content.durable.len() < content.current.len() && coin() {
                content.durable.resize(content.current.len(), 0);
            }
            content.current = content.durable.clone();
            content.dirty.clear();
            content.forgotten.clear();
        }
        let found = State { contents, durable_names: names.clone(), names, ..State::default() };
        Self(Arc::new(Mutex::new(found)))
    }

    /// Flips a bit of a file.
    pub fn damage(&self, path: &Path, offset: usize) {
        let mut state = self.0.lock();
        let inode = state.names[path];
        state.contents[inode].current[offset] ^= 1;
        state.contents[inode].durable[offset] ^= 1;
    }

    /// What can be read of a file.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        state.contents[state.names[path]].current.clone()
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// Notes the call; says what fails.
    fn call(&self, what: &'static str) -> io::Result<()> {
        let mut state = self.0.lock();
        let call = state.calls.len();
        state.calls.push(what);
        if state.off {
            return Err(io::Error::other("no power"));
        }
        if state.broken {
            return Err(io::Error::other("broken"));
        }
        match state.fault {
            Some((at, Fault::Error(kind))) if at == call => Err(io::Error::from(kind)),
            Some((at, fault)) if at == call => {
                state.off = fault == Fault::End;
                state.broken = fault == Fault::Broken;
                let run = state.on_end.take();
                drop(state);
                if let Some(run) = run {
                    run();
                }
                Err(io::Error::other("the end"))
            }
            _ => Ok(()),
        }
    }

    fn allocate(&self) -> io::Result<()> {
        if self.0.lock().full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl Content {
    fn write_back(&mut self, page: usize) {
        let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(self.current.len()));
        if from >= to {
            return;
        }
        if self.durable.len() < to {
            self.durable.resize(to, 0);
        }
        self.durable[from..to].copy_from_slice(&self.current[from..to]);
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        if self.current.len() < offset + bytes.len() {
            self.current.resize(offset + bytes.len(), 0);
        }
        self.current[offset..offset + bytes.len()].copy_from_slice(bytes);
        for page in offset / PAGE..(offset + bytes.len()).div_ceil(PAGE) {
            self.dirty.insert(page);
            self.forgotten.remove(&page);
        }
    }
}

impl FaultyFile {
    fn sync(&self, what: &'static str, result: io::Result<()>) -> io::Result<()> {
        let result = self.0.call(what).and(result);
        let mut state = self.0.0.lock();
        if state.off {
            return result;
        }
        let content = &mut state.contents[self.1];
        for page in std::mem::take(&mut content.dirty) {
            if result.is_err() {
                content.forgotten.insert(page);
            } else {
                content.write_back(page);
            }
        }
        result
    }
}

impl Storage for FaultyDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.call("mkdir")
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.call("flock")?;
        Ok(Box::new(()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.call("readdir")?;
        Ok(self.names().into_iter().filter(|path| path.parent() == Some(dir)).collect())
    }

    fn create(&self, path: &Path, size: u64) -> io::Result<Box<dyn StoredFile>> {
        let result = self.call("create").and_then(|()| self.allocate());
        let mut state = self.0.lock();
        if state.off {
            return Err(io::Error::other("no power"));
        }
        let inode = state.contents.len();
        // A failed call may have made the file and not its room.
        let size = if result.is_ok() { usize::try_from(size).unwrap() } else { 0 };
        state.contents.push(Content { current: vec![0; size], ..Content::default() });
        state.names.insert(path.to_owned(), inode);
        drop(state);
        result.map(|()| Box::new(FaultyFile(self.clone(), inode)) as Box<dyn StoredFile>)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        self.call("open")?;
        let inode = self.0.lock().names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FaultyFile(self.clone(), inode)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename")?;
        let mut state = self.0.lock();
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call("remove")?;
        self.0.lock().names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.call("fsync of the folder")?;
        let mut state = self.0.lock();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

impl StoredFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let result = self.0.call("write").and_then(|()| self.0.allocate());
        let mut state = self.0.0.lock();
        let written = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        state.contents[self.1].write(&bytes[..written], usize::try_from(offset).unwrap());
        result
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.call("read")?;
        let state = self.0.0.lock();
        let content =
            state.contents[self.1].current.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let read = content.len().min(bytes.len());
        bytes[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let fail = self.0.0.lock().syncs_fail;
        self.sync("fdatasync", if fail { Err(io::Error::other("no sync")) } else { Ok(()) })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync("fsync", Ok(()))?;
        let mut state = self.0.0.lock();
        let content = &mut state.contents[self.1];
        let size = content.current.len();
        content.durable.resize(size, 0);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.call("truncate")?;
        self.0.0.lock().contents[self.1].current.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.0.call("stat")?;
        Ok(self.0.0.lock().contents[self.1].current.len() as u64)
    }
}
