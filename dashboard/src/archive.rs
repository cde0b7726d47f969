//! Usage and history of a login as rows, from `query_api`; its errors as sentences.

use std::fmt;
use std::time::Duration;

use query_api::sessions::{Session, SessionFilter, SessionState, Sort};
use query_api::usage::series::{Rates, StepUsage};
use query_api::usage::{UsageQuery, series, summary as summarise};
use query_api::{ApiError, Deps, PageRequest, sessions};
use schema::{BitsPerSecond, Octets, TerminateCause, UnixTime};
use usage::{Calendar, Step};

use crate::format;
use crate::online::{addresses, nas_name, station};
use crate::period::Period;
use crate::place::Place;

/// How long a page waits for ClickHouse before it is shown without; its parts are then asked for by themselves.
pub(crate) const SHORT: Duration = Duration::from_secs(2);
/// How long a part that is asked for by itself waits.
pub(crate) const LONG: Duration = Duration::from_secs(25);

/// Where usage is read, and how long that may take.
#[derive(Clone, Copy)]
pub(crate) struct Archive<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) patience: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// None within [`SHORT`]: there may be one soon.
    Slow,
    /// There will be none; the sentence says why.
    Told(String),
}

impl Failure {
    pub(crate) const fn is_slow(&self) -> bool {
        matches!(self, Self::Slow)
    }
}

/// Whether an answer may come soon.
pub(crate) const fn is_slow<T>(answer: &Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::Slow))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => f.write_str("ClickHouse takes its time; still asking …"),
            Self::Told(sentence) => f.write_str(sentence),
        }
    }
}

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
    /// The newest report.
    pub(crate) as_of: Option<String>,
}

/// A row of usage by day.
pub(crate) struct DayRow {
    pub(crate) label: String,
    /// On the chart's axis.
    pub(crate) short: String,
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
    pub(crate) id: String,
    pub(crate) start: String,
    /// `None` while it is on.
    pub(crate) end: Option<String>,
    pub(crate) state: &'static str,
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

/// Newest first.
pub(crate) const DEFAULT_SORT: &str = "-started_at";

/// The columns of the history: title, whether it is a number, its name in `sort`.
pub(crate) const COLUMNS: [(&str, bool, Option<&str>); 9] = [
    ("Start", false, Some("started_at")),
    ("End", false, Some("ended_at")),
    ("Duration", true, Some("duration_seconds")),
    ("Download", true, Some("download_octets")),
    ("Upload", true, Some("upload_octets")),
    ("IP addresses", false, None),
    ("MAC address", false, None),
    ("NAS", false, None),
    ("Cause", false, None),
];

/// `aria-sort` of the column `name` under `sort`.
pub(crate) fn order(sort: &str, name: &str) -> Option<&'static str> {
    if sort == name {
        return Some("ascending");
    }
    (sort.strip_prefix('-') == Some(name)).then_some("descending")
}

/// The order that a click on the column `name` chooses: greatest first, then smallest.
pub(crate) fn next_sort(sort: &str, name: &str) -> String {
    if sort.strip_prefix('-') == Some(name) { name.to_owned() } else { format!("-{name}") }
}

impl Archive<'_> {
    /// The totals of a period.
    pub(crate) async fn summary(&self, login: &str, period: &Period) -> Result<Summary, Failure> {
        let summary = self.told(summarise(self.deps, &query(login, period))).await?;
        let estimated = Some(summary.estimated_octets).filter(|octets| octets.0 > 0);
        Ok(Summary {
            sessions: summary.sessions,
            sessions_text: format::grouped(summary.sessions),
            errors: summary.errors,
            errors_text: format::grouped(summary.errors),
            seconds: summary.online_seconds,
            time: format::duration(summary.online_seconds),
            download: summary.download_octets.0,
            download_gb: format::gigabytes(summary.download_octets),
            download_exact: format::exact(summary.download_octets),
            upload: summary.upload_octets.0,
            upload_gb: format::gigabytes(summary.upload_octets),
            upload_exact: format::exact(summary.upload_octets),
            estimated: estimated.map(|octets| {
                format!(
                    "{} lie between two reports around an edge of the period; their share is computed",
                    format::octets(octets)
                )
            }),
            as_of: summary.as_of.map(|time| format::local(time, self.deps.calendar.zone())),
        })
    }

    /// Usage by the period's step, up to now. Empty where nothing was used.
    pub(crate) async fn days(
        &self,
        login: &str,
        period: &Period,
        now: UnixTime,
    ) -> Result<Vec<DayRow>, Failure> {
        let step = period.step();
        let series = self.told(series(self.deps, &query(login, period), step)).await?;
        let used = |item: &StepUsage| item.download_octets.0 > 0 || item.upload_octets.0 > 0;
        if !series.items.iter().any(used) {
            return Ok(Vec::new());
        }
        let past = series.items.iter().filter(|item| item.from <= now);
        Ok(past.map(|item| day(item, step, &self.deps.calendar)).collect())
    }

    /// Average and highest rates in finer steps, up to now. Without rows where nothing was used.
    pub(crate) async fn rates(
        &self,
        login: &str,
        period: &Period,
        now: UnixTime,
    ) -> Result<RatesTable, Failure> {
        let step = period.rate_step();
        let series = self.told(series(self.deps, &query(login, period), step)).await?;
        let past = series.items.iter().filter(|item| item.from <= now);
        let rows = past.clone().filter_map(|item| rate_row(item, step, &self.deps.calendar)).collect();
        let elapsed = u64::try_from(now.min(period.to).since(period.from)).unwrap_or(0);
        let figures = |octets: fn(&StepUsage) -> Octets, bps: fn(&Rates) -> BitsPerSecond| RateFigures {
            maximum: rate(past.clone().filter_map(|item| item.maximum.as_ref().map(bps)).max()),
            average: rate(BitsPerSecond::average(past.clone().map(octets).sum(), elapsed)),
            last: rate(past.clone().filter_map(|item| item.last.as_ref().map(bps)).next_back()),
        };
        let used = series.items.iter().any(|item| item.maximum.is_some());
        Ok(RatesTable {
            rows: if used { rows } else { Vec::new() },
            download: figures(|item| item.download_octets, |rates| rates.download_bps),
            upload: figures(|item| item.upload_octets, |rates| rates.upload_bps),
        })
    }

    /// A page of the sessions that were on in the period.
    pub(crate) async fn history(
        &self,
        login: &str,
        period: &Period,
        place: &Place,
    ) -> Result<HistoryPage, Failure> {
        let filter = SessionFilter {
            login: Some(login.to_owned()),
            from: Some(period.from),
            to: Some(period.to),
            ..SessionFilter::default()
        };
        let sort: Sort = place.sort.as_deref().unwrap_or(DEFAULT_SORT).parse().map_err(told)?;
        let cursor = place.after.as_deref().map(str::parse).transpose().map_err(told)?;
        let page = self
            .told(sessions::list(self.deps, &filter, sort, PageRequest { limit: place.rows(), cursor }))
            .await?;
        let next = page.next.map(|next| place.with(login, |place| place.after = Some(next)));
        Ok(HistoryPage {
            rows: page.items.iter().map(|session| history_row(session, &self.deps.calendar)).collect(),
            next,
        })
    }

    /// Waits for an answer; an error becomes what staff may read, and is logged.
    async fn told<T>(&self, answer: impl Future<Output = Result<T, ApiError>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a part of a page cannot be shown");
                Err(told(error.detail()))
            }
            Err(_) if self.patience == SHORT => Err(Failure::Slow),
            Err(_) => {
                let waited = self.patience.as_secs();
                Err(Failure::Told(format!("ClickHouse did not answer within {waited} seconds.")))
            }
        }
    }
}

fn query(login: &str, period: &Period) -> UsageQuery {
    UsageQuery { login: login.to_owned(), from: period.from, to: period.to }
}

fn told(text: String) -> Failure {
    Failure::Told(sentence(text))
}

/// With a capital and a full stop.
fn sentence(text: String) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

fn day(item: &StepUsage, step: Step, calendar: &Calendar) -> DayRow {
    let highest = |of: fn(&Rates) -> BitsPerSecond| rate(item.maximum.as_ref().map(of));
    DayRow {
        label: label(item.from, step, calendar),
        short: short_label(item.from, step, calendar),
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

fn rate_row(item: &StepUsage, step: Step, calendar: &Calendar) -> Option<RateRow> {
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

fn rate(rate: Option<BitsPerSecond>) -> String {
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

fn history_row(session: &Session, calendar: &Calendar) -> HistoryRow {
    let zone = calendar.zone();
    let whole = (session.download_octets, session.upload_octets);
    let part = session
        .in_period
        .map(|part| (part.download_octets, part.upload_octets))
        .filter(|part| *part != whole);
    let cause = session.terminate_cause.as_deref();
    HistoryRow {
        id: session.id.to_string(),
        start: format::local(session.started_at, zone),
        end: session.ended_at.map(|ended_at| format::local(ended_at, zone)),
        state: state(session.state),
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

const fn state(state: SessionState) -> &'static str {
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
    fn a_second_click_on_a_column_turns_the_order() {
        assert_eq!(next_sort(DEFAULT_SORT, "started_at"), "started_at");
        assert_eq!(next_sort(DEFAULT_SORT, "download_octets"), "-download_octets");
        assert_eq!(order("-download_octets", "download_octets"), Some("descending"));
        assert_eq!(order("started_at", "download_octets"), None);
    }

    #[test]
    fn every_column_that_sorts_has_a_name_the_api_knows() {
        for name in COLUMNS.iter().filter_map(|column| column.2) {
            assert!(name.parse::<Sort>().is_ok(), "{name}");
        }
        assert_eq!(DEFAULT_SORT.parse(), Ok(Sort::default()));
    }

    #[test]
    fn causes_are_errors_as_the_summary_counts_them() {
        assert!(is_error("Lost-Carrier") && is_error("4711"));
        assert!(!is_error("User-Request") && !is_error("not given"));
    }

    #[test]
    fn errors_read_as_sentences() {
        assert_eq!(sentence("usage cannot be read".to_owned()), "Usage cannot be read.");
    }
}
