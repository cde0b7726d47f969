//! The live feed.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use schema::UnixTime;
use schema::live::LiveFrame;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::fixture::Fixture;
use crate::traffic::{START, Said};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn request(address: SocketAddr, query: &str, headers: &[(&'static str, String)]) -> Request {
    let mut request = format!("ws://{address}/api/v1/live?{query}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

async fn next(socket: &mut Socket) -> Message {
    timeout(Duration::from_secs(10), socket.next())
        .await
        .expect("a message within ten seconds")
        .unwrap()
        .unwrap()
}

/// The next frame of the feed.
async fn frame(socket: &mut Socket) -> LiveFrame {
    loop {
        if let Message::Text(text) = next(socket).await {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn is_closed_with(socket: &mut Socket, code: u16) -> bool {
    loop {
        if let Message::Close(frame) = next(socket).await {
            return frame.is_some_and(|frame| u16::from(frame.code) == code);
        }
    }
}

#[tokio::test]
async fn a_feed_begins_with_a_snapshot_and_ends_when_its_token_is_revoked() {
    let fixture = Fixture::with_online(&[Said::new(START, "anna", "s", UnixTime::now().0, 0)]).await;
    let address = fixture.serve().await;
    let bearer = ("authorization", format!("Bearer {}", fixture.token().await));
    let (mut socket, _) = connect_async(request(address, "login=anna", &[bearer])).await.unwrap();
    let LiveFrame::Snapshot { sessions, totals, .. } = frame(&mut socket).await else {
        panic!("no snapshot")
    };
    assert_eq!((sessions.len(), totals.sessions), (1, 1));
    assert_eq!(sessions[0].login.as_str(), "anna");
    fixture.deps.directory.revoke_token("test").await.unwrap();
    assert!(is_closed_with(&mut socket, 1008).await);
}

#[tokio::test]
async fn a_page_of_ours_may_listen_by_cookie_until_log_out_and_a_foreign_one_may_not() {
    let fixture = Fixture::new().await;
    let address = fixture.serve().await;
    let directory = &fixture.deps.directory;
    let member =
        directory.add_staff("eve", subscribers::Role::Support, "correct horse battery").await.unwrap();
    let session = directory.open_session(&member).await.unwrap();
    let cookie = || ("cookie", format!("radtally_session={}", session.cookie));
    for origin in [None, Some("http://evil.example"), Some("null")] {
        let headers: Vec<_> =
            [cookie()].into_iter().chain(origin.map(|origin| ("origin", origin.to_owned()))).collect();
        let Err(Error::Http(response)) = connect_async(request(address, "total", &headers)).await else {
            panic!("{origin:?} was let in")
        };
        assert_eq!(response.status(), 403, "{origin:?}");
    }
    let ours = ("origin", format!("http://{address}"));
    let (mut socket, _) = connect_async(request(address, "total", &[cookie(), ours])).await.unwrap();
    assert!(matches!(frame(&mut socket).await, LiveFrame::Snapshot { .. }));
    directory.close_session(&session.cookie).await.unwrap();
    assert!(is_closed_with(&mut socket, 1008).await);
}

#[tokio::test]
async fn a_feed_is_of_one_login_one_nas_or_all() {
    let fixture = Fixture::new().await;
    let address = fixture.serve().await;
    let token = fixture.token().await;
    for query in ["", "login=anna&total", "login=a&nas=b"] {
        let bearer = ("authorization", format!("Bearer {token}"));
        let Err(Error::Http(response)) = connect_async(request(address, query, &[bearer])).await else {
            panic!("\"{query}\" was let in")
        };
        assert_eq!(response.status(), 400, "{query}");
    }
}
