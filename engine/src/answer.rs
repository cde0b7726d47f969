//! Answers in ClickHouse's form: status codes, headers, text of errors.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};

use crate::parts::{Part, Parts};

/// A body, whole or on its way.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What the head of a result tells.
pub struct Facts {
    /// The client's name for its query.
    pub query_id: Option<String>,
    /// The result's format.
    pub format: String,
    /// Rows that an insert has stored.
    pub written: Option<u64>,
}

/// `Ok.`
pub fn ok() -> Response<Body> {
    plain(StatusCode::OK, "Ok.\n")
}

/// Nothing is served at `path`.
pub fn no_such_path(path: &str) -> Response<Body> {
    plain(StatusCode::NOT_FOUND, format!("There is no handle {path}; statements go to /\n"))
}

/// A result. A failure after its first part ends the connection, so that no client takes half a result for a whole one.
pub fn result(first: Bytes, rest: Parts, facts: &Facts) -> Response<Body> {
    let rest =
        futures_util::stream::unfold(
            rest,
            |mut rest| async move { rest.next().await.map(|part| (part, rest)) },
        );
    let frames = futures_util::stream::iter([Ok(Part::Result(first))]).chain(rest).map(|part| match part {
        Ok(Part::Result(octets)) => Ok(Frame::data(octets)),
        Ok(Part::Written(_)) => Ok(Frame::data(Bytes::new())),
        Err(message) => Err(io::Error::other(message)),
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let written = facts.written.unwrap_or(0);
    let headers = [
        ("x-clickhouse-query-id", facts.query_id.clone().unwrap_or_else(new_query_id)),
        ("x-clickhouse-format", facts.format.clone()),
        ("x-clickhouse-timezone", "UTC".to_owned()),
        ("x-clickhouse-summary", format!("{{\"written_rows\":\"{written}\"}}")),
    ];
    for (name, value) in headers {
        // A name that no header can hold is left out.
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// An error: status, code in a header, text.
pub fn failed(message: &str) -> Response<Body> {
    let message = message.get(message.find("Code: ").unwrap_or(0)..).unwrap_or(message);
    let code = message.strip_prefix("Code: ").and_then(|rest| rest.split('.').next());
    let code = code.and_then(|code| code.parse().ok());
    let mut response = plain(status(code), format!("{}\n", message.trim_end()));
    if let Some(code) = code {
        response.headers_mut().insert("x-clickhouse-exception-code", code.into());
    }
    response
}

/// ClickHouse's HTTP status for its error codes, as far as they matter here.
fn status(code: Option<u32>) -> StatusCode {
    match code {
        Some(164 | 497 | 516) => StatusCode::FORBIDDEN,
        Some(16 | 46 | 47 | 60 | 81) => StatusCode::NOT_FOUND,
        Some(159) => StatusCode::REQUEST_TIMEOUT,
        Some(48) => StatusCode::NOT_IMPLEMENTED,
        Some(202) => StatusCode::SERVICE_UNAVAILABLE,
        Some(6 | 26 | 27 | 33 | 36 | 38 | 41 | 43 | 53 | 62 | 69 | 72 | 115 | 117 | 386 | 456 | 457) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let body = Full::new(Bytes::from(text.into())).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn new_query_id() -> String {
    let mut id = [0; 16];
    // Only a name for log lines: zeros would do.
    _ = getrandom::fill(&mut id);
    hex::encode(id)
}
