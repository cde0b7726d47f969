//! Waiting for something to become true, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` finds something, at most for `within`; `what` names it when it does not.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: still not so after {within:?}");
        tokio::time::sleep(EVERY).await;
    }
}
