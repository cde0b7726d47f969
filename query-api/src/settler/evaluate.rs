//! Evaluating keys from all their records.

use std::collections::HashMap;

use schema::{SessionKey, UnixTime};
use tokio::task::spawn_blocking;
use usage::{PolicyBook, PolicyHistory, Record, Watch, amendments, evaluate};

use super::SettlerParts;
use crate::ApiError;
use crate::reading::{Keys, records};
use crate::settled::{SettledRow, Stamp, rows, settled_rows};
use crate::stored::{self, Match, Sort, StoredSession};

/// Rows of those of `keys` of which something new is to be published.
pub(super) async fn evaluated(
    parts: &SettlerParts,
    watch: Watch,
    book: &PolicyBook,
    generation: u32,
    keys: &[SessionKey],
) -> Result<Vec<Vec<SettledRow>>, ApiError> {
    let wanted = Match { keys: Some(keys), ..Match::default() };
    let stored = stored::find(&parts.reader, &wanted, Sort::default(), None, None).await?;
    let all: Vec<&StoredSession> = stored.iter().collect();
    let mut records = records(&parts.reader, &Keys::of(&all), keys, None).await?;
    let published = settled_rows(&parts.reader, keys, generation).await?;
    let work = |stored: &StoredSession| {
        let (key, policies) = (stored.key(), book.of(&stored.nas).clone());
        let (nas, kind) = (stored.nas.clone(), stored.kind);
        Some(Work { key, records: records.remove(&key)?, policies, nas, kind })
    };
    let work: Vec<Work> = stored.iter().filter_map(work).collect();
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
