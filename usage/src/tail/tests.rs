use chrono_tz::Tz;
use proptest::prelude::*;
use schema::{Lsn, UnixMicros};

use super::*;
use crate::curve::Usage;
use crate::evaluate::evaluate;
use crate::period::Calendar;
use crate::policy::PolicyHistory;
use crate::record::RecordName;
use crate::rollup::tests::{START, by_rollup, record};

const UTC: Watch = Watch::always(Calendar::new(Tz::UTC));

/// Follows records in the order given; whether all was regular.
fn follow(records: &[Record]) -> bool {
    let mut tail: Option<Tail> = None;
    for record in records {
        match &mut tail {
            Some(tail) => _ = tail.follow(record, NasPolicy::default(), UTC),
            None => tail = Some(Tail::open(record, NasPolicy::default(), UTC)),
        }
    }
    tail.is_some_and(|tail| tail.is_regular())
}

fn regular() -> Vec<Record> {
    vec![record(1, 0, 0, (0, 0)), record(2, 300, 0, (1_000, 100)), record(3, 600, 0, (2_000, 200))]
}

fn changed(change: impl FnOnce(&mut Record)) -> bool {
    let mut records = regular();
    change(&mut records[2]);
    follow(&records)
}

#[test]
fn a_session_in_order_is_regular_also_where_a_report_is_sent_again() {
    let mut records = regular();
    assert!(follow(&records));
    let name = RecordName { lsn: Lsn(4), ..records[2].name.clone() };
    records.push(Record { name, at: records[2].at.plus(-1), ..records[2].clone() });
    assert!(follow(&records));
}

#[test]
fn what_rollups_cannot_say_is_noticed() {
    let counters = |input, output| Some(RawCounters::standard(Octets(input), Octets(output)));
    assert!(!changed(|record| record.counters = counters(50, 2_000)), "a counter fell");
    assert!(!changed(|record| record.session_time = Some(299)), "session time fell");
    assert!(!changed(|record| record.at = record.at.plus(20)), "another start");
    assert!(!changed(|record| record.login = "bert".into()), "another login");
    assert!(!changed(|record| record.name.collector = "d".into()), "another collector");
    assert!(!changed(|record| record.doubtful = true), "counters are missing");
    assert!(!changed(|record| record.counters = counters(0, u64::MAX)), "more than a port carries");
}

#[test]
fn a_counter_that_may_have_wrapped_is_noticed() {
    let mut records = regular();
    records.iter_mut().for_each(|record| record.gigawords = false);
    assert!(follow(&records));
    records[2].counters = Some(RawCounters::standard(Octets(200), Octets(1 << 31)));
    assert!(!follow(&records));
}

#[test]
fn a_record_after_the_stop_is_noticed() {
    let mut records = regular();
    records[1].status = StatusType::STOP;
    assert!(!follow(&records));
}

#[test]
fn a_record_after_a_silence_over_midnight_is_noticed() {
    let mut late = record(4, 200_000, 0, (3_000, 300));
    let mut records = regular();
    records.push(late.clone());
    assert!(!follow(&records), "the day before was settled");
    late.session_time = Some(20_000);
    late.at = UnixTime(START + 20_000);
    late.arrived_at = UnixMicros(late.at.0 * 1_000_000);
    records[3] = late;
    assert!(follow(&records), "the day still fills");
}

#[test]
fn irregular_stays_irregular() {
    let mut records = regular();
    records[1].login = "bert".into();
    records.push(record(4, 900, 0, (3_000, 300)));
    assert!(!follow(&records));
}

fn by_records(records: &[Record], from: UnixTime, to: UnixTime) -> Usage {
    let mut sum = Usage::default();
    for (_, curve) in evaluate(records, &PolicyHistory::default()).sessions.iter().flat_map(|one| &one.curves)
    {
        sum += curve.usage(from, to);
    }
    sum
}

proptest! {
    #[test]
    fn what_is_found_regular_is_the_same_by_rollups_and_by_records(
        steps in proptest::collection::vec((0u32..400, 0u64..9_000, 0i64..3, 0u8..12), 1..20),
        from in 0i64..5_000,
        span in 1i64..5_000,
    ) {
        let (mut time, mut octets) = (0, 0);
        let mut records: Vec<Record> = Vec::new();
        for (lsn, (seconds, more, delay, what)) in (1..).zip(steps) {
            (time, octets) = (time + seconds, octets + more);
            match what {
                0 => octets = more / 2,
                1 => records.reverse(),
                _ => {}
            }
            if let (2, Some(last)) = (what, records.last().cloned()) {
                records.push(Record { name: RecordName { lsn: Lsn(1_000 + lsn), ..last.name.clone() }, ..last });
            }
            records.push(record(lsn, time, delay, (octets, octets / 7)));
        }
        let (from, to) = (UnixTime(START + from), UnixTime(START + from + span));
        if follow(&records) {
            for length in [300, 86_400] {
                if let Ok(usage) = by_rollup(&records, length, from, to) {
                    prop_assert_eq!(usage, by_records(&records, from, to));
                }
            }
        }
    }
}

#[test]
fn two_counts_in_one_second_are_not_for_a_rollup_to_tell() {
    let said = |lsn, octets| record(lsn, 600, 0, (octets, 0));
    assert!(follow(&[record(1, 300, 0, (0, 0)), said(2, 100), said(3, 100)]));
    assert!(!follow(&[record(1, 300, 0, (0, 0)), said(2, 100), said(3, 101)]));
}
