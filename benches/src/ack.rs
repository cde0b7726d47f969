//! How many records a second are acknowledged, and how soon: radtally, what it could do at most, and FreeRADIUS, one after
//! the other under the same load.

mod limit;
pub mod load;
mod packets;
mod peers;
pub mod process;
pub mod service;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::spawn_blocking;

use load::{Load, Outcome, Watch};
use peers::{Peer, Store};
use process::{Used, used};
use service::{Export, Service};

/// Options of `ack`.
#[derive(Args)]
pub struct AckArgs {
    /// Seconds of each measurement but the long one.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds of the long one; 0 leaves it out.
    #[arg(long, default_value_t = 300)]
    long: u64,
    /// Records a second in the long one; 16 times FreeRADIUS with PostgreSQL where it is not given.
    #[arg(long)]
    rate: Option<f64>,
    /// Source sockets, each a NAS.
    #[arg(long, default_value_t = 8)]
    sockets: u8,
    /// Most unanswered requests of all sockets together; of one at most the 256 that identifiers allow.
    #[arg(long, default_value_t = 256)]
    window: u16,
    /// Sessions that report in turn.
    #[arg(long, default_value_t = 200_000)]
    sessions: u32,
    /// Measure radtally only.
    #[arg(long)]
    alone: bool,
}

/// A line of the table.
struct Row {
    name: &'static str,
    outcome: Outcome,
    used: Used,
    note: String,
}

/// Measures one after the other and prints a table, ratios first.
pub async fn run(args: AckArgs) -> anyhow::Result<()> {
    let load = Load {
        sockets: args.sockets,
        window: usize::from(args.window / u16::from(args.sockets.max(1))).clamp(1, 256),
        sessions: args.sessions,
        rate: None,
        lasts: Duration::from_secs(args.seconds),
    };
    println!(
        "Load: Interim-Updates of {} octets with 24 attributes from {} sockets, {} unanswered at most, {} sessions.\n",
        packets::SIZE,
        load.sockets,
        load.window * usize::from(load.sockets),
        load.sessions
    );
    let mut rows = Vec::new();
    if !args.alone {
        rows.push(limit_row(load).await?);
        for (store, name, note) in [
            (Store::Detail, "(b) FreeRADIUS, detail file", "does not sync its file"),
            (Store::Postgres, "(c) FreeRADIUS, PostgreSQL", "each commit synced"),
        ] {
            match peers::missing(store) {
                Some(why) => println!("{name}: {why}"),
                None => rows.push(peer_row(store, name, note, load).await?),
            }
        }
    }
    let rate_of = |rows: &[Row], letter: &str| {
        rows.iter().find(|row| row.name.starts_with(letter)).map(|row| row.outcome.rate())
    };
    rows.push(service_row("(d) radtally", load).await?);
    if let Some(rate) = rate_of(&rows, "(b)") {
        let paced = Load { rate: Some(rate), ..load };
        rows.push(service_row("(d) radtally at the rate of (b)", paced).await?);
    }
    let rate = args.rate.or_else(|| Some(16.0 * rate_of(&rows, "(c)")?));
    if let (1.., Some(rate)) = (args.long, rate) {
        let long = Load { rate: Some(rate), lasts: Duration::from_secs(args.long), ..load };
        rows.push(service_row("(e) radtally, long", long).await?);
    }
    print(&rows);
    Ok(())
}

async fn measure(load: Load, target: SocketAddr, watch: Watch) -> anyhow::Result<Outcome> {
    spawn_blocking(move || load::run(&load, target, &watch)).await?
}

async fn limit_row(load: Load) -> anyhow::Result<Row> {
    println!("Measuring the limit …");
    let server = std::process::Command::new(std::env::current_exe()?)
        .arg("limit")
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut server = Ended(server);
    let address = read_line(&mut server.0)?.parse()?;
    let outcome = measure(load, address, Watch::default()).await?;
    let used = used(server.0.id());
    Ok(Row { name: "(a) the limit", outcome, used, note: "keeps nothing".into() })
}

/// Serves the limit until the process is killed, after telling its address.
pub fn serve_limit() -> anyhow::Result<()> {
    println!("{}", limit::start()?);
    loop {
        std::thread::park();
    }
}

/// A child that is killed when dropped.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn read_line(child: &mut std::process::Child) -> anyhow::Result<String> {
    use std::io::BufRead as _;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        std::io::BufReader::new(output).read_line(&mut line)?;
    }
    Ok(line.trim().to_owned())
}

async fn peer_row(store: Store, name: &'static str, note: &str, load: Load) -> anyhow::Result<Row> {
    println!("Measuring {name} …");
    let peer = spawn_blocking(move || Peer::start(store)).await??;
    let before = sum(peer.pids());
    let outcome = measure(load, peer.address, Watch::default()).await?;
    let used = since(before, sum(peer.pids()));
    Ok(Row { name, outcome, used, note: note.to_owned() })
}

async fn service_row(name: &'static str, load: Load) -> anyhow::Result<Row> {
    println!("Measuring {name} …");
    let service = Service::start().await?;
    let before = used(service.pid());
    let watch = Watch::default();
    let mut measuring = tokio::spawn(measure(load, service.accounting, watch.clone()));
    let mut lag = Lag::default();
    let outcome = loop {
        tokio::select! {
            done = &mut measuring => break done??,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                lag.note(watch.acked.load(Ordering::Relaxed), service.export().await?);
            }
        }
    };
    let used = since(before, used(service.pid()));
    let (started, mut left) = (Instant::now(), service.export().await?);
    let pending = left.pending;
    while left.pending > 0 && started.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        left = service.export().await?;
    }
    let drained = started.elapsed();
    let note = match left.pending {
        0 => format!(
            "each acknowledgement synced; export at most {:.0?} behind, {pending} records at the end, gone after {drained:.0?}",
            lag.most
        ),
        left => format!(
            "each acknowledgement synced; {left} of {pending} records still to export after {drained:.0?}"
        ),
    };
    Ok(Row { name, outcome, used, note })
}

/// How far the export is behind: the age of the oldest record that it has not stored.
#[derive(Default)]
struct Lag {
    acked: VecDeque<(Instant, u64)>,
    most: Duration,
}

impl Lag {
    fn note(&mut self, acked: u64, export: Export) {
        let now = Instant::now();
        self.acked.push_back((now, acked));
        while self.acked.front().is_some_and(|(_, acked)| *acked <= export.stored) {
            self.acked.pop_front();
        }
        let oldest = self.acked.front().map_or(now, |(at, _)| *at);
        self.most = self.most.max(now - oldest);
    }
}

fn sum(pids: impl Iterator<Item = u32>) -> Used {
    pids.map(used)
        .fold(Used::default(), |sum, one| Used { cpu: sum.cpu + one.cpu, memory: sum.memory + one.memory })
}

fn since(before: Used, after: Used) -> Used {
    Used { cpu: after.cpu.saturating_sub(before.cpu), ..after }
}

fn print(rows: &[Row]) {
    let letters = ["(a)", "(b)", "(c)"];
    let of =
        |letter: &str| rows.iter().find(|row| row.name.starts_with(letter)).map(|row| row.outcome.rate());
    println!(
        "\n{:>6} {:>6} {:>6}  {:<32} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>6} {:>6}",
        "/(a)", "/(b)", "/(c)", "", "acks/s", "p50 ms", "p99 ms", "max ms", "CPU s/M", "MiB", "again", "lost"
    );
    for row in rows {
        let outcome = &row.outcome;
        let ratios = letters
            .map(|letter| of(letter).map_or("–".into(), |rate| format!("{:.2}", outcome.rate() / rate)));
        let ms = |micros: u64| format!("{:.2}", micros as f64 / 1_000.0);
        let cpu = row.used.cpu.as_secs_f64() / (outcome.acked.max(1) as f64 / 1e6);
        println!(
            "{:>6} {:>6} {:>6}  {:<32} {:>9.0} {:>9} {:>9} {:>9} {:>8.2} {:>8} {:>6} {:>6}",
            ratios[0],
            ratios[1],
            ratios[2],
            row.name,
            outcome.rate(),
            ms(outcome.latency.value_at_quantile(0.5)),
            ms(outcome.latency.value_at_quantile(0.99)),
            ms(outcome.latency.max()),
            cpu,
            row.used.memory >> 20,
            outcome.again,
            outcome.lost,
        );
    }
    println!();
    rows.iter().for_each(|row| println!("{}: {}", row.name, row.note));
}
