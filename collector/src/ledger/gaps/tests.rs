use super::*;
use crate::ledger::{Ledger, Outcome};

const START: UnixTime = UnixTime(1_790_000_000);

fn drop_packets(ledger: &Ledger, nas: &str, packets: u64) {
    let tally = ledger.nas("bng", nas);
    (0..packets).for_each(|_| tally.count(Outcome::Dropped(Dropped::Overload)));
}

fn look(ledger: &Ledger, second: i64) {
    ledger.gaps().look(&ledger.report(), START.plus(second));
}

fn all(ledger: &Ledger) -> Vec<Gap> {
    ledger.gaps().within(UnixTime(0), UnixTime(i64::MAX))
}

#[test]
fn losses_close_together_are_one_gap_that_names_who_lost_how_many() {
    let ledger = Ledger::default();
    look(&ledger, 0);
    drop_packets(&ledger, "bng/a", 3);
    look(&ledger, 1);
    drop_packets(&ledger, "bng/a", 1);
    drop_packets(&ledger, "bng/b", 5);
    look(&ledger, 31);
    look(&ledger, 40);
    let [gap] = all(&ledger).try_into().unwrap();
    assert_eq!((gap.kind, gap.from, gap.to, gap.packets), (GapKind::Overload, START, START.plus(32), 9));
    let named: Vec<_> =
        gap.touched.iter().map(|touched| (touched.nas.as_ref().unwrap().as_str(), touched.packets)).collect();
    assert_eq!(named, [("bng/a", 4), ("bng/b", 5)]);
    look(&ledger, 200);
    drop_packets(&ledger, "bng/a", 1);
    look(&ledger, 201);
    assert_eq!(all(&ledger).iter().map(|gap| gap.packets).collect::<Vec<_>>(), [1, 9], "newest first");
}

#[test]
fn what_changed_is_told_by_version_and_a_restart_forgets_nothing() {
    let ledger = Ledger::default();
    look(&ledger, 0);
    drop_packets(&ledger, "bng/a", 3);
    ledger.kernel_drops(40);
    look(&ledger, 1);
    ledger.gaps().hole(Lsn(70), 30, (START, START.plus(9)));
    ledger.gaps().hole(Lsn(70), 30, (START, START.plus(9)));
    let version = ledger.gaps().version();
    assert_eq!(ledger.gaps().since(0).len(), 3);
    assert_eq!(ledger.gaps().since(version), []);
    let again = Ledger::default();
    again.gaps().load(&ledger.gaps().image().unwrap()).unwrap();
    assert_eq!((all(&again), again.gaps().version()), (all(&ledger), version));
    look(&again, 5);
    assert_eq!(again.gaps().version(), version, "a new run's counts begin at 0, and lost nothing yet");
    drop_packets(&again, "bng/a", 2);
    look(&again, 6);
    let changed = again.gaps().since(version);
    assert_eq!(changed.iter().map(|gap| gap.packets).collect::<Vec<_>>(), [5]);
}

#[test]
fn memory_is_bounded_whoever_loses_packets_and_how_often() {
    let ledger = Ledger::default();
    for n in 0..5_000 {
        drop_packets(&ledger, &format!("bng/{n}"), 1);
    }
    look(&ledger, 1);
    let [gap] = all(&ledger).try_into().unwrap();
    assert_eq!((gap.packets, gap.touched.len()), (5_000, MOST_NAMED + 1));
    let rest = gap.touched.iter().find(|touched| touched.nas.is_none()).unwrap();
    assert_eq!(rest.packets, 5_000 - MOST_NAMED as u64);
    for n in 0..2_000_i64 {
        ledger.gaps().not_running(START.plus(n), START.plus(n + 1));
    }
    assert_eq!(all(&ledger).len(), MOST);
}

#[test]
fn every_kind_reads_back_as_it_is_named() {
    for kind in GapKind::ALL {
        assert_eq!(GapKind::named(kind.as_str()), Some(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}
