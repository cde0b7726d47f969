//! `GET /`: find a login; everything online, newest first; and the first steps while nothing is.

use std::net::IpAddr;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use collector::OnlineFilter;
use query_api::PageRequest;
use schema::UnixTime;
use schema::live::OnlineTotals;
use serde::Deserialize;

use crate::error::PageError;
use crate::online::OnlineRow;
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format, next};

/// Sessions on a page.
const PAGE: usize = 50;

/// The page's address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeQuery {
    nas: Option<String>,
    /// Where the page begins.
    after: Option<String>,
}

/// What was typed into a search field.
#[derive(Deserialize)]
pub(crate) struct Search {
    login: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    shell: Shell,
    silent: bool,
    listen: Vec<String>,
    clients: Vec<(String, String)>,
    nas: Option<String>,
    totals: Totals,
    online: OnlinePart,
}

#[derive(Template)]
#[template(path = "online_all.html")]
struct OnlinePart {
    here: String,
    first: String,
    first_page: bool,
    next: Option<String>,
    nas: Option<String>,
    show_login: bool,
    rows: Vec<OnlineRow>,
}

impl askama::filters::HtmlSafe for OnlinePart {}

struct Totals {
    sessions: String,
    download: String,
    upload: String,
}

/// `GET /`.
pub(crate) async fn show(
    Staff(staff): Staff,
    State(app): State<App>,
    Query(query): Query<HomeQuery>,
    headers: HeaderMap,
) -> Result<Html<String>, PageError> {
    let online = online_part(&app, &query)?;
    if headers.contains_key("hx-request") {
        return Ok(Html(online.render()?));
    }
    let now = UnixTime::now();
    let page = HomePage {
        silent: app.is_silent(now),
        listen: app.deps.first_steps.listen.iter().map(ToString::to_string).collect(),
        clients: app.deps.first_steps.clients.clone(),
        totals: totals(app.deps.api.online.totals(now)),
        shell: Shell::new(&app, staff, "online"),
        nas: query.nas,
        online,
    };
    Ok(Html(page.render()?))
}

/// `GET /search?login=`: the login's page; for an address or MAC that is online, the page of who has it.
pub(crate) async fn search(_: Staff, State(app): State<App>, Query(search): Query<Search>) -> Response {
    let typed = search.login.trim();
    if typed.is_empty() {
        return Redirect::to("/").into_response();
    }
    let login = holder(&app, typed).unwrap_or_else(|| typed.to_owned());
    Redirect::to(&format!("/logins/{}", next::encoded(&login))).into_response()
}

/// The login that has `typed` as its address, or as its MAC address, right now.
fn holder(app: &App, typed: &str) -> Option<String> {
    let named = OnlineFilter { login: Some(typed.to_owned()), ..OnlineFilter::default() };
    let find =
        |filter: OnlineFilter| app.deps.api.online.find(&filter, None, 1, UnixTime::now()).into_iter().next();
    // A login may look like a MAC address, and is then meant.
    if find(named).is_some() {
        return None;
    }
    let filter = match typed.parse::<IpAddr>() {
        Ok(ip) => OnlineFilter { ip: Some(ip), ..OnlineFilter::default() },
        Err(_) if looks_like_mac(typed) => {
            OnlineFilter { mac: Some(typed.to_owned()), ..OnlineFilter::default() }
        }
        Err(_) => return None,
    };
    find(filter).map(|session| session.login.to_string()).filter(|login| !login.is_empty())
}

fn looks_like_mac(typed: &str) -> bool {
    let digits = typed.chars().filter(char::is_ascii_hexdigit).count();
    digits == 12 && typed.chars().all(|c| c.is_ascii_hexdigit() || ":-.".contains(c))
}

fn online_part(app: &App, query: &HomeQuery) -> Result<OnlinePart, PageError> {
    let cursor = query.after.as_deref().map(str::parse).transpose().map_err(PageError::BadAddress)?;
    let filter = OnlineFilter { nas: query.nas.clone(), ..OnlineFilter::default() };
    let page = query_api::online::list(&app.deps.api, &filter, PageRequest { limit: PAGE, cursor });
    let first = address(query.nas.as_deref(), None);
    Ok(OnlinePart {
        here: address(query.nas.as_deref(), query.after.as_deref()),
        next: page.next.map(|next| address(query.nas.as_deref(), Some(&next))),
        first,
        first_page: cursor.is_none(),
        nas: query.nas.clone(),
        show_login: true,
        rows: page.items.iter().map(|session| OnlineRow::new(session, app.calendar().zone())).collect(),
    })
}

fn totals(totals: OnlineTotals) -> Totals {
    Totals {
        sessions: format::grouped(totals.sessions),
        download: format::rate(totals.download_bps),
        upload: format::rate(totals.upload_bps),
    }
}

fn address(nas: Option<&str>, after: Option<&str>) -> String {
    let nas = nas.map(|nas| format!("nas={}", next::encoded(nas)));
    let after = after.map(|after| format!("after={after}"));
    match [nas, after].into_iter().flatten().collect::<Vec<_>>().join("&") {
        query if query.is_empty() => "/".to_owned(),
        query => format!("/?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_recognised_in_any_usual_spelling() {
        for mac in ["aa:bb:cc:dd:ee:ff", "AA-BB-CC-DD-EE-FF", "aabb.ccdd.eeff", "aabbccddeeff"] {
            assert!(looks_like_mac(mac), "{mac}");
        }
        assert!(!looks_like_mac("ada@example.net") && !looks_like_mac("aa:bb:cc"));
    }
}
