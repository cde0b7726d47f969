//! The `radtally` command.

mod admin;
mod config;
mod demo;
mod reach;
mod replay;
mod serve;
mod simulate;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use config::Config;

/// RADIUS accounting that never loses what it acknowledged, and usage totals that can be explained packet by packet.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Start with `radtally demo`, or copy radtally.example.toml, list your NASes in it, and run\n`radtally --config radtally.toml serve`."
)]
struct Cli {
    /// Configuration file; without one the defaults and the environment (RADTALLY_…) hold.
    #[arg(long, value_name = "FILE", global = true, env = "RADTALLY_CONFIG")]
    config: Option<PathBuf>,
    /// What to log: a level, or levels by part such as `info,collector=debug`.
    #[arg(long, value_name = "FILTER", global = true, env = "RADTALLY_LOG", default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service with a simulated NAS, to look around.
    Demo(demo::DemoArgs),
    /// Run the whole service: collector, API, dashboard, and the embedded ClickHouse as a child.
    Serve,
    /// Run the embedded ClickHouse alone. `serve` starts this by itself.
    #[command(hide = true)]
    Engine(serve::EngineArgs),
    /// Bring ClickHouse and the relational database to this version's schema, then stop.
    Migrate,
    /// Be a NAS: send accounting for made-up subscribers to a collector.
    Simulate(simulate::SimulateArgs),
    /// Settle all usage again by today's rules and NAS policies, show what changes, and publish it when told to.
    Replay(replay::ReplayArgs),
    /// Read the configuration, say what is wrong with it, and stop.
    CheckConfig,
    /// Manage API tokens.
    #[command(subcommand)]
    Token(admin::TokenCommand),
    /// Manage staff, who log in to the dashboard.
    #[command(subcommand)]
    Staff(admin::StaffCommand),
}

/// The session state of a large provider is looked up at random: large pages spare most of the misses.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc reads its options from a symbol of this name.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_OPTIONS: &[u8] = b"thp:always,background_thread:true\0";

/// How much whatever runs on the runtime gives way to the collector's own threads, which NASes wait for.
const NICE: i32 = 5;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter =
        EnvFilter::try_new(&cli.log).with_context(|| format!("--log: \"{}\" is no log filter", cli.log))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Whoever may not give way runs as before.
        .on_thread_start(|| _ = rustix::process::nice(NICE))
        .build()
        .context("starting the runtime")?
        .block_on(run(cli))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let config = || Config::load(cli.config.as_deref());
    match cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve => serve::serve(config()?, serve::on_signal()?).await,
        Command::Engine(args) => serve::engine(args).await,
        Command::Migrate => serve::migrate(&config()?).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Replay(args) => replay::run(&config()?, args).await,
        Command::CheckConfig => serve::check(&config()?, cli.config.as_deref()),
        Command::Token(command) => admin::token(&config()?, command).await,
        Command::Staff(command) => admin::staff(&config()?, command).await,
    }
}
