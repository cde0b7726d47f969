//! `radtally demo`: the whole service in a folder of its own, with a simulated NAS that tells a past week and then goes on
//! live.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use clap::Args;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::Deserialize;
use subscribers::{Directory, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::serve;
use crate::simulate::{self, Plan, Progress};

/// Lies in every folder that a demo made, so that no other is ever emptied.
const MARKER: &str = ".radtally-demo";
/// What the simulated NAS and anyone else on this machine may send with.
const SECRET: &str = "testing123";
/// Reports of a week and more are flagged as too old to be taken at their word; this stays below.
const OLDEST: Duration = Duration::from_secs(7 * 86_400 - 3_600);
/// Time between interim updates in the past; the longer, the sooner the past is told.
const PAST_INTERIM: Duration = Duration::from_secs(600);
/// How long the service may take to start.
const START: Duration = Duration::from_secs(120);

/// Options of `radtally demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Folder for everything the demo writes; made new each time.
    #[arg(long, value_name = "DIR", default_value = "radtally-demo")]
    data_dir: PathBuf,
    /// How many subscribers there are.
    #[arg(long, value_name = "N", default_value_t = 300)]
    subscribers: u32,
    /// How much past to make up, at most a week.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = simulate::duration)]
    past: Duration,
    /// Time between two interim updates of a session.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = simulate::duration)]
    interim: Duration,
    /// The provider's time zone; this machine's by default.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Tz>,
    /// The same seed makes the same subscribers with the same habits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What `serve` writes once it is ready.
#[derive(Deserialize)]
struct Addresses {
    accounting: Vec<SocketAddr>,
    http: SocketAddr,
}

/// Runs the command.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    fresh_folder(&args.data_dir)?;
    let timezone = args.timezone.unwrap_or_else(local_zone);
    let config = configure(&args.data_dir, timezone)?;
    let password = Alphanumeric.sample_string(&mut rand::rng(), 14);
    let directory =
        Directory::connect(&config.database, &config.data_dir).await.context("making the demo's database")?;
    directory.add_staff("admin", Role::Admin, &password).await.context("adding the demo's administrator")?;
    drop(directory);

    let shutdown = serve::on_signal()?;
    let serving = CancellationToken::new();
    eprintln!("Starting the service …");
    let mut service = tokio::spawn(serve::serve(config, serving.clone()));
    let result = match wait_ready(&args.data_dir, &mut service, &shutdown).await? {
        Some(addresses) => play(&args, timezone, &addresses, &password, &mut service, &shutdown).await,
        None => Ok(()),
    };
    // The NAS has ended; only now does the service, so that the last packets were still answered.
    serving.cancel();
    eprintln!("Stopping the service …");
    service.await.context("the service ended unexpectedly")?.and(result)
}

/// Simulates until `shutdown` or until the service ends by itself.
async fn play(
    args: &DemoArgs,
    timezone: Tz,
    addresses: &Addresses,
    password: &str,
    service: &mut JoinHandle<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let target = *addresses.accounting.first().context("the service listens nowhere")?;
    let welcome = welcome(addresses.http, target, password);
    println!("{welcome}");
    let plan = Plan {
        target,
        secret: SECRET.into(),
        subscribers: args.subscribers,
        nases: 3,
        interim: args.interim,
        backlog: args.past.min(OLDEST),
        backlog_interim: PAST_INTERIM,
        duration: None,
        timezone,
        seed: args.seed,
        window: 128,
    };
    let progress = Arc::new(Progress::default());
    let telling = {
        let (progress, shutdown) = (Arc::clone(&progress), shutdown.clone());
        tokio::spawn(async move {
            Arc::clone(&progress).report(shutdown).await;
            if progress.is_live() {
                println!("The past week is told; from here on it is live.\n{welcome}");
            }
        })
    };
    let simulating = simulate::simulate(plan, Arc::clone(&progress), shutdown.clone());
    let result = tokio::select! {
        result = simulating => result,
        // Its own error is reported by whoever waits for it.
        () = ended(service) => Ok(()),
    };
    shutdown.cancel();
    telling.await.context("telling how far it is")?;
    println!("\n{}", progress.summary());
    result
}

async fn ended(service: &JoinHandle<anyhow::Result<()>>) {
    while !service.is_finished() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the service says where it listens; `None` when it is not going to.
async fn wait_ready(
    data_dir: &Path,
    service: &mut JoinHandle<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Addresses>> {
    let file = data_dir.join("addresses.json");
    let deadline = tokio::time::Instant::now() + START;
    while !shutdown.is_cancelled() && !service.is_finished() {
        if let Some(addresses) = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(Some(addresses));
        }
        if tokio::time::Instant::now() >= deadline {
            bail!("the service is not ready after {} seconds", START.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(None)
}

fn welcome(http: SocketAddr, accounting: SocketAddr, password: &str) -> String {
    format!(
        "\n    Dashboard   http://{http}/\n    \
             Log in as   admin\n    \
             Password    {password}\n\n    \
             Your own NAS on this machine may send to udp/{accounting}, secret {SECRET}.\n    \
             Ctrl-C stops everything.\n"
    )
}

/// Empties the folder of an earlier demo, or makes a new one.
fn fresh_folder(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    if dir.join(MARKER).exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing the earlier demo in {shown}"))?;
    } else if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{shown} holds something that no demo made; name another folder with --data-dir");
    }
    fs::create_dir_all(dir).with_context(|| format!("making {shown}"))?;
    fs::write(dir.join(MARKER), "Made by `radtally demo`, which empties this folder when it starts.\n")
        .with_context(|| format!("writing to {shown}"))
}

/// Writes the demo's configuration and reads it as `radtally serve` would.
fn configure(dir: &Path, timezone: Tz) -> anyhow::Result<Config> {
    let dir = fs::canonicalize(dir).with_context(|| format!("finding {}", dir.display()))?;
    let data_dir = toml::Value::from(dir.to_str().context("the folder's name is not UTF-8")?);
    let accounting = free_or_any(1813, |address| UdpSocket::bind(address).is_ok());
    let http = free_or_any(8080, |address| TcpListener::bind(address).is_ok());
    let text = format!(
        "# Made by `radtally demo`.\ndata_dir = {data_dir}\ntimezone = \"{timezone}\"\n\n[accounting]\nlisten = [\"{accounting}\"]\n\n\
         [http]\nlisten = \"{http}\"\n\n[[client]]\nname = \"demo\"\nsource = \"127.0.0.1\"\nsecret = \"{SECRET}\"\n"
    );
    let file = dir.join("radtally.toml");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Config::load(Some(&file))
}

/// `port` on loopback where `can_bind` it, else any free one.
fn free_or_any(port: u16, can_bind: impl Fn(SocketAddr) -> bool) -> SocketAddr {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    if can_bind(at(port)) { at(port) } else { at(0) }
}

/// The time zone that this machine is set to.
fn local_zone() -> Tz {
    let link = fs::read_link("/etc/localtime").unwrap_or_default();
    let name = link.to_str().and_then(|path| path.split_once("zoneinfo/")).map(|(_, name)| name);
    name.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}
