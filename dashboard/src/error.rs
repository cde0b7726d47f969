//! Why a page cannot be shown, as a status and a readable page; details go to the log.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use subscribers::DirectoryError;

use crate::assets;

/// Why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// Nobody is logged in.
    #[error("not logged in")]
    LogIn(Box<Response>),
    /// A form without the session's value.
    #[error("the form was not sent from this page, or the page was open for too long")]
    ForeignForm,
    /// Nothing is at this address.
    #[error("there is no such page")]
    NotFound,
    /// The address says something that cannot be.
    #[error("{0}")]
    BadAddress(String),
    /// The directory failed.
    #[error("the staff directory cannot be read")]
    Directory(#[from] DirectoryError),
    /// A template failed.
    #[error("the page cannot be drawn")]
    Render(#[from] askama::Error),
}

#[derive(askama::Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    assets: &'a str,
    title: &'a str,
    message: &'a str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        if let Self::LogIn(elsewhere) = self {
            return *elsewhere;
        }
        let (status, title) = match &self {
            Self::LogIn(_) => (StatusCode::SEE_OTHER, ""),
            Self::ForeignForm => (StatusCode::FORBIDDEN, "The form was refused"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Self::BadAddress(_) => (StatusCode::BAD_REQUEST, "This address cannot be read"),
            Self::Directory(_) => (StatusCode::SERVICE_UNAVAILABLE, "Not available"),
            Self::Render(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong"),
        };
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "a page cannot be shown");
        }
        let message = self.to_string();
        let page = ErrorPage { assets: assets::base(), title, message: &message };
        match askama::Template::render(&page) {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, message).into_response(),
        }
    }
}
