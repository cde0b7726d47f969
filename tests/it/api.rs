//! Asking the service over HTTP and WebSocket.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::service::Service;
use crate::until::until;

/// How long anything may take to show: the export lags by about a second, the rest is a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

impl Service {
    /// Gets `path` with the token and expects it to be there.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).await.unwrap_or_else(|| panic!("{path}: no answer"));
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Gets `path` with the token; `None` where there is no answer in JSON.
    pub async fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let request = reqwest::Client::new()
            .get(self.url(path))
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(10));
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// Asks without credentials, following no redirect.
    pub async fn ask_as_nobody(&self, method: Method, path: &str) -> reqwest::Response {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        client.request(method, self.url(path)).send().await.unwrap()
    }

    /// The metrics' text.
    pub async fn metrics(&self) -> String {
        let request = reqwest::Client::new().get(self.url("/metrics")).bearer_auth(&self.token);
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    /// The value of the first metric whose line starts with `name` and holds all of `labels`; 0 where there is none.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.metrics().await;
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) as u64
    }

    /// Waits until ClickHouse holds everything that was acknowledged, and the ledger balances. Whoever sends must not have
    /// begun before the service had started.
    pub async fn all_stored(&self) -> Value {
        until("everything acknowledged to be stored", 2 * SOON, async || {
            let (status, ledger) = self.try_get("/api/v1/ledger").await?;
            let balanced = ledger["unaccounted"] == 0 && ledger["total"]["in_flight"] == 0;
            let recorded = self.recorded_before + ledger["total"]["acknowledged"].as_u64()?;
            (status == 200 && balanced && ledger["stored"] == recorded && ledger["pending"] == 0)
                .then_some(ledger)
        })
        .await
    }

    /// Follows the live feed of `query`.
    pub async fn live(&self, query: &str) -> Live {
        let mut request = format!("ws://{}/api/v1/live?{query}", self.http).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Live(socket)
    }

    /// The address of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }
}

/// A live feed.
pub struct Live(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Live {
    /// The next frame of the given type.
    pub async fn next(&mut self, kind: &str) -> Value {
        let frame = async {
            loop {
                let message = self.0.next().await.expect("the feed ended").unwrap();
                let Message::Text(text) = message else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] == kind {
                    return frame;
                }
            }
        };
        tokio::time::timeout(SOON, frame)
            .await
            .unwrap_or_else(|_| panic!("no frame \"{kind}\" within {SOON:?}"))
    }
}

/// A time as the API takes it in a query.
pub fn rfc3339(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
