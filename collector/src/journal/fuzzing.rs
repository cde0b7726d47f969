//! Any segment files: recovered, read, appended to, and recovered again.
//!
//! An input is a list of instructions that lay out segments: batches as the writer makes them, headers with right checksums
//! and any numbers, raw octets, and damage. Octets alone would never get past the checksums.

use std::collections::BTreeSet;
use std::path::Path;

use super::format::{HEADER, Header, MAGIC};
use super::*;
use crate::storage::faulty::FaultyDisk;

const DIR: &str = "j";

/// Records as their numbers and octets.
type Records = BTreeSet<(Lsn, Vec<u8>)>;

/// Lays segments out, and opens them twice as a journal.
pub fn journal(input: &[u8]) {
    let disk = FaultyDisk::default();
    let Layout { files, lies, .. } = Layout::of(input);
    let sound: Records = files.iter().flat_map(|(segment, bytes)| sound_records(segment, bytes)).collect();
    for (segment, bytes) in &files {
        let file = disk.create(&segment.path, 0).expect("the disk is whole");
        file.write_at(bytes, 0).and_then(|()| file.sync_all()).expect("the disk is whole");
    }
    let first = open_and_append(&disk, lies);
    let second = open_and_append(&disk, lies);
    assert!(first.before.is_subset(&sound), "a record is read whose checksums do not hold");
    if !lies {
        assert_eq!(second.before, first.after, "opening a journal again changes nothing");
        assert_eq!(second.holes, first.holes, "holes are found when the journal is first read");
    }
}

/// What an open journal had.
struct Opened {
    before: Records,
    /// The same and one more.
    after: Records,
    holes: Vec<Hole>,
}

/// Opens the journal, reads all of it, appends a record, and reads all of it again.
fn open_and_append(disk: &FaultyDisk, lies: bool) -> Opened {
    let config = JournalConfig {
        dir: DIR.into(),
        segment_bytes: 68_000,
        group_bytes: 2_000,
        ..JournalConfig::default()
    };
    let (journal, writer, report) =
        Journal::<()>::open(config, Arc::new(disk.clone())).expect("the disk is whole");
    assert_eq!(report.last, journal.durable());
    let before = read(&journal);
    let peer = "192.0.2.1:1646".parse().expect("an address");
    let entry = Entry { arrived_at: UnixMicros(1), peer, client: "bng", local: 0, packet: b"appended" };
    let lsn = journal.append(&entry, ()).expect("it runs");
    assert_eq!(lsn, report.last.next(), "a number is never used again");
    journal.stop();
    writer.run(|_| ());
    assert_eq!(journal.durable(), lsn);
    let after = read(&journal);
    let holes = journal.holes();
    let apart = holes.windows(2).all(|pair| pair[0].last < pair[1].first);
    assert!(apart, "holes overlap, and their records are counted twice: {holes:?}");
    if !lies {
        let mut expected = before.clone();
        expected.insert((lsn, octets(&entry)));
        assert_eq!(after, expected, "what is appended is read");
        all_accounted_for(&journal, &after);
    }
    Opened { before, after, holes }
}

fn read(journal: &Journal<()>) -> Records {
    let mut reader = journal.reader(Lsn(1));
    let mut records = Records::new();
    let mut last = Lsn::ZERO;
    while let Some(batch) = reader.next_batch().expect("the disk is whole") {
        for (lsn, entry) in batch.iter() {
            assert!(last < lsn && lsn <= batch.last(), "numbers rise, each once");
            records.insert((lsn, octets(&entry)));
            last = lsn;
        }
        assert_eq!(last, batch.last(), "a batch gives all its records");
    }
    records
}

fn octets(entry: &Entry<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    entry.encode(&mut octets);
    octets
}

/// Every number from the oldest to the last is that of a record that was read, or lies in a hole that is told.
fn all_accounted_for(journal: &Journal<()>, read: &Records) {
    assert!(read.last().is_none_or(|(last, _)| *last <= journal.durable()), "only what is durable is read");
    let holes = journal.holes();
    let mut next = journal.oldest();
    let ends = read.iter().map(|(lsn, _)| *lsn).chain([journal.durable().next()]);
    for lsn in ends {
        while next < lsn {
            let hole = holes.iter().find(|hole| hole.first <= next && next <= hole.last);
            next = hole.map(|hole| hole.last.next()).unwrap_or_else(|| panic!("record {next} is missing"));
        }
        next = next.max(lsn.next());
    }
}

/// What a segment holds whose checksums hold, wherever it stands: the checksums computed here once more.
fn sound_records(segment: &Segment, bytes: &[u8]) -> Records {
    let mut records = Records::new();
    for (at, window) in bytes.windows(HEADER).enumerate() {
        let (magic, crc, fields) = (&window[..4], &window[4..8], &window[8..]);
        if magic != MAGIC.to_le_bytes() || crc != salted(fields, segment.salt).to_le_bytes() {
            continue;
        }
        let number = |at: usize| u32::from_le_bytes(*window[at..].first_chunk().expect("a header"));
        let (length, entries) = (number(12) as usize, number(16));
        let first = u64::from_le_bytes(*window[20..].first_chunk().expect("a header"));
        let payload = bytes.get(at + HEADER..).and_then(|rest| rest.get(..length));
        let Some(mut rest) = payload.filter(|payload| crc32fast::hash(payload) == number(8)) else {
            continue;
        };
        for lsn in (0..entries.into()).map_while(|entry| first.checked_add(entry)) {
            let Some(length) = rest.first_chunk().map(|length| u32::from_le_bytes(*length) as usize) else {
                break;
            };
            let Some((entry, after)) = rest.split_at_checked(4 + length) else { break };
            records.insert((Lsn(lsn), entry.to_vec()));
            rest = after;
        }
    }
    records
}

fn salted(fields: &[u8], salt: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(fields);
    hasher.finalize()
}

/// Segments under construction.
struct Layout<'a> {
    input: &'a [u8],
    files: Vec<(Segment, Vec<u8>)>,
    /// Number of the record that comes next where all goes well.
    next: u64,
    /// The last group.
    group: Option<(Header, Vec<u8>)>,
    /// Whether there is a batch with right checksums and numbers that no writer gave it. Nothing makes one; where there is
    /// one, it must do no harm, and no more can be asked.
    lies: bool,
}

impl<'a> Layout<'a> {
    /// Follows the instructions to their end.
    fn of(input: &'a [u8]) -> Self {
        let mut layout = Self { input, files: Vec::new(), next: 1, group: None, lies: false };
        layout.segment(false);
        while let Some(instruction) = layout.octet() {
            match instruction % 8 {
                0 => layout.batch(true),
                1 => layout.batch(false),
                2 => {
                    let again = layout.octet() == Some(1);
                    layout.segment(again);
                }
                3 => {
                    let raw = layout.some();
                    layout.file().extend(raw);
                }
                4 => {
                    let zeros = usize::from(layout.octet().unwrap_or(0));
                    let length = layout.file().len() + zeros;
                    layout.file().resize(length, 0);
                }
                5 => layout.damage(),
                6 => {
                    let cut = usize::from(layout.octet().unwrap_or(0));
                    let length = layout.file().len().saturating_sub(cut);
                    layout.file().truncate(length);
                }
                _ => {
                    let next = layout.next.saturating_add(layout.number()).min(Lsn::LAST.0 - 100_000);
                    layout.next = layout.next.max(next);
                }
            }
        }
        layout
    }

    fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.input.split_first()?;
        self.input = rest;
        Some(*octet)
    }

    /// As many octets as the next one says, or as there are.
    fn some(&mut self) -> &'a [u8] {
        let length = usize::from(self.octet().unwrap_or(0)).min(self.input.len());
        let (some, rest) = self.input.split_at(length);
        self.input = rest;
        some
    }

    /// A number, most often a small one.
    fn number(&mut self) -> u64 {
        match self.octet().unwrap_or(0) {
            small @ ..=247 => small.into(),
            248 => u32::MAX.into(),
            249 => 1 << 32,
            250 => i64::MAX as u64,
            251 => u64::MAX - 1,
            252 => u64::MAX,
            _ => self.some().iter().fold(0, |number, octet| number << 8 | u64::from(*octet)),
        }
    }

    fn file(&mut self) -> &mut Vec<u8> {
        &mut self.files.last_mut().expect("there is always one").1
    }

    /// A new segment, which may begin with the group that the one before it failed to keep.
    fn segment(&mut self, again: bool) {
        let group = self.group.take().filter(|_| again);
        let first = group.as_ref().map_or(Lsn(self.next), |(header, _)| header.first);
        let number = self.files.len() as u64 + 1;
        let salt = u32::try_from(number).unwrap_or(0).wrapping_mul(0x9e37_79b9);
        let segment = Segment::new(Path::new(DIR), number, first, salt, UnixMicros(0), 0);
        self.files.push((segment, Vec::new()));
        if let Some((header, payload)) = group {
            self.write(header, payload);
        }
    }

    fn write(&mut self, header: Header, payload: Vec<u8>) {
        let salt = self.files.last().map_or(0, |(segment, _)| segment.salt);
        self.file().extend(header.encode(salt));
        self.file().extend(&payload);
        self.group = Some((header, payload));
    }

    /// A batch with right checksums: as the writer makes them, or with any numbers.
    fn batch(&mut self, as_written: bool) {
        let mut payload = Vec::new();
        let mut entries = 0;
        let first = self.next;
        let mut header = Header::of(&[], 0, Lsn(first), Lsn(first - 1), UnixMicros(1));
        for _ in 0..self.octet().unwrap_or(0) % 4 + u8::from(as_written) {
            let peer = "[2001:db8::1]:1646".parse().expect("an address");
            let packet = self.some();
            let entry = Entry { arrived_at: UnixMicros(2), peer, client: "bng", local: 0, packet };
            entry.encode(&mut payload);
            entries += 1;
        }
        if as_written {
            header = Header::of(&payload, entries, header.first, header.durable, header.written_at);
        } else {
            self.lies = true;
            payload.extend(self.some());
            let entries = u32::try_from(self.number()).unwrap_or(u32::MAX);
            let (first, durable) = (Lsn(self.number()), Lsn(self.number()));
            header = Header::of(&payload, entries, first, durable, UnixMicros(1));
            if self.octet() == Some(1) {
                header.length = u32::try_from(self.number()).unwrap_or(u32::MAX);
            }
        }
        self.next += u64::from(entries);
        self.write(header, payload);
    }

    fn damage(&mut self) {
        let (high, low, mask) = (self.octet(), self.octet(), self.octet());
        let at = usize::from(high.unwrap_or(0)) << 8 | usize::from(low.unwrap_or(0));
        let file = self.file();
        let at = at % file.len().max(1);
        if let Some(octet) = file.get_mut(at) {
            *octet ^= mask.unwrap_or(1);
        }
    }
}
