//! Measurements, each a ratio or a figure taken in one run on the real engine. `cargo xtask bench` builds and runs them.

mod data;
mod place;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use engine::{HostConfig, KEY_VARIABLE};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How long usage takes to be computed: explain, totals, settling.
    Usage(usage::UsageArgs),
    /// The embedded ClickHouse, as a child of this program.
    #[command(hide = true)]
    Engine(EngineArgs),
}

#[derive(Args)]
struct EngineArgs {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    library: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Usage(args) => usage::run(args).await,
        Command::Engine(EngineArgs { listen, data_dir, library }) => {
            let key = std::env::var(KEY_VARIABLE)?;
            let config = HostConfig { listen, data_dir, library, key };
            Ok(engine::host::run(config, CancellationToken::new()).await?)
        }
    }
}
