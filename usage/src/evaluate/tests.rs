use proptest::prelude::*;
use schema::{Lsn, UnixMicros};

use super::*;
use crate::curve::Usage;

fn record(lsn: u64, status: StatusType, time: u32, download: u64, upload: u64) -> Record {
    Record {
        name: RecordName { collector: "c".into(), lsn: Lsn(lsn) },
        at: UnixTime(1_000_000 + i64::from(time)),
        arrived_at: UnixMicros((1_000_000 + i64::from(time)) * 1_000_000),
        status,
        session_time: Some(time),
        octets: Some((Octets(download), Octets(upload))),
        gigawords: false,
        login: "anna".into(),
        cause: TerminateCause(0),
        digest: u128::from(lsn),
    }
}

fn interim(lsn: u64, time: u32, download: u64, upload: u64) -> Record {
    record(lsn, StatusType::INTERIM_UPDATE, time, download, upload)
}

fn whole(evaluation: &Evaluation) -> Usage {
    let mut sum = Usage::default();
    for (_, curve) in evaluation.sessions.iter().flat_map(|session| &session.curves) {
        sum += curve.usage(UnixTime(0), UnixTime(10_000_000));
    }
    sum
}

fn total(records: &[Record]) -> (u64, u64) {
    let usage = whole(&evaluate(records));
    (usage.download.0, usage.upload.0)
}

fn verdict(records: &[Record], lsn: u64) -> Verdict {
    evaluate(records).verdicts[&RecordName { collector: "c".into(), lsn: Lsn(lsn) }]
}

#[test]
fn a_counter_that_falls_alone_without_gigawords_has_wrapped() {
    let records = [interim(1, 300, 4_294_967_000, 10), interim(2, 600, 704, 20)];
    assert_eq!(verdict(&records, 2), Verdict::WrapInferred);
    assert_eq!(total(&records), ((1 << 32) + 704, 20));
}

#[test]
fn a_fall_in_a_session_with_gigawords_is_a_reset() {
    let mut records = [interim(1, 300, 4_294_967_000, 10), interim(2, 600, 704, 20)];
    records[0].gigawords = true;
    assert_eq!(verdict(&records, 2), Verdict::Reset);
    assert_eq!(total(&records), (4_294_967_704, 30));
}

#[test]
fn an_implausible_wrap_is_a_reset() {
    let records = [interim(1, 300, 1_000, 10), interim(2, 301, 999, 20)];
    assert_eq!(verdict(&records, 2), Verdict::Reset);
    assert_eq!(total(&records), (1_999, 30));
}

#[test]
fn a_stop_with_zero_octets_after_lost_carrier_keeps_what_was_counted() {
    let records = [interim(1, 300, 1_000, 10), record(2, StatusType::STOP, 310, 0, 0)];
    assert_eq!(verdict(&records, 2), Verdict::StopWithoutOctets);
    assert_eq!(total(&records), (1_000, 10));
}

#[test]
fn an_interim_after_the_stop_does_not_add() {
    let mut late = interim(3, 200, 900, 9);
    late.arrived_at = UnixMicros(1_000_500 * 1_000_000);
    let records = [interim(1, 100, 500, 5), record(2, StatusType::STOP, 300, 1_000, 10), late];
    assert_eq!(verdict(&records, 3), Verdict::Late);
    assert_eq!(total(&records), (1_000, 10));
}

#[test]
fn the_same_record_under_a_new_identifier_and_a_replay_an_hour_later_are_duplicates() {
    let mut again = interim(2, 300, 1_000, 10);
    again.digest = 1;
    again.arrived_at = UnixMicros(1_004_000 * 1_000_000);
    let records = [interim(1, 300, 1_000, 10), again];
    assert_eq!((verdict(&records, 1), verdict(&records, 2)), (Verdict::Ok, Verdict::Duplicate));
    assert_eq!(total(&records), (1_000, 10));
}

#[test]
fn an_identifier_reused_after_a_reboot_is_another_session() {
    let mut second = interim(2, 60, 50, 5);
    second.at = UnixTime(1_009_060);
    let evaluation = evaluate(&[interim(1, 300, 1_000, 10), second]);
    assert_eq!(evaluation.sessions.len(), 2);
    assert_eq!(whole(&evaluation).download, Octets(1_050));
}

#[test]
fn a_lost_start_and_a_repeated_start_change_nothing() {
    let start = |lsn| record(lsn, StatusType::START, 0, 0, 0);
    let end = interim(9, 300, 1_000, 10);
    assert_eq!(total(std::slice::from_ref(&end)), (1_000, 10));
    assert_eq!(total(&[start(1), start(2), end]), (1_000, 10));
}

#[test]
fn usage_is_split_at_the_sample_that_changes_the_login() {
    let mut later = interim(2, 600, 1_500, 10);
    later.login = "bert".into();
    let evaluation = evaluate(&[interim(1, 300, 1_000, 10), later, {
        let mut last = interim(3, 900, 1_700, 10);
        last.login = "bert".into();
        last
    }]);
    let of = |login: &str| {
        let curves = evaluation.sessions[0].curves.iter().filter(|(name, _)| name.as_str() == login);
        curves.map(|(_, curve)| curve.usage(UnixTime(0), UnixTime(10_000_000)).download.0).sum::<u64>()
    };
    assert_eq!((of("anna"), of("bert")), (1_500, 200));
}

fn sessions() -> impl Strategy<Value = Vec<Record>> {
    let step = (1u32..900, 0u64..3_000_000_000, 0u64..1_000_000, any::<bool>());
    proptest::collection::vec(step, 1..12).prop_map(|steps| {
        let (mut time, mut down, mut up) = (0, 0u64, 0u64);
        let records = (1u64..).zip(steps).map(|(lsn, (seconds, more_down, more_up, reset))| {
            time += seconds;
            if reset {
                (down, up) = (0, 0);
            }
            (down, up) = (down + more_down, up + more_up);
            interim(lsn, time, down % WRAP, up % WRAP)
        });
        records.collect()
    })
}

proptest! {
    #[test]
    fn order_and_repetition_never_matter(records in sessions(), seed in any::<u64>()) {
        let once = evaluate(&records);
        let mut again: Vec<_> = records.iter().chain(&records).cloned().collect();
        // A permutation by a hash of the place.
        again.sort_by_key(|record| (record.name.lsn.0.wrapping_mul(seed | 1)) % 7919);
        let twice = evaluate(&again);
        prop_assert_eq!(whole(&once), whole(&twice));
        prop_assert_eq!(once.verdicts, twice.verdicts);
    }

    #[test]
    fn without_resets_the_total_is_the_last_counter(mut records in sessions()) {
        let mut down = 0;
        for record in &mut records {
            down += record.octets.unwrap().0.0;
            record.octets = Some((Octets(down), Octets(0)));
        }
        prop_assert_eq!(total(&records), (down, 0));
    }

    #[test]
    fn the_tracker_agrees_with_the_engine_for_records_in_order(records in sessions()) {
        let mut tracker = crate::Tracker::default();
        for record in &records {
            tracker.apply(&crate::TrackerInput {
                at: record.at,
                arrived_at: record.arrived_at.seconds(),
                session_time: record.session_time,
                download: record.octets.map(|octets| octets.0),
                upload: record.octets.map(|octets| octets.1),
                status: record.status,
                flags: schema::RecordFlags::default(),
            });
        }
        prop_assert_eq!((tracker.download().0, tracker.upload().0), total(&records));
    }
}
