//! `GET /sessions/{id}/explain?from=&to=&after=`: a session record by record, and what lies in each day or in a period.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Html;
use query_api::ApiError;
use query_api::params::Params;
use query_api::sessions::SessionId;
use query_api::sessions::explain::{ExplainQuery, Explanation, Share, explain};
use schema::{Octets, UnixTime};
use usage::Calendar;

use super::record::RecordRow;
use super::rows::{self, Amount, Count, ShareRow, counts};
use super::{login_address, session_address, told};
use crate::archive::{self, Archive, Failure};
use crate::error::PageError;
use crate::online::nas_name;
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format, next};

/// Records of a page.
const RECORDS: usize = 100;

#[derive(Template)]
#[template(path = "explain_session.html")]
struct Page {
    shell: Shell,
    here: String,
    content: Result<Content, Failure>,
}

struct Content {
    login: String,
    login_path: String,
    kind: String,
    added: bool,
    acct_session_id: String,
    nas: String,
    nas_name: String,
    start: String,
    end: String,
    state: &'static str,
    cause: Option<String>,
    download: Amount,
    upload: Amount,
    time: String,
    records: String,
    counts: Vec<Count>,
    rules: String,
    settled: String,
    agrees: bool,
    clock_stepped: bool,
    others: Vec<Link>,
    /// The period that was asked for; else days are listed.
    period: Option<Link>,
    by_day: String,
    shares: Vec<ShareRow>,
    /// What several days add up to: download and upload.
    sum: Option<(Amount, Amount)>,
    amendments: Vec<String>,
    rows: Vec<RecordRow>,
    first_page: Option<String>,
    next: Option<String>,
}

struct Link {
    href: String,
    text: String,
}

/// `GET /sessions/{id}/explain`.
pub(crate) async fn show(
    Staff(staff): Staff,
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Html<String>, PageError> {
    let calendar = app.calendar();
    let id: SessionId = id.parse().map_err(|_| PageError::NotFound)?;
    let query = read(&uri, &calendar).map_err(told)?;
    let archive = Archive { deps: &app.deps.api, patience: archive::LONG };
    let here = uri.path_and_query().map_or("/", |here| here.as_str()).to_owned();
    let content = match archive.told(explain(&app.deps.api, id, &query)).await {
        Ok(None) => return Err(PageError::NotFound),
        Ok(Some(explained)) => Ok(Content::of(&explained, id, &query, &calendar)),
        Err(failure) => Err(failure),
    };
    Ok(Html(Page { shell: Shell::new(&app, staff, ""), here, content }.render()?))
}

fn read(uri: &Uri, calendar: &Calendar) -> Result<ExplainQuery, ApiError> {
    let params = Params::of(uri, &["from", "to", "cursor"])?;
    Ok(ExplainQuery { limit: Some(RECORDS), ..ExplainQuery::of(&params, *calendar)? })
}

impl Content {
    fn of(explained: &Explanation, id: SessionId, query: &ExplainQuery, calendar: &Calendar) -> Self {
        let detail = &explained.session;
        let session = &detail.session;
        let local = |time: UnixTime| format::local(time, calendar.zone());
        let (by_day, period) = (session_address(id, None), period(explained, query, calendar));
        let first = paged(id, query, None);
        Self {
            login: session.login.to_string(),
            login_path: next::encoded(session.login.as_str()),
            kind: session.kind.clone(),
            added: session.kind == "session",
            acct_session_id: session.acct_session_id.clone(),
            nas: session.nas.to_string(),
            nas_name: nas_name(session.nas.as_str(), session.client.as_str()).to_owned(),
            start: local(session.started_at),
            end: session.ended_at.map_or_else(|| "still on".to_owned(), local),
            state: crate::rows::state(session.state),
            cause: session.terminate_cause.clone(),
            download: session.download_octets.into(),
            upload: session.upload_octets.into(),
            time: format::duration(session.duration_seconds),
            records: format::grouped(explained.verdicts.values().sum()),
            counts: counts(&explained.verdicts),
            rules: rules(explained),
            settled: rows::settled(explained.settled, calendar),
            agrees: explained.settled.is_none_or(|settled| settled.agrees),
            clock_stepped: explained.clock_stepped,
            others: others(explained, calendar),
            period,
            by_day,
            shares: explained.periods.iter().map(|share| ShareRow::of(share, calendar)).collect(),
            sum: sum(explained),
            amendments: amendments(explained, calendar),
            rows: explained.records.iter().map(|record| RecordRow::of(record, calendar)).collect(),
            first_page: query.cursor.is_some().then_some(first),
            next: explained.next.as_deref().map(|next| paged(id, query, Some(next))),
        }
    }
}

/// The login's total in the period that was asked for.
fn period(explained: &Explanation, query: &ExplainQuery, calendar: &Calendar) -> Option<Link> {
    let share = explained.periods.first().filter(|_| query.from.is_some() || query.to.is_some())?;
    let href = login_address(share.login.as_str(), share.from, share.to);
    Some(Link { href, text: rows::period(share.from, share.to, calendar) })
}

/// This page's address from a record on.
fn paged(id: SessionId, query: &ExplainQuery, cursor: Option<&str>) -> String {
    let mut address = format!("/sessions/{id}/explain");
    let time = |time: UnixTime| time.to_string();
    let given =
        [("from", query.from.map(time)), ("to", query.to.map(time)), ("cursor", cursor.map(next::encoded))];
    let mut separator = '?';
    for (name, value) in given {
        let Some(value) = value else { continue };
        address.push(separator);
        address.push_str(name);
        address.push('=');
        address.push_str(&value);
        separator = '&';
    }
    address.push_str("#records");
    address
}

fn sum(explained: &Explanation) -> Option<(Amount, Amount)> {
    let of = |octets: fn(&Share) -> Octets| explained.periods.iter().map(octets).sum::<Octets>().into();
    let several = explained.periods.len() > 1;
    several.then(|| (of(|share| share.usage.download_octets), of(|share| share.usage.upload_octets)))
}

fn others(explained: &Explanation, calendar: &Calendar) -> Vec<Link> {
    let link = |other: &query_api::sessions::explain::OtherSession| Link {
        href: session_address(other.id, None),
        text: format::local(other.started_at, calendar.zone()),
    };
    explained.others.iter().map(link).collect()
}

fn amendments(explained: &Explanation, calendar: &Calendar) -> Vec<String> {
    let sentence = |one: &usage::Amendment| {
        let day = calendar.day_of(one.day).date;
        format!("{day}: {}", super::amended(format::local(one.at, calendar.zone()), one.download, one.upload))
    };
    explained.amendments.iter().map(sentence).collect()
}

/// The rules in a sentence.
fn rules(explained: &Explanation) -> String {
    use usage::policy::{Direction, Ipv6Counters};
    let policy = explained.rules.policy;
    let direction = match policy.direction {
        Direction::Rfc => "input octets are the upload (RFC 2866)",
        Direction::Reversed => "this NAS counts the other way round: input octets are the download",
    };
    let ipv6 = match policy.ipv6_counters {
        Ipv6Counters::Included => "separate IPv6 counters are part of them already",
        Ipv6Counters::Separate => "separate IPv6 counters are added",
    };
    let speed = policy.port_speed.map_or_else(
        || "10 Gbit/s is taken as the port's speed".to_owned(),
        |speed| format!("the port carries {}", format::rate(speed)),
    );
    format!("Rules, version {}: {direction}; {ipv6}; {speed}.", explained.rules.version)
}
