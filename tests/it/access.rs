//! Who may see what: nothing but log-in, health and static files is open.

use reqwest::Method;
use reqwest::header::LOCATION;

use crate::service::Service;

const API: &[&str] = &[
    "/api/v1/online",
    "/api/v1/sessions",
    "/api/v1/sessions/00000000000000000000000000000000",
    "/api/v1/sessions/00000000000000000000000000000000/explain",
    "/api/v1/usage/summary?login=a",
    "/api/v1/usage/series?login=a",
    "/api/v1/usage/totals",
    "/api/v1/usage/explain?login=a",
    "/api/v1/ledger",
    "/api/v1/live?total",
    "/api/v1/anything",
    "/metrics",
];
const PAGES: &[&str] = &[
    "/",
    "/search?login=a",
    "/logins/ada",
    "/logins/ada/explain",
    "/sessions/00000000000000000000000000000000/explain",
    "/nas",
    "/health",
];

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_only_login_health_and_static_files_are_open() {
    let service = Service::start().await;
    for path in API {
        let answer = service.ask_as_nobody(Method::GET, path).await;
        assert!([401, 404].contains(&answer.status().as_u16()), "{path}: {}", answer.status());
        assert_ne!(answer.text().await.unwrap().len(), 0, "{path}");
    }
    for path in PAGES {
        let answer = service.ask_as_nobody(Method::GET, path).await;
        assert_eq!(answer.status(), 303, "{path}");
        assert!(answer.headers()[LOCATION].to_str().unwrap().starts_with("/login"), "{path}: {answer:?}");
    }
    let logout = service.ask_as_nobody(Method::POST, "/logout").await;
    assert!(logout.status().is_client_error() || logout.status().is_redirection(), "{logout:?}");
    assert_eq!(service.ask_as_nobody(Method::GET, "/api/v1/health").await.status(), 200);
    let login = service.ask_as_nobody(Method::GET, "/login").await;
    assert_eq!(login.status(), 200);
    let page = login.text().await.unwrap();
    let style =
        page.split('"').find(|part| part.ends_with("/radtally.css")).expect("the page has a style sheet");
    assert_eq!(service.ask_as_nobody(Method::GET, style).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_misplaced_token_opens_nothing() {
    let service = Service::start().await;
    let ask =
        |token: String| reqwest::Client::new().get(service.url("/api/v1/online")).bearer_auth(token).send();
    assert_eq!(ask(service.token.clone()).await.unwrap().status(), 200);
    assert_eq!(ask(format!("{}x", service.token)).await.unwrap().status(), 401);
    let in_url = service.ask_as_nobody(Method::GET, &format!("/api/v1/online?token={}", service.token)).await;
    assert_eq!(in_url.status(), 401, "a token in a URL ends up in logs");
    let foreign = reqwest::Client::new()
        .get(service.url("/api/v1/live?total"))
        .bearer_auth(&service.token)
        .header("origin", "http://evil.example")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(foreign.send().await.unwrap().status(), 403, "a WebSocket from a foreign page");
}
