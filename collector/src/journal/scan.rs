//! Looks at one place after the other in a segment file: sound batches, damage, and the end.

use std::fmt;
use std::io;
use std::sync::Arc;

use schema::Lsn;

use super::format::{Batch, HEADER, Header, MAGIC};
use crate::storage::StoredFile;

/// What stands at a place in a segment.
#[derive(Debug)]
pub enum Found {
    /// A sound batch.
    Batch(Batch),
    /// Octets that are no batch. The header is there where only the payload is damaged.
    Damage(Damage, Option<Header>),
    /// Nothing more: the preallocated zeros, or the file's end.
    End,
}

/// Octets of a segment that are no batch.
#[derive(Clone)]
pub struct Damage {
    /// The file.
    pub file: Arc<dyn StoredFile>,
    /// Offset of the first.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// Whether a batch may follow. Where none does, this may be one that is being written.
    pub followed: bool,
}

impl Found {
    /// Number of the first record that stands here, or stood here before the damage.
    pub fn first(&self) -> Option<Lsn> {
        match self {
            Self::Batch(batch) => Some(batch.header().first),
            Self::Damage(_, header) => header.map(|header| header.first),
            Self::End => None,
        }
    }

    /// Whether anything may come after it in this segment.
    pub const fn may_be_followed(&self) -> bool {
        match self {
            Self::Batch(_) => true,
            Self::Damage(damage, _) => damage.followed,
            Self::End => false,
        }
    }
}

impl fmt::Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets at {}", self.length, self.offset)
    }
}

impl Damage {
    /// The octets.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        read(&*self.file, self.offset, self.length)
    }
}

/// A place in a segment file.
pub struct Scanner {
    file: Arc<dyn StoredFile>,
    salt: u32,
    offset: u64,
}

impl Scanner {
    /// At the start of the segment with this salt.
    pub fn new(file: Arc<dyn StoredFile>, salt: u32) -> Self {
        Self { file, salt, offset: 0 }
    }

    /// Where it looks.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The file.
    pub fn file(&self) -> &dyn StoredFile {
        &*self.file
    }

    /// The header at this place.
    pub fn header(&self) -> io::Result<Option<Header>> {
        let mut header = [0; HEADER];
        let read = self.file.read_at(&mut header, self.offset)?;
        Ok(if read == HEADER { Header::decode(&header, self.salt) } else { None })
    }

    /// What stands here. The place stays; [`Self::pass`] moves it.
    pub fn look(&self) -> io::Result<Found> {
        let Some(header) = self.header()? else { return self.look_further() };
        let bytes = read(&*self.file, self.offset, header.batch_size())?;
        Ok(match Batch::check(header, bytes) {
            Some(batch) => Found::Batch(batch),
            None => Found::Damage(self.damage(header.batch_size(), true), Some(header)),
        })
    }

    /// Moves past what was found here.
    pub fn pass(&mut self, found: &Found) {
        self.offset += match found {
            Found::Batch(batch) => batch.header().batch_size(),
            Found::Damage(damage, _) => damage.length,
            Found::End => 0,
        };
    }

    /// There is no header here: is there one further on?
    fn look_further(&self) -> io::Result<Found> {
        let length = self.file.size()?.saturating_sub(self.offset);
        let rest = read(&*self.file, self.offset, length)?;
        let used = rest.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        if used == 0 {
            return Ok(Found::End);
        }
        let next = find_header(&rest, self.salt);
        Ok(Found::Damage(self.damage(next.unwrap_or(used) as u64, next.is_some()), None))
    }

    fn damage(&self, length: u64, followed: bool) -> Damage {
        Damage { file: Arc::clone(&self.file), offset: self.offset, length, followed }
    }
}

fn read(file: &dyn StoredFile, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    // A header that claims more than the file holds is answered with what there is.
    let length = length.min(file.size()?.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The first header after the first octet.
fn find_header(bytes: &[u8], salt: u32) -> Option<usize> {
    let magic = MAGIC.to_le_bytes();
    let candidates =
        bytes.windows(HEADER).enumerate().skip(1).filter(|(_, window)| window.starts_with(&magic));
    candidates
        .filter(|(_, window)| window.first_chunk().and_then(|header| Header::decode(header, salt)).is_some())
        .map(|(at, _)| at)
        .next()
}
