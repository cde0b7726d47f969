//! Who asks: an API token in `Authorization`, or the staff cookie. Nothing but `/health` is served without.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::middleware::Next;
use axum::response::Response;
use subscribers::{Directory, Identity, SESSION_COOKIE};

use crate::{ApiError, Deps};

/// Lets a request pass with the [`Identity`] of who sends it.
pub(crate) async fn require(
    State(deps): State<Deps>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let identity = identify(&deps.directory, request.headers()).await?.ok_or(ApiError::Unauthorized)?;
    request.extensions_mut().insert(identity);
    Ok(next.run(request).await)
}

async fn identify(directory: &Directory, headers: &HeaderMap) -> Result<Option<Identity>, ApiError> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        return match value.to_str().ok().and_then(bearer) {
            Some(token) => Ok(directory.authenticate_token(token).await?),
            None => Ok(None),
        };
    }
    match session_cookie(headers) {
        Some(cookie) => Ok(directory.authenticate_session(cookie).await?),
        None => Ok(None),
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 2.1); the scheme's case does not matter (RFC 9110 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SESSION_COOKIE).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        assert_eq!(bearer("bearer radtally_x"), Some("radtally_x"));
        assert_eq!(bearer("Basic cm9vdDo="), None);
    }
}
