//! Days of traffic on the real engine against a model that knows the truth and shares no code with what it judges.
//!
//! Records come in batches that are out of order, repeated and cut off, and are settled in between by settlers that are gone
//! in the midst of their work. Once all is settled, usage of every login in every five minutes, hour, day, week, month and
//! billing cycle is the truth; and so it is where nothing was settled at all.

mod chance;
mod compare;
mod found;
mod said;
mod scene;
mod store;
mod truth;
mod wire;
mod world;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRng, TestRunner};
use schema::UnixTime;
use usage::Step;

use compare::{compare, compare_last_counters, compare_totals};
use scene::{DAY, Scene};
use store::{published, store, world};
use world::{Key, Season};

const STEPS: [Step; 5] = [Step::FiveMinutes, Step::Hour, Step::Day, Step::Week, Step::Month];

/// Runs `case` on so many drawn values (or as many as PROPTEST_CASES says), and on smaller ones where it fails. The same are
/// drawn each time, so that a change is told from chance; PROPTEST_RNG_SEED draws others.
fn check<S: Strategy>(cases: u32, drawn: &S, case: impl AsyncFn(S::Value) -> usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let rng_seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { config.rng_seed };
    let config = Config { rng_seed, ..config };
    let (compared, runs) = (Cell::new(0), Cell::new(0));
    let result = TestRunner::new(config).run(drawn, |value| {
        let case = AssertUnwindSafe(|| runtime.block_on(case(value)));
        let figures = catch_unwind(case).map_err(|panic| {
            let told = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(told)
        })?;
        compared.set(compared.get() + figures);
        runs.set(runs.get() + 1);
        Ok(())
    });
    println!("{} cases drawn by seed {rng_seed}, {} figures compared", runs.get(), compared.get());
    result.unwrap();
}

fn worlds(most: usize) -> impl Strategy<Value = (Vec<Key>, Season, u64)> {
    (proptest::collection::vec(chance::keys(), 1..most), chance::seasons(), any::<u64>())
}

/// The keys of one large world, always the same.
fn many_keys(count: usize) -> Vec<Key> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| chance::keys().new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn whatever_the_network_does_usage_is_the_truth() {
    check(20, &worlds(5), async |(keys, season, seed)| {
        let fixture = world().await;
        let scene = Scene::of(&keys, season, &fixture);
        store(&fixture, &scene.rows, seed, true).await;
        let period = (scene.at(DAY), scene.at(3 * DAY + 3_600));
        compare(&fixture, &scene, seed, &STEPS).await
            + compare_totals(&fixture, &scene, period.0, period.1).await
            + compare_last_counters(&fixture, &scene).await
    });
}

#[test]
fn usage_is_the_truth_before_anything_is_settled() {
    check(10, &worlds(5), async |(keys, season, seed)| {
        let fixture = world().await;
        let scene = Scene::of(&keys, season, &fixture);
        store(&fixture, &scene.rows, seed, false).await;
        compare(&fixture, &scene, seed, &STEPS).await
    });
}

#[test]
fn any_order_repetition_and_batching_of_records_is_settled_to_the_same_rows() {
    check(6, &(worlds(8), any::<u64>()), async |((keys, season, one), another)| {
        let mut rows = Vec::new();
        for seed in [one, another] {
            let fixture = world().await;
            let scene = Scene::of(&keys, season, &fixture);
            store(&fixture, &scene.rows, seed, true).await;
            rows.push(published(&fixture).await);
        }
        assert_eq!(rows[0], rows[1]);
        rows[0].len()
    });
}

#[tokio::test]
async fn days_of_hundreds_of_subscribers_add_up_for_each_and_for_all() {
    let fixture = world().await;
    let scene = Scene::of(&many_keys(120), Season::Autumn, &fixture);
    store(&fixture, &scene.rows, 3, true).await;
    assert!(published(&fixture).await.len() > 50);
    let mut compared =
        compare(&fixture, &scene, 3, &STEPS[1..]).await + compare_last_counters(&fixture, &scene).await;
    let periods = [(0, DAY), (2 * DAY, 3 * DAY + 3_600), (-8 * DAY, 23 * DAY), (DAY + 777, 4 * DAY + 12_345)];
    for (from, to) in periods {
        let (from, to): (UnixTime, UnixTime) = (scene.at(from), scene.at(to));
        compared += compare_totals(&fixture, &scene, from, to).await;
    }
    println!("{} records of {} logins, {compared} figures compared", scene.rows.len(), scene.logins().len());
}
