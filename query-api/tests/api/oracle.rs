//! Days of traffic on the real engine against a model that knows the truth and shares no code with what it judges.
//!
//! Records come in batches that are out of order, repeated, and settled in between by settlers that are gone before the next
//! batch. Once all is settled, usage of every login in every hour, day, week, month and billing cycle is the truth.

mod wire;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use query_api::usage::totals::{GroupBy, Of, totals};
use query_api::usage::{UsageQuery, series, summary};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use schema::{BitsPerSecond, NasId, RecordRow, UnixTime};
use usage::policy::{Direction, Ipv6Counters};
use usage::{NasPolicy, Step};

use crate::fixture::Fixture;
use crate::settler::settler;
use wire::{ACCOUNTING_ON, Attributes, Datagram, INTERIM};
use world::{FIRST, Key, MANNERS, Manner, Placed, Sample};

const DAY: i64 = 86_400;

/// Octets in both directions and seconds online.
type Used = (u64, u64, u64);

/// Value between delivered samples: linear, rounded down.
fn value(samples: &[Sample], time: i64, of: fn(&Sample) -> u64) -> i128 {
    let mut value = 0;
    for pair in samples.windows(2) {
        let (from, to) = (i128::from(pair[0].at), i128::from(pair[1].at));
        if to > from {
            let passed = i128::from(time).clamp(from, to) - from;
            value += (i128::from(of(&pair[1])) - i128::from(of(&pair[0]))) * passed / (to - from);
        }
    }
    value
}

/// What `login` used in `[from, to)`: between two samples, who was named at the first.
fn truth(placed: &[Placed], login: &str, from: i64, to: i64) -> Used {
    let (mut down, mut up, mut seconds) = (0, 0, 0);
    for session in placed {
        let samples = session.session.delivered(session.start);
        for pair in samples.windows(2).filter(|pair| session.login(pair[0].renamed) == login) {
            let (from, to) = (from.max(pair[0].at), to.min(pair[1].at));
            if from < to {
                down +=
                    value(&samples, to, |sample| sample.down) - value(&samples, from, |sample| sample.down);
                up += value(&samples, to, |sample| sample.up) - value(&samples, from, |sample| sample.up);
                seconds += to - from;
            }
        }
    }
    (down.try_into().unwrap(), up.try_into().unwrap(), seconds.try_into().unwrap())
}

/// Sessions in the world and all that arrives of them.
struct Scene {
    placed: Vec<Placed>,
    rows: Vec<RecordRow>,
}

impl Scene {
    /// Records are numbered by collector in the order in which they arrive.
    fn of(keys: &[Key], fixture: &Fixture) -> Self {
        let (mut all, mut datagrams) = (Vec::new(), Vec::new());
        for (number, key) in keys.iter().enumerate() {
            let placed = key.place(number);
            for session in &placed {
                let nas = format!("{:?}", session.session.manner);
                datagrams.extend(session.datagrams(&nas, &format!("id{number}")));
                if key.service {
                    datagrams.extend(service(session, &nas, &format!("id{number}")));
                }
            }
            all.extend(placed);
        }
        for (hours, manner) in MANNERS.into_iter().enumerate() {
            let attributes =
                Attributes::default().number(40, ACCOUNTING_ON.into()).text(32, &format!("{manner:?}"));
            let arrived_at = FIRST + 100_000 + i64::try_from(hours).unwrap() * 3_600;
            datagrams.push(Datagram { arrived_at, collector: 0, attributes });
        }
        datagrams.sort_by_key(|datagram| datagram.arrived_at);
        let mut lsns = [0, 0];
        let row = |datagram: &Datagram| {
            lsns[datagram.collector] += 1;
            let collector = format!("c{}", datagram.collector);
            datagram.row(&collector, lsns[datagram.collector], &fixture.deps.calendar)
        };
        let rows = datagrams.iter().map(row).collect();
        Self { placed: all, rows }
    }

    fn logins(&self) -> Vec<String> {
        let mut logins: Vec<String> =
            self.placed.iter().flat_map(|session| [session.login(false), session.login(true)]).collect();
        logins.sort();
        logins.dedup();
        logins
    }

    /// Those whose login this may be.
    fn of_login(&self, login: &str) -> Vec<Placed> {
        let named = |session: &&Placed| session.login(false) == login || session.login(true) == login;
        self.placed.iter().filter(named).cloned().collect()
    }
}

/// A service of a session, whose octets are never added to it.
fn service(session: &Placed, nas: &str, id: &str) -> Vec<Datagram> {
    let report = |seconds: u64, octets: u64| {
        let attributes = Attributes::default()
            .number(40, INTERIM.into())
            .text(32, nas)
            .text(44, &format!("{id}:1"))
            .text(50, id)
            .text(1, &session.login)
            .erx_service("video")
            .number(46, seconds)
            .counter(42, Some(52), octets / 9)
            .counter(43, Some(53), octets);
        let arrived_at = session.start + i64::try_from(seconds).unwrap();
        Datagram { arrived_at, collector: 0, attributes }
    };
    vec![report(600, 5_000_000), report(1_200, 7_000_000)]
}

/// Stores rows in batches out of order, some of them twice, and settles now and then, each time anew.
async fn store(fixture: &Fixture, rows: &[RecordRow], seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut batches: Vec<Vec<RecordRow>> = Vec::new();
    let mut rest = rows.to_vec();
    while !rest.is_empty() {
        let size = random.random_range(1..=rest.len().min(1 + rows.len() / 3));
        batches.push(rest.drain(..size).collect());
    }
    batches.shuffle(&mut random);
    for mut batch in batches {
        batch.shuffle(&mut random);
        fixture.insert(&batch).await;
        if random.random_bool(0.3) {
            fixture.insert(&batch).await;
        }
        if random.random_bool(0.4) {
            settler(fixture, policies(fixture)).settle_pending().await.unwrap();
        }
    }
    settler(fixture, policies(fixture)).settle_pending().await.unwrap();
}

/// The policies that [`publish`] published.
fn policies(fixture: &Fixture) -> BTreeMap<NasId, NasPolicy> {
    let book = &fixture.deps.rules.current().book;
    let names = MANNERS.iter().map(|manner| format!("oracle/{manner:?}"));
    names.map(|name| (NasId::from(name.as_str()), book.of(&name).newest())).collect()
}

/// Makes the NASes' policies hold for all time.
async fn publish(fixture: &Fixture) {
    let reversed = NasPolicy { direction: Direction::Reversed, ..NasPolicy::default() };
    let separate = NasPolicy { ipv6_counters: Ipv6Counters::Separate, ..NasPolicy::default() };
    let slow = NasPolicy { port_speed: Some(BitsPerSecond(1_000_000_000)), ..NasPolicy::default() };
    let policies =
        [(Manner::Reversed, reversed), (Manner::SeparateIpv6, separate), (Manner::NoGigawords, slow)];
    let named = |(manner, policy)| (NasId::from(format!("oracle/{manner:?}")), policy);
    let policies = policies.map(named).into();
    let book = serde_json::to_string(&usage::PolicyBook::always(&policies)).unwrap();
    let insert = "INSERT INTO rules SELECT 1, 0, ?, now64(3)";
    fixture.target.client().query(insert).bind(book).execute().await.unwrap();
    fixture.deps.rules.refresh(&fixture.target.reader()).await.unwrap();
}

/// Compares every login's usage with the truth; how many figures were compared.
async fn compare(fixture: &Fixture, scene: &Scene) -> usize {
    let (from, to) = (UnixTime(FIRST - DAY), UnixTime(FIRST + 12 * DAY));
    let mut compared = 0;
    for login in scene.logins() {
        let placed = scene.of_login(&login);
        let query = UsageQuery { login: login.clone(), from, to };
        for step in [Step::Hour, Step::Day, Step::Week, Step::Month] {
            for item in series(&fixture.deps, &query, step).await.unwrap().items {
                let expected = truth(&placed, &login, item.from.0, item.to.0);
                let found = (item.download_octets.0, item.upload_octets.0);
                assert_eq!(found, (expected.0, expected.1), "{login} from {} by {step}", item.from);
                compared += 1;
            }
        }
        let (begin, end) = fixture.deps.calendar.cycle_of(UnixTime(FIRST + 3 * DAY), 25);
        for (from, to) in [(begin, end), (from, to), (UnixTime(FIRST + 12_345), UnixTime(FIRST + 99_999))] {
            let found = summary(&fixture.deps, &UsageQuery { login: login.clone(), from, to }).await.unwrap();
            let found = (found.download_octets.0, found.upload_octets.0, found.online_seconds);
            assert_eq!(found, truth(&placed, &login, from.0, to.0), "{login} from {from} to {to}");
            compared += 1;
        }
    }
    compared
}

/// Compares everyone's totals with the truth.
async fn compare_totals(fixture: &Fixture, scene: &Scene, from: i64, to: i64) -> usize {
    let mut found: BTreeMap<String, Used> = BTreeMap::new();
    for total in totals(&fixture.deps, UnixTime(from), UnixTime(to), GroupBy::Login).await.unwrap() {
        let Of::Login(login) = total.of else { panic!("by login") };
        found.insert(login, (total.download_octets.0, total.upload_octets.0, total.online_seconds));
    }
    let logins = scene.logins();
    for login in &logins {
        let expected = truth(&scene.of_login(login), login, from, to);
        assert_eq!(found.get(login).copied().unwrap_or_default(), expected, "{login} from {from} to {to}");
    }
    logins.len()
}

/// The rows that were published, as a set: everything but when.
async fn published(fixture: &Fixture) -> Vec<String> {
    let sql = "SELECT toString(tuple(s.* EXCEPT (revision, settled_at, newest))) FROM \
               (SELECT *, max(revision) OVER (PARTITION BY session_key) AS newest FROM settled_sessions) AS s \
               WHERE revision = newest ORDER BY session_key, number";
    fixture.target.reader().query(sql).fetch_all::<String>().await.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

const CASES: u32 = 24;

#[test]
fn whatever_the_network_does_usage_is_the_truth() {
    let runtime = runtime();
    let config =
        Config { cases: CASES, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let compared = std::cell::Cell::new(0);
    let strategy = (proptest::collection::vec(world::keys(), 1..5), any::<u64>());
    let result = TestRunner::new(config).run(&strategy, |(keys, seed)| {
        let case = async {
            let fixture = Fixture::new().await;
            publish(&fixture).await;
            let scene = Scene::of(&keys, &fixture);
            store(&fixture, &scene.rows, seed).await;
            compared.set(compared.get() + compare(&fixture, &scene).await);
            compare_totals(&fixture, &scene, FIRST + DAY, FIRST + 3 * DAY + 3_600).await;
        };
        let case = std::panic::AssertUnwindSafe(|| runtime.block_on(case));
        std::panic::catch_unwind(case).map_err(|panic| {
            let told = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(told)
        })
    });
    println!("{CASES} cases, {} figures compared", compared.get());
    result.unwrap();
}

/// The keys of one large world, always the same.
fn many_keys(count: usize) -> Vec<Key> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| world::keys().new_tree(&mut runner).unwrap().current()).collect()
}

#[tokio::test]
async fn days_of_hundreds_of_subscribers_add_up_for_each_and_for_all() {
    let fixture = Fixture::new().await;
    publish(&fixture).await;
    let scene = Scene::of(&many_keys(120), &fixture);
    store(&fixture, &scene.rows, 3).await;
    let mut compared = compare(&fixture, &scene).await;
    for (from, to) in
        [(0, DAY), (2 * DAY, 3 * DAY + 3_600), (-8 * DAY, 23 * DAY), (DAY + 777, 4 * DAY + 12_345)]
    {
        compared += compare_totals(&fixture, &scene, FIRST + from, FIRST + to).await;
    }
    println!("{} records of {} logins, {compared} figures compared", scene.rows.len(), scene.logins().len());
}

#[tokio::test]
async fn any_order_repetition_and_batching_of_records_is_settled_to_the_same_rows() {
    let keys = many_keys(50);
    let mut first = None;
    for seed in 0..3 {
        let fixture = Fixture::new().await;
        publish(&fixture).await;
        let scene = Scene::of(&keys, &fixture);
        store(&fixture, &scene.rows, seed).await;
        let rows = published(&fixture).await;
        assert!(rows.len() > 20, "{}", rows.len());
        match &first {
            None => first = Some(rows),
            Some(first) => assert_eq!(*first, rows, "seed {seed}"),
        }
    }
}
