//! Measurements, each a ratio or a figure taken in one run on the real engine. `cargo xtask bench` builds and runs them.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a measurement that meets what it does not expect is to end"
)]

mod ack;
mod data;
mod fanout;
mod place;
mod queries;
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
    /// How many records a second are acknowledged, beside FreeRADIUS and beside the limit of the machine.
    Ack(ack::AckArgs),
    /// What live viewers cost those who are to be acknowledged.
    Fanout(fanout::FanoutArgs),
    /// How long usage takes to be computed: explain, totals, settling.
    Usage(usage::UsageArgs),
    /// How soon the statistics page has its answers, with several staff asking at once.
    Queries(queries::QueriesArgs),
    /// Answers without keeping anything, as a child of this program.
    #[command(hide = true)]
    Limit,
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
        Command::Ack(args) => ack::run(args).await,
        Command::Fanout(args) => fanout::run(args).await,
        Command::Queries(args) => queries::run(args).await,
        Command::Limit => ack::serve_limit(),
        Command::Usage(args) => usage::run(args).await,
        Command::Engine(EngineArgs { listen, data_dir, library }) => {
            let key = std::env::var(KEY_VARIABLE)?;
            let config = HostConfig { listen, data_dir, library, key };
            Ok(engine::host::run(config, CancellationToken::new()).await?)
        }
    }
}
