//! `GET /online`: live sessions, newest first.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use collector::{OnlineCursor, OnlineFilter};
use schema::UnixTime;
use schema::live::OnlineSession;

use crate::page::{Cursor, PageRequest};
use crate::params::Params;
use crate::{ApiError, Deps, Page};

/// A page of the sessions that match.
#[must_use]
pub fn list(deps: &Deps, filter: &OnlineFilter, page: PageRequest) -> Page<OnlineSession> {
    let after = page.cursor.map(|at| OnlineCursor { started_at: UnixTime(at.value), id: at.id });
    let sessions = deps.online.find(filter, after, page.limit.saturating_add(1), UnixTime::now());
    Page::cut(sessions, page.limit, |session| Cursor { value: session.started_at.0, id: session.id })
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<Page<OnlineSession>>, ApiError> {
    let params = Params::of(&uri, &["login", "nas", "ip", "mac", "limit", "cursor"])?;
    let filter = filter(&params)?;
    Ok(Json(list(&deps, &filter, PageRequest::of(&params)?)))
}

/// From the parameters `login`, `nas`, `ip` and `mac`.
pub(crate) fn filter(params: &Params) -> Result<OnlineFilter, ApiError> {
    Ok(OnlineFilter {
        login: params.text("login").map(Into::into),
        nas: params.text("nas").map(Into::into),
        ip: params.ip("ip")?,
        mac: params.mac("mac")?,
    })
}
