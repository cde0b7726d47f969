//! Walks the batches of one segment file, past damage where a sound batch follows it.

use std::io;
use std::sync::Arc;

use crate::journal::format::{Batch, HEADER, Header, MAGIC};
use crate::storage::StoredFile;

/// What stands at a place in a segment.
#[derive(Debug)]
pub enum Found {
    /// A sound batch.
    Batch(Batch),
    /// Octets that are no batch, before a sound one.
    Damage(Damage),
    /// Octets that are no batch, with no sound one after them: torn, or being written now. The place stays before them.
    Tail(Damage),
    /// Nothing more: the preallocated zeros, or the file's end.
    End,
}

/// Octets of a segment that are no batch.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    /// Offset of the first.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// A place in a segment file.
pub struct Scanner {
    file: Arc<dyn StoredFile>,
    offset: u64,
}

impl Scanner {
    /// At the segment's start.
    pub fn new(file: Arc<dyn StoredFile>) -> Self {
        Self { file, offset: 0 }
    }

    /// Where the next batch is looked for.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The file.
    pub fn file(&self) -> &dyn StoredFile {
        &*self.file
    }

    /// The header at this place, unchecked but for its magic number.
    pub fn header(&self) -> io::Result<Option<Header>> {
        let mut header = [0; HEADER];
        let read = self.file.read_at(&mut header, self.offset)?;
        Ok(if read == HEADER { Header::decode(&header) } else { None })
    }

    /// What stands here; moves past it.
    pub fn next(&mut self) -> io::Result<Found> {
        if let Some(batch) = self.batch()? {
            self.offset += HEADER as u64 + u64::from(batch.header().length);
            return Ok(Found::Batch(batch));
        }
        let rest = self.rest()?;
        if rest.iter().all(|octet| *octet == 0) {
            return Ok(Found::End);
        }
        let offset = self.offset;
        if let Some(length) = find_batch(&rest) {
            self.offset += length as u64;
            return Ok(Found::Damage(Damage { offset, length: length as u64 }));
        }
        let zeros = rest.iter().rev().take_while(|octet| **octet == 0).count();
        Ok(Found::Tail(Damage { offset, length: (rest.len() - zeros) as u64 }))
    }

    fn batch(&self) -> io::Result<Option<Batch>> {
        let Some(header) = self.header()? else { return Ok(None) };
        let size = HEADER as u64 + u64::from(header.length);
        if self.offset + size > self.file.size()? {
            return Ok(None);
        }
        let mut bytes = vec![0; HEADER + header.length as usize];
        let read = self.file.read_at(&mut bytes, self.offset)?;
        bytes.truncate(read);
        Ok(Batch::check(bytes))
    }

    fn rest(&self) -> io::Result<Vec<u8>> {
        let length = self.file.size()?.saturating_sub(self.offset);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, self.offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// The first sound batch after the first octet.
fn find_batch(bytes: &[u8]) -> Option<usize> {
    let magic = MAGIC.to_le_bytes();
    let candidates = bytes.windows(magic.len()).enumerate().skip(1).filter(|(_, window)| *window == magic);
    candidates.map(|(at, _)| at).find(|at| {
        let Some(header) = bytes.get(*at..).and_then(<[u8]>::first_chunk).and_then(Header::decode) else {
            return false;
        };
        let end = at + HEADER + header.length as usize;
        bytes.get(*at..end).is_some_and(|batch| Batch::check(batch.to_vec()).is_some())
    })
}
