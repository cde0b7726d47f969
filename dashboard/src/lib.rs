//! The dashboard for staff: HTML from templates, moved by the live feed. It reads through `query_api`; no SQL here.

mod archive;
mod assets;
mod config;
mod error;
mod explain;
mod format;
mod gaps;
mod health;
mod home;
mod ledger;
mod login;
mod nas;
mod next;
mod online;
mod period;
mod place;
mod rows;
mod security;
mod session;
mod shell;
mod statistics;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use schema::UnixTime;
use subscribers::Directory;
use tower_http::compression::CompressionLayer;
use usage::Calendar;

pub use config::{DashboardConfig, FirstSteps};

/// What the dashboard needs.
#[derive(Clone)]
pub struct DashboardDeps {
    /// The queries, the live state and the staff directory.
    pub api: query_api::Deps,
    /// Its own settings.
    pub config: DashboardConfig,
    /// What to tell while no NAS has sent anything.
    pub first_steps: FirstSteps,
}

/// The shared state of the handlers.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) deps: Arc<DashboardDeps>,
}

impl App {
    /// The provider's calendar.
    pub(crate) fn calendar(&self) -> Calendar {
        self.deps.api.calendar
    }

    /// No NAS has ever sent anything.
    pub(crate) fn is_silent(&self, now: UnixTime) -> bool {
        self.deps.api.online.nases(now).is_empty()
    }
}

impl FromRef<App> for Directory {
    fn from_ref(app: &App) -> Self {
        app.deps.api.directory.clone()
    }
}

impl FromRef<App> for DashboardConfig {
    fn from_ref(app: &App) -> Self {
        app.deps.config.clone()
    }
}

/// The dashboard's pages. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: log-in attempts are
/// limited by address.
pub fn router(deps: DashboardDeps) -> Router {
    let pages = Router::new()
        .route("/", get(home::show))
        .route("/search", get(home::search))
        .route("/logins/{login}", get(statistics::show))
        .route("/logins/{login}/explain", get(explain::login))
        .route("/sessions/{id}/explain", get(explain::session))
        .route("/nas", get(nas::show))
        .route("/ledger", get(ledger::show))
        .route("/health", get(health::show))
        .route("/login", get(login::form).post(login::submit))
        .route("/logout", post(login::log_out))
        .route("/static/{hash}/{file}", get(assets::serve))
        .fallback(not_found)
        .with_state(App { deps: Arc::new(deps) })
        .layer(CompressionLayer::new());
    security::secured(pages)
}

async fn not_found() -> error::PageError {
    error::PageError::NotFound
}
