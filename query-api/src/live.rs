//! `GET /live`: a WebSocket that carries a snapshot and then every change, as [`schema::live::LiveFrame`].
//!
//! The feed ends when the credential that opened it does: at once where this process revokes it, within
//! [`CHECK`] where another does. A peer that answers no ping for [`SILENCE`] is gone.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use collector::{LiveFeed, LiveTopic};
use subscribers::{Credential, Directory, Identity};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::metrics::Viewer;
use crate::params::Params;
use crate::{ApiError, Deps};

/// Time between two pings.
const PING: Duration = Duration::from_secs(20);
/// A peer that has sent nothing, not even a pong, for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Time between two looks whether the credential still counts.
const CHECK: Duration = Duration::from_secs(60);
/// How long a peer may take to accept a frame.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn get(
    State(deps): State<Deps>,
    Extension(identity): Extension<Identity>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let topic = topic(&Params::of(&uri, &["login", "nas", "total"])?)?;
    check_origin(&headers, &deps.http.origins)?;
    let upgrade = upgrade.map_err(|error| ApiError::NoUpgrade(error.body_text()))?;
    // Before the feed begins, so that no revocation falls between.
    let revocations = deps.directory.revocations();
    Ok(upgrade.max_message_size(4096).on_upgrade(move |socket| {
        let guard = Guard { directory: deps.directory, credential: identity.credential, revocations };
        serve(socket, deps.online.subscribe(topic), guard)
    }))
}

fn topic(params: &Params) -> Result<LiveTopic, ApiError> {
    match (params.text("login"), params.text("nas"), params.has("total")) {
        (Some(login), None, false) => Ok(LiveTopic::Login(login.into())),
        (None, Some(nas), false) => Ok(LiveTopic::Nas(nas.into())),
        (None, None, true) => Ok(LiveTopic::Total),
        _ => Err(ApiError::ExactlyOne("login, nas, total")),
    }
}

/// Browsers send cookies along with WebSockets of any page, so the page must be ours: served under the name that the
/// request was sent to, or listed in the configuration. Programs that send a token need no origin.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let Some(origin) = headers.get(ORIGIN) else {
        let by_token = headers.contains_key(AUTHORIZATION);
        return if by_token { Ok(()) } else { Err(ApiError::ForeignOrigin(String::new())) };
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    let listed = allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
    if same || listed { Ok(()) } else { Err(ApiError::ForeignOrigin(origin.to_owned())) }
}

/// Watches the credential that a feed lives on.
struct Guard {
    directory: Directory,
    credential: Credential,
    revocations: Receiver<Credential>,
}

impl Guard {
    /// Returns when the credential is revoked.
    async fn revoked(&mut self) {
        loop {
            match self.revocations.recv().await {
                Ok(revoked) if revoked == self.credential => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) if self.is_valid().await => {}
                Err(_) => return,
            }
        }
    }

    /// While the database does not answer, the credential counts: it did when the feed was opened.
    async fn is_valid(&self) -> bool {
        self.directory.is_valid(self.credential).await.unwrap_or(true)
    }
}

async fn serve(mut socket: WebSocket, mut feed: LiveFeed, mut guard: Guard) {
    let _viewer = Viewer::arrives();
    let mut ping = interval(PING);
    let mut check = interval(CHECK);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            frame = feed.next() => match frame {
                Some(frame) => Message::Text(Utf8Bytes::from(&*frame)),
                None => return close(socket, close_code::AWAY, "the collector has ended").await,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return;
                }
                Message::Ping(Default::default())
            }
            () = guard.revoked() => return close(socket, close_code::POLICY, "logged out").await,
            _ = check.tick() => {
                if !guard.is_valid().await {
                    return close(socket, close_code::POLICY, "logged out").await;
                }
                continue;
            }
        };
        // A peer that does not read loses frames inside the feed; one that does not read at all is let go.
        match timeout(PATIENCE, socket.send(message)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    // The peer may be gone; nothing is owed to it.
    _ = timeout(PATIENCE, socket.send(Message::Close(Some(frame)))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_page_of_another_site_may_not_listen() {
        let ours = headers(&[("host", "usage.example.net"), ("origin", "https://usage.example.net")]);
        assert!(check_origin(&ours, &[]).is_ok());
        let foreign = headers(&[("host", "usage.example.net"), ("origin", "https://evil.example")]);
        let error = check_origin(&foreign, &[]).unwrap_err();
        assert!(error.to_string().contains("https://evil.example"), "{error}");
        assert!(check_origin(&foreign, &["https://evil.example".into()]).is_ok());
        let null = headers(&[("host", "usage.example.net"), ("origin", "null")]);
        assert!(check_origin(&null, &[]).is_err());
    }

    #[test]
    fn only_a_token_may_come_without_an_origin() {
        assert!(check_origin(&headers(&[("cookie", "radtally_session=x")]), &[]).is_err());
        assert!(check_origin(&headers(&[("authorization", "Bearer x")]), &[]).is_ok());
    }
}
