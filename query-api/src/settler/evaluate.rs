//! Evaluating keys from all their records.
//!
//! Rollups are written after the records that they are made of, and where that is cut off not before the records are
//! inserted again: what is evaluated is told by records alone.

use std::collections::HashMap;

use schema::{SessionKey, SessionKind, UnixTime};
use tokio::task::spawn_blocking;
use usage::{PolicyBook, PolicyHistory, Record, Watch, amendments, evaluate};

use super::SettlerParts;
use super::follow::Followed;
use crate::ApiError;
use crate::reading::{Keys, records};
use crate::settled::{SettledRow, Stamp, rows, settled_rows};
use crate::stored::{self, Match, Sort, StoredSession};

/// What the records that were followed tell of a key that waits to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    nas: String,
    /// Newest event time.
    newest_at: UnixTime,
}

impl Waiting {
    pub(super) fn of(followed: &Followed) -> Self {
        Self { nas: followed.nas.clone(), newest_at: followed.record.at }
    }

    pub(super) fn note(&mut self, at: UnixTime) {
        self.newest_at = self.newest_at.max(at);
    }
}

/// Rows of those of `keys` of which something new is to be published.
pub(super) async fn evaluated(
    parts: &SettlerParts,
    watch: Watch,
    book: &PolicyBook,
    generation: u32,
    waiting: &[(SessionKey, Waiting)],
) -> Result<Vec<Vec<SettledRow>>, ApiError> {
    let keys: Vec<SessionKey> = waiting.iter().map(|(key, _)| *key).collect();
    let wanted = Match { keys: Some(&keys), ..Match::default() };
    let stored = stored::find(&parts.reader, &wanted, Sort::default(), None, None).await?;
    let all: Vec<&StoredSession> = stored.iter().collect();
    let newest_at = waiting.iter().map(|(_, waiting)| waiting.newest_at).max().unwrap_or_default();
    let mut records =
        records(&parts.reader, &Keys::of(&all).reaching(newest_at, keys.len()), &keys, None).await?;
    let published = settled_rows(&parts.reader, &keys, generation).await?;
    let work = |(key, waiting): &(SessionKey, Waiting)| {
        let (nas, policies) = (waiting.nas.clone(), book.of(&waiting.nas).clone());
        Some(Work { key: *key, records: records.remove(key)?, policies, nas, kind: SessionKind::SESSION.0 })
    };
    let work: Vec<Work> = waiting.iter().filter_map(work).collect();
    // Evaluating is work for a processor, not for the runtime's threads.
    let computed = spawn_blocking(move || work.iter().map(|work| work.rows(generation, watch)).collect());
    let computed: Vec<Vec<SettledRow>> =
        computed.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    Ok(computed.into_iter().filter(|rows| is_new(rows, &published)).collect())
}

/// The newest event time of records.
pub(crate) fn newest_event(records: &[Record]) -> UnixTime {
    records.iter().map(|record| record.at).max().unwrap_or_default()
}

struct Work {
    key: SessionKey,
    records: Vec<Record>,
    policies: PolicyHistory,
    nas: String,
    kind: u8,
}

impl Work {
    fn rows(&self, generation: u32, watch: Watch) -> Vec<SettledRow> {
        let evaluation = evaluate(&self.records, &self.policies);
        let amendments = amendments(&self.records, &self.policies, watch);
        let newest_event_at = newest_event(&self.records);
        let stamp = Stamp { key: self.key, nas: &self.nas, kind: self.kind, generation, newest_event_at };
        rows(&stamp, &evaluation, &amendments)
    }
}

fn is_new(rows: &[SettledRow], published: &HashMap<SessionKey, Vec<SettledRow>>) -> bool {
    let key = rows.first().map(|row| SessionKey(row.session_key));
    let known = key.and_then(|key| published.get(&key)).map(Vec::as_slice).unwrap_or_default();
    known.len() != rows.len() || rows.iter().zip(known).any(|(row, known)| !row.says_the_same(known))
}
