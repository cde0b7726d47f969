//! Usage and history of a login from `query_api`: how long a page waits for them, and its errors as sentences.

use std::fmt;
use std::time::Duration;

use query_api::sessions::{SessionFilter, Sort};
use query_api::usage::series::{Rates, StepUsage};
use query_api::usage::{UsageQuery, series, summary as summarise};
use query_api::{ApiError, Deps, PageRequest, sessions};
use schema::{BitsPerSecond, Octets, UnixTime};

use crate::period::Period;
use crate::place::Place;
use crate::rows::{
    DayRow, HistoryPage, RateFigures, RatesTable, Summary, amended, day, history_row, rate, rate_row,
};
use crate::{format, gaps};

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
            counted_since: summary.counted_since.map(|since| format::local(since, self.deps.calendar.zone())),
            amended: amended(
                summary.amended_at,
                (summary.amended_download_octets, summary.amended_upload_octets),
                &self.deps.calendar,
            ),
            as_of: summary.as_of.map(|time| format::local(time, self.deps.calendar.zone())),
            gaps: gaps::beside(&summary.gaps, self.deps.calendar.zone()),
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
        Ok(past.map(|item| day(login, item, &series.gaps, step, &self.deps.calendar)).collect())
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
    pub(crate) async fn told<T>(
        &self,
        answer: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, Failure> {
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
    fn errors_read_as_sentences() {
        assert_eq!(sentence("usage cannot be read".to_owned()), "Usage cannot be read.");
    }
}
