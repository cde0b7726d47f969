//! One step of a command: says what it does, runs a program with its output shown, and says how long it took.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// Runs `program` with `args`, and fails where it fails.
///
/// # Errors
/// The program cannot be started or did not succeed.
pub fn run(what: &str, program: &str, args: &[&str]) -> anyhow::Result<()> {
    run_command(what, Command::new(program).args(args))
}

/// As [`run`], with a command made by the caller.
///
/// # Errors
/// The program cannot be started or did not succeed.
pub fn run_command(what: &str, command: &mut Command) -> anyhow::Result<()> {
    announce(what);
    let started = Instant::now();
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("{what} failed: `{shown}` ended with {status}");
    }
    eprintln!("    done in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Prints the heading of a step.
pub fn announce(what: &str) {
    eprintln!("\n==> {what}");
}

/// Whether `program` is found in PATH or where Debian keeps programs for root.
#[must_use]
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(system).any(|dir| dir.join(program).is_file())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
