//! A segment file and its name, which tells what damage to its content must not hide.
//!
//! `NUMBER-FIRST-SALT.journal`: its place among the segments, the number of its first record, and the salt of its headers
//! ([`super::format`]). That it exists tells that every record before FIRST was durable when it was made.

use std::path::{Path, PathBuf};

use schema::{Lsn, UnixMicros};

/// A segment file.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its place among the segments.
    pub number: u64,
    /// Number of the first record in it, or to come in it.
    pub first: Lsn,
    /// What the checksums of its headers start from.
    pub salt: u32,
    /// The file.
    pub path: PathBuf,
    /// When its first batch was written.
    pub started_at: UnixMicros,
    /// Octets that it takes on disk.
    pub size: u64,
}

impl Segment {
    /// A segment to be made in `dir`.
    pub fn new(dir: &Path, number: u64, first: Lsn, salt: u32, started_at: UnixMicros, size: u64) -> Self {
        let path = dir.join(format!("{number:010}-{:020}-{salt:08x}.journal", first.0));
        Self { number, first, salt, path, started_at, size }
    }

    /// The segment of a file name; `None` where it is none. Age and size are to be filled in.
    pub fn from_path(path: &Path) -> Option<Self> {
        let mut parts = path.file_name()?.to_str()?.strip_suffix(".journal")?.split('-');
        let number = parts.next()?.parse().ok()?;
        let first = Lsn(parts.next()?.parse().ok()?);
        let salt = u32::from_str_radix(parts.next()?, 16).ok()?;
        let whole = parts.next().is_none() && first > Lsn::ZERO && first <= Lsn::LAST;
        whole.then(|| Self { number, first, salt, path: path.to_owned(), started_at: UnixMicros(0), size: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_number_first_record_and_salt() {
        let made = Segment::new(Path::new("j"), 7, Lsn(12), 0xab, UnixMicros(3), 9);
        assert_eq!(made.path, Path::new("j/0000000007-00000000000000000012-000000ab.journal"));
        let read = Segment::from_path(&made.path).unwrap();
        assert_eq!((read.number, read.first, read.salt), (7, Lsn(12), 0xab));
        for other in ["j/quarantine", "j/0000000007.journal", "j/1-0-ab.journal", "j/1-2-ab-3.journal"] {
            assert!(Segment::from_path(Path::new(other)).is_none(), "{other}");
        }
    }
}
