//! Summaries and series against a naive model.

use collector::OnlineFilter;
use query_api::usage::{UsageQuery, series, summary};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use schema::{Octets, RecordRow, UnixTime};
use usage::{Record, Step, evaluate};

use crate::fixture::Fixture;
use crate::traffic::{INTERIM, START, STOP, Said, Truth};

/// A local midnight in Berlin, on the day before the clocks go back (2026-10-25).
const MIDNIGHT: i64 = 1_792_792_800;
const DAY: i64 = 86_400;

fn query(login: &str, from: i64, to: i64) -> UsageQuery {
    UsageQuery { login: login.into(), from: UnixTime(from), to: UnixTime(to) }
}

/// Sessions of one login over a few days, one after the other or overlapping, and the records that tell them.
fn sessions(random: &mut StdRng, login: &str) -> (Vec<Truth>, Vec<Said>) {
    let (mut truths, mut said) = (Vec::new(), Vec::new());
    for number in 0..random.random_range(1..6) {
        let id = format!("{login}-{number}");
        let start = MIDNIGHT - DAY + random.random_range(0..4 * DAY);
        let interval = *[60, 300, 600, 3_600].choose(random).unwrap();
        let reports = random.random_range(1..120);
        let (mut time, mut down, mut up) = (0, 0u64, 0u64);
        let mut truth = vec![(start, 0, 0)];
        said.push(Said::new(START, login, &id, start, 0));
        for report in 1..=reports {
            time += interval + random.random_range(0..3);
            down += random.random_range(0..1 << 32);
            up += random.random_range(0..1 << 28);
            truth.push((start + i64::from(time), down, up));
            let status = if report == reports && number % 2 == 0 { STOP } else { INTERIM };
            // The NAS's event times lag behind its session times by a few seconds.
            let lag = random.random_range(0..4);
            let at = start + i64::from(time) + lag;
            said.push(Said::new(status, login, &id, at, time as u32).octets(down, up).cause(2));
        }
        truths.push(Truth { login: login.into(), reports: truth });
    }
    (truths, said)
}

/// Stores records in random order in random batches, many of them twice.
async fn store_badly(fixture: &mut Fixture, random: &mut StdRng, said: &[Said]) {
    let mut rows: Vec<RecordRow> = said.iter().map(|said| fixture.row(said)).collect();
    // Retransmissions under a new identifier, later; and rows whose insert was repeated.
    let again: Vec<_> = said
        .choose_multiple(random, said.len() / 3)
        .map(|said| Said { arrived_at: said.arrived_at + random.random_range(0..3_600), ..said.clone() })
        .collect();
    rows.extend(again.iter().map(|said| fixture.row(said)));
    rows.extend(rows.choose_multiple(random, rows.len() / 3).cloned().collect::<Vec<_>>());
    rows.shuffle(random);
    while !rows.is_empty() {
        let batch = rows.split_off(rows.len() - random.random_range(1..=rows.len().min(700)));
        fixture.insert(&batch).await;
    }
}

fn boundaries(random: &mut StdRng) -> Vec<i64> {
    let mut boundaries =
        vec![MIDNIGHT - 10 * DAY, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY + 3_600, MIDNIGHT + 30 * DAY];
    for _ in 0..4 {
        let at = MIDNIGHT - DAY + random.random_range(0..6 * DAY);
        boundaries.extend([at, at - at % 300, at - at % 3_600]);
    }
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

#[tokio::test]
async fn summaries_of_random_traffic_equal_a_naive_model_to_the_octet() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut fixture = Fixture::new().await;
    let (mut truths, mut said) = (Vec::new(), Vec::new());
    for login in ["anna", "ben", "o'carol \\ ünï"] {
        let (more_truths, more_said) = sessions(&mut random, login);
        truths.extend(more_truths);
        said.extend(more_said);
    }
    store_badly(&mut fixture, &mut random, &said).await;
    let mut cases = 0;
    for login in ["anna", "ben", "o'carol \\ ünï"] {
        for pair in boundaries(&mut random).windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let mut expected = (0, 0, 0);
            for truth in truths.iter().filter(|truth| truth.login == login) {
                let usage = truth.usage(from, to);
                expected = (expected.0 + usage.0, expected.1 + usage.1, expected.2 + usage.2);
            }
            let found = summary(&fixture.deps, &query(login, from, to)).await.unwrap();
            let told = (found.download_octets.0, found.upload_octets.0, found.online_seconds);
            assert_eq!(told, expected, "seed {seed}: {login} from {from} to {to}");
            cases += 1;
        }
    }
    println!("{cases} periods");
}

#[tokio::test]
async fn every_series_adds_up_to_the_summary_of_its_period() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut fixture = Fixture::new().await;
    let (_, said) = sessions(&mut random, "anna");
    store_badly(&mut fixture, &mut random, &said).await;
    for (from, to) in [(MIDNIGHT, MIDNIGHT + 3 * DAY), (MIDNIGHT - 12_345, MIDNIGHT + 3 * DAY + 77)] {
        let query = query("anna", from, to);
        let whole = summary(&fixture.deps, &query).await.unwrap();
        for step in [Step::FiveMinutes, Step::Hour, Step::Day, Step::Week, Step::Month] {
            let series = series(&fixture.deps, &query, step).await.unwrap();
            let sum = series.items.iter().fold((Octets(0), Octets(0)), |sum, item| {
                (sum.0 + item.download_octets, sum.1 + item.upload_octets)
            });
            assert_eq!(sum, (whole.download_octets, whole.upload_octets), "seed {seed}: {step}");
            for item in series.items {
                let highest = item.maximum.map(|rates| rates.download_bps);
                assert!(item.last.map(|rates| rates.download_bps) <= highest, "seed {seed}: {step}");
            }
        }
    }
}

#[tokio::test]
async fn rates_of_a_step_come_from_its_whole_five_minute_slots() {
    let mut fixture = Fixture::new().await;
    let said: Vec<_> = [(0, 0), (300, 300_000), (600, 1_500_000), (900, 1_500_000)]
        .map(|(time, octets)| {
            let status = if time == 900 { STOP } else { INTERIM };
            Said::new(status, "anna", "s", MIDNIGHT + i64::from(time), time).octets(octets, octets / 10)
        })
        .into();
    fixture.store(&said).await;
    let series = series(&fixture.deps, &query("anna", MIDNIGHT, MIDNIGHT + 3_600), Step::Hour).await.unwrap();
    let [hour] = series.items.as_slice() else { panic!("{series:?}") };
    assert_eq!((hour.download_octets, hour.upload_octets), (Octets(1_500_000), Octets(150_000)));
    assert_eq!(hour.maximum.unwrap().download_bps.0, 1_200_000 * 8 / 300);
    assert_eq!(hour.maximum.unwrap().upload_bps.0, 120_000 * 8 / 300);
    assert_eq!(hour.last.unwrap().download_bps.0, 0);
}

#[tokio::test]
async fn a_day_is_as_long_as_the_local_clock_makes_it() {
    let fixture = Fixture::new().await;
    let query = query("nobody", MIDNIGHT, MIDNIGHT + 2 * DAY + 3_600);
    let series = series(&fixture.deps, &query, Step::Day).await.unwrap();
    let lengths: Vec<_> = series.items.iter().map(|item| item.to.since(item.from)).collect();
    assert_eq!(lengths, [DAY, DAY + 3_600]);
}

/// Reused identifiers, counters that fall, logins that change, reports without session time: whatever the rollups show,
/// the totals are those of the engine over all records.
#[tokio::test]
async fn ill_behaved_sessions_are_evaluated_from_their_records() {
    let at = |seconds: i64| MIDNIGHT + seconds;
    let reused = [
        Said::new(START, "anna", "reused", at(0), 0),
        Said::new(INTERIM, "anna", "reused", at(600), 600).octets(5_000_000_000, 7_000),
        Said::new(START, "anna", "reused", at(7_200), 0),
        Said::new(STOP, "anna", "reused", at(7_800), 600).octets(3_000, 100).cause(1),
    ];
    let fell = [
        Said::new(INTERIM, "anna", "fell", at(300), 300).octets(1_000_000, 10_000),
        Said::new(INTERIM, "anna", "fell", at(1_200), 1_200).octets(400_000, 2_000),
        Said::new(STOP, "anna", "fell", at(2_000), 2_000).octets(600_000, 3_000).cause(2),
    ];
    let renamed = [
        Said::new(START, "anna", "renamed", at(100), 0),
        Said::new(INTERIM, "anna", "renamed", at(1_000), 900).octets(90_000, 900),
        Said::new(INTERIM, "ben", "renamed", at(1_900), 1_800).octets(200_000, 2_000),
        Said::new(STOP, "ben", "renamed", at(2_800), 2_700).octets(270_000, 2_700).cause(1),
    ];
    let mut untimed = vec![Said::new(START, "anna", "untimed", at(50), 0)];
    for (number, seconds) in (1u64..).zip([350, 950, 1_550]) {
        let said = Said::new(INTERIM, "anna", "untimed", at(seconds), 0).octets(number * 1_000, number);
        untimed.push(Said { session_time: None, ..said });
    }
    let keys = [reused.to_vec(), fell.to_vec(), renamed.to_vec(), untimed];
    let mut fixture = Fixture::new().await;
    let mut expected = Vec::new();
    for said in &keys {
        fixture.store(said).await;
        let rows = fixture.counted_rows(&said[0].id).await;
        let records: Vec<Record> = rows.iter().map(Record::from).collect();
        assert_eq!(records.len(), said.len());
        expected.push(evaluate(&records, &usage::PolicyHistory::default()));
    }
    for login in ["anna", "ben"] {
        for (from, to) in
            [(at(-DAY), at(DAY)), (at(0), at(3_600)), (at(450), at(1_337)), (at(1_500), at(7_500))]
        {
            let mut sum = usage::Usage::default();
            for (name, curve) in
                expected.iter().flat_map(|key| &key.sessions).flat_map(|session| &session.curves)
            {
                if name.as_str() == login {
                    sum += curve.usage(UnixTime(from), UnixTime(to));
                }
            }
            let found = summary(&fixture.deps, &query(login, from, to)).await.unwrap();
            assert_eq!(
                (found.download_octets, found.upload_octets, found.online_seconds, found.estimated_octets),
                (sum.download, sum.upload, sum.online_seconds, sum.estimated),
                "{login} from {from} to {to}"
            );
        }
    }
    let whole = summary(&fixture.deps, &query("anna", at(-DAY), at(DAY))).await.unwrap();
    assert_eq!((whole.sessions, whole.errors), (5, 1));
}

#[tokio::test]
async fn sessions_count_in_every_period_they_overlap_and_errors_where_they_end() {
    let mut fixture = Fixture::new().await;
    let said = [
        Said::new(START, "anna", "s", MIDNIGHT - 600, 0),
        Said::new(STOP, "anna", "s", MIDNIGHT + 600, 1_200).octets(1_200, 0).cause(2),
    ];
    fixture.store(&said).await;
    let mut counts = Vec::new();
    for (from, to) in [(-DAY, -600), (-DAY, 0), (0, 600), (600, DAY)] {
        let summary = summary(&fixture.deps, &query("anna", MIDNIGHT + from, MIDNIGHT + to)).await.unwrap();
        counts.push((
            summary.sessions,
            summary.errors,
            summary.download_octets.0,
            summary.estimated_octets.0,
        ));
    }
    assert_eq!(counts, [(0, 0, 0, 0), (1, 0, 600, 600), (1, 1, 600, 600), (0, 0, 0, 0)]);
}

#[tokio::test]
async fn a_session_that_is_on_counts_now_though_its_newest_report_is_older() {
    let now = UnixTime::now().0;
    let said = [
        Said::new(START, "anna", "s", now - 1_000, 0),
        Said::new(INTERIM, "anna", "s", now - 400, 600).octets(6_000, 600),
    ];
    let mut fixture = Fixture::with_online(&said).await;
    fixture.store(&said).await;
    let filter = OnlineFilter { login: Some("anna".into()), ..OnlineFilter::default() };
    assert_eq!(fixture.deps.online.find(&filter, None, 10, UnixTime(now)).len(), 1);
    let summary = summary(&fixture.deps, &query("anna", now - 300, now + 60)).await.unwrap();
    assert_eq!(
        (summary.sessions, summary.download_octets, summary.as_of),
        (1, Octets(0), Some(UnixTime(now - 400)))
    );
}

#[tokio::test]
async fn days_of_another_time_zone_are_not_mixed_with_ours() {
    let mut fixture = Fixture::new().await;
    let said: Vec<_> = (0..60u32)
        .map(|hour| {
            let time = hour * 3_600;
            Said::new(INTERIM, "anna", "s", MIDNIGHT + i64::from(time), time)
                .octets(u64::from(hour) * 1_000, 0)
        })
        .collect();
    let lagos = usage::Calendar::new(chrono_tz::Asia::Kolkata);
    let rows: Vec<_> = (1..)
        .zip(&said)
        .map(|(lsn, said)| said.row(lsn, if lsn < 30 { &lagos } else { &fixture.deps.calendar }))
        .collect();
    fixture.insert(&rows).await;
    fixture.store(&[]).await;
    let summary =
        summary(&fixture.deps, &query("anna", MIDNIGHT + 3_600, MIDNIGHT + 3 * 3_600)).await.unwrap();
    assert_eq!((summary.download_octets, summary.estimated_octets), (Octets(2_000), Octets(0)));
}
