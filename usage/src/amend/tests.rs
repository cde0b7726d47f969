use chrono_tz::Tz;
use proptest::prelude::*;
use schema::{Lsn, Octets, TerminateCause, UnixMicros};

use super::*;
use crate::policy::RawCounters;
use crate::record::RecordName;

const UTC: Calendar = Calendar::new(Tz::UTC);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// A midnight.
const MIDNIGHT: i64 = 20_000 * DAY;

/// A report so many hours after midnight of a session that began at midnight.
fn record(lsn: u64, status: StatusType, hours: i64, delay: i64, download: u64) -> Record {
    let at = UnixTime(MIDNIGHT + hours * HOUR);
    Record {
        name: RecordName { collector: "c".into(), lsn: Lsn(lsn) },
        at,
        nas_clock: true,
        arrived_at: UnixMicros((at.0 + delay) * 1_000_000),
        status,
        session_time: Some(u32::try_from(hours * HOUR).unwrap()),
        counters: Some(RawCounters::standard(Octets(download / 10), Octets(download))),
        gigawords: true,
        doubtful: false,
        login: "anna".into(),
        nas_port: None,
        address: None,
        cause: TerminateCause(1),
        digest: u128::from(lsn),
    }
}

fn interim(lsn: u64, hours: i64, delay: i64, download: u64) -> Record {
    record(lsn, StatusType::INTERIM_UPDATE, hours, delay, download)
}

fn amended(records: &[Record]) -> Vec<(i64, i64, i64)> {
    let change = |amendment: Amendment| {
        ((amendment.day.0 - MIDNIGHT) / DAY, (amendment.at.0 - MIDNIGHT) / HOUR, amendment.download)
    };
    amendments(records, &PolicyHistory::default(), Watch::always(UTC)).into_iter().map(change).collect()
}

#[test]
fn records_in_their_order_amend_nothing() {
    let records =
        [interim(1, 12, 1, 100), interim(2, 23, 1, 200), interim(3, 25, 1, 300), interim(4, 49, 1, 900)];
    assert_eq!(amended(&records), []);
}

#[test]
fn a_report_from_before_midnight_that_comes_the_next_day_moves_octets_between_the_days() {
    // Without it two thirds of the 300 lie in the first day.
    let records = [interim(1, 22, 1, 100), interim(2, 25, 1, 400), interim(3, 24, 5 * HOUR, 120)];
    assert_eq!(amended(&records), [(0, 29, -180)]);
}

#[test]
fn a_stop_that_comes_long_after_the_session_fell_silent_amends_the_day_it_speaks_of() {
    let records = [interim(1, 12, 1, 100), record(2, StatusType::STOP, 20, DAY, 500)];
    assert_eq!(amended(&records), [(0, 44, 400)]);
}

#[test]
fn a_session_that_is_first_heard_of_days_later_amends_its_day() {
    assert_eq!(amended(&[record(1, StatusType::STOP, 20, 3 * DAY, 500)]), [(0, 92, 500)]);
    assert_eq!(amended(&[record(1, StatusType::STOP, 20, 5 * HOUR, 500)]), []);
}

#[test]
fn a_day_that_still_fills_is_not_amended() {
    let records = [interim(1, 10, 1, 100), interim(2, 12, 1, 300), interim(3, 11, 5 * HOUR, 120)];
    assert_eq!(amended(&records), []);
}

#[test]
fn days_that_were_over_before_anybody_watched_are_filled_not_amended() {
    let records = [record(1, StatusType::STOP, 20, 3 * DAY, 500)];
    let watch = Watch { calendar: UTC, since: UnixTime(MIDNIGHT + 2 * DAY) };
    assert_eq!(amendments(&records, &PolicyHistory::default(), watch), []);
}

fn day(records: &[Record], day: i64) -> (i128, bool) {
    let (from, to) = (UnixTime(MIDNIGHT + day * DAY), UnixTime(MIDNIGHT + (day + 1) * DAY));
    let evaluation = evaluate(records, &PolicyHistory::default());
    let curves = || evaluation.sessions.iter().flat_map(|session| &session.curves);
    let used = curves().map(|(_, curve)| i128::from(curve.usage(from, to).download.0)).sum();
    (used, evaluation.sessions.iter().any(|session| session.last_at() >= to))
}

proptest! {
    #[test]
    fn a_settled_day_as_it_was_and_its_amendments_since_are_the_day_as_it_is(
        steps in proptest::collection::vec((1i64..9, 0u64..1 << 40, prop_oneof![Just(1), 0i64..40 * HOUR]), 2..24),
    ) {
        let (mut hours, mut download) = (0, 0);
        let mut records = Vec::new();
        for (lsn, (step, more, delay)) in (1..).zip(steps) {
            (hours, download) = (hours + step, download + more);
            records.push(interim(lsn, hours, delay, download));
        }
        let all = amendments(&records, &PolicyHistory::default(), Watch::always(UTC));
        for slot in (0..hours * HOUR + 2 * DAY).step_by(usize::try_from(6 * HOUR).unwrap()) {
            let then = MIDNIGHT + slot;
            let known: Vec<_> = records.iter().filter(|record| record.arrived_at.seconds().0 < then).cloned().collect();
            for number in 0..8 {
                let ((was, settled), (is, _)) = (day(&known, number), day(&records, number));
                let over = MIDNIGHT + (number + 1) * DAY <= then;
                if settled && over {
                    let since = all.iter().filter(|one| one.at.0 >= then && one.day.0 == MIDNIGHT + number * DAY);
                    prop_assert_eq!(was + since.map(|one| i128::from(one.download)).sum::<i128>(), is);
                }
            }
        }
    }
}
