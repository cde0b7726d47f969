//! A simulated NAS, or several: real RADIUS accounting over UDP for made-up subscribers, past and live.
//!
//! `population.rs` says who the subscribers are, `traffic.rs` what they do with their line, `nas.rs` what their NAS
//! reports about it and when, `wire.rs` how a report becomes a packet, and `link.rs` sends packets until they are
//! acknowledged. Each NAS runs on its own; one seed gives the same subscribers and habits again.

mod link;
mod nas;
mod population;
mod progress;
mod traffic;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::Utc;
use chrono_tz::Tz;
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::serve;
use link::Link;
use nas::{Nas, Timing};
pub use progress::Progress;

/// How long packets that are still unanswered at the end are waited for.
const SETTLE: Duration = Duration::from_secs(5);

/// Options of `radtally simulate`.
#[derive(Args, Clone)]
pub struct SimulateArgs {
    /// The collector's address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1813")]
    target: SocketAddr,
    /// The secret shared with it.
    #[arg(long, env = "RADTALLY_SIMULATE_SECRET", hide_env_values = true)]
    secret: String,
    /// How many subscribers there are.
    #[arg(long, value_name = "N", default_value_t = 300)]
    subscribers: u32,
    /// How many NASes they are spread over.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nases: u32,
    /// Time between two interim updates of a session, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    interim: Duration,
    /// How much past to send first, such as 7d; nothing by default.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    backlog: Duration,
    /// Time between two interim updates in that past.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    backlog_interim: Duration,
    /// How long to go on live; until Ctrl-C by default.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// The subscribers' time zone, which their evenings follow.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: Tz,
    /// The same seed makes the same subscribers with the same habits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many packets a NAS may have unanswered; RADIUS allows 256 on one port.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=256))]
    window: u16,
}

/// What to simulate.
pub struct Plan {
    /// The collector's address.
    pub target: SocketAddr,
    /// The secret shared with it.
    pub secret: String,
    /// Subscribers over all NASes.
    pub subscribers: u32,
    /// NASes.
    pub nases: u32,
    /// Time between interim updates, live.
    pub interim: Duration,
    /// Past to send first.
    pub backlog: Duration,
    /// Time between interim updates in that past.
    pub backlog_interim: Duration,
    /// End of the live part.
    pub duration: Option<Duration>,
    /// The subscribers' time zone.
    pub timezone: Tz,
    /// Seed of everything random.
    pub seed: u64,
    /// Most unanswered packets per NAS.
    pub window: u16,
}

impl From<SimulateArgs> for Plan {
    fn from(args: SimulateArgs) -> Self {
        let SimulateArgs { target, secret, subscribers, nases, interim, backlog, backlog_interim, .. } = args;
        let SimulateArgs { duration, timezone, seed, window, .. } = args;
        Self {
            target,
            secret,
            subscribers,
            nases,
            interim,
            backlog,
            backlog_interim,
            duration,
            timezone,
            seed,
            window,
        }
    }
}

/// Runs `radtally simulate`.
pub async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let shutdown = serve::on_signal()?;
    let progress = Arc::new(Progress::default());
    let reporting = tokio::spawn(Arc::clone(&progress).report(shutdown.clone()));
    let result = simulate(args.into(), Arc::clone(&progress), shutdown.clone()).await;
    shutdown.cancel();
    reporting.await.context("reporting progress")?;
    println!("{}", progress.summary());
    result
}

/// Simulates `plan` until its end or `shutdown`, counting into `progress`.
///
/// # Errors
/// The plan makes no sense, or a socket cannot be used.
pub async fn simulate(
    plan: Plan,
    progress: Arc<Progress>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if plan.interim < Duration::from_secs(1) || plan.backlog_interim < Duration::from_secs(1) {
        bail!("interim updates must be at least a second apart");
    }
    if plan.nases == 0 || plan.subscribers < plan.nases {
        bail!("{} subscribers cannot be spread over {} NASes", plan.subscribers, plan.nases);
    }
    let now = Utc::now().timestamp();
    let timing = Timing {
        from: now - seconds(plan.backlog),
        live_from: now,
        interim: seconds(plan.interim),
        backlog_interim: seconds(plan.backlog_interim),
        zone: plan.timezone,
    };
    progress.begin(plan.nases, timing.from, timing.live_from);
    let stop = shutdown.child_token();
    if let Some(duration) = plan.duration {
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(tokio::time::sleep(duration)).await;
            stop.cancel();
        });
    }
    let mut tasks = JoinSet::new();
    for index in 0..plan.nases {
        let share = plan.subscribers / plan.nases + u32::from(index < plan.subscribers % plan.nases);
        let nas = Nas::new(index, share, plan.seed, timing.clone());
        let link = Link::new(plan.target, plan.secret.as_bytes(), plan.window, Arc::clone(&progress)).await?;
        tasks.spawn(operate(nas, link, Arc::clone(&progress), stop.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a NAS ended unexpectedly")??;
    }
    Ok(())
}

/// Sends what `nas` reports: what lies in the past as fast as it is acknowledged, then each report at its time.
async fn operate(
    mut nas: Nas,
    mut link: Link,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while let Some(due) = nas.next_at() {
        progress.reached(nas.index(), due);
        let ahead = Duration::from_secs(u64::try_from(due - Utc::now().timestamp()).unwrap_or(0));
        if !ahead.is_zero()
            && stop.run_until_cancelled(link.rest(Instant::now() + ahead)).await.transpose()?.is_none()
        {
            break;
        }
        for report in nas.advance() {
            let sent = link.send(|secret, identifier| wire::encode(&report, secret, identifier));
            if stop.run_until_cancelled(sent).await.transpose()?.is_none() {
                break;
            }
        }
        if stop.is_cancelled() {
            break;
        }
    }
    link.settle(Instant::now() + SETTLE).await
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Reads a time such as `90s`, `5m`, `12h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is no time: write a whole number and s, m, h or d, such as 30s or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let number: u32 = number.parse().map_err(|_| bad())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "s", "5", "5w", "-5m", "1.5h", "5µ"] {
            assert!(duration(bad).unwrap_err().contains(bad), "{bad}");
        }
    }
}
