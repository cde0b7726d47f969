//! `GET /usage/quality`: how well each NAS reports: sessions that had to be evaluated from their records, and what was
//! inferred in them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use clickhouse::{Client, Row};
use schema::{NasId, UnixTime};
use serde::{Deserialize, Serialize};
use usage::Verdict;

use crate::params::Params;
use crate::query::{fetch, seconds};
use crate::{ApiError, Deps};

/// Seconds looked back.
const WITHIN: i64 = 86_400;

/// How well every NAS reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quality {
    /// Sessions heard of since then are counted.
    pub since: UnixTime,
    /// The NASes, by name.
    pub items: Vec<NasQuality>,
}

/// How well a NAS reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NasQuality {
    /// Its identity.
    pub nas: NasId,
    /// Session identifiers heard of.
    pub sessions: u64,
    /// Of them, those whose records are not well-behaved, so that usage is computed from each of them.
    pub dirty_sessions: u64,
    /// Records of these by their verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
}

#[derive(Row, Deserialize)]
struct Heard {
    nas: String,
    sessions: u64,
}

#[derive(Row, Deserialize)]
struct Found {
    nas: String,
    sessions: u64,
    verdicts: Vec<(String, u64)>,
}

/// From when on sessions are counted.
pub(crate) const fn since(now: UnixTime) -> UnixTime {
    now.plus(-WITHIN)
}

/// What every NAS's sessions heard of since `since` look like.
pub(crate) async fn of_nases(
    client: &Client,
    generation: u32,
    since: UnixTime,
) -> Result<Vec<NasQuality>, ApiError> {
    let heard = "SELECT s.nas AS nas, uniqExact(s.session_key) AS sessions FROM sessions AS s \
                 WHERE s.month >= toStartOfMonth(toDateTime(?, 'UTC')) AND s.max_event_at >= toDateTime(?) \
                 AND s.kind = 0 GROUP BY nas";
    let found = "SELECT k.nas AS nas, count() AS sessions, \
                 arrayZip((sumMap(k.verdicts, k.records) AS sums).1, sums.2) AS verdicts FROM ( \
                 SELECT session_key, argMax(s.nas, s.revision) AS nas, argMax(s.verdicts, s.revision) AS verdicts, \
                 argMax(s.verdict_records, s.revision) AS records FROM settled_sessions AS s \
                 WHERE s.generation = ? AND s.number = 1 AND s.last_at >= toDateTime(?) GROUP BY session_key) AS k \
                 GROUP BY nas";
    let from = seconds(since);
    let heard = fetch::<Heard>(client.query(heard).bind(from).bind(from)).await?;
    let found = fetch::<Found>(client.query(found).bind(generation).bind(from)).await?;
    let mut nases: BTreeMap<String, NasQuality> = BTreeMap::new();
    for row in heard {
        nases.entry(row.nas).or_default().sessions = row.sessions;
    }
    for row in found {
        let nas = nases.entry(row.nas).or_default();
        nas.dirty_sessions = row.sessions;
        nas.sessions = nas.sessions.max(row.sessions);
        let known = |(name, records): (String, u64)| Some((Verdict::named(&name)?, records));
        nas.verdicts = row.verdicts.into_iter().filter_map(known).collect();
    }
    let named = |(nas, quality): (String, NasQuality)| NasQuality { nas: nas.into(), ..quality };
    Ok(nases.into_iter().map(named).collect())
}

/// How well every NAS has reported for a day.
///
/// # Errors
/// ClickHouse cannot be read.
pub async fn quality(deps: &Deps) -> Result<Quality, ApiError> {
    let since = since(UnixTime::now());
    let items = of_nases(&deps.clickhouse, deps.rules.current().generation, since).await?;
    Ok(Quality { since, items })
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<Quality>, ApiError> {
    Params::of(&uri, &[])?;
    Ok(Json(quality(&deps).await?))
}
