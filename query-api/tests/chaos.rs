#![allow(dead_code, unused_imports, missing_docs)]
extern crate radtally_query_api as query_api;
#[path = "api/engine.rs"] mod engine;
#[path = "api/fixture.rs"] mod fixture;
#[path = "api/traffic.rs"] mod traffic;

use query_api::usage::{UsageQuery, series, summary};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use schema::{RecordRow, UnixTime};
use std::collections::BTreeMap;
use usage::{Record, Step, Usage, evaluate};

use crate::fixture::Fixture;
use crate::traffic::{INTERIM, START, STOP, Said};

const BASE: i64 = 1_792_792_800;

fn traffic(random: &mut StdRng) -> Vec<Said> {
    let mut all = Vec::new();
    for number in 0..random.random_range(1..5) {
        let id = format!("s{number}");
        let mut start = BASE + random.random_range(0..200_000);
        let mut login = "anna";
        for _ in 0..random.random_range(1..3) {
            all.push(Said::new(START, login, &id, start, 0));
            let (mut time, mut down, mut up) = (0u32, 0u64, 0u64);
            let reports = random.random_range(0..30);
            for report in 0..reports {
                time += random.random_range(1..4_000);
                match random.random_range(0..60) {
                    0 => (down, up) = (0, 0),
                    1 => login = if login == "anna" { "bert" } else { "anna" },
                    2 => down /= 2,
                    _ => {}
                }
                down += random.random_range(0..6 << 30);
                up += random.random_range(0..1 << 24);
                let lag = if random.random_bool(0.1) { random.random_range(0..9) } else { 0 };
                let status = if report + 1 == reports && random.random_bool(0.6) { STOP } else { INTERIM };
                let mut said = Said::new(status, login, &id, start + i64::from(time) + lag, time).octets(down, up).cause(1);
                if random.random_bool(0.005) { said.session_time = None; }
                all.push(said);
            }
            start += i64::from(time) + random.random_range(20..100_000);
        }
    }
    all
}

#[tokio::test]
async fn chaos() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let mut bad = 0;
    for seed in seed..seed + rounds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut fixture = Fixture::new().await;
        let said = traffic(&mut random);
        let mut rows: Vec<RecordRow> = said.iter().map(|said| fixture.row(said)).collect();
        let again: Vec<_> = said.choose_multiple(&mut random, said.len() / 4).map(|said| Said { arrived_at: said.arrived_at + random.random_range(1..3_600), ..said.clone() }).collect();
        rows.extend(again.iter().map(|said| fixture.row(said)));
        rows.extend(rows.choose_multiple(&mut random, rows.len() / 4).cloned().collect::<Vec<_>>());
        rows.shuffle(&mut random);
        let size = random.random_range(5..200);
        for batch in rows.chunks(size) { fixture.insert(batch).await; }
        let mut keys: BTreeMap<u128, Vec<Record>> = BTreeMap::new();
        for row in &rows { keys.entry(row.session_key).or_default().push(Record::from(row)); }
        let evaluations: Vec<_> = keys.values().map(|records| evaluate(records)).collect();
        let mut cuts: Vec<i64> = (0..14).map(|n| {
            let at = BASE + random.random_range(-10_000..500_000);
            match n % 4 { 0 => at - at % 300, 1 => at - at % 3_600, 2 => BASE + (at - BASE).div_euclid(86_400) * 86_400, _ => at }
        }).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let model = |login: &str, from, to| {
            let mut sum = Usage::default();
            for (name, curve) in evaluations.iter().flat_map(|e| &e.sessions).flat_map(|s| &s.curves) {
                if name.as_str() == login { sum += curve.usage(UnixTime(from), UnixTime(to)); }
            }
            sum
        };
        for login in ["anna", "bert"] {
            for pair in cuts.windows(2).chain([&[cuts[0], cuts[cuts.len() - 1]][..]]) {
                let query = UsageQuery { login: login.into(), from: UnixTime(pair[0]), to: UnixTime(pair[1]) };
                let found = summary(&fixture.deps, &query).await.unwrap();
                let told = Usage { download: found.download_octets, upload: found.upload_octets, estimated: found.estimated_octets, online_seconds: found.online_seconds };
                let expected = model(login, pair[0], pair[1]);
                if told != expected { bad += 1; println!("seed {seed} {login} {} {}\n  told {told:?}\n  want {expected:?}", pair[0], pair[1]); }
                if random.random_bool(0.2) {
                    let step = *[Step::FiveMinutes, Step::Hour, Step::Day].choose(&mut random).unwrap();
                    let series = series(&fixture.deps, &query, step).await.unwrap();
                    for item in series.items {
                        let want = model(login, item.from.0, item.to.0);
                        if (item.download_octets, item.upload_octets, item.estimated_octets) != (want.download, want.upload, want.estimated) {
                            bad += 1;
                            println!("seed {seed} {login} series {step} {:?}\n  want {want:?}", item);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(bad, 0);
}
