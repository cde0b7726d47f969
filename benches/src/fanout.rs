//! What live viewers cost those who are to be acknowledged: the same load without viewers, with many, with one among them
//! that never reads, and without again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::ack::load::{self, Load, Outcome, Watch};
use crate::ack::process::used;
use crate::ack::service::Service;

/// NASes that send.
const SOCKETS: u8 = 8;
/// How long what is waiting for ClickHouse may take between two measurements.
const DRAIN: Duration = Duration::from_secs(60);

/// Options of `fanout`.
#[derive(Args)]
pub struct FanoutArgs {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Viewers of single logins, each of another.
    #[arg(long, default_value_t = 1_000)]
    logins: u32,
    /// Viewers of the total.
    #[arg(long, default_value_t = 100)]
    totals: u32,
    /// Records a second; half of what is acknowledged without a limit where it is not given.
    #[arg(long)]
    rate: Option<f64>,
}

/// What viewers have been sent.
#[derive(Clone, Debug, Default)]
struct Seen {
    logins: Arc<AtomicU64>,
    totals: Arc<AtomicU64>,
    /// Longest time between two frames of a viewer of the total, in milliseconds.
    longest: Arc<AtomicU64>,
}

/// A line of the table.
struct Row {
    name: &'static str,
    outcome: Outcome,
    /// Processor time of service and engine.
    cpu: Duration,
    /// Frames a second and viewer: of logins, of the total.
    frames: (f64, f64),
    longest: Duration,
    /// Memory of the service and its engine at the end, in MiB.
    memory: u64,
}

/// A measurement's surroundings.
struct Bench {
    service: Service,
    load: Load,
    args: FanoutArgs,
    seen: Seen,
    rows: Vec<Row>,
}

/// Measures and prints a table, ratios first.
///
/// # Errors
/// The service does not start, or a viewer is not let in.
pub async fn run(args: FanoutArgs) -> anyhow::Result<()> {
    let service = Service::start().await?;
    let lasts = Duration::from_secs(args.seconds);
    let fastest = Load { sockets: SOCKETS, window: 256, sessions: 100_000, rate: None, lasts };
    let rate = match args.rate {
        Some(rate) => rate,
        None => {
            println!("Measuring what is acknowledged without a limit …");
            measure(fastest, service.accounting).await?.rate() / 2.0
        }
    };
    // Each session reports once a second, so that a viewer of its login has a frame a second.
    let load = Load { sessions: rate as u32, rate: Some(rate), ..fastest };
    println!("{rate:.0} records a second of as many sessions; {} and {} viewers.", args.logins, args.totals);
    let mut bench = Bench { service, load, args, seen: Seen::default(), rows: Vec::new() };
    bench.row("without viewers").await?;
    let mut viewers = bench.viewers().await?;
    bench.row("with viewers").await?;
    let stalled = bench.watch("nas=bench/bng-0").await?;
    bench.row("and one that never reads").await?;
    drop(stalled);
    viewers.abort_all();
    while viewers.join_next().await.is_some() {}
    bench.row("without viewers again").await?;
    bench.print();
    Ok(())
}

async fn measure(load: Load, target: SocketAddr) -> anyhow::Result<Outcome> {
    spawn_blocking(move || load::run(&load, target, &Watch::default())).await?
}

impl Bench {
    async fn row(&mut self, name: &'static str) -> anyhow::Result<()> {
        println!("Measuring {name} …");
        self.drain().await?;
        let before = (self.seen.logins.load(Ordering::Relaxed), self.seen.totals.load(Ordering::Relaxed));
        self.seen.longest.store(0, Ordering::Relaxed);
        let (began, cpu) = (Instant::now(), used(self.service.pid()).cpu);
        let outcome = measure(self.load, self.service.accounting).await?;
        let (took, after) = (began.elapsed().as_secs_f64(), used(self.service.pid()));
        let each = |frames: &AtomicU64, before: u64, viewers: u32| {
            (frames.load(Ordering::Relaxed) - before) as f64 / took / f64::from(viewers.max(1))
        };
        let frames = (
            each(&self.seen.logins, before.0, self.args.logins),
            each(&self.seen.totals, before.1, self.args.totals),
        );
        let longest = Duration::from_millis(self.seen.longest.load(Ordering::Relaxed));
        let (cpu, memory) = (after.cpu.saturating_sub(cpu), after.memory >> 20);
        self.rows.push(Row { name, outcome, cpu, frames, longest, memory });
        Ok(())
    }

    /// Lets ClickHouse take what is left, so that each measurement begins alike.
    async fn drain(&self) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN;
        while self.service.export().await?.pending > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn viewers(&self) -> anyhow::Result<JoinSet<()>> {
        let mut viewers = JoinSet::new();
        for login in 0..self.args.logins {
            // Spread over the sessions of all NASes.
            let session = u64::from(login) * u64::from(self.load.sessions) / u64::from(self.args.logins);
            let feed = self.watch(&format!("login=user{session:07}")).await?;
            viewers.spawn(view(feed, Arc::clone(&self.seen.logins), None));
        }
        for _ in 0..self.args.totals {
            let feed = self.watch("total").await?;
            viewers.spawn(view(feed, Arc::clone(&self.seen.totals), Some(Arc::clone(&self.seen.longest))));
        }
        Ok(viewers)
    }

    async fn watch(&self, query: &str) -> anyhow::Result<Feed> {
        let mut request =
            format!("ws://{}/api/v1/live?{query}", self.service.http()).into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", self.service.token()).parse()?);
        let connected = tokio_tungstenite::connect_async(request).await;
        Ok(connected.with_context(|| format!("watching {query}"))?.0)
    }

    fn print(&self) {
        let Some(first) = self.rows.first() else { return };
        let quantile = |row: &Row, q: f64| row.outcome.latency.value_at_quantile(q) as f64 / 1_000.0;
        println!(
            "\n{:>6} {:>6}  {:<26} {:>8} {:>8} {:>8} {:>8} {:>6} {:>5} {:>7} {:>8} {:>8} {:>9} {:>6}",
            "p50 /1",
            "p99 /1",
            "",
            "acks/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "again",
            "lost",
            "CPU s",
            "login/s",
            "total/s",
            "longest s",
            "MiB"
        );
        for row in &self.rows {
            println!(
                "{:>6.2} {:>6.2}  {:<26} {:>8.0} {:>8.2} {:>8.2} {:>8.1} {:>6} {:>5} {:>7.1} {:>8.2} {:>8.2} {:>9.2} {:>6}",
                quantile(row, 0.5) / quantile(first, 0.5),
                quantile(row, 0.99) / quantile(first, 0.99),
                row.name,
                row.outcome.rate(),
                quantile(row, 0.5),
                quantile(row, 0.99),
                row.outcome.latency.max() as f64 / 1_000.0,
                row.outcome.again,
                row.outcome.lost,
                row.cpu.as_secs_f64(),
                row.frames.0,
                row.frames.1,
                row.longest.as_secs_f64(),
                row.memory,
            );
        }
    }
}

type Feed = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Reads a feed until it ends.
async fn view(mut feed: Feed, frames: Arc<AtomicU64>, longest: Option<Arc<AtomicU64>>) {
    let mut last = Instant::now();
    while let Some(Ok(message)) = feed.next().await {
        if message.is_text() {
            frames.fetch_add(1, Ordering::Relaxed);
            if let Some(longest) = &longest {
                let since = std::mem::replace(&mut last, Instant::now()).elapsed();
                longest.fetch_max(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        }
    }
}
