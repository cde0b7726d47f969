//! The query API: usage, sessions and what is online, over HTTP and WebSockets, and the Rust functions behind it.
//!
//! Each resource has a file with its types, its function and its handler; [`router`] lists the routes. Usage is never
//! computed here: queries fetch records and rollups, the `usage` crate says what they mean. No query depends on merges
//! having happened, and none does arithmetic with time zones.

mod auth;
mod config;
mod error;
mod evidence;
pub mod gaps;
pub mod health;
pub mod ledger;
mod live;
mod metrics;
pub mod online;
pub mod page;
pub mod params;
mod query;
mod reading;
pub mod replay;
pub mod retention;
mod router;
pub mod rules;
pub mod sessions;
mod settled;
pub mod settler;
mod state;
mod stored;
pub mod usage;

use std::sync::Arc;

use ::usage::Calendar;
use collector::{Ledger, Online};
use metrics_exporter_prometheus::PrometheusHandle;
use schema::health::HealthBoard;
use subscribers::Directory;

pub use config::HttpConfig;
pub use error::ApiError;
pub use page::{Page, PageRequest};
pub use router::router;
pub use rules::Rules;
pub use usage::totals::neutral as neutral_cell;

/// What the API reads from. Cloning shares it.
#[derive(Clone)]
pub struct Deps {
    /// Where records and rollups are: a reader's client.
    pub clickhouse: clickhouse::Client,
    /// The rules by which usage is computed.
    pub rules: Rules,
    /// The provider's calendar.
    pub calendar: Calendar,
    /// What is online.
    pub online: Online,
    /// Where every packet went.
    pub ledger: Ledger,
    /// How each part does.
    pub health: HealthBoard,
    /// Who may ask.
    pub directory: Directory,
    /// This process's metrics.
    pub metrics: PrometheusHandle,
    /// Settings.
    pub http: Arc<HttpConfig>,
}
