//! Usage and sessions as rows of tables: texts, and the numbers that charts draw.

use query_api::gaps::KnownGap;
use query_api::sessions::{Session, SessionState};
use query_api::usage::series::{Rates, StepUsage};
use schema::{BitsPerSecond, TerminateCause, UnixTime};
use usage::{Calendar, Step};

use crate::online::{addresses, nas_name, station};
use crate::{explain, format, gaps};

/// The totals of a period.
pub(crate) struct Summary {
    pub(crate) sessions: u64,
    pub(crate) sessions_text: String,
    pub(crate) errors: u64,
    pub(crate) errors_text: String,
    pub(crate) seconds: u64,
    pub(crate) time: String,
    pub(crate) download: u64,
    pub(crate) download_gb: String,
    pub(crate) download_exact: String,
    pub(crate) upload: u64,
    pub(crate) upload_gb: String,
    pub(crate) upload_exact: String,
    /// What is computed rather than reported, where anything is.
    pub(crate) estimated: Option<String>,
    /// Since when usage counts, where that is within the period.
    pub(crate) counted_since: Option<String>,
    /// What late data changed, where it did.
    pub(crate) amended: Option<String>,
    /// The newest report.
    pub(crate) as_of: Option<String>,
    /// Known gaps that may touch it.
    pub(crate) gaps: Vec<String>,
}

/// A row of usage by day.
pub(crate) struct DayRow {
    /// Where it is explained.
    pub(crate) explain: String,
    pub(crate) label: String,
    /// On the chart's axis.
    pub(crate) short: String,
    /// What late data changed, where it did.
    pub(crate) amended: Option<String>,
    /// Known gaps that may touch it, where there are any.
    pub(crate) gaps: Option<String>,
    pub(crate) download: String,
    pub(crate) download_exact: String,
    pub(crate) download_octets: u64,
    pub(crate) upload: String,
    pub(crate) upload_exact: String,
    pub(crate) upload_octets: u64,
    pub(crate) total: String,
    pub(crate) down_rate: String,
    pub(crate) up_rate: String,
}

/// Rates of a period: a row for each step, and what they come to.
pub(crate) struct RatesTable {
    pub(crate) rows: Vec<RateRow>,
    pub(crate) download: RateFigures,
    pub(crate) upload: RateFigures,
}

/// One direction's rates.
pub(crate) struct RateFigures {
    pub(crate) maximum: String,
    pub(crate) average: String,
    pub(crate) last: String,
}

/// Rates of one step.
pub(crate) struct RateRow {
    pub(crate) label: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) average: Rates,
    pub(crate) maximum: Option<Rates>,
    pub(crate) texts: [String; 4],
}

/// A page of the session history.
pub(crate) struct HistoryPage {
    pub(crate) rows: Vec<HistoryRow>,
    pub(crate) next: Option<String>,
}

/// A session.
pub(crate) struct HistoryRow {
    /// Where it is explained.
    pub(crate) explain: String,
    pub(crate) id: String,
    pub(crate) start: String,
    /// `None` while it is on.
    pub(crate) end: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) overdue: bool,
    pub(crate) duration: String,
    pub(crate) download: String,
    pub(crate) download_exact: String,
    pub(crate) upload: String,
    pub(crate) upload_exact: String,
    /// Where only a part lies in the period: its download and upload.
    pub(crate) part: Option<(String, String)>,
    pub(crate) ips: Vec<String>,
    pub(crate) mac: String,
    pub(crate) nas: String,
    pub(crate) nas_name: String,
    pub(crate) cause: String,
    pub(crate) error: bool,
}

/// A step of usage.
pub(crate) fn day(
    login: &str,
    item: &StepUsage,
    gaps: &[KnownGap],
    step: Step,
    calendar: &Calendar,
) -> DayRow {
    let highest = |of: fn(&Rates) -> BitsPerSecond| rate(item.maximum.as_ref().map(of));
    DayRow {
        explain: explain::login_address(login, item.from, item.to),
        label: label(item.from, step, calendar),
        short: short_label(item.from, step, calendar),
        amended: amended(
            item.amended_at,
            (item.amended_download_octets, item.amended_upload_octets),
            calendar,
        ),
        gaps: gaps::of_step(gaps, item.from, item.to, calendar.zone()),
        download: format::octets(item.download_octets),
        download_exact: format::exact(item.download_octets),
        download_octets: item.download_octets.0,
        upload: format::octets(item.upload_octets),
        upload_exact: format::exact(item.upload_octets),
        upload_octets: item.upload_octets.0,
        total: format::octets(item.download_octets + item.upload_octets),
        down_rate: highest(|rates| rates.download_bps),
        up_rate: highest(|rates| rates.upload_bps),
    }
}

/// A step's rates; `None` while it lies in the future.
pub(crate) fn rate_row(item: &StepUsage, step: Step, calendar: &Calendar) -> Option<RateRow> {
    let average = item.average?;
    let highest = |of: fn(&Rates) -> BitsPerSecond| rate(item.maximum.as_ref().map(of));
    Some(RateRow {
        label: label(item.from, step, calendar),
        from: item.from.0,
        to: item.to.0,
        average,
        maximum: item.maximum,
        texts: [
            format::rate(average.download_bps),
            format::rate(average.upload_bps),
            highest(|rates| rates.download_bps),
            highest(|rates| rates.upload_bps),
        ],
    })
}

/// What late data changed of days that were settled.
pub(crate) fn amended(
    at: Option<UnixTime>,
    (download, upload): (i64, i64),
    calendar: &Calendar,
) -> Option<String> {
    let signed = |octets: i64| {
        let sign = if octets < 0 { "−" } else { "+" };
        format!("{sign}{}", format::octets(schema::Octets(octets.unsigned_abs())))
    };
    let at = format::local(at?, calendar.zone());
    Some(format!("late data of {at} changed it: {} down, {} up", signed(download), signed(upload)))
}

/// A rate, or a dash.
pub(crate) fn rate(rate: Option<BitsPerSecond>) -> String {
    rate.map_or_else(|| "–".to_owned(), format::rate)
}

fn label(from: UnixTime, step: Step, calendar: &Calendar) -> String {
    let format = match step {
        Step::FiveMinutes | Step::Hour => "%Y-%m-%d %H:%M",
        Step::Day => "%a %Y-%m-%d",
        Step::Week => "Week of %Y-%m-%d",
        Step::Month => "%B %Y",
    };
    calendar.local(from).format(format).to_string()
}

fn short_label(from: UnixTime, step: Step, calendar: &Calendar) -> String {
    let format = match step {
        Step::FiveMinutes | Step::Hour => "%H:%M",
        Step::Day | Step::Week => "%-d %b",
        Step::Month => "%b %Y",
    };
    calendar.local(from).format(format).to_string()
}

/// A session of the history.
pub(crate) fn history_row(session: &Session, calendar: &Calendar) -> HistoryRow {
    let zone = calendar.zone();
    let whole = (session.download_octets, session.upload_octets);
    let part = session
        .in_period
        .map(|part| (part.download_octets, part.upload_octets))
        .filter(|part| *part != whole);
    let cause = session.terminate_cause.as_deref();
    HistoryRow {
        explain: explain::session_address(session.id, None),
        id: session.id.to_string(),
        start: format::local(session.started_at, zone),
        end: session.ended_at.map(|ended_at| format::local(ended_at, zone)),
        state: state(session.state),
        overdue: session.state == SessionState::Overdue,
        duration: format::duration(session.duration_seconds),
        download: format::octets(session.download_octets),
        download_exact: format::exact(session.download_octets),
        upload: format::octets(session.upload_octets),
        upload_exact: format::exact(session.upload_octets),
        part: part.map(|(download, upload)| (format::octets(download), format::octets(upload))),
        ips: addresses(session.ips.iter().map(ToString::to_string), &session.prefixes),
        mac: station(session.mac.as_deref(), &session.calling_station_id),
        nas: session.nas.to_string(),
        nas_name: nas_name(session.nas.as_str(), session.client.as_str()).to_owned(),
        cause: match (cause, session.state) {
            (Some(cause), _) => cause.to_owned(),
            (None, SessionState::PresumedDead) => "no word".to_owned(),
            (None, _) => "–".to_owned(),
        },
        error: cause.is_some_and(is_error),
    }
}

pub(crate) const fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Live => "online",
        SessionState::Overdue => "overdue",
        SessionState::PresumedDead => "silent",
        SessionState::Closed => "closed",
    }
}

/// Whether a session that ended by `cause`, in the dictionaries' words, counts among the errors.
fn is_error(cause: &str) -> bool {
    let known = (0..=23).map(TerminateCause).find(|known| known.to_string() == cause);
    known.is_none_or(TerminateCause::is_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_errors_as_the_summary_counts_them() {
        assert!(is_error("Lost-Carrier") && is_error("4711"));
        assert!(!is_error("User-Request") && !is_error("not given"));
    }
}
