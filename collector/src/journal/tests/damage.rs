//! Octets that change on disk by themselves.

use proptest::prelude::*;

use super::*;
use crate::journal::format::{HEADER, Header};
use crate::journal::segment::Segment;

/// Three segments of two batches of two records each.
fn journal() -> (FaultyDisk, Packets) {
    let disk = FaultyDisk::default();
    let mut all = Packets::new();
    for n in 0..3u8 {
        let groups = [vec![vec![n; 30], vec![n; 50]], vec![vec![n + 100; 40], vec![n + 100; 60]]];
        all.extend(run(&disk, &groups).unwrap().appended);
    }
    (disk, all)
}

fn segments(disk: &FaultyDisk) -> Vec<Segment> {
    disk.names().iter().filter_map(|path| Segment::from_path(path)).collect()
}

/// Which of its two batches a segment's octet belongs to.
fn batch_of(disk: &FaultyDisk, segment: &Segment, offset: usize) -> usize {
    let content = disk.content(&segment.path);
    let header = Header::decode(content.first_chunk().unwrap(), segment.salt).unwrap();
    usize::from(offset as u64 >= header.batch_size())
}

proptest! {
    #[test]
    fn a_flipped_bit_costs_its_batch_and_nothing_else(segment in 0usize..3, at in any::<prop::sample::Index>()) {
        let (disk, mut all) = journal();
        let segment = segments(&disk)[segment].clone();
        let at = at.index(disk.content(&segment.path).len().min(500));
        let batch = batch_of(&disk, &segment, at);
        disk.damage(&segment.path, at);
        let first = Lsn(segment.first.0 + 2 * batch as u64);
        let last = first.next();
        all.remove(&first);
        all.remove(&last);

        let (journal, _writer, report) = open(&disk);
        prop_assert_eq!(read_all(&journal), all);
        let newest = last == Lsn(12);
        // Nothing tells a damaged last batch from a torn one, but where its number is known from elsewhere.
        let expected = if newest { vec![] } else { vec![Hole { first, last }] };
        prop_assert_eq!(journal.holes(), expected.clone());
        prop_assert_eq!(report.torn > 0, newest);
        let kept = disk.names().iter().filter(|path| path.starts_with("j/quarantine")).count();
        prop_assert_eq!(kept, expected.len());

        // The hole is still known to the next run, which need not read so far back to know it.
        let (journal, _writer, report) = open(&disk);
        prop_assert_eq!(journal.holes(), expected);
        prop_assert_eq!(report.holes, vec![]);
    }
}

#[test]
fn damage_behind_which_the_tail_is_torn_is_still_a_hole() {
    let (disk, mut all) = journal();
    let newest = segments(&disk).pop().unwrap();
    let content = disk.content(&newest.path);
    let header = Header::decode(content.first_chunk().unwrap(), newest.salt).unwrap();
    let second = usize::try_from(header.batch_size()).unwrap();
    disk.damage(&newest.path, HEADER + 1);
    disk.damage(&newest.path, second + HEADER + 1);
    for lsn in 9..=12 {
        all.remove(&Lsn(lsn));
    }
    let (journal, _writer, report) = open(&disk);
    assert_eq!(
        report.holes,
        [Hole { first: Lsn(9), last: Lsn(10) }],
        "the second header attests the first batch"
    );
    assert_eq!(read_all(&journal), all);
    assert_eq!(journal.append(&entry(&[1; 20]), ()).unwrap(), Lsn(11));
}

#[test]
fn the_quarantine_keeps_the_damaged_octets() {
    let (disk, _) = journal();
    let oldest = segments(&disk)[0].clone();
    disk.damage(&oldest.path, HEADER + 5);
    let content = disk.content(&oldest.path);
    let header = Header::decode(content.first_chunk().unwrap(), oldest.salt).unwrap();
    let (journal, _writer, _) = open(&disk);
    read_all(&journal);
    let kept = PathBuf::from("j/quarantine/00000000000000000001-00000000000000000002.damaged");
    assert_eq!(disk.content(&kept), content[..usize::try_from(header.batch_size()).unwrap()]);
}

#[test]
fn a_journal_goes_on_after_a_hole_at_its_end() {
    let (disk, mut all) = journal();
    let newest = segments(&disk).pop().unwrap();
    disk.damage(&newest.path, HEADER + 1);
    // The next segment is made, its name attests the damaged batch, and nothing durable comes into it.
    let dir = PathBuf::from("j");
    let next = Segment::new(&dir, newest.number + 1, Lsn(13), 7, UnixMicros(0), 70_000);
    disk.create(&next.path, next.size).unwrap().sync_all().unwrap();
    all.remove(&Lsn(9));
    all.remove(&Lsn(10));
    let after = run(&disk, &[vec![vec![9; 20]]]).unwrap();
    assert_eq!(after.durable, Lsn(13));
    all.extend(after.appended);
    let (journal, _writer, _) = open(&disk);
    assert_eq!(read_all(&journal), all);
    assert_eq!(journal.holes(), [Hole { first: Lsn(9), last: Lsn(10) }]);
}

#[test]
fn octets_of_a_packet_do_not_pass_for_a_batch() {
    let disk = FaultyDisk::default();
    let mut payload = Vec::new();
    entry(&[7; 20]).encode(&mut payload);
    let forged = Header::of(&payload, 1, Lsn(1_000_000), Lsn(999_999), UnixMicros(0));
    let packet = [forged.encode(0), payload].concat();
    run(&disk, &[vec![vec![1; 20]], vec![packet]]).unwrap();
    let segment = segments(&disk).pop().unwrap();
    let header = Header::decode(disk.content(&segment.path).first_chunk().unwrap(), segment.salt).unwrap();
    disk.damage(&segment.path, usize::try_from(header.batch_size()).unwrap());
    let (journal, _writer, report) = open(&disk);
    assert_eq!((journal.durable(), report.holes), (Lsn(1), vec![]));
}
