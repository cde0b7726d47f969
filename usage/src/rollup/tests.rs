use proptest::prelude::*;
use schema::{Lsn, StatusType, TerminateCause, UnixMicros};

use super::*;
use crate::curve::Usage;
use crate::evaluate::evaluate;
use crate::record::RecordName;

pub(crate) const START: i64 = 1_000_000;

/// A step of a session: seconds, octets down and up, delay of the report, whether it is sent twice.
type Steps = Vec<(u32, u64, u64, i64, bool)>;

/// Steps are longer than reports are delayed, so that event times are in the order of the session's clock.
fn steps() -> impl Strategy<Value = Steps> {
    proptest::collection::vec((7u32..400, 0u64..1 << 31, 0u64..1 << 20, 0i64..4, any::<bool>()), 1..30)
}

pub(crate) fn record(lsn: u64, time: u32, delay: i64, octets: (u64, u64)) -> Record {
    Record {
        name: RecordName { collector: "c".into(), lsn: Lsn(lsn) },
        at: UnixTime(START + i64::from(time) + delay),
        nas_clock: false,
        arrived_at: UnixMicros((START + i64::from(time) + delay) * 1_000_000),
        status: StatusType::INTERIM_UPDATE,
        session_time: Some(time),
        counters: Some(RawCounters::standard(Octets(octets.1), Octets(octets.0))),
        gigawords: true,
        doubtful: false,
        login: "anna".into(),
        nas_port: None,
        address: None,
        cause: TerminateCause(0),
        digest: u128::from(lsn),
    }
}

fn records(steps: Steps, gigawords: bool) -> Vec<Record> {
    let (mut time, mut down, mut up) = (0u32, 0u64, 0u64);
    let mut records = Vec::new();
    for (lsn, (seconds, more_down, more_up, delay, twice)) in (1u64..).zip(steps) {
        (time, down, up) = (time + seconds, down + more_down, up + more_up);
        let octets = if gigawords { (down, up) } else { (down % (1 << 32), up % (1 << 32)) };
        let sent = Record { gigawords, ..record(lsn, time, delay, octets) };
        if twice {
            // Its sender takes its delay into account, to the second.
            let name = RecordName { lsn: Lsn(1_000 + lsn), ..sent.name.clone() };
            let arrived_at = UnixMicros(sent.arrived_at.0 + 9_000_000);
            records.push(Record { name, arrived_at, at: sent.at.plus(delay - 2), ..sent.clone() });
        }
        records.push(sent);
    }
    records
}

fn buckets(records: &[Record], length: i64) -> Vec<Bucket> {
    let one = |record: &Record| {
        let starts_at = UnixTime(record.at.0 - record.at.0.rem_euclid(length));
        let started_at = record.started_at().unwrap();
        let counters = record.counters.unwrap();
        let time = record.session_time.unwrap();
        let flags = RecordFlags::SESSION_TIME | RecordFlags::OCTETS;
        Bucket {
            starts_at,
            ends_at: starts_at.plus(length),
            started_at: (started_at, started_at),
            event_at: (record.at, record.at),
            session_time: (time, time),
            counters: (counters, counters),
            flags: if record.gigawords { flags | RecordFlags::GIGAWORDS } else { flags },
        }
    };
    records.iter().map(one).collect()
}

fn view(buckets: Vec<Bucket>) -> Result<SessionView, Dirty> {
    SessionView::new(buckets, &PolicyHistory::default())
}

/// What the rollups say, with records where they ask for them.
pub(crate) fn by_rollup(
    records: &[Record],
    length: i64,
    from: UnixTime,
    to: UnixTime,
) -> Result<Usage, Dirty> {
    let mut view = view(buckets(records, length))?;
    for (start, end) in view.needs_records(&[from, to], 0) {
        let inside: Vec<_> =
            records.iter().filter(|record| start <= record.at && record.at < end).cloned().collect();
        view.refine(&inside)?;
    }
    Ok(view.curve().usage(from, to))
}

fn by_records(records: &[Record], from: UnixTime, to: UnixTime) -> Usage {
    let mut sum = Usage::default();
    for (_, curve) in
        evaluate(records, &PolicyHistory::default()).sessions.iter().flat_map(|session| &session.curves)
    {
        sum += curve.usage(from, to);
    }
    sum
}

fn lengths() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![300, 3_600, 86_400])
}

proptest! {
    #[test]
    fn rollups_and_records_give_the_same_usage(
        steps in steps(),
        length in lengths(),
        from in START - 1_000..START + 12_000,
        span in 1i64..12_000,
    ) {
        let records = records(steps, true);
        let (from, to) = (UnixTime(from), UnixTime(from + span));
        prop_assert_eq!(by_rollup(&records, length, from, to), Ok(by_records(&records, from, to)));
    }

    #[test]
    fn a_wrap_is_never_overlooked(
        steps in steps(),
        length in lengths(),
        from in START - 1_000..START + 12_000,
        span in 1i64..12_000,
    ) {
        let records = records(steps, false);
        let (from, to) = (UnixTime(from), UnixTime(from + span));
        if let Ok(usage) = by_rollup(&records, length, from, to) {
            prop_assert_eq!(usage, by_records(&records, from, to));
        }
    }
}

fn one_sample(bucket: i64, time: u32, octets: u64) -> Bucket {
    buckets(&[record(1, time, bucket - START - i64::from(time), (octets, 0))], 300)[0]
}

#[test]
fn nothing_is_no_session() {
    assert_eq!(view(Vec::new()), Err(Dirty::Empty));
}

#[test]
fn a_fall_between_buckets_is_dirty() {
    let rows = buckets(&[record(1, 10, 0, (100, 0)), record(2, 310, 0, (50, 0))], 300);
    assert_eq!(view(rows), Err(Dirty::Fall));
}

#[test]
fn a_second_start_is_dirty() {
    assert_eq!(view(vec![one_sample(START, 10, 1), one_sample(START + 300, 15, 2)]), Err(Dirty::Starts));
}

#[test]
fn a_counter_that_jumps_is_dirty_unless_the_session_is_old_enough() {
    let met_late = |time| view(vec![one_sample(START, time, 20_000_000_000_000)]);
    assert_eq!(met_late(600), Err(Dirty::Implausible));
    assert!(met_late(86_400).is_ok());
    let rows = buckets(&[record(1, 10, 0, (1, 0)), record(2, 310, 0, (u64::MAX, 0))], 86_400);
    assert_eq!(view(rows), Err(Dirty::Implausible));
}

#[test]
fn lacking_counters_and_unbelievable_times_are_dirty() {
    let doubtful = [
        RecordFlags::OCTETS_MISSING,
        RecordFlags::SESSION_TIME_MISSING,
        RecordFlags::TIME_IN_FUTURE,
        RecordFlags::TIME_TOO_OLD,
    ];
    for flag in doubtful {
        let mut row = one_sample(START, 10, 1);
        row.flags |= flag;
        assert_eq!(view(vec![row]), Err(Dirty::Flags));
    }
}

#[test]
fn a_stop_of_zero_shows_in_the_bucket_of_the_report_before_it() {
    let records = [record(1, 0, 0, (0, 0)), record(2, 310, 0, (50, 7)), record(3, 340, 0, (0, 0))];
    let mut told = buckets(&records, 300);
    assert_eq!(view(told.clone()).map(|_| ()), Ok(()), "unless the Stop says so");
    told[2].flags |= RecordFlags::STOP | RecordFlags::ZERO_STOP;
    assert_eq!(view(told.clone()).map(|_| ()), Err(Dirty::Fall));
    told.remove(1);
    assert_eq!(view(told).map(|_| ()), Ok(()), "nothing was ever counted");
}
