//! `cargo xtask bench`: set-up, an optimised build, and the measurements.

use crate::{npm, packages, step};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// What is measured, and its options: `ack` (by itself), `usage`, `queries`; `ack --help` tells all of one.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "ack")]
    what: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing that cannot be installed, or the build or a measurement fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut what: Vec<&str> = args.what.iter().map(String::as_str).collect();
    // `--queries` is `queries`.
    if let Some(first) = what.first_mut().filter(|first| !["--help", "-h"].contains(*first)) {
        *first = first.trim_start_matches("--");
    }
    packages::ensure(&packages::BUILD.iter().collect::<Vec<_>>())?;
    if what.first() == Some(&"ack")
        && let Err(error) = packages::ensure(&packages::PEERS.iter().collect::<Vec<_>>())
    {
        eprintln!("radtally is measured without those that are missing: {error:#}");
    }
    npm::ensure()?;
    step::run(
        "Building radtally and the measurements (many minutes the first time)",
        "cargo",
        &["build", "--release", "--package", "radtally", "--package", "radtally-benches"],
    )?;
    step::run("Measuring", "target/release/radtally-benches", &what)
}
