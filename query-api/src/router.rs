//! Every route of the API.

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;

use crate::{ApiError, Deps, auth, health, ledger, live, metrics, online, sessions, usage};

/// Where all of the API but `/metrics` lies.
const PREFIX: &str = "/api/v1";

/// The API: `/api/v1` and `/metrics`.
pub fn router(deps: Deps) -> Router {
    metrics::describe();
    let open =
        Router::new().route("/health", get(health::get)).method_not_allowed_fallback(method_not_allowed);
    let closed = Router::new()
        .route("/online", get(online::get))
        .route("/sessions", get(sessions::get_list))
        .route("/sessions/{id}", get(sessions::get_one))
        .route("/sessions/{id}/explain", get(sessions::explain::get))
        .route("/usage/summary", get(usage::summary::get))
        .route("/usage/series", get(usage::series::get))
        .route("/usage/totals", get(usage::totals::get))
        .route("/usage/explain", get(usage::explain::get))
        .route("/usage/quality", get(usage::quality::get))
        .route("/ledger", get(ledger::get))
        .route("/live", get(live::get))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(deps.clone(), auth::require));
    let metrics =
        get(metrics::get).fallback(method_not_allowed).layer(from_fn_with_state(deps.clone(), auth::require));
    Router::new()
        .nest(PREFIX, open.merge(closed))
        .route("/metrics", metrics)
        .layer(from_fn(metrics::measure))
        .with_state(deps)
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound { what: "resource", name: format!("{PREFIX}{}", uri.path()) }
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
