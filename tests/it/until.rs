//! Waiting for something to become true, with a deadline.

use std::fmt::Debug;
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

/// Looks until `look` finds `wanted`, at most for `within`; says what it found instead when it does not.
pub async fn until_equal<T: Debug + PartialEq>(
    wanted: &T,
    within: Duration,
    mut look: impl AsyncFnMut() -> T,
) {
    let deadline = Instant::now() + within;
    loop {
        let found = look().await;
        if found == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "wanted {wanted:?}, found {found:?}, still so after {within:?}");
        tokio::time::sleep(EVERY).await;
    }
}
