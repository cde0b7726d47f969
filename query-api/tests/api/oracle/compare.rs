//! Usage as radtally tells it beside the truth.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use query_api::usage::totals::{GroupBy, Of, Total, totals};
use query_api::usage::{UsageQuery, series, summary};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schema::UnixTime;
use usage::Step;

use super::scene::{DAY, Scene};
use super::truth::{Used, last_counters, sessions, used};
use crate::fixture::Fixture;

/// Compares every login's usage with the truth; how many figures were compared.
pub async fn compare(fixture: &Fixture, scene: &Scene, seed: u64, steps: &[Step]) -> usize {
    let logins = scene.logins();
    let each = logins.iter().zip(0u64..).map(|(login, number)| async move {
        let random = StdRng::seed_from_u64(seed.wrapping_add(number));
        by_steps(fixture, scene, login, steps).await + of_periods(fixture, scene, login, random).await
    });
    futures_util::stream::iter(each).buffer_unordered(4).fold(0, async |sum, count| sum + count).await
}

async fn by_steps(fixture: &Fixture, scene: &Scene, login: &str, steps: &[Step]) -> usize {
    let placed = scene.of_login(login);
    let (from, to) = scene.whole();
    let query = UsageQuery { login: login.to_owned(), from, to };
    let mut compared = 0;
    for step in steps {
        for item in series(&fixture.deps, &query, *step).await.unwrap().items {
            let truth = used(&placed, login, item.from.0, item.to.0);
            let found = Used {
                down: item.download_octets.0,
                up: item.upload_octets.0,
                estimated: item.estimated_octets.0,
                seconds: truth.seconds,
            };
            assert_eq!(found, truth, "{login} from {} by {step}", item.from);
            compared += 3;
        }
    }
    compared
}

async fn of_periods(fixture: &Fixture, scene: &Scene, login: &str, mut random: StdRng) -> usize {
    let placed = scene.of_login(login);
    let whole = scene.whole();
    let mut periods = vec![whole, fixture.deps.calendar.cycle_of(scene.at(3 * DAY), 25)];
    for _ in 0..2 {
        let from = random.random_range(0..5 * DAY);
        periods.push((scene.at(from), scene.at(from + random.random_range(1..3 * DAY))));
    }
    for (from, to) in &periods {
        let query = UsageQuery { login: login.to_owned(), from: *from, to: *to };
        let found = summary(&fixture.deps, &query).await.unwrap();
        let used_then = Used {
            down: found.download_octets.0,
            up: found.upload_octets.0,
            estimated: found.estimated_octets.0,
            seconds: i64::try_from(found.online_seconds).unwrap(),
        };
        assert_eq!(used_then, used(&placed, login, from.0, to.0), "{login} from {from} to {to}");
        if let Some(truth) = sessions(&placed, login, (from.0, to.0), scene.season) {
            assert_eq!((found.sessions, found.errors), truth, "sessions of {login} from {from} to {to}");
        }
    }
    periods.len() * 6
}

/// Compares everyone's totals with the truth.
pub async fn compare_totals(fixture: &Fixture, scene: &Scene, from: UnixTime, to: UnixTime) -> usize {
    let logins = scene.logins();
    let by_login = totals_by(fixture, (from, to), GroupBy::Login).await;
    let mut sum = Used::default();
    for login in &logins {
        let truth = used(&scene.of_login(login), login, from.0, to.0);
        assert_eq!(by_login.get(login).copied().unwrap_or_default(), truth, "{login} from {from} to {to}");
        add(&mut sum, truth);
    }
    let mut of_nases = Used::default();
    for used in totals_by(fixture, (from, to), GroupBy::Nas).await.into_values() {
        add(&mut of_nases, used);
    }
    assert_eq!(of_nases, sum, "all NASes from {from} to {to}");
    (logins.len() + 1) * 4
}

/// Whatever was lost on the way: what all sessions amount to is what they said last.
pub async fn compare_last_counters(fixture: &Fixture, scene: &Scene) -> usize {
    let by_nas = totals_by(fixture, scene.whole(), GroupBy::Nas).await;
    for (nas, used) in &by_nas {
        let of_nas =
            |session: &&super::world::Placed| *nas == format!("oracle/{}", session.session.manner.nas());
        let placed: Vec<_> = scene.placed.iter().filter(of_nas).cloned().collect();
        assert_eq!((used.down, used.up), last_counters(&placed), "{nas}");
    }
    by_nas.len() * 2
}

fn add(sum: &mut Used, used: Used) {
    sum.down += used.down;
    sum.up += used.up;
    sum.estimated += used.estimated;
    sum.seconds += used.seconds;
}

async fn totals_by(
    fixture: &Fixture,
    (from, to): (UnixTime, UnixTime),
    group_by: GroupBy,
) -> BTreeMap<String, Used> {
    let totals = totals(&fixture.deps, from, to, group_by).await.unwrap();
    totals.into_iter().map(named).collect()
}

fn named(total: Total) -> (String, Used) {
    let (Of::Login(name) | Of::Nas(name)) = total.of;
    let used = Used {
        down: total.download_octets.0,
        up: total.upload_octets.0,
        estimated: total.estimated_octets.0,
        seconds: i64::try_from(total.online_seconds).unwrap(),
    };
    (name, used)
}
