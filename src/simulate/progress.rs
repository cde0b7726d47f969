//! Counts of what was sent and acknowledged, and how far the past is told.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::DateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What all NASes of a simulation share.
#[derive(Default)]
pub struct Progress {
    sent: AtomicU64,
    sent_again: AtomicU64,
    acknowledged: AtomicU64,
    lost: AtomicU64,
    strange: AtomicU64,
    waited_micros: AtomicU64,
    longest_micros: AtomicU64,
    past: OnceLock<Past>,
}

struct Past {
    from: i64,
    to: i64,
    reached: Vec<AtomicI64>,
}

impl Progress {
    /// Notes that `nases` NASes will tell the past between `from` and `to`.
    pub fn begin(&self, nases: u32, from: i64, to: i64) {
        let reached = (0..nases).map(|_| AtomicI64::new(from)).collect();
        self.past.get_or_init(|| Past { from, to, reached });
    }

    /// Notes that the NAS numbered `index` has come to `at`.
    pub fn reached(&self, index: u32, at: i64) {
        if let Some(reached) = self.past.get().and_then(|past| past.reached.get(index as usize)) {
            reached.store(at, Ordering::Relaxed);
        }
    }

    /// Whether all of the past is told.
    pub fn is_live(&self) -> bool {
        self.past.get().is_some_and(|past| past.reached() >= past.to)
    }

    /// Counts a packet.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a retransmission.
    pub fn sent_again(&self) {
        self.sent_again.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that came after `waited`.
    pub fn acknowledged(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.waited_micros.fetch_add(micros, Ordering::Relaxed);
        self.longest_micros.fetch_max(micros, Ordering::Relaxed);
    }

    /// Counts a packet that was given up.
    pub fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a datagram that answers nothing, or whose authenticator is wrong.
    pub fn strange(&self) {
        self.strange.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts in one line.
    pub fn summary(&self) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let acknowledged = get(&self.acknowledged);
        let mean = get(&self.waited_micros).checked_div(acknowledged).unwrap_or(0);
        format!(
            "{} packets sent, {acknowledged} acknowledged, {} lost; {} retransmissions, {} strange answers; answered after {:.1} ms \
             on average, {:.1} ms at most",
            get(&self.sent),
            get(&self.lost),
            get(&self.sent_again),
            get(&self.strange),
            Duration::from_micros(mean).as_secs_f64() * 1e3,
            Duration::from_micros(get(&self.longest_micros)).as_secs_f64() * 1e3,
        )
    }

    /// Shows on standard error how far the past is told, until it is, or until `shutdown`.
    pub async fn report(self: Arc<Self>, shutdown: CancellationToken) {
        let on_terminal = std::io::stderr().is_terminal();
        let every = if on_terminal { Duration::from_millis(500) } else { Duration::from_secs(5) };
        let started = Instant::now();
        while shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let Some(past) = self.past.get().filter(|past| past.to > past.from) else { continue };
            let line = past.line(self.acknowledged.load(Ordering::Relaxed), started.elapsed());
            // A terminal gets one line that changes, a file a line now and then.
            let (before, after) = if on_terminal { ("\r\x1b[2K", "") } else { ("", "\n") };
            _ = write!(std::io::stderr(), "{before}{line}{after}");
            if self.is_live() {
                _ = write!(std::io::stderr(), "{}", if on_terminal { "\n" } else { "" });
                return;
            }
        }
    }
}

impl Past {
    fn reached(&self) -> i64 {
        self.reached.iter().map(|reached| reached.load(Ordering::Relaxed)).min().unwrap_or(self.to)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn line(&self, acknowledged: u64, took: Duration) -> String {
        let at = self.reached().min(self.to);
        let percent = (at - self.from) * 100 / (self.to - self.from).max(1);
        let day = DateTime::from_timestamp(at, 0).unwrap_or_default().format("%a %d %b %H:%M UTC");
        let rate = acknowledged as f64 / took.as_secs_f64().max(0.001);
        format!(
            "Sending the past: {percent:3} %, {day}, {acknowledged} packets acknowledged, {rate:.0} a second"
        )
    }
}
