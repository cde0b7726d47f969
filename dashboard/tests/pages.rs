//! The pages over HTTP, with a real directory and real live state; ClickHouse is away, so every page also shows what it
//! does then.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chrono_tz::Africa::Lagos;
use collector::journal::Entry;
use collector::record::AccountingRecord;
use collector::sessions::Sessions;
use collector::{Ledger, Online};
use metrics_exporter_prometheus::PrometheusBuilder;
use radtally_dashboard::{DashboardConfig, DashboardDeps, FirstSteps};
use reqwest::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use schema::health::HealthBoard;
use schema::{Lsn, UnixMicros};
use subscribers::{DatabaseConfig, Directory, Role};
use tempfile::TempDir;
use usage::Calendar;

const PASSWORD: &str = "correct horse battery";
const SCRIPT: &str = "<script>alert(1)</script>";
const PAGES: [&str; 8] = [
    "/",
    "/nas",
    "/ledger",
    "/health",
    "/logins/ada?period=7d&sort=-download",
    "/logins/ada/explain?from=2026-01-01&to=2026-01-02",
    "/sessions/0123456789abcdef0123456789abcdef.2/explain",
    "/search?login=ada",
];

/// A dashboard on a port of its own.
struct Dashboard {
    base: String,
    browser: Client,
    _data: TempDir,
}

impl Dashboard {
    async fn start(sessions: Sessions, config: DashboardConfig) -> Self {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::connect(&DatabaseConfig::default(), data.path()).await.unwrap();
        directory.add_staff("ada", Role::Support, PASSWORD).await.unwrap();
        let api = query_api::Deps {
            // Nothing listens on port 9.
            clickhouse: clickhouse::Client::default().with_url("http://127.0.0.1:9"),
            rules: query_api::Rules::default(),
            calendar: Calendar::new(Lagos),
            online: Online::new("test".into(), sessions),
            ledger: Ledger::default(),
            health: HealthBoard::default(),
            directory,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            http: Arc::default(),
        };
        let first_steps = FirstSteps {
            listen: vec!["192.0.2.1:1813".parse().unwrap()],
            clients: vec![("bng-1".to_owned(), "10.0.0.0/24".to_owned())],
        };
        let router = radtally_dashboard::router(DashboardDeps { api, config, first_steps });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let browser = Client::builder().cookie_store(true).redirect(Policy::none()).build().unwrap();
        Self { base, browser, _data: data }
    }

    async fn get(&self, path: &str) -> Response {
        self.browser.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.browser.post(format!("{}{path}", self.base)).form(form).send().await.unwrap()
    }

    /// Fills in the log-in form as a browser would.
    async fn log_in(&self, password: &str, next: &str) -> Response {
        let csrf = hidden(&self.text("/login").await, "csrf");
        let form = [("name", "ada"), ("password", password), ("csrf", &csrf), ("next", next)];
        self.post("/login", &form).await
    }
}

/// One live session of `login`.
fn one_session(login: &str) -> Sessions {
    let mut packet = vec![4, 1, 0, 0];
    packet.extend([0; 16]);
    let mut attribute = |kind: u8, value: &[u8]| {
        packet.extend([kind, u8::try_from(value.len() + 2).unwrap()]);
        packet.extend(value);
    };
    attribute(40, &1u32.to_be_bytes());
    attribute(44, b"0001");
    attribute(1, login.as_bytes());
    attribute(32, SCRIPT.as_bytes());
    attribute(8, &[100, 64, 0, 7]);
    attribute(31, b"AA-BB-CC-DD-EE-FF");
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
    let entry = Entry { arrived_at: UnixMicros::now(), peer, client: "bng-1", local: 0, packet: &packet };
    let record = AccountingRecord::decode(Lsn(1), &entry);
    let mut sessions = Sessions::default();
    sessions.apply(&record);
    sessions
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let start = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let rest = page.split_once(&start).unwrap_or_else(|| panic!("no field {name} in {page}")).1;
    rest.split('"').next().unwrap().to_owned()
}

fn location(answer: &Response) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()[LOCATION].to_str().unwrap()
}

async fn silent() -> Dashboard {
    Dashboard::start(Sessions::default(), DashboardConfig::default()).await
}

#[tokio::test]
async fn every_page_sends_a_stranger_to_the_log_in_page_and_back() {
    let dashboard = silent().await;
    for page in PAGES {
        let answer = dashboard.get(page).await;
        let expected = page.replace('/', "%2F").replace('?', "%3F").replace('=', "%3D").replace('&', "%26");
        assert_eq!(location(&answer), format!("/login?next={expected}"));
    }
    let part = dashboard.browser.get(format!("{}/logins/ada", dashboard.base)).header("hx-request", "true");
    let answer = part.send().await.unwrap();
    assert_eq!(answer.headers()["hx-redirect"], "/login?next=%2Flogins%2Fada");
    assert_eq!(dashboard.post("/logout", &[("csrf", "")]).await.status(), StatusCode::SEE_OTHER);

    let answer = dashboard.log_in(PASSWORD, "/logins/ada?period=7d").await;
    assert_eq!(location(&answer), "/logins/ada?period=7d");
    for page in PAGES.into_iter().filter(|page| !page.starts_with("/search")) {
        dashboard.text(page).await;
    }
}

#[tokio::test]
async fn an_address_of_an_explanation_that_cannot_be_read_says_what_is_wrong() {
    let dashboard = silent().await;
    dashboard.log_in(PASSWORD, "/").await;
    for (page, status, told) in [
        ("/logins/ada/explain?from=noon", StatusCode::BAD_REQUEST, "is no time"),
        ("/logins/ada/explain?from=2026-01-02&to=2026-01-01", StatusCode::BAD_REQUEST, "is not after from"),
        (
            "/sessions/0123456789abcdef0123456789abcdef/explain?cursor=x",
            StatusCode::BAD_REQUEST,
            "is no cursor",
        ),
        ("/sessions/xyz/explain", StatusCode::NOT_FOUND, "no such page"),
    ] {
        let answer = dashboard.get(page).await;
        assert_eq!(answer.status(), status, "{page}");
        assert!(answer.text().await.unwrap().contains(told), "{page}");
    }
}

#[tokio::test]
async fn an_explanation_names_its_period_by_the_local_clock_also_without_clickhouse() {
    let dashboard = silent().await;
    dashboard.log_in(PASSWORD, "/").await;
    let page = "/logins/a%2Fda/explain?from=2025-12-31T23:00:00Z&to=2026-01-31T23:00:00Z";
    let text = dashboard.text(page).await;
    for shown in ["2026-01-01 00:00 to 2026-02-01 00:00", "cannot be explained now", "does not answer"] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(text.contains(&format!("href=\"{}\"", page.replace('&', "&#38;"))), "to try again: {text}");
}

#[tokio::test]
async fn logging_in_leads_to_no_other_site() {
    let dashboard = silent().await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "\t//evil.example"] {
        assert_eq!(location(&dashboard.log_in(PASSWORD, next).await), "/", "{next}");
        let page = dashboard.browser.get(format!("{}/login", dashboard.base)).query(&[("next", next)]);
        assert_eq!(location(&page.send().await.unwrap()), "/", "{next}");
        let csrf = hidden(&dashboard.text("/").await, "csrf");
        dashboard.post("/logout", &[("csrf", &csrf)]).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_guessing_is_slowed_down() {
    let dashboard = silent().await;
    for _ in 0..5 {
        let answer = dashboard.log_in("wrong", "/").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(answer.text().await.unwrap().contains("Name or password is wrong"));
    }
    assert_eq!(dashboard.log_in(PASSWORD, "/").await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn forms_without_the_right_value_are_refused() {
    let dashboard = silent().await;
    dashboard.get("/login").await;
    for csrf in ["", "0000"] {
        let form = [("name", "ada"), ("password", PASSWORD), ("csrf", csrf)];
        assert_eq!(dashboard.post("/login", &form).await.status(), StatusCode::FORBIDDEN);
    }
    dashboard.log_in(PASSWORD, "/").await;
    assert_eq!(dashboard.post("/logout", &[("csrf", "0000")]).await.status(), StatusCode::FORBIDDEN);
    dashboard.text("/").await;

    let csrf = hidden(&dashboard.text("/").await, "csrf");
    assert_eq!(location(&dashboard.post("/logout", &[("csrf", &csrf)]).await), "/login");
    assert_eq!(location(&dashboard.get("/").await), "/login?next=%2F");
}

#[tokio::test]
async fn cookies_are_kept_from_scripts_other_sites_and_plain_http() {
    let cookie = |answer: &Response| answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    let dashboard = silent().await;
    let plain = cookie(&dashboard.log_in(PASSWORD, "/").await);
    assert!(
        plain.starts_with("radtally_session=") && plain.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{plain}"
    );

    let behind_tls = Dashboard::start(Sessions::default(), DashboardConfig { secure_cookies: true }).await;
    let secure = cookie(&behind_tls.get("/login").await);
    assert!(secure.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{secure}");
}

#[tokio::test]
async fn every_answer_forbids_foreign_code_and_no_page_holds_inline_code() {
    let dashboard = silent().await;
    dashboard.log_in(PASSWORD, "/").await;
    for page in PAGES.into_iter().chain(["/login", "/nowhere", "/static/x/radtally.css"]) {
        let answer = dashboard.get(page).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{page}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{page}: {policy}");
        let text = answer.text().await.unwrap();
        for inline in ["<script>", " style=\"", "<style", " onclick", " onload", "javascript:"] {
            assert!(!text.contains(inline), "{page} holds {inline}");
        }
    }
}

#[tokio::test]
async fn what_a_nas_sends_is_text_on_every_page() {
    let dashboard = Dashboard::start(one_session(SCRIPT), DashboardConfig::default()).await;
    dashboard.log_in(PASSWORD, "/").await;
    let path = "/logins/%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    for page in ["/", "/nas", path] {
        let text = dashboard.text(page).await;
        assert!(!text.contains(SCRIPT), "{page}");
        assert!(text.contains("&#60;script&#62;alert(1)"), "{page}");
    }
    assert!(dashboard.text("/").await.contains(&format!("href=\"{path}\"")));
}

#[tokio::test]
async fn an_online_session_is_found_by_login_address_and_mac() {
    let dashboard = Dashboard::start(one_session("ada@isp"), DashboardConfig::default()).await;
    dashboard.log_in(PASSWORD, "/").await;
    for typed in ["ada@isp", "100.64.0.7", "aabb.ccdd.eeff", " ada@isp "] {
        let answer = dashboard.browser.get(format!("{}/search", dashboard.base)).query(&[("login", typed)]);
        assert_eq!(location(&answer.send().await.unwrap()), "/logins/ada%40isp", "{typed}");
    }
    let page = dashboard.text("/logins/ada%40isp").await;
    for shown in ["1 online", "100.64.0.7", "aa:bb:cc:dd:ee:ff"] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[tokio::test]
async fn without_a_nas_the_start_page_says_what_to_do() {
    let dashboard = silent().await;
    dashboard.log_in(PASSWORD, "/").await;
    let page = dashboard.text("/").await;
    for shown in ["No NAS has sent anything yet", "udp/192.0.2.1:1813", "bng-1", "10.0.0.0/24"] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[tokio::test]
async fn without_clickhouse_the_live_part_goes_on_and_the_rest_says_why() {
    let dashboard = Dashboard::start(one_session("ada"), DashboardConfig::default()).await;
    dashboard.log_in(PASSWORD, "/").await;
    let page = dashboard.text("/logins/ada").await;
    for shown in
        ["1 online", "totals cannot be shown", "history cannot be shown", "ClickHouse does not answer"]
    {
        assert!(page.contains(shown), "{shown}");
    }
}

#[tokio::test]
async fn a_part_of_the_page_comes_alone() {
    let dashboard = Dashboard::start(one_session("ada"), DashboardConfig::default()).await;
    dashboard.log_in(PASSWORD, "/").await;
    for part in ["online", "summary", "days", "history", "period"] {
        let request = dashboard.browser.get(format!("{}/logins/ada", dashboard.base));
        let answer = request.header("hx-request", "true").header("hx-target", part).send().await.unwrap();
        let html = answer.text().await.unwrap();
        assert!(
            html.trim_start().starts_with("<section") && html.contains(&format!("id=\"{part}\"")),
            "{html}"
        );
        assert!(!html.contains("<html"), "{part}");
    }
}

#[tokio::test]
async fn a_period_that_cannot_be_read_is_said() {
    let dashboard = silent().await;
    dashboard.log_in(PASSWORD, "/").await;
    let page = dashboard.text("/logins/ada?period=custom&from=soon&to=2026-01-01").await;
    assert!(page.contains("&#34;soon&#34; is not a date"), "{page}");
}

#[tokio::test]
async fn unchanged_files_are_not_sent_again() {
    let dashboard = silent().await;
    let page = dashboard.text("/login").await;
    let file = page.split('"').find(|text| text.ends_with("/radtally.css")).unwrap();
    let answer = dashboard.get(file).await;
    assert_eq!(answer.headers()["content-type"], "text/css");
    assert!(answer.headers().contains_key(CACHE_CONTROL));
    let request = dashboard.browser.get(format!("{}{file}", dashboard.base));
    let again = request.header(IF_NONE_MATCH, answer.headers()[ETAG].clone()).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(dashboard.get("/static/x/Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(dashboard.get("/static/x/..%2FCargo.toml").await.status(), StatusCode::NOT_FOUND);
}

/// The live chart's arithmetic is JavaScript; Node, which `npm ci` needs too, runs its tests.
#[test]
fn the_live_chart_draws_what_was_reported_and_nothing_else() {
    let mut node = std::process::Command::new("node");
    node.args(["--test", "tests/timeline.test.js"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let ran = node.output().expect("Node.js runs these tests, as it runs `npm ci`: install nodejs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}
