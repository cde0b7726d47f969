//! `GET /usage/totals`: what everyone used in a period, by login or by NAS, as JSON lines or CSV.
//!
//! ClickHouse picks, for each session, the reports next to the period's ends ([`rows`]); what lies between them is the
//! `usage` crate's to say, as for a single login. Sessions of which that is not enough are read like a single login's.
//!
//! A counter that falls between two ends of a stretch does not show there: sessions that do such things are the settler's,
//! which has them within seconds.

mod rows;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use schema::{Octets, SessionKey, UnixTime};
use serde::Serialize;
use usage::{SessionView, Usage};

use super::check_order;
use crate::params::{Params, bad};
use crate::query::KEYS_PER_QUERY;
use crate::reading::{self, Extent, Session};
use crate::stored::{self, Match, Sort};
use crate::{ApiError, Deps};
use rows::{Picked, picked, settled};

/// What usage is summed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// RADIUS User-Name.
    #[default]
    Login,
    /// Who reports.
    Nas,
}

impl std::str::FromStr for GroupBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "login" => Ok(Self::Login),
            "nas" => Ok(Self::Nas),
            "service" => Err("there are no services yet; login or nas is expected".into()),
            _ => Err(format!("\"{text}\" is nothing that usage is summed by; login or nas is expected")),
        }
    }
}

/// What one login used, or the sessions of one NAS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The login or the NAS.
    #[serde(flatten)]
    pub of: Of,
    /// The period's first instant.
    pub from: UnixTime,
    /// The first instant after the period.
    pub to: UnixTime,
    /// Seconds online, clipped to the period; parallel sessions add.
    pub online_seconds: u64,
    /// To subscribers.
    pub download_octets: Octets,
    /// From subscribers.
    pub upload_octets: Octets,
    /// The part of both that lies between two reports which enclose an end of the period.
    pub estimated_octets: Octets,
}

/// Whose total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// RADIUS User-Name.
    Login(String),
    /// NAS identity.
    Nas(String),
}

/// What everyone used in `[from, to)`, in the order of their names.
///
/// # Errors
/// ClickHouse cannot be read.
pub async fn totals(
    deps: &Deps,
    from: UnixTime,
    to: UnixTime,
    group_by: GroupBy,
) -> Result<Vec<Total>, ApiError> {
    let rules = deps.rules.current();
    let starts_at = from.max(deps.calendar.usage_starts_at());
    let mut sums = Sums { period: (starts_at, to), group_by, sums: BTreeMap::new() };
    if to <= starts_at {
        return Ok(Vec::new());
    }
    for (nas, session) in settled(deps, &rules, sums.period).await? {
        sums.add(&nas, &session);
    }
    let mut rest = Vec::new();
    let take = |one: Picked| match view(&one, &rules.book, &[starts_at, to]) {
        Some(view) => sums.add_usage(&one.login, &one.nas, view.curve().usage(starts_at, to)),
        None => rest.push(one.key),
    };
    picked(deps, &rules, (starts_at, to), take).await?;
    for keys in rest.chunks(KEYS_PER_QUERY) {
        sums.read(deps, keys).await?;
    }
    Ok(sums.totals(from, to))
}

/// The session, where the reports that were picked tell all that matters.
fn view(one: &Picked, book: &usage::PolicyBook, boundaries: &[UnixTime]) -> Option<SessionView> {
    let view = SessionView::new(one.buckets.clone(), book.of(&one.nas)).ok()?;
    (one.one_login && view.needs_records(boundaries, 0).is_empty()).then_some(view)
}

struct Sums {
    /// What counts of the period that was asked for.
    period: (UnixTime, UnixTime),
    group_by: GroupBy,
    sums: BTreeMap<String, Usage>,
}

impl Sums {
    fn add_usage(&mut self, login: &str, nas: &str, usage: Usage) {
        let name = if self.group_by == GroupBy::Login { login } else { nas };
        match self.sums.get_mut(name) {
            Some(sum) => *sum += usage,
            None => _ = self.sums.insert(name.to_owned(), usage),
        }
    }

    fn add(&mut self, nas: &str, session: &Session) {
        for (login, curve) in &session.curves {
            self.add_usage(login.as_str(), nas, curve.usage(self.period.0, self.period.1));
        }
    }

    /// Reads sessions as a login's are read.
    async fn read(&mut self, deps: &Deps, keys: &[SessionKey]) -> Result<(), ApiError> {
        let wanted = Match { keys: Some(keys), ..Match::default() };
        let stored = stored::find(&deps.clickhouse, &wanted, Sort::default(), None, None).await?;
        let extent = Extent { period: self.period, boundaries: &<[UnixTime; 2]>::from(self.period) };
        let read = reading::sessions(deps, &stored, extent).await?;
        for stored in &stored {
            let sessions = read.get(&stored.key()).map(Vec::as_slice).unwrap_or_default();
            sessions.iter().for_each(|session| self.add(&stored.nas, session));
        }
        Ok(())
    }

    fn totals(self, from: UnixTime, to: UnixTime) -> Vec<Total> {
        let used = |usage: &Usage| *usage != Usage::default();
        let Self { group_by, sums, .. } = self;
        let total = |(name, usage): (String, Usage)| Total {
            of: if group_by == GroupBy::Login { Of::Login(name) } else { Of::Nas(name) },
            from,
            to,
            online_seconds: usage.online_seconds,
            download_octets: usage.download,
            upload_octets: usage.upload,
            estimated_octets: usage.estimated,
        };
        sums.into_iter().filter(|(_, usage)| used(usage)).map(total).collect()
    }
}

pub(crate) async fn get(
    State(deps): State<Deps>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["from", "to", "group_by"])?;
    let time = |name| params.time(name, deps.calendar)?.ok_or(ApiError::MissingParameter(name));
    let (from, to) = (time("from")?, time("to")?);
    check_order(&params, Some(from), Some(to))?;
    let group_by = params.read("group_by", str::parse)?.unwrap_or_default();
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let format = Format::accepted(accept)
        .ok_or_else(|| bad("Accept", accept, "application/x-ndjson or text/csv can be had".to_owned()))?;
    let totals = totals(&deps, from, to, group_by).await?;
    Ok(format.response(totals, group_by))
}

#[derive(Clone, Copy)]
enum Format {
    JsonLines,
    Csv,
}

impl Format {
    fn accepted(accept: &str) -> Option<Self> {
        accept.split(',').find_map(|kind| match kind.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Self::Csv),
            "*/*" | "application/*" | "application/x-ndjson" | "application/jsonl" | "application/json" => {
                Some(Self::JsonLines)
            }
            _ => None,
        })
    }

    /// The totals, line by line as the client takes them.
    fn response(self, totals: Vec<Total>, group_by: GroupBy) -> Response {
        let kind = match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        };
        let head = match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => csv_line(&Total::columns(group_by)),
        };
        let lines = totals.into_iter().map(move |total| match self {
            Self::JsonLines => total.json_line(),
            Self::Csv => csv_line(&total.cells()),
        });
        let chunks = std::iter::once(head).chain(lines).map(Ok::<_, std::convert::Infallible>);
        ([(header::CONTENT_TYPE, kind)], Body::from_stream(futures_util::stream::iter(chunks)))
            .into_response()
    }
}

impl Total {
    fn columns(group_by: GroupBy) -> Vec<String> {
        let name = if group_by == GroupBy::Login { "login" } else { "nas" };
        let columns =
            [name, "from", "to", "online_seconds", "download_octets", "upload_octets", "estimated_octets"];
        columns.map(str::to_owned).to_vec()
    }

    fn cells(&self) -> Vec<String> {
        let (Of::Login(name) | Of::Nas(name)) = &self.of;
        vec![
            neutral(name),
            self.from.to_string(),
            self.to.to_string(),
            self.online_seconds.to_string(),
            self.download_octets.to_string(),
            self.upload_octets.to_string(),
            self.estimated_octets.to_string(),
        ]
    }

    fn json_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// A cell of somebody else's text, which a spreadsheet must not take for a formula.
#[must_use]
pub fn neutral(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn csv_line(cells: &[String]) -> Vec<u8> {
    let mut line = csv::WriterBuilder::new().from_writer(Vec::new());
    let written = line.write_record(cells);
    debug_assert!(written.is_ok(), "writing to memory");
    line.into_inner().unwrap_or_default()
}
