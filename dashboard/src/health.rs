//! `GET /health`: each part of radtally, and the loss ledger.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use chrono_tz::Tz;
use collector::LedgerReport;
use collector::ledger::{Stranger, TallyReport};
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
    ledger: Vec<LedgerRow>,
    stored: String,
    pending: String,
    kernel_drops: String,
    strangers: Vec<StrangerRow>,
}

struct PartRow {
    name: &'static str,
    state: &'static str,
    class: &'static str,
    reason: String,
    since: String,
}

struct LedgerRow {
    name: String,
    received: String,
    acknowledged: String,
    in_flight: String,
    duplicates: String,
    status_server: String,
    rejected: String,
    dropped: String,
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
        stored: format::grouped(report.stored),
        pending: format::grouped(report.pending),
        kernel_drops: format::grouped(report.kernel_drops),
        strangers: strangers(&report, zone),
        ledger: ledger(&report),
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

fn ledger(report: &LedgerReport) -> Vec<LedgerRow> {
    let clients = report.clients.iter().map(|(name, tally)| row(name.to_string(), tally));
    clients.chain([row("Total, unknown sources included".to_owned(), &report.total)]).collect()
}

fn row(name: String, tally: &TallyReport) -> LedgerRow {
    LedgerRow {
        name,
        received: format::grouped(tally.received),
        acknowledged: format::grouped(tally.acknowledged),
        in_flight: format::grouped(tally.in_flight),
        duplicates: format::grouped(tally.duplicates),
        status_server: format::grouped(tally.status_server),
        rejected: by_reason(&tally.rejected),
        dropped: by_reason(&tally.dropped),
    }
}

/// `wrong authenticator: 312`.
fn by_reason(counts: &BTreeMap<&'static str, u64>) -> String {
    let counts = counts.iter().filter(|(_, count)| **count > 0);
    let texts =
        counts.map(|(reason, count)| format!("{}: {}", reason.replace('_', " "), format::grouped(*count)));
    match texts.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "–".to_owned(),
        some => some,
    }
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
