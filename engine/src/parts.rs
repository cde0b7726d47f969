//! What a statement gives, part by part. Whoever drops this before the end has left: the statement is stopped.

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::debug;

use crate::pool::Pool;

/// Parts of a result that wait for the client. Full: the statement waits.
const PARTS: usize = 2;

/// What a statement gives back.
pub enum Part {
    /// A part of its result.
    Result(Bytes),
    /// The rows that an insert has stored.
    Written(u64),
}

/// Where a statement puts its parts; a message of ClickHouse's is the last.
pub type Sender = mpsc::Sender<Result<Part, String>>;

/// The client's end.
pub struct Parts {
    parts: mpsc::Receiver<Result<Part, String>>,
    pool: &'static Pool,
    /// The statement's mark, while it can be stopped.
    mark: Option<String>,
}

/// Both ends for a statement that runs under `mark`, if it may be stopped.
pub fn channel(pool: &'static Pool, mark: Option<String>) -> (Sender, Parts) {
    let (to, parts) = mpsc::channel(PARTS);
    (to, Parts { parts, pool, mark })
}

impl Parts {
    /// The next part; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Part, String>> {
        let part = self.parts.recv().await;
        if !matches!(part, Some(Ok(_))) {
            self.mark = None;
        }
        part
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let Some(mark) = self.mark.take() else { return };
        let pool = self.pool;
        // At the end of the process there is no runtime, and nothing left to stop.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || {
                if let Err(message) = pool.stop(&mark) {
                    debug!(message, "an abandoned statement runs on to its end or time-out");
                }
            });
        }
    }
}
