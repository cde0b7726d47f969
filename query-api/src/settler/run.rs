//! The settler at work: one at a time by a lease, over and over until the end.

use std::time::Duration;

use schema::UnixTime;
use schema::health::{CLICKHOUSE, HealthBoard, SETTLER};
use subscribers::Directory;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Settler, SettlerParts};
use crate::ApiError;
use crate::metrics::Settling;
use crate::usage::quality;

/// Name of the lease.
pub const LEASE: &str = "settler";
/// Name of the lease before which a settler gives way: a replay is being published.
pub const PUBLISHING: &str = "publishing";
/// Seconds for which the lease is taken; renewed with every round.
const LEASE_SECONDS: i64 = 30;
/// Time between two rounds where there is nothing to do.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks at a lease that another holds, and the longest wait after a failure.
const STANDBY: Duration = Duration::from_secs(5);
/// Time between two counts of what is irregular.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// What makes a settler the only one.
#[derive(Clone)]
pub struct SettlerLease {
    /// Where the lease is.
    pub directory: Directory,
    /// Who we are among the processes that share it.
    pub holder: String,
}

/// Settles until `shutdown`, whenever the lease can be had.
pub async fn run(parts: SettlerParts, lease: SettlerLease, health: HealthBoard, shutdown: CancellationToken) {
    let mut settler = Settler::new(parts.clone());
    let mut counted_at = None;
    while !shutdown.is_cancelled() {
        let wait = match round(&mut settler, &lease, &health).await {
            Ok(Round::Waiting) => PAUSE,
            Ok(Round::Standby(holder)) => {
                settler = Settler::new(parts.clone());
                health.up(SETTLER);
                tracing::debug!(holder, "another process settles");
                STANDBY
            }
            Ok(Round::Done { records }) => {
                health.up(SETTLER);
                if counted_at.is_none_or(|at: Instant| at.elapsed() >= COUNT_EVERY) {
                    counted_at = Some(Instant::now());
                    count(&parts).await;
                }
                if records > 0 { Duration::ZERO } else { PAUSE }
            }
            Err(error) => {
                // It may have seen records that it has not settled: the next one reads them again.
                settler = Settler::new(parts.clone());
                health.degraded(SETTLER, format!("irregular sessions are evaluated when read: {error}"));
                warn!(%error, retry_in = ?STANDBY, "sessions could not be settled");
                STANDBY
            }
        };
        _ = shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
    if let Err(error) = settler.save().await {
        info!(%error, "the next settler reads some records again");
    }
    match lease.directory.release_lease(LEASE, &lease.holder).await {
        Ok(()) => {}
        Err(error) => info!(%error, "the settler's lease runs out by itself"),
    }
}

enum Round {
    /// ClickHouse is not there yet; its own health says why.
    Waiting,
    /// Another has the lease.
    Standby(String),
    Done {
        records: u64,
    },
}

async fn round(settler: &mut Settler, lease: &SettlerLease, health: &HealthBoard) -> Result<Round, ApiError> {
    if health.is_down(CLICKHOUSE) {
        return Ok(Round::Waiting);
    }
    if let Some((holder, _)) = lease.directory.lease_holder(PUBLISHING).await? {
        lease.directory.release_lease(LEASE, &lease.holder).await?;
        return Ok(Round::Standby(holder));
    }
    if !lease.directory.acquire_lease(LEASE, &lease.holder, LEASE_SECONDS).await? {
        let holder = lease.directory.lease_holder(LEASE).await?;
        return Ok(Round::Standby(holder.map(|(holder, _)| holder).unwrap_or_default()));
    }
    let started = Instant::now();
    let done = settler.step().await?;
    if done.records > 0 {
        Settling::did(&done, started.elapsed());
    }
    Settling::lags(settler.lag(UnixTime::now()));
    Ok(Round::Done { records: done.records })
}

/// Counts per NAS what is irregular, for the metrics.
async fn count(parts: &SettlerParts) {
    let generation = parts.rules.current().generation;
    match quality::of_nases(&parts.reader, generation, quality::since(UnixTime::now())).await {
        Ok(nases) => nases.iter().for_each(Settling::counts),
        Err(error) => warn!(%error, "irregular sessions could not be counted"),
    }
}
