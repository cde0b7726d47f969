//! FreeRADIUS's `radclient` as a NAS: one session from its Start to a bill.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::api::{SOON, rfc3339};
use crate::service::{SECRET, Service};
use crate::until::{until, until_equal};

/// Runs `radclient` with `attributes` and says whether it got an answer.
fn radclient(service: &Service, command: &str, secret: &str, attributes: &str) -> (bool, String) {
    let mut radclient = Command::new("radclient");
    radclient.args(["-x", "-r", "1", "-t", "5", &service.accounting.to_string(), command, secret]);
    radclient.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = radclient
        .spawn()
        .unwrap_or_else(|error| panic!("radclient: {error}; `cargo xtask test` installs it"));
    child.stdin.take().unwrap().write_all(attributes.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn acct(service: &Service, attributes: &str) {
    let (answered, said) = radclient(service, "acct", SECRET, attributes);
    assert!(answered && said.contains("Received Accounting-Response"), "{said}");
}

/// The attributes of a session of `ada`, at `at`.
fn session(at: i64, status: &str, more: &str) -> String {
    format!(
        "Acct-Status-Type = {status}\nAcct-Session-Id = \"81A00001\"\nUser-Name = \"ada@example.net\"\n\
         NAS-Identifier = \"bng-lagos-1\"\nNAS-Port-Id = \"ge-0/0/1.100\"\nEvent-Timestamp = {at}\n\
         Framed-IP-Address = 100.64.7.9\nDelegated-IPv6-Prefix = 2001:db8:7:900::/56\n\
         Calling-Station-Id = \"00-11-22-AA-bb-CC\"\n{more}\n"
    )
}

const INTERIM: &str = "Acct-Session-Time = 1800\nAcct-Output-Octets = 205032704\nAcct-Output-Gigawords = 1\n\
                       Acct-Input-Octets = 225000000\nAcct-Input-Gigawords = 0";
const STOP: &str = "Acct-Session-Time = 2400\nAcct-Output-Octets = 505032707\nAcct-Output-Gigawords = 1\n\
                    Acct-Input-Octets = 300000001\nAcct-Input-Gigawords = 0\nAcct-Terminate-Cause = User-Request";
/// What `STOP` says, with its Gigawords.
const DOWNLOAD: u64 = 4_800_000_003;
const UPLOAD: u64 = 300_000_001;

#[tokio::test(flavor = "multi_thread")]
async fn radclient_session_is_online_then_live_then_billed_to_the_octet() {
    let service = Service::start().await;
    // The last whole hour; the session runs from ten past to ten to.
    let hour = chrono::Utc::now().timestamp() / 3_600 * 3_600 - 3_600;
    let start = hour + 600;
    let mut live = service.live("login=ada@example.net").await;
    assert_eq!(live.next("snapshot").await["sessions"], json!([]));

    acct(&service, &session(start, "Start", ""));
    assert_eq!(live.next("session").await["session"]["rate"], json!(null), "one sample makes no rate");
    acct(&service, &session(start + 1_800, "Interim-Update", INTERIM));
    let shown = live.next("session").await;
    assert_eq!(shown["session"]["rate"]["download_bps"], 20_000_000, "4.5 GB in half an hour: {shown}");
    assert_eq!(shown["session"]["rate"]["upload_bps"], 1_000_000, "{shown}");

    let online = service.get("/api/v1/online?login=ada@example.net").await;
    let item = &online["items"][0];
    assert_eq!(online["items"].as_array().unwrap().len(), 1, "{online}");
    assert_eq!(item["download_octets"], 4_500_000_000_u64, "{item}");
    assert_eq!((&item["ips"], &item["mac"]), (&json!(["100.64.7.9"]), &json!("00:11:22:aa:bb:cc")), "{item}");
    assert_eq!((&item["duration_seconds"], &item["confidence"]), (&json!(1_800), &json!("live")), "{item}");

    acct(&service, &session(start + 2_400, "Stop", STOP));
    assert_eq!(live.next("ended").await["cause"], "User-Request");
    assert_eq!(service.get("/api/v1/online?login=ada@example.net").await["items"], json!([]));

    let summary = summary_of_the_hour(&service, hour).await;
    assert_eq!(summary["download_octets"], DOWNLOAD, "{summary}");
    assert_eq!(summary["upload_octets"], UPLOAD, "{summary}");
    assert_eq!((&summary["errors"], &summary["online_seconds"]), (&json!(0), &json!(2_400)), "{summary}");
    assert_eq!(summary["estimated_octets"], 0, "{summary}");
    the_history_tells_all(&service, hour, start).await;
    days_and_hours_add_up(&service, hour).await;
}

/// A session typed in by hand: everything at once, nothing but Acct-Session-Time to tell when it was.
#[tokio::test(flavor = "multi_thread")]
async fn radclient_session_without_timestamps_is_one_session_to_the_octet() {
    let service = Service::start().await;
    for (status, counters) in [("Start", ""), ("Interim-Update", INTERIM), ("Stop", STOP)] {
        let attributes = format!(
            "Acct-Status-Type = {status}\nAcct-Session-Id = \"5\"\nUser-Name = \"bola\"\nNAS-IP-Address = 10.0.0.1\n{counters}\n"
        );
        acct(&service, &attributes);
    }
    service.all_stored().await;
    let now = chrono::Utc::now().timestamp();
    let (from, to) = (rfc3339(now - 7_200), rfc3339(now + 3_600));
    // Three starts in one second are no well-behaved session: the settler has the last word, a moment later.
    until_equal(&json!([1, 2_400, DOWNLOAD, UPLOAD]), SOON, async || {
        let summary = service.get(&format!("/api/v1/usage/summary?login=bola&from={from}&to={to}")).await;
        let fields = ["sessions", "online_seconds", "download_octets", "upload_octets"];
        fields.into_iter().map(|field| summary[field].clone()).collect()
    })
    .await;
    let sessions = service.get("/api/v1/sessions?login=bola").await;
    assert_eq!(sessions["items"][0]["terminate_cause"], "User-Request", "{sessions}");
    assert_eq!(service.get("/api/v1/online?login=bola").await["items"], json!([]));
}

async fn summary_of_the_hour(service: &Service, hour: i64) -> serde_json::Value {
    let path = format!(
        "/api/v1/usage/summary?login=ada@example.net&from={}&to={}",
        rfc3339(hour),
        rfc3339(hour + 3_600)
    );
    until("the session in the summary, ended", SOON, async || {
        let summary = service.get(&path).await;
        (summary["sessions"] == 1 && summary["online_seconds"] == 2_400).then_some(summary)
    })
    .await
}

async fn the_history_tells_all(service: &Service, hour: i64, start: i64) {
    let path =
        format!("/api/v1/sessions?login=ada@example.net&from={}&to={}", rfc3339(hour), rfc3339(hour + 3_600));
    let sessions = service.get(&path).await;
    let item = &sessions["items"][0];
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1, "{sessions}");
    assert_eq!(
        (&item["started_at"], &item["ended_at"]),
        (&json!(rfc3339(start)), &json!(rfc3339(start + 2_400))),
        "{item}"
    );
    assert_eq!(
        (&item["terminate_cause"], &item["duration_seconds"]),
        (&json!("User-Request"), &json!(2_400)),
        "{item}"
    );
    assert_eq!(
        (&item["download_octets"], &item["upload_octets"]),
        (&json!(DOWNLOAD), &json!(UPLOAD)),
        "{item}"
    );
    assert_eq!((&item["ips"], &item["mac"]), (&json!(["100.64.7.9"]), &json!("00:11:22:aa:bb:cc")), "{item}");
    assert_eq!(item["prefixes"], json!(["2001:db8:7:900::/56"]), "{item}");
    let by_address = service.get(&format!("/api/v1/sessions?ip=100.64.7.9&at={}", rfc3339(start + 60))).await;
    assert_eq!(by_address["items"][0]["id"], item["id"], "who had the address: {by_address}");
    let one = service.get(&format!("/api/v1/sessions/{}", item["id"].as_str().unwrap())).await;
    assert_eq!(one["acct_session_id"], "81A00001", "{one}");
}

/// Five-minute steps over the hour sum up to the hour.
async fn days_and_hours_add_up(service: &Service, hour: i64) {
    let (from, to) = (rfc3339(hour), rfc3339(hour + 3_600));
    let series =
        service.get(&format!("/api/v1/usage/series?login=ada@example.net&from={from}&to={to}&step=5m")).await;
    let items = series["items"].as_array().unwrap();
    let sum = |field: &str| items.iter().map(|item| item[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(
        (items.len(), sum("download_octets"), sum("upload_octets")),
        (12, DOWNLOAD, UPLOAD),
        "{series}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn radclient_status_server_is_answered_and_a_wrong_secret_is_not() {
    let service = Service::start().await;
    let (answered, said) = radclient(&service, "status", SECRET, "Message-Authenticator = 0x00\n");
    assert!(answered, "{said}");
    let (answered, said) =
        radclient(&service, "acct", "another secret", &session(1_700_000_000, "Start", ""));
    assert!(!answered, "{said}");
    let ledger = service.all_stored().await;
    assert_eq!(ledger["wrong_secrets"][0]["source"], "127.0.0.1", "{ledger}");
    // Sent once, and once more for want of an answer.
    assert_eq!(
        ledger["total"]["rejected"]["wrong_authenticator"], ledger["wrong_secrets"][0]["packets"],
        "{ledger}"
    );
    assert_eq!((&ledger["total"]["status_server"], &ledger["stored"]), (&json!(1), &json!(0)), "{ledger}");
}
