//! `cargo xtask torture`: the service under load, and one fault after the other, at random, until the time is up.

use std::process::Command;

use crate::{npm, packages, step};

/// The test that does it (`tests/it/torture.rs`), and what tells it for how long and how.
const TEST: &str = "torture::at_random";
const MINUTES: &str = "TORTURE_MINUTES";
const SEED: &str = "TORTURE_SEED";

/// Options of `cargo xtask torture`.
#[derive(clap::Args)]
pub struct Args {
    /// For how long.
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// Which faults strike, and when: the number that an earlier run printed. What the machine makes of it may differ.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing that cannot be installed, or an acknowledged record was lost or counted twice.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let needs: Vec<_> = packages::BUILD.iter().chain(packages::TESTS).collect();
    packages::ensure(&needs)?;
    npm::ensure()?;
    step::run("Building the tests", "cargo", &["test", "--test", "it", "--no-run"])?;
    let mut torture = Command::new("cargo");
    torture.args(["test", "--quiet", "--test", "it", TEST, "--", "--nocapture"]);
    torture.env(MINUTES, args.minutes.to_string());
    if let Some(seed) = args.seed {
        torture.env(SEED, seed.to_string());
    }
    step::run_command(&format!("Torturing the service for {} minutes", args.minutes), &mut torture)
}
