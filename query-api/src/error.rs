//! What can go wrong in a request, and what the client is told: RFC 9457 problem documents.
//!
//! This is the one place where errors become status codes. Internals are logged here and not returned.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use subscribers::DirectoryError;

/// Seconds after which a client may ask again when a part is not available.
const RETRY_AFTER: &str = "5";

/// An error of the API.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A parameter's value is not usable.
    #[error("{name}: {reason}")]
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// Its value as sent.
        value: String,
        /// What is expected.
        reason: String,
    },
    /// A parameter that the resource needs is absent.
    #[error("{0}: this parameter is required")]
    MissingParameter(&'static str),
    /// A parameter that the resource does not have.
    #[error("{name}: there is no such parameter; known are {known}")]
    UnknownParameter {
        /// As sent.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A parameter came twice.
    #[error("{0}: this parameter may occur once")]
    RepeatedParameter(String),
    /// Parameters of which exactly one is needed.
    #[error("give exactly one of the parameters {0}")]
    ExactlyOne(&'static str),
    /// The query part of the URL cannot be read at all.
    #[error("the query part of the URL is malformed")]
    MalformedQuery,
    /// Nobody that radtally knows asks.
    #[error("send an API token as \"Authorization: Bearer …\", or log in")]
    Unauthorized,
    /// A page of another site opens the live feed.
    #[error("pages of origin \"{0}\" may not open the live feed")]
    ForeignOrigin(String),
    /// The live feed was asked for without an upgrade to a WebSocket.
    #[error("this is a WebSocket: {0}")]
    NoUpgrade(String),
    /// There is no such thing.
    #[error("there is no {what} \"{name}\"")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// What it was called.
        name: String,
    },
    /// The resource does not have this method.
    #[error("this resource can only be read, with GET")]
    MethodNotAllowed,
    /// Rows that the answer needs are no longer kept.
    #[error(
        "records around {at} are needed, but those from before {since} are no longer kept; ask for whole days"
    )]
    Expired {
        /// What is needed.
        at: schema::UnixTime,
        /// From when on rows are there.
        since: schema::UnixTime,
    },
    /// ClickHouse failed or does not answer.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// ClickHouse took too long.
    #[error("the query took longer than {0} seconds; ask for a shorter period")]
    TooSlow(u64),
    /// What ClickHouse holds of rules is not this version's.
    #[error("the rules in ClickHouse cannot be read: {0}")]
    Rules(serde_json::Error),
    /// The directory of staff and tokens failed.
    #[error("{0}")]
    Directory(#[from] DirectoryError),
}

/// RFC 9457 3.1, and the parameter at fault.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

impl ApiError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadParameter { .. }
            | Self::MissingParameter(_)
            | Self::UnknownParameter { .. }
            | Self::RepeatedParameter(_)
            | Self::ExactlyOne(_)
            | Self::MalformedQuery => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin(_) => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expired { .. } => StatusCode::GONE,
            Self::NoUpgrade(_) => StatusCode::UPGRADE_REQUIRED,
            Self::ClickHouse(error) if !is_unavailable(error) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Rules(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ClickHouse(_) | Self::TooSlow(_) | Self::Directory(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the client is told, in a sentence.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::ClickHouse(error) if is_unavailable(error) => {
                "usage cannot be read: ClickHouse does not answer; records are kept meanwhile and nothing is lost".into()
            }
            Self::ClickHouse(_) => "usage cannot be read: a query failed, the log says why".into(),
            Self::Directory(_) => "who asks cannot be checked: the database failed, the log says why".into(),
            Self::Rules(_) => "usage cannot be read: its rules are of another version, the log says more".into(),
            told => told.to_string(),
        }
    }

    fn parameter(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::BadParameter { name, value, .. } => (Some(name), Some(value)),
            Self::MissingParameter(name) => (Some(name), None),
            Self::UnknownParameter { name, .. } | Self::RepeatedParameter(name) => (Some(name), None),
            _ => (None, None),
        }
    }

    fn log(&self, status: StatusCode) {
        match self {
            Self::ClickHouse(error) if status == StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(%error, "a query failed");
            }
            Self::ClickHouse(error) => tracing::warn!(%error, "ClickHouse does not answer"),
            Self::Directory(error) => tracing::error!(%error, "the directory failed"),
            Self::Rules(error) => tracing::error!(%error, "the rules cannot be read"),
            _ => {}
        }
    }
}

/// Whether the query may succeed later: no answer, or one that says that ClickHouse is busy, short of memory or not
/// migrated yet.
fn is_unavailable(error: &clickhouse::error::Error) -> bool {
    use clickhouse::error::Error;
    // UNKNOWN_TABLE, UNKNOWN_DATABASE, TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, MEMORY_LIMIT_EXCEEDED
    const LATER: [&str; 5] = ["Code: 60.", "Code: 81.", "Code: 159.", "Code: 202.", "Code: 241."];
    match error {
        Error::Network(_) | Error::TimedOut => true,
        Error::BadResponse(text) => LATER.iter().any(|code| text.contains(code)),
        _ => false,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        self.log(status);
        let (parameter, value) = self.parameter();
        let title = status.canonical_reason().unwrap_or("Error");
        let problem = Problem { title, status: status.as_u16(), detail: self.detail(), parameter, value };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"radtally\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
            _ => {}
        }
        response
    }
}
