//! The journal against a disk that fails as told, and against the real one.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use super::*;
use crate::storage::Disk;
use crate::storage::faulty::FaultyDisk;

mod calls;
mod crashes;
mod damage;

fn config() -> JournalConfig {
    JournalConfig {
        dir: "j".into(),
        segment_bytes: 70_000,
        group_bytes: 4_000,
        retry: Duration::from_millis(1),
        ..JournalConfig::default()
    }
}

fn entry(packet: &[u8]) -> Entry<'_> {
    let peer = "192.0.2.7:1646".parse().unwrap();
    Entry { arrived_at: UnixMicros(5), peer, client: "bng", local: 0, packet }
}

fn open(disk: &FaultyDisk) -> (Journal<()>, Writer<()>, RecoveryReport) {
    Journal::open(config(), Arc::new(disk.clone())).unwrap()
}

type Packets = BTreeMap<Lsn, Vec<u8>>;

/// What one run of a journal did.
#[derive(Default)]
struct Run {
    appended: Packets,
    durable: Lsn,
}

/// Appends groups of packets, each group after the one before it is durable; ends when the last is, or the disk is gone.
fn run(disk: &FaultyDisk, groups: &[Vec<Vec<u8>>]) -> Result<Run, JournalError> {
    let (journal, writer, _) = Journal::<()>::open(config(), Arc::new(disk.clone()))?;
    let mut done = Run { durable: journal.durable(), ..Run::default() };
    disk.on_end({
        let journal = journal.clone();
        move || journal.stop()
    });
    let mut waiting = groups.iter();
    let mut append = |appended: &mut Packets| {
        let Some(group) = waiting.next() else { return journal.stop() };
        for packet in group {
            if let Ok(lsn) = journal.append(&entry(packet), ()) {
                appended.insert(lsn, packet.clone());
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

fn read_all(journal: &Journal<()>) -> Packets {
    let mut reader = journal.reader(Lsn(1));
    let mut read = Packets::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for (lsn, entry) in batch.iter() {
            let ordered = read.last_key_value().is_none_or(|(last, _)| *last < lsn);
            assert!(ordered, "records come in order, each once");
            read.insert(lsn, entry.packet.to_vec());
        }
    }
    read
}

fn start(writer: Writer<()>) -> JoinHandle<()> {
    std::thread::spawn(move || writer.run(|_| ()))
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "in vain");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_stops_acknowledging_and_everything_goes_on_when_there_is_room() {
    let disk = FaultyDisk::default();
    disk.set_full(true);
    let (journal, writer, _) = open(&disk);
    journal.append(&entry(&[1; 30]), ()).unwrap();
    let thread = start(writer);
    wait_for(|| journal.status() != JournalStatus::Running);
    let JournalStatus::Stopped { reason, .. } = journal.status() else { panic!("it is stopped") };
    assert!(reason.contains("0000000001-") && reason.contains("storage"), "{reason}");
    assert!(matches!(journal.append(&entry(&[2; 30]), ()), Err(AppendError::Stopped(_))));
    assert_eq!(journal.durable(), Lsn::ZERO);
    disk.set_full(false);
    wait_for(|| journal.durable() == Lsn(1));
    wait_for(|| journal.append(&entry(&[3; 30]), ()).is_ok());
    wait_for(|| journal.durable() == Lsn(2));
    journal.stop();
    thread.join().unwrap();
    assert_eq!(read_all(&journal), Packets::from([(Lsn(1), vec![1; 30]), (Lsn(2), vec![3; 30])]));
}

#[test]
fn a_disk_on_which_no_sync_succeeds_is_not_filled_with_segments() {
    let disk = FaultyDisk::default();
    let (journal, writer, _) = open(&disk);
    let thread = start(writer);
    journal.append(&entry(&[1; 30]), ()).unwrap();
    wait_for(|| journal.durable() == Lsn(1));
    disk.set_syncs_fail(true);
    journal.append(&entry(&[2; 30]), ()).unwrap();
    let calls = disk.calls();
    wait_for(|| disk.calls() > calls + 100);
    assert!(matches!(journal.status(), JournalStatus::Stopped { .. }));
    assert_eq!(journal.durable(), Lsn(1));
    // Between two attempts, each of which makes one and removes it.
    wait_for(|| journal.size().segments == 1);
    assert!(disk.names().len() <= 2, "{:?}", disk.names());
    disk.set_syncs_fail(false);
    wait_for(|| journal.durable() == Lsn(2));
    journal.stop();
    thread.join().unwrap();
    assert_eq!(read_all(&journal), Packets::from([(Lsn(1), vec![1; 30]), (Lsn(2), vec![2; 30])]));
}

#[test]
fn numbers_seen_elsewhere_are_not_used_again() {
    let disk = FaultyDisk::default();
    run(&disk, &[vec![vec![1; 20]; 2]]).unwrap();
    let known = JournalConfig { known: Lsn(10), ..config() };
    let (journal, _writer, report) = Journal::<()>::open(known, Arc::new(disk)).unwrap();
    assert_eq!(report.holes, [Hole { first: Lsn(3), last: Lsn(10) }]);
    assert_eq!(journal.append(&entry(&[1; 20]), ()).unwrap(), Lsn(11));
}

#[test]
fn more_than_the_group_bound_is_refused_not_queued() {
    let (journal, _writer, _) = open(&FaultyDisk::default());
    let refused = (0..10).map(|_| journal.append(&entry(&[1; 1_000]), ())).find(Result::is_err);
    assert_eq!(refused, Some(Err(AppendError::Full)));
}

#[test]
fn segments_are_released_only_when_exported_and_old() {
    let disk = FaultyDisk::default();
    for n in 0..3 {
        run(&disk, &[vec![vec![n; 30]; 4], vec![vec![n; 30]; 4]]).unwrap();
    }
    let (journal, _writer, report) = open(&disk);
    assert_eq!(report.segments, 3);
    let size = journal.size();
    let now = UnixMicros::now();
    let later = UnixMicros(now.0 + 8 * 86_400 * 1_000_000);
    let release = |before, now| {
        journal.0.files.release(Lsn(before), now).unwrap();
        journal.oldest()
    };
    assert_eq!(release(24, now), Lsn(1), "younger than the retention");
    assert_eq!(release(8, later), Lsn(1), "not exported");
    assert_eq!(release(9, later), Lsn(9));
    assert_eq!(release(1_000, later), Lsn(17), "the newest stays");
    assert_eq!((size.segments, journal.size().segments), (3, 1));
    assert_eq!(read_all(&journal).len(), 8, "what was released is no hole");
    assert_eq!(journal.holes(), []);
}

#[test]
fn a_reader_follows_a_live_writer_over_segments_on_the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { dir: dir.path().join("data/journal"), ..config() };
    {
        let (journal, writer, _) = Journal::<u64>::open(config.clone(), Arc::new(Disk)).unwrap();
        let thread = std::thread::spawn(move || {
            let mut tickets = 0;
            writer.run(|group| tickets += group.tickets.len());
            tickets
        });
        let mut reader = journal.reader(Lsn(1));
        let mut seen = 0u64;
        let mut read = || {
            while let Some(batch) = reader.next_batch().unwrap() {
                for (lsn, entry) in batch.iter() {
                    assert_eq!((lsn.0, &entry.packet[..8]), (seen + 1, &seen.to_le_bytes()[..]));
                    seen += 1;
                }
            }
            seen
        };
        for n in 0..3_000u64 {
            let packet = n.to_le_bytes().repeat(12);
            while journal.append(&entry(&packet), n) == Err(AppendError::Full) {
                std::thread::yield_now();
            }
            read();
        }
        wait_for(|| read() == 3_000);
        journal.stop();
        assert_eq!(thread.join().unwrap(), 3_000);
        assert!(journal.holes().is_empty());
    }
    let (journal, _writer, report) = Journal::<u64>::open(config, Arc::new(Disk)).unwrap();
    assert_eq!((journal.durable(), report.torn, report.segments > 3), (Lsn(3_000), 0, true));
}

#[test]
fn the_records_of_a_hole_came_between_those_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { dir: dir.path().join("journal"), ..config() };
    let open = || Journal::<()>::open(config.clone(), Arc::new(Disk)).unwrap();
    for run in 1..=3 {
        let (journal, writer, _) = open();
        let thread = start(writer);
        let packet = Entry { arrived_at: UnixMicros(run * 100_000_000), ..entry(&[7; 64]) };
        let lsn = journal.append(&packet, ()).unwrap();
        wait_for(|| journal.durable() == lsn);
        journal.stop();
        thread.join().unwrap();
    }
    let files = std::fs::read_dir(&config.dir).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.is_file()).collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[1]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&segments[1], bytes).unwrap();
    let (journal, _writer, _) = open();
    assert_eq!(read_all(&journal).len(), 2);
    let [hole] = journal.holes().try_into().unwrap();
    assert_eq!((hole.first, hole.last), (Lsn(2), Lsn(2)));
    assert_eq!(journal.time_of(hole), (UnixTime(100), UnixTime(301)));
}

#[test]
fn a_second_process_is_kept_out_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { dir: dir.path().join("journal"), ..config() };
    let first = Journal::<()>::open(config.clone(), Arc::new(Disk)).unwrap();
    let error = Journal::<()>::open(config.clone(), Arc::new(Disk)).err().unwrap().to_string();
    assert!(error.contains("in use"), "{error}");
    drop(first);
    Journal::<()>::open(config, Arc::new(Disk)).unwrap();
}
