//! Who looks at a page: the staff member behind the session cookie, or a redirect to the log-in page.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{COOKIE, HeaderMap};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use subscribers::{Directory, Identity, SESSION_COOKIE};
use subtle::ConstantTimeEq;

use crate::error::PageError;
use crate::next;

/// The staff member who is logged in. Handlers that take it are closed to everyone else.
pub(crate) struct Staff(pub(crate) Identity);

impl Staff {
    /// Refuses a form that does not carry this session's value: another site may have sent it.
    pub(crate) fn check_form(&self, csrf: &str) -> Result<(), PageError> {
        let expected = self.0.csrf.as_deref().unwrap_or_default();
        if !expected.is_empty() && same(expected, csrf) { Ok(()) } else { Err(PageError::ForeignForm) }
    }
}

impl<S> FromRequestParts<S> for Staff
where
    Directory: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let directory = Directory::from_ref(state);
        let known = match cookie(&parts.headers, SESSION_COOKIE) {
            Some(value) => directory.authenticate_session(value).await?,
            None => None,
        };
        known.map(Self).ok_or_else(|| PageError::LogIn(Box::new(log_in(parts))))
    }
}

/// To the log-in page, and back here afterwards. htmx asks for a part of a page: it must leave the whole one.
fn log_in(parts: &Parts) -> Response {
    let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let page = format!("/login?next={}", next::encoded(here));
    if parts.headers.contains_key("hx-request") {
        return [("hx-redirect", page)].into_response();
    }
    Redirect::to(&page).into_response()
}

/// The value of the cookie `name`.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(|value| value.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// Compares secrets in constant time.
pub(crate) fn same(one: &str, two: &str) -> bool {
    one.as_bytes().ct_eq(two.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("xradtally_session=0; a=b; radtally_session=42"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("42"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
