//! The engine against a model that knows the truth: what a NAS really counted and which of its packets were delivered.
//!
//! The model shares nothing with the engine but the types of its input and output. It counts in plain integers, per session,
//! and where the engine must infer (wraps, resets, repetition, reused identifiers, a clock set in mid-session) it just knows.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a failed test")]

mod nas;

use std::collections::BTreeSet;

use nas::{Key, keys};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use radtally_usage::{Evaluation, PolicyHistory, Usage, evaluate};
use schema::UnixTime;

/// Value of a session at `time` in one direction: linear between delivered samples, rounded down.
fn value(samples: &[(i64, u64)], time: i64) -> i128 {
    let mut value = 0;
    for pair in samples.windows(2) {
        let ((from, before), (to, after)) = (pair[0], pair[1]);
        let (from, to) = (i128::from(from), i128::from(to));
        let passed = i128::from(time).clamp(from, to) - from;
        value += (i128::from(after) - i128::from(before)) * passed / (to - from);
    }
    value
}

/// What `login` used in `[from, to)`: between two samples, who was named at the first.
fn truth(key: &Key, login: &str, from: i64, to: i64) -> (u64, u64, u64) {
    let (mut down, mut up, mut seconds) = (0, 0, 0);
    for session in &key.sessions {
        let samples = session.delivered();
        let downs: Vec<_> = samples.iter().map(|sample| (sample.at, sample.down)).collect();
        let ups: Vec<_> = samples.iter().map(|sample| (sample.at, sample.up)).collect();
        for pair in samples.windows(2).filter(|pair| pair[0].login == login) {
            let (from, to) = (from.max(pair[0].at), to.min(pair[1].at));
            if from < to {
                down += value(&downs, to) - value(&downs, from);
                up += value(&ups, to) - value(&ups, from);
                seconds += to - from;
            }
        }
    }
    (down.try_into().unwrap(), up.try_into().unwrap(), seconds.try_into().unwrap())
}

fn engine(evaluation: &Evaluation, login: &str, from: i64, to: i64) -> (u64, u64, u64) {
    let mut sum = Usage::default();
    for (_, curve) in evaluation
        .sessions
        .iter()
        .flat_map(|session| &session.curves)
        .filter(|(name, _)| name.as_str() == login)
    {
        sum += curve.usage(UnixTime(from), UnixTime(to));
    }
    (sum.download.0, sum.upload.0, sum.online_seconds)
}

/// So many cases of each test, or as many as PROPTEST_CASES says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

/// The same cases each time, so that a change is told from chance; PROPTEST_RNG_SEED draws others.
fn config() -> ProptestConfig {
    let config = ProptestConfig::with_cases(cases());
    let rng_seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { config.rng_seed };
    ProptestConfig { failure_persistence: None, rng_seed, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_finds_the_truth_to_the_octet(key in keys(), from in 0i64..40_000, span in 1i64..40_000) {
        let records = key.records();
        let evaluation = evaluate(&records, &PolicyHistory::default());
        let (first, last) = (nas::EPOCH - 10_000, nas::EPOCH + 1_000_000);
        let (from, to) = (nas::EPOCH + from, nas::EPOCH + from + span);
        for login in ["anna", "bert", "cleo"] {
            for (from, to) in [(from, to), (first, last), (first, from), (to, last)] {
                prop_assert_eq!(engine(&evaluation, login, from, to), truth(&key, login, from, to));
            }
        }
        let names: BTreeSet<_> = records.iter().map(|record| &record.name).collect();
        prop_assert_eq!(evaluation.findings.keys().collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn every_hour_adds_up_to_the_whole(key in keys()) {
        let evaluation = evaluate(&key.records(), &PolicyHistory::default());
        let hours = (-1..30).map(|hour| nas::EPOCH + hour * 3_600);
        let sum = hours.fold((0, 0, 0), |sum, hour| {
            let part = engine(&evaluation, "anna", hour, hour + 3_600);
            assert_eq!(part, truth(&key, "anna", hour, hour + 3_600));
            (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2)
        });
        prop_assert_eq!(sum, engine(&evaluation, "anna", nas::EPOCH - 3_600, nas::EPOCH + 30 * 3_600));
    }
}
