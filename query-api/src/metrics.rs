//! `GET /metrics` in Prometheus's text format, and the API's own metrics.
//!
//! | metric | |
//! |---|---|
//! | `radtally_query_api_request_seconds` | time until a response begins, by `route` and `status` |
//! | `radtally_query_api_live_viewers` | WebSockets open on the live feed |
//! | `radtally_settler_records_total` | records that the settler has followed |
//! | `radtally_settler_evaluated_total` | session keys evaluated from their records |
//! | `radtally_settler_published_total` | of them, those of which something new was published |
//! | `radtally_settler_round_seconds` | time from reading records to publishing what they changed |
//! | `radtally_settler_lag_seconds` | age of the newest record that the settler has seen, while there are more |
//! | `radtally_usage_sessions` | sessions heard of within a day, by `nas` |
//! | `radtally_usage_dirty_sessions` | of them, those that are evaluated from their records, by `nas` |
//! | `radtally_usage_dirty_records` | records of these, by `nas` and `verdict` |

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::params::Params;
use crate::settler::Settlement;
use crate::usage::quality::NasQuality;
use crate::{ApiError, Deps};

const REQUEST_SECONDS: &str = "radtally_query_api_request_seconds";
const LIVE_VIEWERS: &str = "radtally_query_api_live_viewers";

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Response, ApiError> {
    Params::of(&uri, &[])?;
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((text, deps.metrics.render()).into_response())
}

/// What the settler does.
pub(crate) struct Settling;

impl Settling {
    /// It went through a round.
    pub(crate) fn did(done: &Settlement, took: std::time::Duration) {
        metrics::counter!("radtally_settler_records_total").increment(done.records);
        metrics::counter!("radtally_settler_evaluated_total").increment(done.evaluated);
        metrics::counter!("radtally_settler_published_total").increment(done.published);
        metrics::histogram!("radtally_settler_round_seconds").record(took);
    }

    /// How long the oldest record waits.
    pub(crate) fn lags(seconds: i64) {
        metrics::gauge!("radtally_settler_lag_seconds")
            .set(f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)));
    }

    /// How well a NAS reports.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(crate) fn counts(nas: &NasQuality) {
        let name = || nas.nas.as_str().to_owned();
        metrics::gauge!("radtally_usage_sessions", "nas" => name()).set(nas.sessions as f64);
        metrics::gauge!("radtally_usage_dirty_sessions", "nas" => name()).set(nas.dirty_sessions as f64);
        for (verdict, records) in &nas.verdicts {
            metrics::gauge!("radtally_usage_dirty_records", "nas" => name(), "verdict" => verdict.as_str())
                .set(*records as f64);
        }
    }
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
