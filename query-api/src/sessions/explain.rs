//! `GET /sessions/{id}/explain`: how a session's usage comes about, record by record and day by day.
//!
//! The records are always evaluated anew; where a settled revision is what other answers are read from, the explanation
//! says whether both agree.

mod records;
mod share;
mod why;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use schema::{SessionKey, UnixTime};
use serde::Serialize;
use usage::{Amendment, Calendar, RecordName, Session, Verdict};

use super::{SessionDetail, SessionId, detail, find_key};
use crate::evidence::{Evidence, evidence, gone};
use crate::params::Params;
use crate::usage::check_order;
use crate::{ApiError, Deps};

pub use self::records::{ExplainedRecord, Name, Reported, Traffic};
use self::records::{Timeline, read_cursor};
pub use self::share::{Reading, Report, Share};
pub use crate::evidence::{RulesInForce, Settlement};

/// Most records of a page, and as many where the request does not say.
pub const MAX_RECORDS: usize = 1_000;
/// Most days listed of a session; for later ones name a period.
const MAX_DAYS: usize = 1_100;

/// What of a session is explained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainQuery {
    /// The period's first instant; the session's start where only `to` is given.
    pub from: Option<UnixTime>,
    /// The first instant after the period; the session's end where only `from` is given.
    pub to: Option<UnixTime>,
    /// Most records; [`MAX_RECORDS`] where not given.
    pub limit: Option<usize>,
    /// The record after which they begin.
    pub cursor: Option<RecordName>,
}

/// How a session's usage comes about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The session, as `GET /sessions/{id}` tells it.
    pub session: SessionDetail,
    /// The rules by which it is computed.
    pub rules: RulesInForce,
    /// What is published of its key; `null` where its records are well-behaved, so that rollups tell its usage.
    pub settled: Option<Settlement>,
    /// Whether the NAS's clock was set while it lasted, so that its times are those of one of two clocks.
    pub clock_stepped: bool,
    /// Other sessions that had the same Acct-Session-Id at the same NAS.
    pub others: Vec<OtherSession>,
    /// Its records by their verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Its records in the order of its clock; a page of them.
    pub records: Vec<ExplainedRecord>,
    /// The `cursor` of the next page; `null` on the last.
    pub next: Option<String>,
    /// What lies in each local day that it touches, or in the period that was asked for; by login where that changed.
    pub periods: Vec<Share>,
    /// What late data changed of these days after they were settled.
    pub amendments: Vec<Amendment>,
}

/// A session that had the same identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherSession {
    /// Its name.
    pub id: SessionId,
    /// When it began.
    pub started_at: UnixTime,
}

impl ExplainQuery {
    /// From the parameters `from`, `to`, `limit` and `cursor`.
    ///
    /// # Errors
    /// Names the one that is not usable.
    pub fn of(params: &Params, calendar: Calendar) -> Result<Self, ApiError> {
        let (from, to) = (params.time("from", calendar)?, params.time("to", calendar)?);
        check_order(params, from, to)?;
        let limit = params.number("limit", 1..=MAX_RECORDS)?;
        Ok(Self { from, to, limit, cursor: params.read("cursor", read_cursor)? })
    }
}

/// How a session's usage comes about, where there is one with this name.
///
/// # Errors
/// ClickHouse cannot be read, the session's records are no longer kept, or the cursor names none of them.
pub async fn explain(
    deps: &Deps,
    id: SessionId,
    query: &ExplainQuery,
) -> Result<Option<Explanation>, ApiError> {
    let rules = deps.rules.current();
    let Some(stored) = find_key(deps, id.key).await? else { return Ok(None) };
    if let Some(since) = gone(deps, &stored) {
        return Err(ApiError::Expired { at: UnixTime(stored.first_event_at.into()), since });
    }
    let key = [&stored];
    let (detail, mut evidence) =
        tokio::try_join!(detail(deps, &stored, id), evidence(&deps.clickhouse, &rules, &key))?;
    let (Some(detail), Some(evidence)) = (detail, evidence.remove(&id.key)) else { return Ok(None) };
    let number = detail.session.id.number.unwrap_or(1);
    // What is published may trail by a session that has just begun or been joined.
    let number = number.clamp(1, evidence.evaluation.sessions.len().max(1));
    let Some(session) = evidence.evaluation.sessions.get(number - 1) else { return Ok(None) };
    let rules = RulesInForce::of(&rules, &stored.nas, session.started_at);
    let timeline = Timeline::of(id.key, number, rules.policy, &evidence);
    let limit = query.limit.unwrap_or(MAX_RECORDS);
    let (records, next) = timeline.page(&deps.clickhouse, limit, query.cursor.as_ref()).await?;
    Ok(Some(Explanation {
        rules,
        settled: evidence.settled,
        clock_stepped: session.clock_stepped,
        others: others(id.key, number, &evidence),
        verdicts: timeline.verdicts(),
        records,
        next,
        periods: shares(session, query, &deps.calendar),
        amendments: amendments(session, &evidence, &deps.calendar),
        session: detail,
    }))
}

fn others(key: SessionKey, number: usize, evidence: &Evidence) -> Vec<OtherSession> {
    let numbered = (1..).zip(&evidence.evaluation.sessions).filter(|(other, _)| *other != number);
    let other = |(number, session): (usize, &Session)| OtherSession {
        id: SessionId { key, number: Some(number) },
        started_at: session.started_at,
    };
    numbered.map(other).collect()
}

/// The period's part, or that of each day.
fn shares(session: &Session, query: &ExplainQuery, calendar: &Calendar) -> Vec<Share> {
    let mut shares = Vec::new();
    for (login, curve) in &session.curves {
        if query.from.is_none() && query.to.is_none() {
            for (from, to) in days(curve.starts_at(), curve.ends_at(), calendar) {
                shares.push(Share::of(login, curve, from, to));
            }
            continue;
        }
        let from = query.from.unwrap_or(session.started_at);
        let to = query.to.unwrap_or_else(|| session.last_at().max(from));
        let touches = curve.starts_at() < to && curve.ends_at() > from;
        if touches || session.curves.len() == 1 {
            shares.push(Share::of(login, curve, from, to));
        }
    }
    shares
}

/// The local days from `first` up to `last`.
fn days(first: UnixTime, last: UnixTime, calendar: &Calendar) -> Vec<(UnixTime, UnixTime)> {
    let next = |day: &usage::period::LocalDay| Some(calendar.day_of(day.ends_at));
    std::iter::successors(Some(calendar.day_of(first)), next)
        .take_while(|day| day.starts_at < last || day.starts_at <= first)
        .take(MAX_DAYS)
        .map(|day| (day.starts_at, day.ends_at))
        .collect()
}

/// Those of the key that changed days of the session.
fn amendments(session: &Session, evidence: &Evidence, calendar: &Calendar) -> Vec<Amendment> {
    let touched = |one: &&Amendment| {
        one.day <= session.last_at() && calendar.day_of(one.day).ends_at > session.started_at
    };
    evidence.amendments.iter().filter(touched).cloned().collect()
}

pub(crate) async fn get(
    State(deps): State<Deps>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Explanation>, ApiError> {
    let params = Params::of(&uri, &["from", "to", "limit", "cursor"])?;
    let query = ExplainQuery::of(&params, deps.calendar)?;
    let missing = || ApiError::NotFound { what: "session", name: id.clone() };
    let found = explain(&deps, id.parse().map_err(|_| missing())?, &query).await?;
    found.map(Json).ok_or_else(missing)
}
