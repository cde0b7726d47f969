//! `cargo xtask test`: everything that must pass before a change lands.

use std::time::Instant;

use crate::{npm, packages, step};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests whose name contains this, without formatting and lints.
    filter: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing that cannot be installed, or a check fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let needs: Vec<_> = packages::BUILD.iter().chain(packages::TESTS).collect();
    packages::ensure(&needs)?;
    npm::ensure()?;
    match &args.filter {
        Some(filter) => step::run("Tests", "cargo", &["test", "--workspace", filter])?,
        None => {
            step::run("Formatting", "cargo", &["fmt", "--all", "--check"])?;
            step::run("Lints", "cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
            step::run("Tests", "cargo", &["test", "--workspace", "--no-fail-fast"])?;
        }
    }
    eprintln!("\nEverything passed, in {:.1} minutes.", started.elapsed().as_secs_f64() / 60.0);
    Ok(())
}
