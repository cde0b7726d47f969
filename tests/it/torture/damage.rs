//! A journal that changes on disk while nobody runs. It is read here by what is written of its format: a segment
//! `NUMBER-FIRST-SALT.journal` holds batches, each a header of 44 octets with the payload's length at 12, the number of entries
//! at 16 and the first of their numbers at 20, all little-endian.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};

const HEADER: usize = 44;

/// A batch in a segment.
struct Batch {
    segment: PathBuf,
    offset: usize,
    size: usize,
    last: u64,
}

/// Flips a bit of a batch that ClickHouse holds and that others follow: nothing tells a damaged last one from a torn one.
pub fn flip_a_bit(data: &Path, dice: &mut StdRng) {
    let exported = newest_cursor(data);
    let mut batches: Vec<Batch> = segments(data).iter().flat_map(|segment| batches(segment)).collect();
    batches.pop();
    batches.retain(|batch| batch.last <= exported);
    let batch = batches.choose(dice).expect("something was exported");
    let at = (batch.offset + dice.random_range(0..batch.size)) as u64;
    let file = OpenOptions::new().read(true).write(true).open(&batch.segment).unwrap();
    let mut octet = [0];
    file.read_exact_at(&mut octet, at).unwrap();
    octet[0] ^= 1 << dice.random_range(0..8);
    file.write_all_at(&octet, at).unwrap();
}

/// Leaves octets after the last batch, as a group does that a power cut interrupts.
pub fn tear_the_end(data: &Path, dice: &mut StdRng) {
    let newest = segments(data).pop().unwrap();
    let end = batches(&newest).last().map_or(0, |batch| batch.offset + batch.size);
    let mut octets = vec![0; dice.random_range(1..2_000)];
    dice.fill_bytes(&mut octets);
    octets[0] |= 1;
    OpenOptions::new().write(true).open(&newest).unwrap().write_all_at(&octets, end as u64).unwrap();
}

/// Oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("journal")).unwrap().flatten().map(|entry| entry.path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "journal")).collect();
    segments.sort();
    segments
}

/// The batches up to the first place that holds none.
fn batches(segment: &Path) -> Vec<Batch> {
    let octets = fs::read(segment).unwrap();
    let mut found: Vec<Batch> = Vec::new();
    let mut offset = 0;
    while let Some(header) = octets.get(offset..offset + HEADER).filter(|header| header.starts_with(b"RTJ2"))
    {
        let field = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let first = u64::from_le_bytes(header[20..28].try_into().unwrap());
        let size = HEADER + field(12) as usize;
        let last = first + u64::from(field(16)) - 1;
        found.push(Batch { segment: segment.to_owned(), offset, size, last });
        offset += size;
    }
    found
}

/// Up to where ClickHouse has taken the records, as the exporter's newest cursor is named.
fn newest_cursor(data: &Path) -> u64 {
    let names = fs::read_dir(data.join("checkpoints")).unwrap().flatten().map(|entry| entry.file_name());
    let cursor = |name: std::ffi::OsString| {
        name.to_str()?.strip_prefix("exporter-")?.strip_suffix(".checkpoint")?.parse().ok()
    };
    names.filter_map(cursor).max().unwrap_or(0)
}
