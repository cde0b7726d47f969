//! Keys evaluated from their records, whatever is published of them: what an explanation is made of.

use std::collections::HashMap;
use std::panic::resume_unwind;

use clickhouse::Client;
use schema::{SessionKey, UnixTime};
use serde::Serialize;
use tokio::task::spawn_blocking;
use usage::{Amendment, Evaluation, NasPolicy, Record, evaluate};

use crate::query::{KEYS_PER_QUERY, time};
use crate::reading::{Keys, records};
use crate::rules::Published;
use crate::settled::{SettledRow, settled_rows};
use crate::stored::StoredSession;
use crate::{ApiError, Deps};

/// A key's records and what they mean.
pub(crate) struct Evidence {
    pub(crate) records: Vec<Record>,
    pub(crate) evaluation: Evaluation,
    pub(crate) settled: Option<Settlement>,
    /// What late data changed of the key's settled days, as published.
    pub(crate) amendments: Vec<Amendment>,
}

/// What is published of a key whose records are not well-behaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// Its number; later ones are greater.
    pub revision: u64,
    /// When it was published.
    pub settled_at: UnixTime,
    /// Whether the records as they are now say the same. A record that came within the last seconds is settled soon.
    pub agrees: bool,
}

/// The rules by which a session is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RulesInForce {
    /// Counted from 1; 0 before any were published.
    pub version: u64,
    /// Generation of settled sessions: `radtally replay` makes a new one.
    pub generation: u32,
    /// What the NAS's counters mean, for sessions that began when this one did.
    pub policy: NasPolicy,
}

impl RulesInForce {
    /// For a session of `nas` that began at `start`.
    pub(crate) fn of(rules: &Published, nas: &str, start: UnixTime) -> Self {
        let policy = rules.book.of(nas).at(start);
        Self { version: rules.version, generation: rules.generation, policy }
    }
}

/// From when on records are kept, where some of a key's may be gone: there is no evidence of such a key.
pub(crate) fn gone(deps: &Deps, stored: &StoredSession) -> Option<UnixTime> {
    let since = deps.rules.kept().records_since;
    (time(stored.first_event_at) < since).then_some(since)
}

/// The evidence of each of the keys of `stored`.
pub(crate) async fn evidence(
    client: &Client,
    rules: &Published,
    stored: &[&StoredSession],
) -> Result<HashMap<SessionKey, Evidence>, ApiError> {
    let mut found = HashMap::with_capacity(stored.len());
    for stored in stored.chunks(KEYS_PER_QUERY) {
        let keys: Vec<SessionKey> = stored.iter().map(|stored| stored.key()).collect();
        let all = Keys::of(stored);
        let (mut records, settled) = tokio::try_join!(
            records(client, &all, &keys, None),
            settled_rows(client, &keys, rules.generation)
        )?;
        let work = stored.iter().filter_map(|stored| {
            let key = stored.key();
            Some((key, records.remove(&key)?, rules.book.of(&stored.nas).clone()))
        });
        let work: Vec<_> = work.collect();
        // Evaluating is work for a processor, not for the runtime's threads.
        let evaluated = spawn_blocking(move || {
            let evaluated = work.into_iter().map(|(key, records, policies)| {
                let evaluation = evaluate(&records, &policies);
                (key, records, evaluation)
            });
            evaluated.collect::<Vec<_>>()
        });
        let evaluated = evaluated.await.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        found.extend(evaluated.into_iter().map(|(key, records, evaluation)| {
            let rows = settled.get(&key).map(Vec::as_slice).unwrap_or_default();
            let settled = Settlement::of(rows, &evaluation);
            let amendments = rows.first().map(SettledRow::amendments).unwrap_or_default();
            (key, Evidence { records, evaluation, settled, amendments })
        }));
    }
    Ok(found)
}

impl Settlement {
    fn of(rows: &[SettledRow], evaluation: &Evaluation) -> Option<Self> {
        let first = rows.first()?;
        let same = |(row, now): (&SettledRow, &usage::Session)| {
            let then = row.session();
            (then.started_at, then.stopped, &then.curves) == (now.started_at, now.stopped, &now.curves)
        };
        let agrees =
            rows.len() == evaluation.sessions.len() && rows.iter().zip(&evaluation.sessions).all(same);
        let settled_at = UnixTime(first.settled_at.div_euclid(1_000));
        Some(Self { revision: first.revision, settled_at, agrees })
    }
}
