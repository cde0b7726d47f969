//! `cargo xtask demo`: set-up, build, and then `radtally demo` in this process's place, so that Ctrl-C reaches it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::{npm, packages, step};

/// What the demo logs: nothing but trouble. That the exporter waits for the engine to start is none.
const LOG: &str = "warn,radtally_collector::exporter=error";

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Build with optimisations: takes longer to start, then serves many thousands of subscribers.
    #[arg(long)]
    release: bool,
    /// Options for `radtally demo`, such as `--subscribers 2000`; see `radtally demo --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing that cannot be installed, or the build fails.
pub fn run(args: Args) -> anyhow::Result<()> {
    packages::ensure(&packages::BUILD.iter().collect::<Vec<_>>())?;
    npm::ensure()?;
    let mut build = vec!["build", "--bin", "radtally"];
    if args.release {
        build.push("--release");
    }
    step::run("Building radtally (some minutes the first time)", "cargo", &build)?;
    step::announce("Starting the demo");
    let program = format!("target/{}/radtally", if args.release { "release" } else { "debug" });
    let mut radtally = Command::new(&program);
    radtally.args(["--log", LOG, "demo", "--data-dir", "target/demo"]).args(args.options);
    Err(radtally.exec()).with_context(|| format!("cannot run {program}"))
}
