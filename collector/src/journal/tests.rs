//! The journal against a disk that fails at every system call, and against the real one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::storage::Disk;
use crate::storage::faulty::{Fault, FaultyDisk};

static CASES: AtomicUsize = AtomicUsize::new(0);

fn config() -> JournalConfig {
    JournalConfig {
        dir: "j".into(),
        segment_bytes: 70_000,
        group_bytes: 4_000,
        retry: Duration::from_millis(1),
        ..JournalConfig::default()
    }
}

fn packet(group: usize, n: usize) -> Vec<u8> {
    vec![u8::try_from(group * 16 + n).unwrap(); 20 + n * 37]
}

fn entry(packet: &[u8]) -> Entry<'_> {
    let peer = "192.0.2.7:1646".parse().unwrap();
    Entry { arrived_at: UnixMicros(5), peer, client: "bng", local: 0, packet }
}

type Packets = BTreeMap<Lsn, Vec<u8>>;

/// What one run of a journal did.
#[derive(Default)]
struct Run {
    appended: Packets,
    durable: Lsn,
}

/// Appends groups of the given sizes, each after the one before it is durable; ends when the last is, or the disk is off.
fn run(disk: &FaultyDisk, groups: &[usize], first_group: usize) -> Result<Run, JournalError> {
    let (journal, writer, _) = Journal::<()>::open(config(), Arc::new(disk.clone()))?;
    let mut done = Run { durable: journal.durable(), ..Run::default() };
    disk.on_power_cut({
        let journal = journal.clone();
        move || journal.stop()
    });
    let mut waiting = groups.iter().enumerate();
    let mut append = |appended: &mut Packets| {
        let Some((group, size)) = waiting.next() else { return journal.stop() };
        for n in 0..*size {
            let packet = packet(first_group + group, n);
            if let Ok(lsn) = journal.append(&entry(&packet), ()) {
                appended.insert(lsn, packet);
            }
        }
    };
    append(&mut done.appended);
    writer.run(|group| {
        done.durable = group.last.lsn();
        append(&mut done.appended);
    });
    Ok(done)
}

fn read_all(disk: &FaultyDisk, from: Lsn) -> (Packets, Lsn, RecoveryReport) {
    let (journal, _, report) = Journal::<()>::open(config(), Arc::new(disk.clone())).unwrap();
    let mut reader = journal.reader(from);
    let mut read = Packets::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for (lsn, entry) in batch.iter() {
            assert!(
                read.last_key_value().is_none_or(|(last, _)| *last < lsn),
                "records come in order, each once"
            );
            assert!(read.insert(lsn, entry.packet.to_vec()).is_none());
        }
    }
    (read, journal.durable(), report)
}

/// Whatever happened: what was durable is read back, nothing else than what was appended, and appending goes on.
fn check(disk: &FaultyDisk, before: &Run) {
    CASES.fetch_add(1, Ordering::Relaxed);
    let (read, last, report) = read_all(disk, Lsn(1));
    for (lsn, packet) in before.appended.iter().filter(|(lsn, _)| **lsn <= before.durable) {
        assert_eq!(read.get(lsn), Some(packet), "record {lsn} was durable");
    }
    for (lsn, packet) in &read {
        assert_eq!(before.appended.get(lsn), Some(packet), "record {lsn} was never appended so");
    }
    assert!(last >= before.durable, "numbers of acknowledged records are not used again");
    assert_eq!(report.holes, []);
    let after = run(disk, &[2, 1], 9).unwrap();
    assert_eq!(after.durable, Lsn(last.0 + 3));
    let (read, _, _) = read_all(disk, last.next());
    assert_eq!(read, after.appended);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_failing_system_call_loses_what_was_durable(groups in proptest::collection::vec(1usize..5, 1..5), seed in 1u64..) {
        let calls = {
            let disk = FaultyDisk::default();
            run(&disk, &groups, 0).unwrap();
            disk.calls()
        };
        for call in 0..calls {
            for fault in [Fault::PowerCut, Fault::Error(ErrorKind::Other), Fault::Error(ErrorKind::StorageFull)] {
                let disk = FaultyDisk::default();
                disk.fail_at(call, fault);
                let done = run(&disk, &groups, 0).unwrap_or_default();
                check(&disk.after_power_cut(seed.wrapping_add(call as u64).max(1)), &done);
            }
        }
    }

    #[test]
    fn a_power_cut_during_recovery_loses_nothing(groups in proptest::collection::vec(1usize..5, 1..4), seed in 1u64..) {
        let first = FaultyDisk::default();
        let done = run(&first, &groups, 0).unwrap();
        for call in 0..12 {
            let disk = first.after_power_cut(seed);
            disk.fail_at(call, Fault::PowerCut);
            drop(Journal::<()>::open(config(), Arc::new(disk.clone())));
            check(&disk.after_power_cut(seed.wrapping_add(call as u64).max(1)), &done);
        }
    }
}

#[test]
fn the_number_of_crash_cases_is_told() {
    let disk = FaultyDisk::default();
    let done = run(&disk, &[1, 2], 0).unwrap();
    check(&disk, &done);
    println!("journal: {} crash cases so far in this run", CASES.load(Ordering::Relaxed));
}

#[test]
fn a_full_disk_stops_acknowledging_and_everything_goes_on_when_there_is_room() {
    let disk = FaultyDisk::default();
    disk.set_full(true);
    let (journal, writer, _) = Journal::<()>::open(config(), Arc::new(disk.clone())).unwrap();
    journal.append(&entry(&[1; 30]), ()).unwrap();
    let thread = std::thread::spawn(move || writer.run(|_| ()));
    wait_for(|| journal.status() != JournalStatus::Running);
    let JournalStatus::Stopped { reason, .. } = journal.status() else { panic!("it is stopped") };
    assert!(reason.contains("0000000001.journal") && reason.contains("storage"), "{reason}");
    assert!(matches!(journal.append(&entry(&[2; 30]), ()), Err(AppendError::Stopped(_))));
    assert_eq!(journal.durable(), Lsn::ZERO);
    disk.set_full(false);
    wait_for(|| journal.durable() == Lsn(1));
    wait_for(|| journal.append(&entry(&[3; 30]), ()).is_ok());
    wait_for(|| journal.durable() == Lsn(2));
    journal.stop();
    thread.join().unwrap();
}

#[test]
fn damage_to_a_durable_batch_is_a_hole_and_what_follows_is_read() {
    let disk = FaultyDisk::default();
    let done = run(&disk, &[1, 2, 1], 0).unwrap();
    let path = PathBuf::from("j/0000000001.journal");
    // Within the second batch: the first takes a header and one entry of 20 octets.
    disk.damage(&path, format::HEADER + 4 + 29 + 3 + 20 + format::HEADER + 7);
    let (read, last, report) = read_all(&disk, Lsn(1));
    assert_eq!(read.keys().copied().collect::<Vec<_>>(), [Lsn(1), Lsn(4)]);
    assert_eq!(report.holes, [Hole { first: Lsn(2), last: Lsn(3) }]);
    assert_eq!(last, done.durable);
    assert!(disk.names().iter().any(|path| path.starts_with("j/quarantine")), "{:?}", disk.names());
}

#[test]
fn numbers_seen_elsewhere_are_not_used_again() {
    let disk = FaultyDisk::default();
    run(&disk, &[2], 0).unwrap();
    let known = JournalConfig { known: Lsn(10), ..config() };
    let (journal, _, report) = Journal::<()>::open(known, Arc::new(disk)).unwrap();
    assert_eq!(report.holes, [Hole { first: Lsn(3), last: Lsn(10) }]);
    assert_eq!(journal.append(&entry(&[1; 20]), ()).unwrap(), Lsn(11));
}

#[test]
fn more_than_the_group_bound_is_refused_not_queued() {
    let (journal, _writer, _) = Journal::<()>::open(config(), Arc::new(FaultyDisk::default())).unwrap();
    let refused = (0..10).map(|_| journal.append(&entry(&[1; 1_000]), ())).find(Result::is_err);
    assert_eq!(refused, Some(Err(AppendError::Full)));
}

#[test]
fn segments_are_released_only_when_exported_and_old() {
    let disk = FaultyDisk::default();
    let groups = [4usize; 40];
    let (journal, _) = {
        let small = JournalConfig { segment_bytes: 69_600, ..config() };
        for first in 0..3 {
            run(&disk, &groups[..2], first).unwrap();
        }
        let (journal, _writer, report) = Journal::<()>::open(small, Arc::new(disk.clone())).unwrap();
        assert_eq!(report.segments, 3);
        (journal, ())
    };
    let later = UnixMicros(UnixMicros::now().0 + 8 * 86_400 * 1_000_000);
    let now = UnixMicros::now();
    journal.0.files.release(Lsn(24), now).unwrap();
    assert_eq!(journal.oldest(), Lsn(1), "younger than the retention");
    journal.0.files.release(Lsn(8), later).unwrap();
    assert_eq!(journal.oldest(), Lsn(1), "not exported");
    journal.0.files.release(Lsn(9), later).unwrap();
    assert_eq!(journal.oldest(), Lsn(9));
    journal.0.files.release(Lsn(1_000), later).unwrap();
    assert_eq!(journal.oldest(), Lsn(17), "the newest stays");
}

#[test]
fn a_reader_follows_a_live_writer_over_segments_on_the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { dir: dir.path().join("journal"), ..config() };
    let (journal, writer, _) = Journal::<u64>::open(config.clone(), Arc::new(Disk)).unwrap();
    let thread = std::thread::spawn(move || {
        let mut tickets = 0;
        writer.run(|group| tickets += group.tickets.len());
        tickets
    });
    let mut reader = journal.reader(Lsn(1));
    let mut seen = 0u64;
    for n in 0..3_000u64 {
        let packet = n.to_le_bytes().repeat(12);
        while journal.append(&entry(&packet), n) == Err(AppendError::Full) {
            std::thread::yield_now();
        }
        while let Some(batch) = reader.next_batch().unwrap() {
            for (lsn, entry) in batch.iter() {
                assert_eq!((lsn.0, &entry.packet[..8]), (seen + 1, &seen.to_le_bytes()[..]));
                seen += 1;
            }
        }
    }
    journal.stop();
    assert_eq!(thread.join().unwrap(), 3_000);
    let (journal, _writer, report) = Journal::<u64>::open(config, Arc::new(Disk)).unwrap();
    assert_eq!((journal.durable(), report.torn, report.segments > 3), (Lsn(3_000), 0, true));
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}
