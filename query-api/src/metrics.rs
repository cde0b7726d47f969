//! `GET /metrics` in Prometheus's text format, and the metrics of API, settler and retention. `docs/metrics.md` lists all.

use std::time::Instant;

use collector::metrics::describe_all;
use metrics::{counter, gauge};
use schema::health::PartStatus;

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

/// Counters that there are from the start.
const COUNTERS: [(&str, &str); 5] = [
    ("radtally_settler_records_total", "Records that the settler has followed"),
    ("radtally_settler_evaluated_total", "Session keys evaluated from their records"),
    ("radtally_settler_published_total", "Of them, those of which something new was published"),
    ("radtally_retention_dropped_total", "Partitions dropped by age"),
    ("radtally_retention_failures_total", "Times that what is too old could not be dropped"),
];

const GAUGES: [(&str, &str); 7] = [
    ("radtally_acknowledging", "1 while packets can be acknowledged, else 0"),
    ("radtally_part_status", "How each part does: 0 up, 1 degraded, 2 down"),
    (LIVE_VIEWERS, "WebSockets open on the live feed"),
    (
        "radtally_settler_lag_seconds",
        "Age of the newest record that the settler has seen, while there are more",
    ),
    ("radtally_usage_sessions", "Sessions heard of within a day, by NAS"),
    ("radtally_usage_dirty_sessions", "Of them, those that are evaluated from their records, by NAS"),
    ("radtally_usage_dirty_records", "Records of these, by NAS and verdict"),
];

const HISTOGRAMS: [(&str, &str); 2] = [
    (REQUEST_SECONDS, "Time until a response begins, by route and status"),
    ("radtally_settler_round_seconds", "From reading records to publishing what they changed"),
];

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    describe_all(&COUNTERS, &GAUGES, &HISTOGRAMS);
    gauge!(LIVE_VIEWERS).increment(0);
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Response, ApiError> {
    Params::of(&uri, &[])?;
    gauge!("radtally_acknowledging").set(f64::from(u8::from(deps.health.acknowledging())));
    for (part, health) in deps.health.parts() {
        let status = match health.status {
            PartStatus::Up => 0.0,
            PartStatus::Degraded => 1.0,
            PartStatus::Down => 2.0,
        };
        gauge!("radtally_part_status", "part" => part).set(status);
    }
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

/// What retention does.
pub(crate) struct Dropping;

impl Dropping {
    /// So many partitions are gone.
    pub(crate) fn dropped(partitions: usize) {
        counter!("radtally_retention_dropped_total").increment(partitions as u64);
    }

    /// Nothing could be dropped.
    pub(crate) fn failed() {
        counter!("radtally_retention_failures_total").increment(1);
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
