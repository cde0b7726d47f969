//! What a client sees: who is let in, and how errors read.

use reqwest::{Client, StatusCode};
use schema::health::{CLICKHOUSE, JOURNAL, LISTENER};
use serde_json::Value;
use subscribers::Role;

use crate::engine;
use crate::fixture::Fixture;
use crate::traffic::{INTERIM, START, Said, time};

const CLOSED: [&str; 11] = [
    "/api/v1/online",
    "/api/v1/sessions",
    "/api/v1/sessions/0123456789abcdef0123456789abcdef",
    "/api/v1/sessions/0123456789abcdef0123456789abcdef/explain",
    "/api/v1/usage/explain?login=anna&from=2026-01-01&to=2026-02-01",
    "/api/v1/usage/summary?login=anna&from=2026-01-01&to=2026-02-01",
    "/api/v1/usage/series?login=anna&from=2026-01-01&to=2026-02-01&step=1d",
    "/api/v1/ledger",
    "/api/v1/live?total",
    "/api/v1/no/such/thing",
    "/metrics",
];

struct Api {
    fixture: Fixture,
    base: String,
    token: String,
    client: Client,
}

impl Api {
    async fn over(fixture: Fixture) -> Self {
        let base = format!("http://{}", fixture.serve().await);
        let token = fixture.token().await;
        Self { fixture, base, token, client: Client::new() }
    }

    async fn new() -> Self {
        Self::over(Fixture::new().await).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response =
            self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await.unwrap();
        let status = response.status();
        if !status.is_success() {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        }
        (status, response.json().await.unwrap())
    }

    /// A problem document, of which the members that every one has are checked.
    async fn problem(&self, path: &str) -> (StatusCode, Value) {
        let (status, problem) = self.get(path).await;
        assert_eq!(problem["status"], status.as_u16(), "{path}: {problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{path}: {problem}");
        (status, problem)
    }
}

#[tokio::test]
async fn nothing_but_health_is_served_without_a_credential() {
    let api = Api::new().await;
    for path in CLOSED {
        for (header, value) in [
            ("x-nothing", ""),
            (
                "authorization",
                "Bearer radtally_0000000000000000000000000000000000000000000000000000000000000000",
            ),
            ("authorization", "Basic YWRtaW46YWRtaW4="),
            ("cookie", "radtally_session=0000000000000000000000000000000000000000000000000000000000000000"),
        ] {
            let request = api.client.get(format!("{}{path}", api.base)).header(header, value);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path} with {header}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"radtally\"", "{path}");
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["status"], 401, "{path}: {problem}");
        }
    }
}

#[tokio::test]
async fn a_token_or_a_staff_session_lets_in_until_it_is_revoked() {
    let api = Api::new().await;
    assert_eq!(api.get("/api/v1/online").await.0, StatusCode::OK);
    let directory = &api.fixture.deps.directory;
    let member = directory.add_staff("eve", Role::Support, "correct horse battery").await.unwrap();
    let session = directory.open_session(&member).await.unwrap();
    let by_cookie = async || {
        let request = api.client.get(format!("{}/api/v1/ledger", api.base));
        request
            .header("cookie", format!("a=b; radtally_session={}", session.cookie))
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(by_cookie().await, StatusCode::OK);
    directory.close_session(&session.cookie).await.unwrap();
    assert_eq!(by_cookie().await, StatusCode::UNAUTHORIZED);
    directory.revoke_token("test").await.unwrap();
    assert_eq!(api.problem("/api/v1/online").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn health_needs_no_credential_and_follows_the_journal() {
    let api = Api::new().await;
    let health = async || {
        let response = api.client.get(format!("{}/api/v1/health", api.base)).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(health().await.0, StatusCode::SERVICE_UNAVAILABLE);
    let board = &api.fixture.deps.health;
    board.up(JOURNAL);
    board.up(LISTENER);
    let (status, body) = health().await;
    assert_eq!(
        (status, &body["status"], &body["acknowledging"]),
        (StatusCode::OK, &"up".into(), &true.into())
    );
    board.down(CLICKHOUSE, "connection refused");
    let (status, body) = health().await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &"degraded".into()));
    assert_eq!(body["parts"]["clickhouse"]["reason"], "connection refused");
}

#[tokio::test]
async fn every_bad_parameter_is_named_with_its_value() {
    let api = Api::new().await;
    let period = "login=anna&from=2026-01-01&to=2026-02-01";
    for (path, name, value) in [
        ("online?ip=10.0.0.256".to_owned(), "ip", Some("10.0.0.256")),
        ("online?mac=zz".to_owned(), "mac", Some("zz")),
        ("online?limit=0".to_owned(), "limit", Some("0")),
        ("online?limit=501".to_owned(), "limit", Some("501")),
        ("online?cursor=5".to_owned(), "cursor", Some("5")),
        ("online?colour=red".to_owned(), "colour", None),
        ("sessions?at=noon".to_owned(), "at", Some("noon")),
        ("sessions?from=1".to_owned(), "from", Some("1")),
        ("sessions?to=2026-13-01".to_owned(), "to", Some("2026-13-01")),
        ("sessions?from=2026-02-01&to=2026-01-01".to_owned(), "to", Some("2026-01-01")),
        ("sessions?sort=name".to_owned(), "sort", Some("name")),
        ("sessions?ip=x".to_owned(), "ip", Some("x")),
        ("sessions?mac=x".to_owned(), "mac", Some("x")),
        ("sessions?login=a&login=b".to_owned(), "login", None),
        ("sessions/0123456789abcdef0123456789abcdef?x=1".to_owned(), "x", None),
        ("sessions/0123456789abcdef0123456789abcdef/explain?limit=1001".to_owned(), "limit", Some("1001")),
        ("sessions/0123456789abcdef0123456789abcdef/explain?cursor=x".to_owned(), "cursor", Some("x")),
        ("usage/explain?login=anna&from=2026-01-01&to=x".to_owned(), "to", Some("x")),
        ("usage/summary?from=2026-01-01&to=2026-02-01".to_owned(), "login", None),
        ("usage/summary?login=&from=2026-01-01&to=2026-02-01".to_owned(), "login", None),
        ("usage/summary?login=anna&to=2026-02-01".to_owned(), "from", None),
        ("usage/summary?login=anna&from=2026-01-01".to_owned(), "to", None),
        (format!("usage/summary?{period}&step=1d"), "step", None),
        (format!("usage/series?{period}&step=2d"), "step", Some("2d")),
        ("usage/series?login=anna&from=2026-01-01&to=2026-12-01&step=5m".to_owned(), "step", Some("5m")),
        ("usage/series?login=anna&from=2020-01-01&to=2026-12-01&step=1mo".to_owned(), "to", None),
        ("health?verbose=1".to_owned(), "verbose", None),
        ("ledger?nas=x".to_owned(), "nas", None),
        ("live?total&colour=red".to_owned(), "colour", None),
    ] {
        let (status, problem) = api.problem(&format!("/api/v1/{path}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
        assert_eq!(problem["parameter"], name, "{path}: {problem}");
        if let Some(value) = value {
            assert_eq!(problem["value"], value, "{path}: {problem}");
        }
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(name) && detail.contains(value.unwrap_or_default()), "{path}: {detail}");
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_done_are_problems_too() {
    let api = Api::new().await;
    for path in [
        "/api/v1/no/such/thing",
        "/api/v1/sessions/xyz",
        "/api/v1/sessions/0123456789abcdef0123456789abcdef",
        "/api/v1/sessions/0123456789abcdef0123456789abcdef.2/explain",
    ] {
        assert_eq!(api.problem(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/api/v1/health", "/api/v1/online", "/metrics"] {
        let response =
            api.client.post(format!("{}{path}", api.base)).bearer_auth(&api.token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        assert!(response.headers()["allow"].to_str().unwrap().contains("GET"), "{path}");
    }
    assert_eq!(api.problem("/api/v1/live?total").await.0, StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn without_clickhouse_live_parts_go_on_and_the_rest_says_when_to_ask_again() {
    let said = [Said::new(START, "anna", "s", schema::UnixTime::now().0, 0)];
    let api = Api::over(Fixture::over(engine::nowhere(), &said).await).await;
    let path = "/api/v1/usage/summary?login=anna&from=2026-01-01&to=2026-02-01";
    let response =
        api.client.get(format!("{}{path}", api.base)).bearer_auth(&api.token).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "5");
    let (status, online) = api.get("/api/v1/online?login=anna").await;
    assert_eq!((status, online["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)));
}

#[tokio::test]
async fn the_documented_json_is_what_comes() {
    let now = schema::UnixTime::now().0;
    let said = [
        Said::new(START, "anna", "s", now - 700, 0),
        Said::new(INTERIM, "anna", "s", now - 100, 600).octets(4_500_000_000, 1_000).ip([10, 0, 0, 7]),
    ];
    let mut fixture = Fixture::with_online(&said).await;
    fixture.store(&said).await;
    let api = Api::over(fixture).await;
    let (from, to) = (time(now - 3_600), time(now + 3_600));
    let (_, summary) = api.get(&format!("/api/v1/usage/summary?login=anna&from={from}&to={to}")).await;
    assert_eq!(summary["download_octets"], 4_500_000_000u64, "{summary}");
    assert_eq!((&summary["from"], &summary["to"]), (&Value::from(from.as_str()), &Value::from(to.as_str())));
    assert_eq!((&summary["sessions"], &summary["errors"]), (&1.into(), &0.into()));
    let (_, series) = api.get(&format!("/api/v1/usage/series?login=anna&from={from}&to={to}&step=1h")).await;
    let octets: u64 = series["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["download_octets"].as_u64().unwrap())
        .sum();
    assert_eq!(octets, 4_500_000_000);
    let (_, sessions) = api.get("/api/v1/sessions?ip=10.0.0.7").await;
    let session = &sessions["items"][0];
    assert_eq!(
        (&session["state"], &session["ended_at"], &sessions["next"]),
        (&"live".into(), &Value::Null, &Value::Null)
    );
    let (_, one) = api.get(&format!("/api/v1/sessions/{}", session["id"].as_str().unwrap())).await;
    assert_eq!((&one["records"], &one["login"]), (&2.into(), &"anna".into()));
    let (_, online) = api.get("/api/v1/online?mac=aabb.cc00.0001").await;
    assert_eq!(online["items"][0]["id"], session["id"]);
    let metrics =
        api.client.get(format!("{}/metrics", api.base)).bearer_auth(&api.token).send().await.unwrap();
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
}
