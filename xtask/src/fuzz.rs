//! `cargo xtask fuzz`: any octets against the packet decoder, the journal's recovery and the engine's HTTP front.
//!
//! The targets are in `fuzz/`, a workspace of their own; what they call stands beside the code it tests (`fuzzing.rs`).
//! libFuzzer needs coverage of the code, which a stable compiler gives, but no sanitizer, which it does not: all of this is
//! safe Rust. New inputs gather in `target/fuzz`; `--keep` adds to `fuzz/corpus`, which the tests replay, those few
//! that reach code no kept one does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{packages, step};

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";
const TOOLS: &str = "target/tools";
const BUILT: &str = "target/fuzz";

/// What is fuzzed, and the longest inputs: a packet is one of 4,096 octets with padding.
const TARGETS: [(&str, u32); 3] = [("packet", 4_200), ("journal", 2_000), ("engine_http", 2_000)];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// What is fuzzed: packet, journal or engine_http; all in turn where it is not given.
    #[arg(value_parser = TARGETS.map(|(target, _)| target))]
    target: Option<String>,
    /// How many inputs each target is given.
    #[arg(long, conflicts_with = "minutes")]
    runs: Option<u64>,
    /// How long each target is fuzzed; one minute where neither is given.
    #[arg(long)]
    minutes: Option<u64>,
    /// Afterwards add to fuzz/corpus what reaches code that no kept input reaches.
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
///
/// # Errors
/// Something is missing that cannot be installed, the build fails, or an input is found that breaks a target: it is kept
/// in `target/fuzz/found`, and its path is told.
pub fn run(args: &Args) -> anyhow::Result<()> {
    packages::ensure(&packages::BUILD.iter().collect::<Vec<_>>())?;
    ensure_cargo_fuzz()?;
    let wanted = |target: &str| args.target.as_ref().is_none_or(|wanted| wanted == target);
    for (target, longest) in TARGETS.into_iter().filter(|(target, _)| wanted(target)) {
        fuzz(args, target, longest)?;
    }
    Ok(())
}

fn ensure_cargo_fuzz() -> anyhow::Result<()> {
    if step::exists("cargo-fuzz") || Path::new(TOOLS).join("bin/cargo-fuzz").is_file() {
        return Ok(());
    }
    let install = ["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--root", TOOLS];
    step::run("Installing cargo-fuzz (once)", "cargo", &install)
}

fn fuzz(args: &Args, target: &str, longest: u32) -> anyhow::Result<()> {
    let found = PathBuf::from(BUILT).join("found");
    let inputs = found.join(target);
    std::fs::create_dir_all(&inputs).with_context(|| format!("creating {}", inputs.display()))?;
    let (inputs, kept) = (inputs.display().to_string(), format!("fuzz/corpus/{target}"));
    let limit = match args.runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={}", 60 * args.minutes.unwrap_or(1)),
    };
    let options = [
        limit,
        format!("-max_len={longest}"),
        format!("-artifact_prefix={}/{target}-", found.display()),
        "-timeout=10".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    libfuzzer(
        &format!("Fuzzing {target} (the first build takes minutes)"),
        target,
        [&inputs, &kept],
        &options,
    )?;
    if args.keep {
        // Edges are what counts, not how often each is taken: a few hundred inputs rather than thousands.
        let options = ["-set_cover_merge=1", "-use_counters=0", "-max_len=1500"].map(str::to_owned);
        libfuzzer(&format!("Keeping what is new to {kept}"), target, [&kept, &inputs], &options)?;
    }
    Ok(())
}

/// Runs a target over two folders; new inputs go to the first.
fn libfuzzer(what: &str, target: &str, folders: [&String; 2], options: &[String]) -> anyhow::Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir", BUILT, "--sanitizer", "none", target]);
    cargo.args(folders).arg("--").args(options);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::env::current_dir().context("where am I?")?.join(TOOLS).join("bin");
    let paths = std::env::split_paths(&path).chain([tools]);
    cargo.env("PATH", std::env::join_paths(paths).context("PATH")?);
    step::run_command(what, &mut cargo)
}
