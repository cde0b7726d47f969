//! `radtally replay`: settles everything again by today's rules, shows what would change, and publishes it when told to.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use collector::NasSettings;
use query_api::replay::{Difference, KEYS_PER_RANGE, Progress, Replay};
use query_api::settler::SettlerParts;
use schema::Octets;
use schema::clickhouse::{Target, migrate};
use subscribers::Directory;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::reach::reach;
use crate::serve::{connect, on_signal};

/// Differences shown.
const SHOWN: u64 = 20;

/// Options of `radtally replay`.
#[derive(Args)]
#[command(
    after_help = "It runs beside the service. Until it is published nobody sees anything of it; stopped, it goes on where it\n\
                  was when it is run again. Sessions whose records retention has dropped stay as they are."
)]
pub struct ReplayArgs {
    /// Publish without asking.
    #[arg(long)]
    yes: bool,
    /// Show the differences and publish nothing; run again to publish.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Forget a replay that was begun.
    #[arg(long, conflicts_with_all = ["yes", "dry_run", "csv"])]
    discard: bool,
    /// Write every difference to this file.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Runs it.
pub async fn run(config: &Config, args: ReplayArgs) -> anyhow::Result<()> {
    let directory = connect(config).await?;
    let shutdown = on_signal()?;
    let reached = reach(config).await?;
    let done = replay(config, &args, &reached.target, &directory, &shutdown).await;
    reached.end().await?;
    done
}

async fn replay(
    config: &Config,
    args: &ReplayArgs,
    target: &Target,
    directory: &Directory,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    migrate(target).await?;
    let parts = SettlerParts {
        writer: target.client(),
        reader: target.reader(),
        calendar: config.calendar()?,
        rules: query_api::Rules::default(),
        policies: NasSettings::new(&config.nas)?.policies().clone(),
        watching_since: None,
    };
    let replay = Replay::open(parts, KEYS_PER_RANGE).await?;
    if args.discard {
        replay.discard().await?;
        println!("The replay is forgotten; what is published stays.");
        return Ok(());
    }
    if replay.is_resumed() {
        println!("Going on with the replay that was begun.");
    }
    let shown = Shown::new();
    let progress = replay.run(|progress| shown.show(progress), shutdown).await?;
    shown.end();
    if progress.done < progress.ranges {
        println!("Stopped after {}; run it again to go on.", counted(&progress));
        return Ok(());
    }
    println!("Settled again: {}.", counted(&progress));
    show(&replay, args.csv.as_deref(), config).await?;
    if args.dry_run || !(args.yes || confirmed()?) {
        println!("Nothing is published. Run it again to publish, or with --discard to forget it.");
        return Ok(());
    }
    replay.publish(directory, &format!("replay-{}", std::process::id())).await?;
    println!("Published.");
    Ok(())
}

async fn show(replay: &Replay, csv: Option<&Path>, config: &Config) -> anyhow::Result<()> {
    let all = replay.differences(None).await?;
    if all.is_empty() {
        println!("No login's usage changes.");
    } else {
        let logins: std::collections::BTreeSet<&str> = all.iter().map(|one| one.login.as_str()).collect();
        println!("Usage of {} logins changes:", logins.len());
        println!("{:<32} {:>8} {:>20} {:>20}", "login", "month", "download", "upload");
    }
    let calendar = config.calendar()?;
    let month = |one: &Difference| calendar.local(one.month).format("%Y-%m").to_string();
    let shown = usize::try_from(SHOWN).unwrap_or(usize::MAX);
    for one in all.iter().take(shown) {
        let (down, up) = (change(one.was.0, one.is.0), change(one.was.1, one.is.1));
        println!("{:<32} {:>8} {down:>20} {up:>20}", one.login, month(one));
    }
    if all.len() > shown {
        println!("… and {} more; --csv FILE writes them all.", all.len() - shown);
    }
    if let Some(path) = csv {
        write(path, &all, month).with_context(|| format!("writing {}", path.display()))?;
        println!("All differences are in {}.", path.display());
    }
    Ok(())
}

fn write(path: &Path, all: &[Difference], month: impl Fn(&Difference) -> String) -> anyhow::Result<()> {
    let mut file = csv::Writer::from_path(path)?;
    let columns = ["login", "month", "was_download", "is_download", "was_upload", "is_upload"];
    file.write_record(columns)?;
    for one in all {
        let octets = [one.was.0, one.is.0, one.was.1, one.is.1].map(|octets| octets.to_string());
        let login = query_api::neutral_cell(&one.login);
        file.write_record([login, month(one)].into_iter().chain(octets))?;
    }
    Ok(file.flush()?)
}

fn change(was: Octets, is: Octets) -> String {
    if is >= was { format!("+{}", is - was) } else { format!("-{}", was - is) }
}

fn counted(progress: &Progress) -> String {
    let mut text = format!(
        "{} sessions from {} records, {} of them irregular",
        progress.keys, progress.records, progress.irregular
    );
    if progress.incomplete > 0 {
        text += &format!(", {} left as they are because records are no longer kept", progress.incomplete);
    }
    text
}

fn confirmed() -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    print!("Publish? Type yes: ");
    stdout().flush()?;
    let mut line = String::new();
    if stdin().read_line(&mut line).context("reading the answer")? == 0 {
        bail!("no answer");
    }
    Ok(line.trim() == "yes")
}

/// How far it has come: on a terminal one line that changes, else a line now and then.
struct Shown {
    started: Instant,
    first: std::cell::Cell<Option<u32>>,
    on_terminal: bool,
}

impl Shown {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            first: std::cell::Cell::new(None),
            on_terminal: stderr().is_terminal(),
        }
    }

    fn show(&self, progress: &Progress) {
        let first = self.first.get().unwrap_or(progress.done);
        self.first.set(Some(first));
        let percent = u64::from(progress.done) * 100 / u64::from(progress.ranges.max(1));
        let done = progress.done - first;
        let left = self.started.elapsed() * (progress.ranges - progress.done) / done.max(1);
        let left = if done == 0 { String::new() } else { format!(", about {} s left", left.as_secs()) };
        let line = format!(
            "Settling again: {percent:3} %, {} sessions, {} records{left}",
            progress.keys, progress.records
        );
        let (before, after) = if self.on_terminal { ("\r\x1b[2K", "") } else { ("", "\n") };
        _ = write!(stderr(), "{before}{line}{after}");
    }

    fn end(&self) {
        if self.on_terminal {
            _ = writeln!(stderr());
        }
    }
}
