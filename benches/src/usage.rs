//! How long usage takes to be computed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use query_api::sessions::explain::{ExplainQuery, explain};
use query_api::sessions::{SessionFilter, list};
use query_api::settler::{Settler, SettlerParts};
use query_api::usage::totals::{GroupBy, totals};
use query_api::{PageRequest, sessions};
use schema::UnixTime;

use crate::data::{FIRST, MONTH, Numbers, Sessions};
use crate::place::Place;

/// Options of `usage`.
#[derive(Args)]
pub struct UsageArgs {
    /// What to measure; everything, unless named.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Logins of the greater of the two totals; the lesser has a tenth.
    #[arg(long, default_value_t = 100_000)]
    logins: u64,
    /// Sessions that are settled, each with a day of reports.
    #[arg(long, default_value_t = 5_000)]
    irregular: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A session of a month, record by record.
    Explain,
    /// Everyone's totals of a month.
    Totals,
    /// Sessions that rollups cannot tell.
    Settling,
}

/// Runs them.
pub async fn run(args: UsageArgs) -> anyhow::Result<()> {
    let wanted = |what| args.what.is_empty() || args.what.contains(&what);
    if wanted(What::Explain) {
        explained().await?;
    }
    if wanted(What::Totals) {
        summed(args.logins).await?;
    }
    if wanted(What::Settling) {
        settled(args.irregular).await?;
    }
    Ok(())
}

/// Median and greatest of several runs.
async fn timed<T>(
    runs: usize,
    mut run: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(Duration, Duration)> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        run().await?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok((median, times.last().copied().unwrap_or_default()))
}

async fn explained() -> anyhow::Result<()> {
    let place = Place::start().await?;
    let reports = 8_900;
    for (first, irregular) in [(0, false), (1, true)] {
        let one = Sessions { first, count: 1, reports, before: 0, interval: 300, irregular };
        one.store(&place, &mut Numbers(1 + first * reports)).await?;
        let filter = SessionFilter { login: Some(format!("login{first}")), ..SessionFilter::default() };
        let page = list(&place.deps, &filter, sessions::Sort::default(), PageRequest::default()).await?;
        let id = page.items.first().map(|session| session.id);
        let Some(id) = id else { anyhow::bail!("no session of login{first}") };
        let query = ExplainQuery::default();
        let (median, most) = timed(21, async || Ok(explain(&place.deps, id, &query).await?)).await?;
        let what = if irregular { "irregular" } else { "regular" };
        println!("explain a {what} session of {reports} records: median {median:.0?}, at most {most:.0?}");
    }
    place.end().await
}

async fn summed(logins: u64) -> anyhow::Result<()> {
    let place = Place::start().await?;
    let mut numbers = Numbers(1);
    let mut before: BTreeMap<&str, Duration> = BTreeMap::new();
    let few = logins / 10;
    for (first, count) in [(0, few), (few, logins - few)] {
        // Six reports a day: a day's rollup row is as large as with three hundred.
        let all = Sessions { first, count, reports: 186, before: 0, interval: 14_400, irregular: false };
        let started = Instant::now();
        let records = all.store(&place, &mut numbers).await?;
        println!("stored {records} records in {:.0?}", started.elapsed());
        for (what, from, to) in [
            ("a month of whole days", FIRST, FIRST + MONTH),
            ("a month from 06:17:05 to 06:17:05", FIRST + 22_625, FIRST + MONTH - 86_400 + 22_625),
        ] {
            let (from, to) = (UnixTime(from), UnixTime(to));
            let (median, most) =
                timed(5, async || Ok(totals(&place.deps, from, to, GroupBy::Login).await?.len())).await?;
            let logins = first + count;
            let growth = before.insert(what, median).map_or(String::new(), |less| {
                format!(
                    ", {:.1} times the time for a tenth of the logins",
                    median.as_secs_f64() / less.as_secs_f64()
                )
            });
            println!(
                "totals of {logins} logins over {what}: median {median:.2?}, at most {most:.2?}{growth}"
            );
        }
    }
    place.end().await
}

async fn settled(sessions: u64) -> anyhow::Result<()> {
    let place = Place::start().await?;
    let mut numbers = Numbers(1);
    let day = Sessions { first: 0, count: sessions, reports: 288, before: 0, interval: 300, irregular: true };
    let mut settler = Settler::new(SettlerParts {
        writer: place.target.client(),
        reader: place.deps.clickhouse.clone(),
        calendar: place.deps.calendar,
        rules: place.deps.rules.clone(),
        policies: BTreeMap::new(),
        watching_since: None,
    });
    for (what, more) in [
        ("a day of 288 reports each, from nothing", day),
        ("one more report of each", Sessions { reports: 1, before: 288, ..day }),
    ] {
        more.store(&place, &mut numbers).await?;
        let started = Instant::now();
        let done = settler.settle_pending().await?;
        let took = started.elapsed();
        let each = |count: u64| count as f64 / took.as_secs_f64();
        println!(
            "settling {sessions} sessions, every one irregular, {what}: {took:.1?}: {:.0} records and {:.0} \
             evaluations a second",
            each(done.records),
            each(done.evaluated),
        );
    }
    place.end().await
}
