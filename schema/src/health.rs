//! How well each part of radtally does; the parts write it, `GET /api/v1/health` reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::UnixTime;

/// The state of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartStatus {
    /// Works.
    Up,
    /// Works with a handicap, which `reason` names.
    Degraded,
    /// Does not work; `reason` says why.
    Down,
}

/// One part's state since a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartHealth {
    /// Its state.
    pub status: PartStatus,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Since when it is in this state.
    pub since: UnixTime,
}

/// Part name of what stands between a packet and its acknowledgement; the service is healthy while it is not down.
pub const JOURNAL: &str = "journal";
/// Part name of the UDP listeners.
pub const LISTENER: &str = "listener";
/// Part name of the way from journal to ClickHouse.
pub const EXPORTER: &str = "exporter";
/// Part name of ClickHouse.
pub const CLICKHOUSE: &str = "clickhouse";
/// Part name of what evaluates irregular sessions.
pub const SETTLER: &str = "settler";
/// Part name of the relational database.
pub const DATABASE: &str = "database";

/// The shared board. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct HealthBoard(Arc<RwLock<BTreeMap<&'static str, PartHealth>>>);

impl HealthBoard {
    /// Notes that `part` works.
    pub fn up(&self, part: &'static str) {
        self.set(part, PartStatus::Up, None);
    }

    /// Notes that `part` works with a handicap.
    pub fn degraded(&self, part: &'static str, reason: impl Into<String>) {
        self.set(part, PartStatus::Degraded, Some(reason.into()));
    }

    /// Notes that `part` does not work.
    pub fn down(&self, part: &'static str, reason: impl Into<String>) {
        self.set(part, PartStatus::Down, Some(reason.into()));
    }

    /// Every part's state, by name.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<&'static str, PartHealth> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `part` does not work, or has not told yet.
    #[must_use]
    pub fn is_down(&self, part: &str) -> bool {
        self.parts().get(part).is_none_or(|health| health.status == PartStatus::Down)
    }

    /// Whether packets can be acknowledged.
    #[must_use]
    pub fn acknowledging(&self) -> bool {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        [JOURNAL, LISTENER]
            .iter()
            .all(|part| parts.get(part).is_some_and(|health| health.status != PartStatus::Down))
    }

    fn set(&self, part: &'static str, status: PartStatus, reason: Option<String>) {
        let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let since = match parts.get(part) {
            Some(known) if known.status == status && known.reason == reason => return,
            Some(known) if known.status == status => known.since,
            _ => UnixTime::now(),
        };
        parts.insert(part, PartHealth { status, reason, since });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_can_be_acknowledged_only_while_listener_and_journal_work() {
        let board = HealthBoard::default();
        assert!(!board.acknowledging());
        board.up(LISTENER);
        board.up(JOURNAL);
        board.down(CLICKHOUSE, "connection refused");
        assert!(board.acknowledging());
        board.down(JOURNAL, "disk full");
        assert!(!board.acknowledging());
    }
}
