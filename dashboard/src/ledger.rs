//! `GET /ledger`: where every packet went, line by line; and when packets were lost.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use collector::ledger::{LedgerLine, TallyReport};
use schema::UnixTime;

use crate::error::PageError;
use crate::gaps::GapRow;
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format, next};

/// Most lines shown; the others are one.
const LINES: usize = 500;
/// Most gaps shown, the newest.
const GAPS: usize = 50;

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerPage {
    shell: Shell,
    since: String,
    balanced: bool,
    unaccounted: i64,
    packets: Vec<Term>,
    records: Vec<Term>,
    lines: Vec<LineRow>,
    total: LineRow,
    kernel_drops: String,
    gaps: Vec<GapRow>,
    more_gaps: usize,
    known_since: String,
}

/// A part of a sum.
struct Term {
    name: &'static str,
    value: String,
    class: &'static str,
}

struct LineRow {
    name: String,
    /// Where its sessions are listed, for a NAS.
    address: Option<String>,
    cells: Vec<Cell>,
}

/// A count of a line.
struct Cell {
    label: &'static str,
    value: String,
    class: &'static str,
    /// How many of it for each reason.
    reasons: String,
}

/// `GET /ledger`.
pub(crate) async fn show(Staff(staff): Staff, State(app): State<App>) -> Result<Html<String>, PageError> {
    let zone = app.calendar().zone();
    let report = app.deps.api.ledger.report();
    let mut gaps = query_api::ledger::gaps(&app.deps.api, UnixTime(0), UnixTime(i64::MAX));
    let known_since = gaps.last().map_or(report.since, |oldest| oldest.from.min(report.since));
    let more_gaps = gaps.len().saturating_sub(GAPS);
    gaps.truncate(GAPS);
    let page = LedgerPage {
        shell: Shell::new(&app, staff, "ledger"),
        since: format::local(report.since, zone),
        balanced: report.unaccounted == 0,
        unaccounted: report.unaccounted,
        packets: packets(&report.total),
        records: records(&report.total),
        lines: lines(&report.lines),
        total: row("Total".to_owned(), None, &report.total),
        kernel_drops: format::grouped(report.kernel_drops),
        gaps: gaps.iter().map(|gap| GapRow::new(gap, zone)).collect(),
        more_gaps,
        known_since: format::local(known_since, zone),
    };
    Ok(Html(page.render()?))
}

fn packets(total: &TallyReport) -> Vec<Term> {
    let lost = |packets: u64| if packets > 0 { "rt-error" } else { "" };
    let (rejected, dropped) = (total.rejected.values().sum(), total.dropped.values().sum());
    let term = |name, packets, class| Term { name, value: format::grouped(packets), class };
    vec![
        term("Received", total.received, ""),
        term("Acknowledged", total.acknowledged, ""),
        term("In flight", total.in_flight, ""),
        term("Duplicates", total.duplicates, ""),
        term("Status-Server", total.status_server, ""),
        term("Rejected", rejected, ""),
        term("Dropped", dropped, lost(dropped)),
    ]
}

fn records(total: &TallyReport) -> Vec<Term> {
    let term = |name, records| Term { name, value: format::grouped(records), class: "" };
    vec![
        term("Acknowledged", total.acknowledged),
        term("In ClickHouse", total.stored),
        term("On their way", total.pending),
    ]
}

fn lines(lines: &[LedgerLine]) -> Vec<LineRow> {
    // A client none of whose packets belonged to no NAS needs no line for these.
    let told: Vec<_> = lines.iter().filter(|line| line.nas.is_some() || line.counts.received > 0).collect();
    let (shown, others) = told.split_at(told.len().min(LINES));
    let mut rows: Vec<_> = shown.iter().map(|line| line_row(line)).collect();
    if !others.is_empty() {
        let mut sum = TallyReport::default();
        others.iter().for_each(|line| sum.add(&line.counts));
        rows.push(row(format!("{} more lines", format::grouped(others.len() as u64)), None, &sum));
    }
    rows
}

fn line_row(line: &LedgerLine) -> LineRow {
    match (&line.nas, &line.client) {
        (Some(nas), _) => {
            let address = format!("/?nas={}", next::encoded(nas.as_str()));
            row(nas.to_string(), Some(address), &line.counts)
        }
        (None, Some(client)) => row(format!("{client}, no NAS"), None, &line.counts),
        (None, None) => row("Unknown sources".to_owned(), None, &line.counts),
    }
}

fn row(name: String, address: Option<String>, counts: &TallyReport) -> LineRow {
    let cell = |label, packets: u64, class| Cell {
        label,
        value: format::grouped(packets),
        class: if packets == 0 && class != "rt-first" { "rt-zero" } else { class },
        reasons: String::new(),
    };
    let by_reason = |label, packets: &BTreeMap<&'static str, u64>, class| Cell {
        reasons: reasons(packets),
        ..cell(label, packets.values().sum(), class)
    };
    let cells = vec![
        cell("Received", counts.received, ""),
        cell("Acknowledged", counts.acknowledged, "rt-first"),
        cell("In flight", counts.in_flight, ""),
        cell("Duplicates", counts.duplicates, ""),
        cell("Status-Server", counts.status_server, ""),
        by_reason("Rejected", &counts.rejected, ""),
        by_reason("Dropped", &counts.dropped, "rt-error"),
        cell("In ClickHouse", counts.stored, "rt-first"),
        cell("On their way", counts.pending, ""),
    ];
    LineRow { name, address, cells }
}

/// `too short 1, wrong authenticator 312`.
fn reasons(counts: &BTreeMap<&'static str, u64>) -> String {
    let counted = counts.iter().filter(|(_, count)| **count > 0);
    let texts =
        counted.map(|(reason, count)| format!("{} {}", reason.replace('_', " "), format::grouped(*count)));
    texts.collect::<Vec<_>>().join(", ")
}
