//! Logging in and out.
//!
//! The log-in form carries a random value that must equal a cookie set with it, so that another site cannot log a
//! browser in as someone else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use subscribers::{Directory, NewSession, PasswordCheck, SESSION_COOKIE};

use crate::error::PageError;
use crate::session::{Staff, cookie, same};
use crate::{DashboardConfig, assets, next};

/// The cookie that the log-in form's value must equal.
const FORM_COOKIE: &str = "radtally_form";

/// Where to go afterwards.
#[derive(Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

/// The log-in form as sent.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
    csrf: String,
    next: Option<String>,
}

/// The log-out form as sent.
#[derive(Deserialize)]
pub(crate) struct LogOut {
    csrf: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    next: &'a str,
    name: &'a str,
    error: Option<String>,
}

/// `GET /login`.
pub(crate) async fn form(
    State(directory): State<Directory>,
    State(config): State<DashboardConfig>,
    Query(query): Query<Next>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let next = next::safe(query.next.as_deref());
    if let Some(value) = cookie(&headers, SESSION_COOKIE)
        && directory.authenticate_session(value).await?.is_some()
    {
        return Ok(Redirect::to(next).into_response());
    }
    show(&config, &headers, StatusCode::OK, next, "", None)
}

/// `POST /login`.
pub(crate) async fn submit(
    State(directory): State<Directory>,
    State(config): State<DashboardConfig>,
    headers: HeaderMap,
    extensions: Extensions,
    Form(given): Form<Credentials>,
) -> Result<Response, PageError> {
    let expected = cookie(&headers, FORM_COOKIE).unwrap_or_default();
    if expected.is_empty() || !same(expected, &given.csrf) {
        return Err(PageError::ForeignForm);
    }
    let next = next::safe(given.next.as_deref());
    let (status, error) =
        match directory.verify_password(&given.name, &given.password, peer(&extensions)).await? {
            PasswordCheck::Accepted(member) => {
                let session = directory.open_session(&member).await?;
                tracing::info!(staff.name = member.name, "logged in");
                return Ok(welcome(&config, &session, next));
            }
            PasswordCheck::Refused => (StatusCode::UNAUTHORIZED, "Name or password is wrong.".to_owned()),
            PasswordCheck::Throttled { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                let error = format!("Too many attempts. Try again in {seconds} seconds.");
                (StatusCode::TOO_MANY_REQUESTS, error)
            }
        };
    show(&config, &headers, status, next, &given.name, Some(error))
}

/// `POST /logout`.
pub(crate) async fn log_out(
    staff: Staff,
    State(directory): State<Directory>,
    State(config): State<DashboardConfig>,
    headers: HeaderMap,
    Form(given): Form<LogOut>,
) -> Result<Response, PageError> {
    staff.check_form(&given.csrf)?;
    if let Some(value) = cookie(&headers, SESSION_COOKIE) {
        directory.close_session(value).await?;
    }
    let gone = format!("{}; Max-Age=0", set_cookie(&config, SESSION_COOKIE, "", "/"));
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response())
}

/// The cookie has no age: the session's end is kept by the server, where it moves with each use.
fn welcome(config: &DashboardConfig, session: &NewSession, next: &str) -> Response {
    let cookie = set_cookie(config, SESSION_COOKIE, &session.cookie, "/");
    ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}

fn show(
    config: &DashboardConfig,
    headers: &HeaderMap,
    status: StatusCode,
    next: &str,
    name: &str,
    error: Option<String>,
) -> Result<Response, PageError> {
    // A form that is open in another tab stays valid.
    let csrf = match cookie(headers, FORM_COOKIE).filter(|value| value.len() == 64) {
        Some(value) => value.to_owned(),
        None => subscribers::random_secret()?,
    };
    let html = LoginPage { assets: assets::base(), csrf: &csrf, next, name, error }.render()?;
    let cookie = set_cookie(config, FORM_COOKIE, &csrf, "/login");
    Ok((status, [(header::SET_COOKIE, cookie)], Html(html)).into_response())
}

fn set_cookie(config: &DashboardConfig, name: &str, value: &str, path: &str) -> String {
    let secure = if config.secure_cookies { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}")
}

/// Who is at the other end of the connection; all count as one where the server does not say.
fn peer(extensions: &Extensions) -> IpAddr {
    let known = extensions.get::<ConnectInfo<SocketAddr>>();
    known.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}
