//! Every system call of a collector's life, each failing in every way: journal, session checkpoint and exporter's cursor
//! together, through segments that are begun, filled and deleted.

use std::io::ErrorKind;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::storage::faulty::Fault;

const FAULTS: [(&str, Fault); 4] = [
    ("the power is gone", Fault::End),
    ("the disk is broken from now on", Fault::Broken),
    ("EIO", Fault::Error(ErrorKind::Other)),
    ("ENOSPC", Fault::Error(ErrorKind::StorageFull)),
];
/// Groups in one life: three segments of them.
const GROUPS: u8 = 12;
/// Groups between two exports, each with a checkpoint.
const EXPORT_EVERY: u8 = 3;

/// What outlives a collector: its files, what others know of its records, and what ClickHouse has taken.
#[derive(Default)]
struct World {
    disk: FaultyDisk,
    appended: Packets,
    durable: Lsn,
    exported: Packets,
}

/// The files of one collector.
struct Collector {
    journal: Journal<()>,
    state: Checkpoints,
    cursor: Checkpoints,
}

impl Collector {
    fn start(disk: &FaultyDisk) -> Result<(Self, Writer<()>), JournalError> {
        let checkpoints = |name| Checkpoints::new("c".into(), name, Arc::new(disk.clone()));
        let (state, cursor) = (checkpoints("sessions")?, checkpoints("exporter")?);
        let come = |of: &Checkpoints| Ok(of.load()?.map_or(Lsn::ZERO, |(lsn, _)| lsn));
        let known = come(&state)?.max(come(&cursor)?);
        let config = JournalConfig {
            segment_bytes: 84_000,
            group_bytes: 18_000,
            retention: Duration::ZERO,
            known,
            ..config()
        };
        let (journal, writer, _) = Journal::open(config, Arc::new(disk.clone()))?;
        Ok((Self { journal, state, cursor }, writer))
    }

    /// Carries to ClickHouse what it lacks, writes both checkpoints, and deletes what is no longer needed.
    fn export(&self, exported: &mut Packets) -> Result<(), JournalError> {
        let from = self.cursor.load()?.map_or(Lsn::ZERO, |(lsn, _)| lsn).next();
        let mut reader = self.journal.reader(from);
        while let Some(batch) = reader.next_batch()? {
            exported.extend(batch.iter().map(|(lsn, entry)| (lsn, entry.packet.to_vec())));
        }
        let durable = self.journal.durable();
        self.cursor.write(durable, &[])?;
        self.state.write(durable, &[7; 300])?;
        self.journal.release(self.state.oldest_kept().unwrap_or_default())
    }
}

impl World {
    /// A collector's life, to its end or that of the disk.
    fn live(&mut self, groups: u8) -> Result<(), JournalError> {
        let (collector, writer) = Collector::start(&self.disk)?;
        self.disk.on_end({
            let journal = collector.journal.clone();
            move || journal.stop()
        });
        let Self { appended, durable, exported, .. } = self;
        let mut append = |group: u8| {
            for packet in (0..4).map(|packet| [group, packet].repeat(2_000)) {
                if let Ok(lsn) = collector.journal.append(&entry(&packet), ()) {
                    appended.insert(lsn, packet);
                }
            }
        };
        let mut group = 0;
        append(group);
        writer.run(|done| {
            *durable = done.last.lsn();
            group += 1;
            if group < groups {
                append(group);
            } else {
                collector.journal.stop();
            }
            if group % EXPORT_EVERY == 0 {
                // Whatever of it fails is tried again next time.
                _ = collector.export(exported);
            }
        });
        Ok(())
    }

    /// The next collector finds everything: in the journal what its checkpoints do not tell, and there or in ClickHouse every
    /// durable record as it was appended.
    fn check(&self) {
        let (Collector { journal, state, cursor }, _writer) = Collector::start(&self.disk).unwrap();
        assert_eq!(journal.holes(), []);
        assert!(journal.durable() >= self.durable, "numbers of acknowledged records are not used again");
        let held = read_all(&journal);
        for (lsn, packet) in held.iter().chain(&self.exported) {
            assert_eq!(self.appended.get(lsn), Some(packet), "record {lsn} was never appended so");
        }
        for lsn in (1..=self.durable.0).map(Lsn) {
            assert!(held.contains_key(&lsn) || self.exported.contains_key(&lsn), "record {lsn} was durable");
        }
        for checkpoints in [&state, &cursor] {
            let come = checkpoints.load().unwrap().map_or(Lsn::ZERO, |(lsn, _)| lsn);
            let after = (come.0 + 1..=self.durable.0).map(Lsn);
            assert_eq!(after.filter(|lsn| !held.contains_key(lsn)).collect::<Vec<_>>(), [], "after {come}");
        }
    }

    /// The same, with the disk as it is found after a kill or a power cut.
    fn found(&self, disk: FaultyDisk) -> Self {
        let Self { appended, durable, exported, .. } = self;
        Self { disk, appended: appended.clone(), durable: *durable, exported: exported.clone() }
    }
}

/// Once undisturbed, and what it called.
fn undisturbed() -> (World, Vec<&'static str>) {
    let mut world = World::default();
    world.live(GROUPS).unwrap();
    let calls = world.disk.trace();
    (world, calls)
}

#[test]
fn whichever_system_call_of_a_collectors_life_fails_nothing_is_lost_and_no_number_used_twice() {
    let (world, calls) = undisturbed();
    world.check();
    assert_eq!(world.durable, Lsn(4 * u64::from(GROUPS)));
    let kept = Collector::start(&world.disk).unwrap().0.journal.oldest();
    assert!(kept > Lsn(1), "segments that ClickHouse holds are deleted");
    let mut met = BTreeMap::<_, usize>::new();
    for (at, call) in calls.iter().enumerate() {
        for (what, fault) in FAULTS {
            let mut world = World::default();
            world.disk.fail_at(at, fault);
            let lived = world.live(GROUPS);
            let seed = 1 + at as u64;
            let cuts = [world.disk.after_power_cut(seed), world.disk.after_power_cut(seed << 32)];
            for disk in [world.disk.after_kill()].into_iter().chain(cuts) {
                let mut found = world.found(disk);
                println!("{call}, call {at}: {what}; the life before: {lived:?}");
                found.check();
                found.live(2).unwrap();
                found.found(found.disk.after_power_cut(seed)).check();
                *met.entry((*call, what)).or_default() += 1;
            }
        }
    }
    println!("{} system calls, {} combinations with faults:", calls.len(), met.values().sum::<usize>());
    met.iter().for_each(|((call, what), cases)| println!("  {cases:>4}  {call}: {what}"));
    let must_have_met =
        ["create", "write", "fdatasync", "fsync", "fsync of the folder", "rename", "remove", "truncate"];
    for call in must_have_met {
        assert!(calls.contains(&call), "{call} is never called");
    }
}
