use proptest::prelude::*;
use schema::{Lsn, Octets, UnixMicros};

use super::*;
use crate::curve::Usage;
use crate::policy::RawCounters;

const WRAP: u64 = 1 << 32;

fn record(lsn: u64, status: StatusType, time: u32, download: u64, upload: u64) -> Record {
    Record {
        name: RecordName { collector: "c".into(), lsn: Lsn(lsn) },
        at: UnixTime(1_000_000 + i64::from(time)),
        arrived_at: UnixMicros((1_000_000 + i64::from(time)) * 1_000_000),
        status,
        session_time: Some(time),
        counters: Some(RawCounters::standard(Octets(upload), Octets(download))),
        gigawords: false,
        nas_clock: false,
        doubtful: false,
        login: "anna".into(),
        nas_port: None,
        address: None,
        cause: TerminateCause(0),
        digest: u128::from(lsn),
    }
}

fn interim(lsn: u64, time: u32, download: u64, upload: u64) -> Record {
    record(lsn, StatusType::INTERIM_UPDATE, time, download, upload)
}

fn evaluate(records: &[Record]) -> Evaluation {
    super::evaluate(records, &PolicyHistory::default())
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
    evaluate(records).findings[&RecordName { collector: "c".into(), lsn: Lsn(lsn) }].verdict
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
fn a_session_told_all_at_once_is_one_session() {
    let now = |record: Record, order: i64| Record {
        at: UnixTime(2_000_000),
        arrived_at: UnixMicros(2_000_000_000_000 + order),
        ..record
    };
    let start = now(record(1, StatusType::START, 0, 0, 0), 1);
    let stop = now(record(3, StatusType::STOP, 2_400, 4_800, 30), 3);
    let records = [stop, start, now(interim(2, 1_800, 4_500, 22), 2)];
    let evaluation = evaluate(&records);
    assert_eq!(evaluation.sessions.len(), 1);
    assert_eq!(evaluation.sessions[0].started_at, UnixTime(2_000_000 - 2_400));
    assert_eq!(total(&records), (4_800, 30));
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

#[test]
fn a_collectors_clock_set_in_mid_session_makes_no_second_session() {
    for hours in [-2, -1, 1, 2] {
        let mut records: Vec<_> = (1..=6u32)
            .map(|n| interim(n.into(), 12_000 + 300 * n, 1_000 * u64::from(n), 10 * u64::from(n)))
            .collect();
        for record in &mut records[2..4] {
            record.at = record.at.plus(3_600 * hours);
            record.arrived_at.0 += 3_600_000_000 * hours;
        }
        assert_eq!(total(&records), (6_000, 60), "set by {hours} hours, and right again");
        assert_eq!(evaluate(&records).sessions.len(), 1);
    }
}

#[test]
fn a_clock_set_in_mid_session_makes_no_second_session() {
    for step in [-86_400, 3_600] {
        let mut records =
            [interim(1, 300, 1_000, 10), interim(2, 600, 3_000, 20), interim(3, 900, 4_000, 30)];
        for record in &mut records[1..] {
            record.at = record.at.plus(step);
        }
        records.iter_mut().for_each(|record| record.nas_clock = true);
        let evaluation = evaluate(&records);
        assert_eq!(evaluation.sessions.len(), 1);
        assert!(evaluation.sessions[0].clock_stepped);
        assert_eq!(evaluation.sessions[0].started_at, UnixTime(1_000_000));
        assert_eq!(whole(&evaluation).download, Octets(4_000));
    }
}

#[test]
fn the_first_record_of_a_reused_identifier_says_so() {
    let mut again = interim(2, 60, 50, 5);
    (again.at, again.arrived_at) = (UnixTime(1_009_060), UnixMicros(1_009_060_000_000));
    assert_eq!(verdict(&[interim(1, 300, 1_000, 10), again], 2), Verdict::IdReused);
}

#[test]
fn a_replay_does_not_move_the_start_of_a_later_session() {
    let later = |lsn, digest, seconds| {
        let mut record = interim(lsn, 300, 1_000, 10);
        record.digest = digest;
        record.at = record.at.plus(seconds);
        record.arrived_at = UnixMicros(record.at.0 * 1_000_000);
        record
    };
    let evaluation = evaluate(&[interim(1, 300, 1_000, 10), later(2, 1, 3_600), later(3, 3, 3_606)]);
    let starts: Vec<_> = evaluation.sessions.iter().map(|session| session.started_at.0).collect();
    assert_eq!(starts, [1_000_000, 1_003_606]);
}

/// Two lines of a concentrator whose identifiers differ only by the second.
fn two_sessions_of_one_second() -> Vec<Record> {
    let line = |lsn, login: &str, port, time, octets| {
        let mut record = interim(lsn, time, octets, 1);
        (record.login, record.nas_port) = (login.into(), port);
        record
    };
    vec![
        line(1, "anna", Some(1), 300, 1_000),
        line(2, "bert", Some(2), 301, 50),
        line(3, "anna", None, 600, 2_000),
        line(4, "bert", Some(2), 601, 70),
        line(5, "anna", Some(1), 900, 3_000),
    ]
}

#[test]
fn two_sessions_that_began_in_one_second_are_told_apart() {
    let records = two_sessions_of_one_second();
    let evaluation = evaluate(&records);
    assert_eq!(evaluation.sessions.len(), 2);
    assert_eq!(whole(&evaluation).download, Octets(3_070));
    let mut one_login = records;
    one_login.iter_mut().for_each(|record| record.login = "anna".into());
    one_login[2].nas_port = Some(1);
    assert_eq!(total(&one_login).0, 3_070);
}

#[test]
fn a_nas_that_writes_the_login_in_two_ways_reports_one_session() {
    let mut records = [
        record(1, StatusType::START, 0, 0, 0),
        interim(2, 300, 1_000, 10),
        interim(3, 600, 2_000, 20),
        record(4, StatusType::STOP, 700, 2_100, 30),
    ];
    records[1].login = "anna@isp".into();
    records[2].login = "anna@isp".into();
    assert_eq!(evaluate(&records).sessions.len(), 1);
    assert_eq!(total(&records), (2_100, 30));
}

#[test]
fn a_new_address_in_mid_session_makes_no_second_session() {
    let mut records = [interim(1, 300, 1_000, 10), interim(2, 600, 2_000, 20), interim(3, 900, 1, 1)];
    records[0].address = Some([10, 0, 0, 1].into());
    records[1].address = Some([10, 0, 0, 2].into());
    assert_eq!(evaluate(&records).sessions.len(), 1);
    assert_eq!(total(&records), (2_001, 21));
}

#[test]
fn a_counter_beyond_any_port_is_flagged_and_never_added() {
    let records = [interim(1, 300, 1_000, 10), interim(2, 600, u64::MAX - 5, 20), interim(3, 900, 2_000, 30)];
    assert_eq!((verdict(&records, 2), verdict(&records, 3)), (Verdict::Implausible, Verdict::Ok));
    assert_eq!(total(&records), (2_000, 30));
}

#[test]
fn a_counter_that_is_missing_in_one_record_does_not_wrap() {
    let records = [interim(1, 300, 1_000, 10), interim(2, 600, 2_000, 0), interim(3, 900, 3_000, 30)];
    assert_eq!(verdict(&records, 2), Verdict::WithoutOctets);
    assert_eq!(total(&records), (3_000, 30));
}

#[test]
fn a_session_without_session_times_begins_at_its_first_record() {
    let mut records = [interim(1, 300, 9_000_000_000_000, 10), interim(2, 600, 9_000_000_000_500, 10)];
    records.iter_mut().for_each(|record| record.session_time = None);
    let evaluation = evaluate(&records);
    assert_eq!(evaluation.sessions[0].started_at, UnixTime(1_000_300));
    assert_eq!(whole(&evaluation).download, Octets(9_000_000_000_500));
}

#[test]
fn a_record_without_session_time_belongs_to_the_session_that_was_on() {
    let mut second = record(2, StatusType::START, 0, 0, 0);
    (second.at, second.arrived_at) = (UnixTime(1_005_000), UnixMicros(1_005_000_000_000));
    let mut early = interim(1, 300, 1_000, 10);
    let mut later = interim(3, 5_300, 500, 5);
    (early.session_time, later.session_time) = (None, None);
    let evaluation = evaluate(&[second, later, early]);
    assert_eq!(evaluation.sessions.len(), 2);
    assert_eq!(whole(&evaluation).download, Octets(1_500));
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
        prop_assert_eq!(once.findings, twice.findings);
    }

    #[test]
    fn without_resets_the_total_is_the_last_counter(mut records in sessions()) {
        let mut down = 0;
        for record in &mut records {
            down += record.counters.unwrap().output.0;
            record.counters = Some(RawCounters::standard(Octets(0), Octets(down)));
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
                download: record.counters.map(|counters| counters.output),
                upload: record.counters.map(|counters| counters.input),
                status: record.status,
                flags: schema::RecordFlags::default(),
            });
        }
        prop_assert_eq!((tracker.download().0, tracker.upload().0), total(&records));
    }
}

#[test]
fn starts_that_say_the_same_begin_the_sessions_that_other_records_tell() {
    let said = |lsn, status, at: i64, time, download, login: &str| Record {
        at: UnixTime(1_000_000 + at),
        arrived_at: UnixMicros((1_000_000 + at) * 1_000_000),
        login: login.into(),
        ..record(lsn, status, time, download, 0)
    };
    let start =
        |lsn, at| Record { digest: 7, counters: None, ..said(lsn, StatusType::START, at, 0, 0, "anna") };
    let report = |lsn, at, time, login| said(lsn, StatusType::INTERIM_UPDATE, at, time, 100, login);
    let mut records = vec![
        start(1, 0),
        report(2, 60, 60, "anna"),
        start(3, 5_000),
        report(4, 5_300, 300, "bert"),
        start(5, 9_000),
    ];
    let found = evaluate(&records);
    let told = |lsn| {
        let name = RecordName { collector: "c".into(), lsn: Lsn(lsn) };
        (found.findings[&name].verdict, found.findings[&name].session)
    };
    assert_eq!(told(3), (Verdict::IdReused, 1));
    assert_eq!(told(5), (Verdict::Duplicate, 1), "no other record tells of a session then");
    let logins = |session: &Session| -> Vec<_> {
        session.curves.iter().map(|(login, curve)| (login.as_str().to_owned(), curve.starts_at())).collect()
    };
    let one = [("anna".to_owned(), UnixTime(1_005_000)), ("bert".to_owned(), UnixTime(1_005_300))];
    assert_eq!(logins(&found.sessions[1]), one);
    records.extend(records.clone());
    records.reverse();
    assert_eq!(evaluate(&records).findings, found.findings);
}
