//! `GET /health`: each part of radtally, and who was refused.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use chrono_tz::Tz;
use collector::LedgerReport;
use collector::ledger::Stranger;
use schema::health::{PartHealth, PartStatus};

use crate::error::PageError;
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format};

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    shell: Shell,
    parts: Vec<PartRow>,
    balanced: bool,
    unaccounted: i64,
    strangers: Vec<StrangerRow>,
}

struct PartRow {
    name: &'static str,
    state: &'static str,
    class: &'static str,
    reason: String,
    since: String,
}

struct StrangerRow {
    source: String,
    why: &'static str,
    packets: String,
    since: String,
    last: String,
}

/// `GET /health`.
pub(crate) async fn show(Staff(staff): Staff, State(app): State<App>) -> Result<Html<String>, PageError> {
    let zone = app.calendar().zone();
    let report = app.deps.api.ledger.report();
    let parts = app.deps.api.health.parts();
    let page = HealthPage {
        shell: Shell::new(&app, staff, "health"),
        parts: parts.into_iter().map(|(name, health)| part(name, health, zone)).collect(),
        balanced: report.unaccounted == 0,
        unaccounted: report.unaccounted,
        strangers: strangers(&report, zone),
    };
    Ok(Html(page.render()?))
}

fn part(name: &'static str, health: PartHealth, zone: Tz) -> PartRow {
    let (state, class) = match health.status {
        PartStatus::Up => ("up", "rt-up-badge"),
        PartStatus::Degraded => ("degraded", "rt-slow-badge"),
        PartStatus::Down => ("down", "rt-down-badge"),
    };
    let since = format::local(health.since, zone);
    PartRow { name, state, class, reason: health.reason.unwrap_or_default(), since }
}

fn strangers(report: &LedgerReport, zone: Tz) -> Vec<StrangerRow> {
    let row = |why| {
        move |stranger: &Stranger| StrangerRow {
            source: stranger.source.to_canonical().to_string(),
            why,
            packets: format::grouped(stranger.packets),
            since: format::local(stranger.since, zone),
            last: format::local(stranger.last_at, zone),
        }
    };
    let wrong = report.wrong_secrets.iter().map(row("wrong shared secret"));
    wrong.chain(report.unknown_sources.iter().map(row("no client has this address"))).collect()
}
