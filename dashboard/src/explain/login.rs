//! `GET /logins/{login}/explain?from=&to=`: a total, and the sessions that it is the sum of.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Html;
use query_api::params::Params;
use query_api::usage::UsageQuery;
use query_api::usage::explain::{Explanation, Part, explain};
use query_api::usage::summary::Summary;
use schema::UnixTime;
use usage::Calendar;

use super::rows::{self, Amount, Count, ShareRow, counts};
use super::{login_address, session_address, told};
use crate::archive::{self, Archive, Failure};
use crate::error::PageError;
use crate::online::nas_name;
use crate::period::Period;
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format, next};

#[derive(Template)]
#[template(path = "explain_login.html")]
struct Page {
    shell: Shell,
    login: String,
    login_path: String,
    here: String,
    range: String,
    begins: String,
    ends: String,
    content: Result<Content, Failure>,
}

struct Content {
    total: Total,
    sessions: Vec<SessionRow>,
    not_added: Vec<SessionRow>,
}

struct Total {
    sessions: u64,
    errors: u64,
    time: String,
    download: Amount,
    upload: Amount,
    computed: Option<Amount>,
    as_of: Option<String>,
    counted_since: Option<String>,
    amended: Option<String>,
    rules_version: u64,
}

/// A session's row, or that of a further share of it.
struct SessionRow {
    first: bool,
    /// Where its records are; `None` where they are no longer kept.
    address: Option<String>,
    start: String,
    end: String,
    live: bool,
    kind: String,
    acct_session_id: String,
    nas: String,
    nas_name: String,
    share: ShareRow,
    counts: Vec<Count>,
}

/// `GET /logins/{login}/explain`.
pub(crate) async fn show(
    Staff(staff): Staff,
    State(app): State<App>,
    Path(login): Path<String>,
    uri: Uri,
) -> Result<Html<String>, PageError> {
    let calendar = app.calendar();
    let query = read(&uri, login, &calendar).map_err(told)?;
    let archive = Archive { deps: &app.deps.api, patience: archive::LONG };
    let explained = archive.told(explain(&app.deps.api, &query)).await;
    let page = Page {
        login_path: next::encoded(&query.login),
        here: login_address(&query.login, query.from, query.to),
        range: rows::period(query.from, query.to, &calendar),
        begins: rows::instant(query.from, &calendar),
        ends: rows::instant(query.to, &calendar),
        content: explained.map(|explained| Content::of(&explained, &calendar)),
        shell: Shell::new(&app, staff, ""),
        login: query.login,
    };
    Ok(Html(page.render()?))
}

/// Without a period the last seven days.
fn read(uri: &Uri, login: String, calendar: &Calendar) -> Result<UsageQuery, query_api::ApiError> {
    let params = Params::of(uri, &["from", "to"])?;
    let (week, _) = Period::read(None, None, None, calendar, UnixTime::now());
    let from = params.time("from", *calendar)?.unwrap_or(week.from);
    let to = params.time("to", *calendar)?.unwrap_or(week.to);
    query_api::usage::check_order(&params, Some(from), Some(to))?;
    Ok(UsageQuery { login, from, to })
}

impl Content {
    fn of(explained: &Explanation, calendar: &Calendar) -> Self {
        let rows = |parts: &[Part]| parts.iter().flat_map(|part| SessionRow::of(part, calendar)).collect();
        Self {
            total: Total::of(&explained.total, explained.rules_version, calendar),
            sessions: rows(&explained.sessions),
            not_added: rows(&explained.not_added),
        }
    }
}

impl Total {
    fn of(total: &Summary, rules_version: u64, calendar: &Calendar) -> Self {
        let local = |time| format::local(time, calendar.zone());
        Self {
            sessions: total.sessions,
            errors: total.errors,
            time: format::duration(total.online_seconds),
            download: total.download_octets.into(),
            upload: total.upload_octets.into(),
            computed: Some(total.estimated_octets).filter(|octets| octets.0 > 0).map(Amount::from),
            as_of: total.as_of.map(local),
            counted_since: total.counted_since.map(local),
            amended: total.amended_at.map(|at| {
                super::amended(local(at), total.amended_download_octets, total.amended_upload_octets)
            }),
            rules_version,
        }
    }
}

impl SessionRow {
    fn of<'a>(part: &'a Part, calendar: &'a Calendar) -> impl Iterator<Item = Self> + 'a {
        part.shares.iter().enumerate().map(move |(at, share)| Self {
            first: at == 0,
            address: part.explain.as_ref().map(|_| session_address(part.id, Some((share.from, share.to)))),
            start: format::local(part.started_at, calendar.zone()),
            end: part
                .ended_at
                .map_or_else(|| "still on".to_owned(), |ended_at| format::local(ended_at, calendar.zone())),
            live: part.ended_at.is_none(),
            kind: part.kind.clone(),
            acct_session_id: part.acct_session_id.clone(),
            nas: part.nas.to_string(),
            nas_name: nas_name(part.nas.as_str(), part.client.as_str()).to_owned(),
            share: ShareRow::of(share, calendar),
            counts: if at == 0 { counts(&part.verdicts) } else { Vec::new() },
        })
    }
}
