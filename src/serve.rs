//! `radtally serve`: puts the parts together, starts them, and ends them in order.
//!
//! The collector takes packets from the first moment: nothing between a packet and its acknowledgement waits for
//! ClickHouse, its migrations or the relational database. At the end it goes before the engine, so that what can still be
//! exported is.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use collector::client::ClientTable;
use collector::{Clients, Collector, CollectorParts, Ledger, NasSettings};
use dashboard::{DashboardDeps, FirstSteps};
use engine::{EngineState, HostConfig, KEY_VARIABLE, Supervisor};
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use query_api::retention;
use query_api::settler::{self, SettlerLease, SettlerParts};
use schema::UnixTime;
use schema::clickhouse::{Target, migrate as migrate_clickhouse};
use schema::health::{CLICKHOUSE, DATABASE, HealthBoard};
use serde::Serialize;
use subscribers::Directory;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::reach::{leave_access, reach, supervisor, target};

/// Time between two looks at how ClickHouse and the database do.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long ClickHouse may take to answer a question that costs nothing.
const ANSWER: Duration = Duration::from_secs(5);
/// How long open requests may go on when the service is asked to end.
const HTTP_PATIENCE: Duration = Duration::from_secs(3);

/// Buckets of durations: from a fast disk's sync to a request that somebody gives up.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets of groups of records.
const RECORDS: [f64; 10] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];

/// Options of `radtally engine`.
#[derive(Args)]
pub struct EngineArgs {
    /// Loopback address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The engine's folder.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// libchdb.so, where it does not lie where npm puts it.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

/// What `addresses.json` in the data folder tells once everything is listening.
#[derive(Serialize)]
struct Addresses {
    accounting: Vec<SocketAddr>,
    http: SocketAddr,
}

/// A token that SIGINT and SIGTERM cancel; a second signal ends the process at once.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            if again {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(shutdown)
}

/// Runs the whole service until `shutdown`.
pub async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    fs::create_dir_all(&config.data_dir).with_context(|| format!("making {}", config.data_dir.display()))?;
    let calendar = config.calendar()?;
    let health = HealthBoard::default();
    let metrics = install_metrics()?;
    let supervisor = supervisor(&config)?;
    let target = target(&config, supervisor.as_ref());
    // Gone with the service.
    let _access = supervisor.as_ref().map(|_| leave_access(&config.data_dir, &target)).transpose()?;
    let directory = connect(&config).await?;
    let ledger = Ledger::default();
    let clients = Clients::new(ClientTable::new(&config.client, &ledger)?);
    warn_of_no_clients(&config);
    let nases = NasSettings::new(&config.nas)?;
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
    let collector = Collector::new(CollectorParts {
        accounting: config.accounting.clone(),
        journal: config.journal.clone(),
        exporter: config.exporter.clone(),
        clients,
        nases: nases.clone(),
        ledger: ledger.clone(),
        data_dir: config.data_dir.clone(),
        calendar,
        clickhouse: target.client(),
        health: health.clone(),
    })?;
    let rules = query_api::Rules::default();
    let api = query_api::Deps {
        clickhouse: target.reader(),
        rules: rules.clone(),
        calendar,
        online: collector.online(),
        ledger,
        health: health.clone(),
        directory: directory.clone(),
        metrics,
        http: Arc::new(config.http.clone()),
    };
    let settler = SettlerParts {
        writer: target.client(),
        reader: target.reader(),
        calendar,
        rules: rules.clone(),
        policies: nases.policies().clone(),
        watching_since: None,
    };
    let lease = SettlerLease { directory: directory.clone(), holder: collector.id().to_string() };
    let addresses = Addresses { accounting: collector.addresses(), http: listener.local_addr()? };
    let pages = pages(&config, api.clone(), &addresses);
    let holder = lease.holder.clone();

    let engine_shutdown = CancellationToken::new();
    let http_shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(look_after_clickhouse(
        target.clone(),
        supervisor.as_ref().map(Supervisor::state),
        health.clone(),
        engine_shutdown.clone(),
    ));
    tasks.spawn(rules.follow(target.reader(), health.clone(), engine_shutdown.clone()));
    let settling = tokio::spawn(settler::run(settler, lease, health.clone(), http_shutdown.clone()));
    tasks.spawn(retention::run(api, target.client(), config.retention, holder, engine_shutdown.clone()));
    tasks.spawn(look_after_database(directory, health, engine_shutdown.clone()));
    let engine = supervisor.map(|supervisor| tokio::spawn(supervisor.run(engine_shutdown.clone())));
    let http = tokio::spawn(serve_http(listener, pages, http_shutdown.clone()));
    announce(&config.data_dir, &addresses)?;

    let collected = collector.run(shutdown.clone()).await;
    // Also when the collector ended by itself: a service that cannot take packets must not look alive.
    shutdown.cancel();
    http_shutdown.cancel();
    _ = tokio::time::timeout(HTTP_PATIENCE, http).await;
    _ = tokio::time::timeout(HTTP_PATIENCE, settling).await;
    engine_shutdown.cancel();
    if let Some(engine) = engine {
        engine.await.context("the engine's supervisor")?;
    }
    tasks.close();
    tasks.wait().await;
    info!("stopped");
    Ok(collected?)
}

/// Runs the embedded engine alone, as a child of [`serve`].
pub async fn engine(args: EngineArgs) -> anyhow::Result<()> {
    let key = std::env::var(KEY_VARIABLE)
        .with_context(|| format!("{KEY_VARIABLE} is not set: the engine needs a key"))?;
    let config = HostConfig { listen: args.listen, data_dir: args.data_dir, library: args.library, key };
    engine::host::run(config, on_signal()?).await?;
    // Statements that had to be cut off may still hold their threads; what was acknowledged is on disk.
    std::process::exit(0);
}

/// Brings both databases to this version's schema.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    connect(config).await?;
    println!("the relational database is up to date");
    let reached = reach(config).await?;
    let applied = migrate_clickhouse(&reached.target).await;
    reached.end().await?;
    for migration in applied? {
        println!("applied {} ({} statements)", migration.name, migration.statements);
    }
    println!("ClickHouse is up to date");
    Ok(())
}

/// Says what is wrong with a configuration, or what it amounts to.
pub fn check(config: &Config, file: Option<&Path>) -> anyhow::Result<()> {
    ClientTable::new(&config.client, &Ledger::default())?;
    if config.clickhouse.is_embedded() {
        engine::find_library(config.clickhouse.library.clone())?;
    }
    warn_of_no_clients(config);
    let shown =
        file.map_or_else(|| "the defaults and the environment".to_owned(), |file| file.display().to_string());
    println!(
        "{shown}: {} clients, ClickHouse {}, time zone {}",
        config.client.len(),
        config.clickhouse.url,
        config.timezone
    );
    Ok(())
}

/// Opens the relational database.
pub async fn connect(config: &Config) -> anyhow::Result<Directory> {
    fs::create_dir_all(&config.data_dir).with_context(|| format!("making {}", config.data_dir.display()))?;
    Directory::connect(&config.database, &config.data_dir).await.context("database.url")
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit in a float")]
fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let buckets = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(buckets("_seconds"), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(buckets("_records"), &RECORDS));
    let handle =
        builder.context("the buckets")?.install_recorder().context("installing the metrics recorder")?;
    describe_gauge!("radtally_build_info", "1; the label says which version runs");
    gauge!("radtally_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    describe_gauge!("radtally_start_time_seconds", "When the process started");
    gauge!("radtally_start_time_seconds").set(UnixTime::now().0 as f64);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn pages(config: &Config, api: query_api::Deps, addresses: &Addresses) -> axum::Router {
    let clients =
        config.client.iter().map(|client| (client.name.clone(), client.source.to_string())).collect();
    let first_steps = FirstSteps { listen: addresses.accounting.clone(), clients };
    let deps = DashboardDeps { api: api.clone(), config: config.dashboard.clone(), first_steps };
    dashboard::router(deps).merge(query_api::router(api))
}

async fn serve_http(listener: TcpListener, pages: axum::Router, shutdown: CancellationToken) {
    let service = pages.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        error!(%error, "the HTTP server ended");
    }
}

/// Migrates ClickHouse as soon as it answers, and from then on notes how it does.
async fn look_after_clickhouse(
    target: Target,
    engine: Option<tokio::sync::watch::Receiver<EngineState>>,
    health: HealthBoard,
    shutdown: CancellationToken,
) {
    let client = target.reader();
    let mut migrated = false;
    loop {
        let down = engine.as_ref().and_then(|state| match &*state.borrow() {
            EngineState::Down { reason, .. } => Some(reason.clone()),
            EngineState::Starting => Some("it is starting".to_owned()),
            EngineState::Up { .. } => None,
        });
        match down {
            Some(reason) => health.down(CLICKHOUSE, reason),
            None if migrated => {
                match tokio::time::timeout(ANSWER, client.query("SELECT 1").execute()).await {
                    Ok(Ok(())) => health.up(CLICKHOUSE),
                    Ok(Err(error)) => health.down(CLICKHOUSE, error.to_string()),
                    Err(_) => {
                        health.down(CLICKHOUSE, format!("it has not answered for {} s", ANSWER.as_secs()))
                    }
                }
            }
            None => match migrate_clickhouse(&target).await {
                Ok(applied) => {
                    migrated = true;
                    applied
                        .iter()
                        .for_each(|migration| info!(name = %migration.name, "ClickHouse was migrated"));
                    health.up(CLICKHOUSE);
                }
                Err(error) => {
                    warn!(%error, "ClickHouse cannot be migrated yet; records wait in the journal");
                    health.down(CLICKHOUSE, error.to_string());
                }
            },
        }
        let wait = if migrated { LOOK_EVERY } else { Duration::from_millis(200) };
        if shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}

async fn look_after_database(directory: Directory, health: HealthBoard, shutdown: CancellationToken) {
    loop {
        match directory.ping().await {
            Ok(()) => health.up(DATABASE),
            Err(error) => health.down(DATABASE, error.to_string()),
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

fn announce(data_dir: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let path = data_dir.join("addresses.json");
    let aside = path.with_extension("new");
    fs::write(&aside, serde_json::to_vec_pretty(addresses)?)
        .with_context(|| format!("writing {}", aside.display()))?;
    fs::rename(&aside, &path).with_context(|| format!("renaming {}", aside.display()))?;
    info!(accounting = ?addresses.accounting, http = %format!("http://{}", addresses.http), "radtally is listening");
    Ok(())
}

fn warn_of_no_clients(config: &Config) {
    if config.client.is_empty() {
        warn!("no [[client]] is configured: no packet will be answered");
    }
}
