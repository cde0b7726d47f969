//! Headless Chromium on the dashboard: log in, find a login, watch the chart move, read the totals.

use std::process::Command;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::api::{SOON, rfc3339};
use crate::client::{Nas, Said};
use crate::program::Program;
use crate::service::Service;
use crate::until::until;

const PASSWORD: &str = "correct horse battery staple";

/// A browser and the driver that runs it.
struct Browser {
    client: Client,
    driver: String,
    _process: Program,
}

impl Browser {
    async fn start(service: &Service) -> Self {
        let mut command = Command::new("chromedriver");
        let process = Program::start(command.arg("--port=0"), service.dir().join("chromedriver.log"));
        let port = until("chromedriver's port", SOON, async || {
            let output = process.output();
            let after = output.split("started successfully on port ").nth(1)?;
            after.split('.').next()?.trim().parse::<u16>().ok()
        })
        .await;
        let options = json!({
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1440,1400",
                format!("--user-data-dir={}", service.dir().join("chromium").display()),
            ]},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(options.as_object().unwrap().clone());
        let driver = format!("http://127.0.0.1:{port}");
        let client = builder.connect(&driver).await.expect("Chromium starts");
        Self { client, driver, _process: process }
    }

    async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The attribute of the element that `css` finds, once there is one.
    async fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.client.find(Locator::Css(css)).await.ok()?.attr(name).await.ok()?
    }

    async fn number(&self, css: &str, name: &str) -> Option<u64> {
        self.attribute(css, name).await?.parse().ok()
    }

    async fn text(&self, css: &str) -> String {
        self.client.wait().at_most(SOON).for_element(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    async fn log_in(&self) {
        let form = self.client.form(Locator::Css("form[action='/login']")).await.unwrap();
        let form = form.set(Locator::Css("#name"), "grace").await.unwrap();
        let form = form.set(Locator::Css("#password"), PASSWORD).await.unwrap();
        form.submit().await.unwrap();
    }

    /// What the browser complained about: script errors and violations of the content security policy.
    async fn complaints(&self) -> Vec<Value> {
        let session = self.client.session_id().await.unwrap().unwrap();
        let request = reqwest::Client::new().post(format!("{}/session/{session}/se/log", self.driver));
        let log: Value =
            request.json(&json!({"type": "browser"})).send().await.unwrap().json().await.unwrap();
        log["value"].as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE").cloned().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_moves_by_itself_and_its_totals_are_what_was_sent() {
    let service = Service::start().await;
    service.command(
        &["staff", "add", "--name", "grace", "--role", "support"],
        &format!("{PASSWORD}\n{PASSWORD}\n"),
    );
    let now = chrono::Utc::now().timestamp();
    let started = now - 1_200;
    let at = |seconds: u32, download: u64| {
        Said::interim("ada", seconds, download, download / 8).at(started + i64::from(seconds))
    };
    let mut nas = Nas::new(service.accounting).await;
    nas.say(&at(0, 0).status(1)).await;
    nas.say(&at(1_000, 500_000_000)).await;
    service.all_stored().await;

    let browser = Browser::start(&service).await;
    browser.open(&service.url("/logins/ada")).await;
    assert!(browser.client.current_url().await.unwrap().path() == "/login", "the page asks who is there");
    browser.log_in().await;
    browser.open(&service.url("/")).await;
    let form = browser.client.form(Locator::Css("form.rt-search")).await.unwrap();
    form.set_by_name("login", "ada").await.unwrap().submit().await.unwrap();
    assert_eq!(browser.text("#login").await, "ada");
    until("the page to be live", SOON, async || {
        (browser.attribute("section.rt-live", "data-state").await? == "live").then_some(())
    })
    .await;

    let before =
        until("the chart's first points", SOON, async || browser.number("#live-chart", "data-points").await)
            .await;
    let last = send_while_watching(&browser, &mut nas, &at, before).await;
    nas.say(&at(1_190, last).status(2)).await;
    the_totals_are(&browser, &service, started, last).await;
    the_total_comes_about(&browser, last).await;
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    browser.client.clone().close().await.unwrap();
}

/// Reports grow the session; the chart must get points without a reload. Gives the last counter.
async fn send_while_watching(
    browser: &Browser,
    nas: &mut Nas,
    at: &impl Fn(u32, u64) -> Said,
    before: u64,
) -> u64 {
    let mut last = 0;
    for step in 1..=6_u32 {
        last = 500_000_000 + u64::from(step) * 40_000_001;
        nas.say(&at(1_000 + step * 30, last)).await;
    }
    until("more points on the chart", SOON, async || {
        (browser.number("#live-chart", "data-points").await? > before).then_some(())
    })
    .await;
    // 40,000,001 octets in 30 s are 10.67 Mbit/s.
    until("the current rate on the page", SOON, async || {
        browser.text("[data-figure='down-current']").await.contains("10.7").then_some(())
    })
    .await;
    last
}

async fn the_totals_are(browser: &Browser, service: &Service, started: i64, download: u64) {
    let day = 86_400;
    let path = format!(
        "/api/v1/usage/summary?login=ada&from={}&to={}",
        rfc3339(started - day),
        rfc3339(started + 2 * day)
    );
    until("the summary to hold all", SOON, async || {
        (service.get(&path).await["download_octets"] == download).then_some(())
    })
    .await;
    browser.open(&service.url("/logins/ada?period=7d")).await;
    let shown = until("the totals on the page", SOON, async || {
        let down = browser.number("#summary-download", "data-value").await?;
        let up = browser.number("#summary-upload", "data-value").await?;
        Some((down, up, browser.number("#summary-sessions", "data-value").await?))
    })
    .await;
    assert_eq!(shown, (download, download / 8, 1));
    let days: u64 = {
        let script = "return [...document.querySelectorAll('#days-table tbody tr')].map(r => Number(r.dataset.download))";
        let rows = browser.client.execute(script, Vec::new()).await.unwrap();
        rows.as_array().unwrap().iter().map(|row| row.as_u64().unwrap()).sum()
    };
    assert_eq!(days, download, "the days add up to the total");
    tokio::time::timeout(Duration::from_secs(5), async {
        assert_eq!(browser.client.find_all(Locator::Css("#history [data-session]")).await.unwrap().len(), 1);
    })
    .await
    .unwrap();
}

/// From the total down to an attribute of a record, as somebody on the phone would go.
async fn the_total_comes_about(browser: &Browser, download: u64) {
    let exact = grouped(download);
    let click = async |css: &str| {
        let element = browser.client.wait().at_most(SOON).for_element(Locator::Css(css)).await.unwrap();
        element.click().await.unwrap();
    };
    click("#summary .rt-explain").await;
    assert!(browser.text("#total-download").await.contains(&exact));
    assert!(browser.text("#sum-download").await.contains(&exact), "the sessions add up to it");
    click("#sessions tbody th a").await;
    assert!(browser.text("#session .rt-down dd").await.contains(&exact));
    click("#records .rt-records > tbody:last-of-type summary").await;
    let last = browser.text("#records .rt-records > tbody:last-of-type").await;
    for shown in ["Stop", "ok", &exact, "Acct-Session-Time", "RFC 2866 5.7"] {
        assert!(last.contains(shown), "{shown} in {last}");
    }
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}
