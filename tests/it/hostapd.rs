//! `hostapd` as a NAS on a wire (802.1X), with `wpa_supplicant` as who logs in.
//!
//! hostapd sends a packet that was not answered again under a new identifier, with a new authenticator and a larger
//! Acct-Delay-Time: on the wire a new packet, in fact the same. A wired hostapd reports no octets.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::api::SOON;
use crate::network::ip;
use crate::program::Program;
use crate::service::{SECRET, Service};
use crate::until::until;

/// A pair of Ethernet interfaces joined by a wire; gone when this is dropped.
struct Wire {
    switch: String,
    host: String,
}

/// The MAC address of the host's end, which a wired hostapd uses as User-Name.
const HOST_MAC: &str = "02:00:5e:10:00:01";
const LOGIN: &str = "02005e100001";

impl Wire {
    fn new(name: &str) -> Self {
        let id = std::process::id() % 100_000;
        let wire = Self { switch: format!("rt{name}{id}s"), host: format!("rt{name}{id}h") };
        let (switch, host) = (&wire.switch, &wire.host);
        ip(&format!("link add {switch} type veth peer name {host} address {HOST_MAC}"));
        ip(&format!("link set {switch} up"));
        ip(&format!("link set {host} up"));
        wire
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        _ = Command::new("ip").args(["link", "del", &self.switch]).status();
    }
}

/// Starts hostapd on the switch's end of `wire`, reporting to `service` every two seconds.
fn hostapd(wire: &Wire, service: &Service) -> Program {
    let users = service.dir().join("eap_users");
    std::fs::write(&users, "\"alice\" MD5 \"wonderland\"\n").unwrap();
    let config = format!(
        "interface={}\ndriver=wired\nlogger_stdout=-1\nlogger_stdout_level=0\nieee8021x=1\nuse_pae_group_addr=1\n\
         eap_server=1\neap_user_file={}\nown_ip_addr=127.0.0.1\nnas_identifier=switch-1\n\
         acct_server_addr=127.0.0.1\nacct_server_port={}\nacct_server_shared_secret={SECRET}\nradius_acct_interim_interval=2\n",
        wire.switch,
        users.display(),
        service.accounting.port(),
    );
    let file = service.dir().join("hostapd.conf");
    std::fs::write(&file, config).unwrap();
    Program::start(Command::new("hostapd").arg(file), service.dir().join("hostapd.log"))
}

/// Starts the host that logs in as alice on its end of `wire`.
fn supplicant(wire: &Wire, dir: &Path) -> Program {
    let file = dir.join("wpa.conf");
    let network = "ap_scan=0\nnetwork={\nkey_mgmt=IEEE8021X\neap=MD5\nidentity=\"alice\"\npassword=\"wonderland\"\neapol_flags=0\n}\n";
    std::fs::write(&file, network).unwrap();
    let mut command = Command::new("wpa_supplicant");
    command.args(["-D", "wired", "-i", &wire.host, "-c"]).arg(file);
    Program::start(&mut command, dir.join("wpa.log"))
}

/// The kinds of records that are stored, in the order of their arrival.
async fn kinds(service: &Service) -> Vec<u32> {
    let rows = service.sql("SELECT status_type FROM accounting_records ORDER BY lsn FORMAT TSV").await;
    rows.lines().map(|row| row.parse().unwrap()).collect()
}

async fn records_of_kind(service: &Service, kind: u32, least: usize) {
    until(&format!("{least} records of type {kind}"), 2 * SOON, async || {
        let found = kinds(service).await.iter().filter(|found| **found == kind).count();
        (found >= least).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostapd_session_is_one_session_though_its_packets_were_sent_again() {
    let service = Service::start().await;
    let wire = Wire::new("a");
    let mut switch = hostapd(&wire, &service);
    records_of_kind(&service, 7, 1).await;

    // Nobody answers while the host logs in: hostapd waits 3 seconds before it sends the Start again.
    service.signal(Signal::SIGSTOP);
    let _host = supplicant(&wire, service.dir());
    let sent_again = |log: String| log.contains("Resending RADIUS message");
    until("hostapd to send again", SOON, async || sent_again(switch.output()).then_some(())).await;
    service.signal(Signal::SIGCONT);
    records_of_kind(&service, 1, 2).await;
    records_of_kind(&service, 3, 2).await;
    let starts = service
        .sql("SELECT uniq(digest), uniq(delay_time) FROM accounting_records WHERE status_type = 1 FORMAT TSV")
        .await;
    assert_eq!(starts.trim(), "1\t2", "one Start, told twice with another Acct-Delay-Time");
    let online = service.get("/api/v1/online").await;
    assert_eq!(
        (online["items"].as_array().unwrap().len(), &online["items"][0]["mac"]),
        (1, &json!(HOST_MAC)),
        "{online}"
    );
    assert_eq!(online["items"][0]["nas"], "tests/switch-1", "{online}");

    // At its end hostapd says Stop for whoever is logged in, and Off.
    switch.signal(Signal::SIGTERM);
    switch.wait(SOON).await;
    records_of_kind(&service, 8, 1).await;
    records_of_kind(&service, 2, 1).await;
    one_session_with_its_exact_time(&service).await;
}

async fn one_session_with_its_exact_time(service: &Service) {
    service.all_stored().await;
    let stop = service
        .sql("SELECT session_time, login FROM accounting_records WHERE status_type = 2 LIMIT 1 FORMAT TSV")
        .await;
    let (seconds, login) = stop.trim().split_once('\t').unwrap();
    assert_eq!(login, LOGIN);
    let sessions = service.get("/api/v1/sessions").await;
    let items = sessions["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{sessions}");
    let seconds: u64 = seconds.parse().unwrap();
    assert_eq!(
        (&items[0]["duration_seconds"], &items[0]["state"]),
        (&json!(seconds), &json!("closed")),
        "{sessions}"
    );
    assert_eq!(service.get("/api/v1/online").await["items"], json!([]));
    assert!(seconds >= Duration::from_secs(2).as_secs(), "{stop}");
}
