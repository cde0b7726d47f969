//! The model: whatever system call is the last or fails, what was reported durable stays, and nothing else appears.

use std::io::ErrorKind;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::storage::faulty::Fault;

const FAULTS: [Fault; 4] =
    [Fault::End, Fault::Broken, Fault::Error(ErrorKind::Other), Fault::Error(ErrorKind::StorageFull)];

/// Groups of packets of many lengths; each packet is another one.
fn groups() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let packet = proptest::collection::vec(any::<u8>(), 20..160);
    proptest::collection::vec(proptest::collection::vec(packet, 1..5), 1..5)
}

/// All ways to find the disk after it failed: the process was killed, or the power went.
fn found(disk: &FaultyDisk, seed: u64) -> [FaultyDisk; 2] {
    [disk.after_kill(), disk.after_power_cut(seed.max(1))]
}

/// The next process finds the journal so, and appends; then the power goes.
fn check(disk: &FaultyDisk, before: &Run, seed: u64) {
    let (recovered, last) = {
        let (journal, _writer, report) = open(disk);
        assert_eq!(report.holes, []);
        (read_all(&journal), journal.durable())
    };
    for (lsn, packet) in before.appended.iter().filter(|(lsn, _)| **lsn <= before.durable) {
        assert_eq!(recovered.get(lsn), Some(packet), "record {lsn} was durable");
    }
    for (lsn, packet) in &recovered {
        assert_eq!(before.appended.get(lsn), Some(packet), "record {lsn} was never appended so");
    }
    assert!(last >= before.durable, "numbers of acknowledged records are not used again");
    assert_eq!(recovered.len() as u64, last.0, "no number is missing");

    let disk = disk.after_power_cut(seed.max(1));
    let after = run(&disk, &[vec![vec![1; 50]; 2], vec![vec![2; 50]]]).unwrap();
    assert_eq!(after.durable, Lsn(last.0 + 3));
    let (journal, _writer, _) = open(&disk.after_power_cut(seed.wrapping_add(1).max(1)));
    let mut expected = recovered;
    expected.extend(after.appended);
    assert_eq!(read_all(&journal), expected, "what recovery reported durable is");
}

fn calls(work: impl FnOnce(&FaultyDisk)) -> usize {
    let disk = FaultyDisk::default();
    work(&disk);
    disk.calls()
}

fn for_random_groups(cases: u32, test: impl Fn(&[Vec<Vec<u8>>], u64)) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(groups(), any::<u64>()), |(groups, seed)| {
        test(&groups, seed);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn no_system_call_that_fails_or_is_the_last_loses_what_was_durable() {
    let cases = std::cell::Cell::new(0);
    for_random_groups(24, |groups, seed| {
        for call in 0..calls(|disk| drop(run(disk, groups).unwrap())) {
            for fault in FAULTS {
                let disk = FaultyDisk::default();
                disk.fail_at(call, fault);
                let done = run(&disk, groups).unwrap_or_default();
                let seed = seed.wrapping_add(call as u64);
                for found in found(&disk, seed) {
                    check(&found, &done, seed);
                    cases.set(cases.get() + 1);
                }
            }
        }
    });
    println!("journal: {} crash cases", cases.get());
}

#[test]
fn a_crash_during_recovery_loses_nothing() {
    let cases = std::cell::Cell::new(0);
    for_random_groups(10, |groups, seed| {
        let first = FaultyDisk::default();
        // The last group breaks the disk, so that there is something to cut or to make durable.
        let writes = calls(|disk| drop(run(disk, groups).unwrap()));
        first.fail_at(writes.saturating_sub(2), Fault::Broken);
        let done = run(&first, groups).unwrap_or_default();
        for left in found(&first, seed) {
            let again = left.after_kill();
            open(&again);
            for call in 0..again.calls() {
                for fault in FAULTS {
                    let disk = left.after_kill();
                    disk.fail_at(call, fault);
                    drop(Journal::<()>::open(config(), Arc::new(disk.clone())));
                    let seed = seed.wrapping_add(call as u64);
                    for found in found(&disk, seed) {
                        check(&found, &done, seed);
                        cases.set(cases.get() + 1);
                    }
                }
            }
        }
    });
    println!("journal: {} crash cases during recovery", cases.get());
}
