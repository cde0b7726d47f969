//! `GET /usage/explain`: how a login's total in a period comes about, session by session.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use schema::{ClientName, NasId, SessionKind, UnixTime};
use serde::Serialize;
use usage::{Usage, Verdict};

use super::summary::{self, Summary};
use super::{Found, UsageQuery, found_in};
use crate::evidence::{Evidence, Settlement, evidence, gone};
use crate::gaps;
use crate::params::Params;
use crate::reading::Session;
use crate::sessions::explain::Share;
use crate::sessions::{PeriodUsage, SessionId};
use crate::state::SessionState;
use crate::stored::StoredSession;
use crate::{ApiError, Deps};

/// How a total comes about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The total, as `GET /usage/summary` tells it: the sum of `sessions`.
    pub total: Summary,
    /// Of the rules by which it is computed; 0 before any were published.
    pub rules_version: u64,
    /// The sessions that were on in the period, newest first.
    pub sessions: Vec<Part>,
    /// Services and queues: their octets are part of their sessions' and are not added.
    pub not_added: Vec<Part>,
}

/// A session's part in a total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The session.
    pub id: SessionId,
    /// Acct-Session-Id.
    pub acct_session_id: String,
    /// `session`; or `service` or `queue`.
    pub kind: String,
    /// Who reports it.
    pub nas: NasId,
    /// The client its packets come from.
    pub client: ClientName,
    /// When it began.
    pub started_at: UnixTime,
    /// When it ended; `null` while it is on.
    pub ended_at: Option<UnixTime>,
    /// Whether it is on.
    pub state: SessionState,
    /// What it used in the period.
    #[serde(flatten)]
    pub usage: PeriodUsage,
    /// How that comes about: more than one where User-Name changed to another and back.
    pub shares: Vec<Share>,
    /// Its records by their verdict, those outside the period included; none where they are no longer kept.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// What is published of its key; `null` where rollups tell its usage.
    pub settled: Option<Settlement>,
    /// Where its records are explained; `null` where they are no longer kept.
    pub explain: Option<String>,
}

/// How a login's total in a period comes about.
///
/// # Errors
/// ClickHouse cannot be read.
pub async fn explain(deps: &Deps, query: &UsageQuery) -> Result<Explanation, ApiError> {
    let now = UnixTime::now();
    let rules = deps.rules.current();
    let boundaries = [query.from, query.to];
    let all = found_in(deps, query, &boundaries, now, |_| true);
    let gaps = gaps::within(&deps.clickhouse, query.from, query.to);
    let (all, gaps) = tokio::try_join!(all, gaps)?;
    let nases = all.iter().map(|found| found.stored.nas.as_str().into()).collect();
    let gaps = gaps.into_iter().filter_map(|gap| gap.of_nases(&nases)).collect();
    let kept = all.iter().map(|found| &*found.stored).filter(|stored| gone(deps, stored).is_none());
    let keys: BTreeMap<_, &StoredSession> = kept.map(|stored| (stored.key(), stored)).collect();
    let stored: Vec<&StoredSession> = keys.into_values().collect();
    let evidence = evidence(&deps.clickhouse, &rules, &stored).await?;
    let (mut own, mut sessions, mut not_added) = (Vec::new(), Vec::new(), Vec::new());
    for found in all {
        let part = Part::of(&found, query, evidence.get(&found.stored.key()));
        let on = found.standing.overlaps(&found.session, Some(&query.login), (query.from, query.to), now);
        let parts = if part.is_own() { &mut sessions } else { &mut not_added };
        if part.is_own() {
            own.push((found.session, found.standing));
        }
        if on || part.is_used() {
            parts.push(part);
        }
    }
    let total = summary::of(deps, query, &own, gaps, now);
    Ok(Explanation { total, rules_version: rules.version, sessions, not_added })
}

impl Part {
    fn of(found: &Found, query: &UsageQuery, evidence: Option<&Evidence>) -> Self {
        let Found { stored, session, standing } = found;
        let (from, to) = (query.from, query.to);
        let mut usage = Usage::default();
        let mut shares = Vec::new();
        for (login, curve) in session.curves.iter().filter(|(login, _)| login.as_str() == query.login) {
            usage += curve.usage(from, to);
            shares.push(Share::of(login, curve, from, to));
        }
        let id = SessionId { key: session.key, number: (session.of > 1).then_some(session.number) };
        Self {
            id,
            acct_session_id: stored.acct_session_id.clone(),
            kind: SessionKind(stored.kind).to_string(),
            nas: stored.nas.as_str().into(),
            client: stored.client.as_str().into(),
            started_at: session.started_at,
            ended_at: standing.ended_at,
            state: standing.state,
            usage: usage.into(),
            shares,
            verdicts: evidence.map(|evidence| verdicts(evidence, session)).unwrap_or_default(),
            settled: evidence.and_then(|evidence| evidence.settled),
            explain: evidence.map(|_| format!("/api/v1/sessions/{id}/explain?from={from}&to={to}")),
        }
    }

    fn is_own(&self) -> bool {
        self.kind == SessionKind::SESSION.to_string()
    }

    fn is_used(&self) -> bool {
        self.usage.download_octets.0 > 0 || self.usage.upload_octets.0 > 0 || self.usage.online_seconds > 0
    }
}

fn verdicts(evidence: &Evidence, session: &Session) -> BTreeMap<Verdict, u64> {
    let mut counts = BTreeMap::new();
    let findings = evidence.evaluation.findings.values();
    for finding in findings.filter(|finding| finding.session + 1 == session.number) {
        *counts.entry(finding.verdict).or_default() += 1;
    }
    counts
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<Explanation>, ApiError> {
    let params = Params::of(&uri, &["login", "from", "to"])?;
    Ok(Json(explain(&deps, &UsageQuery::of(&params, &deps)?).await?))
}
