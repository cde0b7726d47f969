//! `cargo xtask bench`: set-up, an optimised build, and the measurements.

use crate::{npm, packages, step};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// What is measured, and its options: `usage --logins 10000`; `--help` tells all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "usage")]
    what: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing that cannot be installed, or the build or a measurement fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    packages::ensure(&packages::BUILD.iter().collect::<Vec<_>>())?;
    npm::ensure()?;
    step::run(
        "Building the measurements (many minutes the first time)",
        "cargo",
        &["build", "--release", "--package", "radtally-benches"],
    )?;
    let what: Vec<&str> = args.what.iter().map(String::as_str).collect();
    step::run("Measuring", "target/release/radtally-benches", &what)
}
