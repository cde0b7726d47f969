//! `GET /metrics` in Prometheus's text format, and the API's own metrics.
//!
//! | metric | |
//! |---|---|
//! | `radtally_query_api_request_seconds` | time until a response begins, by `route` and `status` |
//! | `radtally_query_api_live_viewers` | WebSockets open on the live feed |

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::params::Params;
use crate::{ApiError, Deps};

const REQUEST_SECONDS: &str = "radtally_query_api_request_seconds";
const LIVE_VIEWERS: &str = "radtally_query_api_live_viewers";

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Response, ApiError> {
    Params::of(&uri, &[])?;
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((text, deps.metrics.render()).into_response())
}

/// Measures every request.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!(REQUEST_SECONDS, "route" => route, "status" => status).record(started.elapsed());
    response
}

/// Counts a viewer of the live feed for as long as it lives.
pub(crate) struct Viewer;

impl Viewer {
    pub(crate) fn arrives() -> Self {
        metrics::gauge!(LIVE_VIEWERS).increment(1);
        Self
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        metrics::gauge!(LIVE_VIEWERS).decrement(1);
    }
}
