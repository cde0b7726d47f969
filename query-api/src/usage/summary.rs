//! `GET /usage/summary`: what a login used in a period.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use schema::{Octets, UnixTime};
use serde::Serialize;
use usage::Usage;

use super::amended::Amended;
use super::{UsageQuery, sessions_in};
use crate::gaps::{self, KnownGap};
use crate::params::Params;
use crate::reading::Session;
use crate::state::Standing;
use crate::{ApiError, Deps};

/// What a login used in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// RADIUS User-Name.
    pub login: String,
    /// The period's first instant.
    pub from: UnixTime,
    /// The first instant after the period.
    pub to: UnixTime,
    /// The provider's time zone.
    pub zone: &'static str,
    /// Sessions that were on in the period.
    pub sessions: u64,
    /// Of them, those that ended in the period by anything but a request of user or administrator, an idle or a session
    /// time-out.
    pub errors: u64,
    /// Seconds online, clipped to the period; parallel sessions add.
    pub online_seconds: u64,
    /// To the subscriber.
    pub download_octets: Octets,
    /// From the subscriber.
    pub upload_octets: Octets,
    /// The part of both that lies between two reports which enclose an end of the period, so that its share is computed.
    pub estimated_octets: Octets,
    /// Usage of the period counts only from then on (`usage_starts_at`); `null` where all of it counts.
    pub counted_since: Option<UnixTime>,
    /// When late data last changed a local day of the period that was settled; `null` where none did.
    pub amended_at: Option<UnixTime>,
    /// By how many octets to the subscriber all such changes of these days moved their usage.
    pub amended_download_octets: i64,
    /// By how many octets from the subscriber they did.
    pub amended_upload_octets: i64,
    /// Records next to an end of the period are no longer kept: up to ten seconds of traffic may be on its wrong side.
    pub approximate: bool,
    /// The newest report among these sessions; `null` where there is none. Usage follows live sessions by their reporting
    /// interval and about a second.
    pub as_of: Option<UnixTime>,
    /// Known gaps within the period that may touch these sessions: packets of their NASes were lost, or anyone's.
    pub gaps: Vec<KnownGap>,
}

/// What a login used in a period.
///
/// # Errors
/// ClickHouse cannot be read.
pub async fn summary(deps: &Deps, query: &UsageQuery) -> Result<Summary, ApiError> {
    let now = UnixTime::now();
    let boundaries = [query.from, query.to];
    let sessions = sessions_in(deps, query, &boundaries, now);
    let gaps = gaps::within(&deps.clickhouse, query.from, query.to);
    let ((sessions, nases), gaps) = tokio::try_join!(sessions, gaps)?;
    let gaps = gaps.into_iter().filter_map(|gap| gap.of_nases(&nases)).collect();
    Ok(of(deps, query, &sessions, gaps, now))
}

/// What sessions add up to.
pub(super) fn of(
    deps: &Deps,
    query: &UsageQuery,
    sessions: &[(Session, Standing)],
    gaps: Vec<KnownGap>,
    now: UnixTime,
) -> Summary {
    let (login, from, to) = (query.login.as_str(), query.from, query.to);
    let mut usage = Usage::default();
    for curve in sessions.iter().flat_map(|(session, _)| session.curves_of(Some(login))) {
        usage += curve.usage(from, to);
    }
    let amended = Amended::of(deps, sessions.iter().map(|(session, _)| session), query, from, to);
    let count =
        |holds: &dyn Fn(&(_, _)) -> bool| sessions.iter().filter(|session| holds(session)).count() as u64;
    Summary {
        login: query.login.clone(),
        from,
        to,
        zone: deps.calendar.zone().name(),
        sessions: count(&|(session, standing)| standing.overlaps(session, Some(login), (from, to), now)),
        errors: count(&|(session, standing)| standing.is_error_in(session, login, (from, to), now)),
        online_seconds: usage.online_seconds,
        download_octets: usage.download,
        upload_octets: usage.upload,
        estimated_octets: usage.estimated,
        counted_since: Some(deps.calendar.usage_starts_at()).filter(|since| from < *since),
        amended_at: amended.at,
        amended_download_octets: amended.download,
        amended_upload_octets: amended.upload,
        approximate: sessions.iter().any(|(session, _)| session.approximate),
        as_of: sessions.iter().map(|(session, _)| session.last_at()).max(),
        gaps,
    }
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<Summary>, ApiError> {
    let params = Params::of(&uri, &["login", "from", "to"])?;
    Ok(Json(summary(&deps, &UsageQuery::of(&params, &deps)?).await?))
}
