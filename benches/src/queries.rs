//! How soon the statistics page has its answers: each of its calls over HTTP, by several staff at once, on a month of
//! five-minute reports of everybody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use hdrhistogram::Histogram;
use query_api::usage::totals::{GroupBy, totals};
use schema::UnixTime;
use subscribers::Role;
use tokio::task::JoinSet;

use crate::data::{DAY, Days, FIRST, MONTH};
use crate::place::Place;

/// Options of `queries`.
#[derive(Args)]
pub struct QueriesArgs {
    /// Logins; each reports every five minutes for a month, so that 10,000 make 89 million rows.
    #[arg(long, default_value_t = 10_000)]
    logins: u64,
    /// Staff who ask at once, each again as soon as it was answered.
    #[arg(long, default_value_t = 10)]
    staff: u64,
    /// Seconds for which they ask.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// The calls of the page, and what each is for.
fn calls(login: u64) -> [(&'static str, String); 7] {
    let time = |at: i64| UnixTime(at).to_string();
    let month = format!("login=login{login}&from={}&to={}", time(FIRST), time(FIRST + MONTH));
    // A free range, which ends between two reports.
    let (from, to) = (time(FIRST + 9 * DAY + 22_625), time(FIRST + 20 * DAY + 40_021));
    let free = format!("login=login{login}&from={from}&to={to}");
    let day = format!("login=login{login}&from={}&to={}", time(FIRST + 12 * DAY), time(FIRST + 13 * DAY));
    [
        ("online sessions", format!("online?login=login{login}")),
        ("totals of the month", format!("usage/summary?{month}")),
        ("totals of a free range", format!("usage/summary?{free}")),
        ("usage by day, with rates", format!("usage/series?{month}&step=1d")),
        ("a free range by the hour", format!("usage/series?{free}&step=1h")),
        ("a day by five minutes", format!("usage/series?{day}&step=5m")),
        ("session history", format!("sessions?{month}&limit=50")),
    ]
}

/// Makes the month, asks, and prints how long it took.
pub async fn run(args: QueriesArgs) -> anyhow::Result<()> {
    let place = Place::start().await?;
    let started = Instant::now();
    for day in 0..MONTH / DAY {
        Days { logins: args.logins, day }.store(&place).await?;
        let rows = (day as u64 + 1) * 288 * args.logins;
        eprint!(
            "\r{rows} of {} five-minute rows stored, {:.0?} … ",
            288 * 31 * args.logins,
            started.elapsed()
        );
    }
    eprintln!();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(axum::serve(listener, query_api::router(place.deps.clone())).into_future());
    let token = place.deps.directory.create_token("bench", Role::Support).await?;
    let names = calls(0).map(|(name, _)| name);
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let turn = Arc::new(AtomicU64::new(0));
    let mut staff = JoinSet::new();
    for _ in 0..args.staff {
        staff.spawn(ask(address, token.clone(), args.logins, Arc::clone(&turn), until));
    }
    let mut times: Vec<Histogram<u64>> = Vec::new();
    while let Some(asked) = staff.join_next().await {
        let asked = asked??;
        if times.is_empty() {
            times = asked;
        } else {
            times.iter_mut().zip(asked).try_for_each(|(sum, one)| sum.add(one))?;
        }
    }
    println!("{} staff at once, {} logins:", args.staff, args.logins);
    println!("{:<28} {:>8} {:>9} {:>9} {:>9}", "", "calls", "p50 ms", "p95 ms", "max ms");
    let ms = |micros: u64| format!("{:.1}", micros as f64 / 1_000.0);
    for (name, times) in names.iter().zip(&times) {
        let [median, most_of_them] = [0.5, 0.95].map(|share| ms(times.value_at_quantile(share)));
        println!("{name:<28} {:>8} {median:>9} {most_of_them:>9} {:>9}", times.len(), ms(times.max()));
    }
    let (from, to) = (UnixTime(FIRST), UnixTime(FIRST + MONTH));
    let started = Instant::now();
    let everyone = totals(&place.deps, from, to, GroupBy::Login).await?.len();
    println!("everyone's totals of the month: {everyone} logins in {:.2?}", started.elapsed());
    server.abort();
    place.end().await
}

/// One of the staff: opens page after page; how long each call took, in microseconds.
async fn ask(
    address: SocketAddr,
    token: String,
    logins: u64,
    turn: Arc<AtomicU64>,
    until: Instant,
) -> anyhow::Result<Vec<Histogram<u64>>> {
    let client = reqwest::Client::new();
    let mut times = Vec::new();
    for _ in calls(0) {
        times.push(Histogram::new(3)?);
    }
    while Instant::now() < until {
        // A stride that visits every login, in no order that a cache would like.
        let login = turn.fetch_add(1, Ordering::Relaxed).wrapping_mul(7_919) % logins;
        for ((name, path), times) in calls(login).iter().zip(&mut times) {
            let started = Instant::now();
            let request = client.get(format!("http://{address}/api/v1/{path}")).bearer_auth(&token);
            let answer = request.send().await.with_context(|| (*name).to_owned())?;
            let (status, text) = (answer.status(), answer.text().await?);
            if !status.is_success() {
                bail!("{path}: {status} {text}");
            }
            times.record(u64::try_from(started.elapsed().as_micros())?)?;
        }
    }
    Ok(times)
}
