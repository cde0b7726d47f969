//! `cargo xtask`: the developer's commands. Each does its own set-up, so that a clean clone needs nothing by hand.

mod bench;
mod demo;
mod fuzz;
mod npm;
mod packages;
mod step;
mod test;
mod torture;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// radtally's developer commands. Each sets up what it needs: nothing has to be done by hand after a clone.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Examples:\n  \
        cargo xtask demo                     look around: a week of made-up traffic, then live\n  \
        cargo xtask demo --subscribers 2000  the same with more subscribers\n  \
        cargo xtask test                     everything that must pass before a change lands\n  \
        cargo xtask bench                    acknowledgements a second, beside FreeRADIUS\n  \
        cargo xtask bench queries            how soon pages have their answers\n  \
        cargo xtask torture --minutes 60     kill, starve and confuse it at random; nothing may be lost\n  \
        cargo xtask fuzz packet --minutes 10 any octets against the packet decoder\n  \
        cargo xtask test radclient           only the tests whose name contains \"radclient\"\n\n\
        As root, missing Debian packages are installed by apt-get; otherwise the command to run is shown.\n\
        Front-end packages and the embedded ClickHouse come from npm, by lock file, when the lock file changed."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build radtally and run it with a simulated NAS; prints where to look and how to log in.
    Demo(demo::Args),
    /// Measure, with an optimised build: acknowledgements beside FreeRADIUS, queries, usage.
    Bench(bench::Args),
    /// Give the packet decoder, the journal and the engine's HTTP front any octets, looking for what breaks them.
    Fuzz(fuzz::Args),
    /// Check formatting, lints and all tests, with the real programs that the tests need.
    Test(test::Args),
    /// Let one fault after the other strike the service under load: kills, full disks, bad networks, clocks that are set. Fails
    /// where an acknowledged record is lost or usage counted twice.
    Torture(torture::Args),
}

fn main() -> ExitCode {
    let result = enter_workspace().and_then(|()| match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Torture(args) => torture::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All commands run at the root of the repository, wherever they are called.
fn enter_workspace() -> anyhow::Result<()> {
    // Cargo's own word at run time: a binary may have been built in another clone.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = package.join("..");
    std::env::set_current_dir(&root).with_context(|| format!("entering {}", root.display()))
}
