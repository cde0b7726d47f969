//! What a NAS program itself says a session moved, against what radtally would put on an invoice.

use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::api::{SOON, rfc3339};
use crate::network;
use crate::service::Service;
use crate::until::{until, until_equal};

/// Octets of a session by a NAS's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// To the subscriber.
    pub download: u64,
    /// From the subscriber.
    pub upload: u64,
}

impl Reported {
    /// Whether this can be what carried so many octets of TCP: at least as many, and not twice as many.
    pub fn assert_carried(self, up: usize, down: usize) {
        for (reported, payload) in [(self.upload, up), (self.download, down)] {
            let payload = payload as u64;
            assert!((payload..2 * payload).contains(&reported), "{self:?} for {up} up and {down} down");
        }
    }

    /// Waits for the end of the one session of `login`, and compares it and the totals with this, to the octet.
    /// Gives the session. What the settler has a part in is up to date a moment after everything is stored.
    pub async fn assert_billed(self, service: &Service, login: &str) -> Value {
        let history = format!("/api/v1/sessions?login={login}");
        until("the session's end", SOON, async || {
            (service.get(&history).await["items"][0]["state"] == "closed").then_some(())
        })
        .await;
        service.all_stored().await;
        let now = chrono::Utc::now().timestamp();
        let (from, to) = (rfc3339(now - 3_600), rfc3339(now + 3_600));
        let summary = format!("/api/v1/usage/summary?login={login}&from={from}&to={to}");
        until_equal(&json!([1, self.download, self.upload, 0]), SOON, async || {
            let summary = service.get(&summary).await;
            let fields = ["sessions", "download_octets", "upload_octets", "estimated_octets"];
            fields.into_iter().map(|field| summary[field].clone()).collect()
        })
        .await;
        let sessions = service.get(&history).await;
        let [session] = sessions["items"].as_array().unwrap().as_slice() else { panic!("{sessions}") };
        let billed = ["download_octets", "upload_octets"].map(|field| session[field].as_u64().unwrap());
        assert_eq!(billed, [self.download, self.upload], "{self:?} {session}");
        session.clone()
    }
}

/// Waits until the session of `login` is online with its address in the tunnel.
pub async fn online(service: &Service, login: &str, nas: &str, address: Ipv4Addr) {
    until("the session online with its address", 2 * SOON, async || {
        let online = service.get(&format!("/api/v1/online?login={login}")).await;
        let item = &online["items"][0];
        (item["nas"] == nas && item["ips"] == json!([address])).then_some(())
    })
    .await;
}

/// Lets nobody answer what `cause` makes the NAS say until it has said it again.
pub async fn answer_late(service: &Service, cause: impl FnOnce()) {
    service.signal(Signal::SIGSTOP);
    cause();
    let mut before = 0;
    until("a packet to be sent again", SOON, async || {
        let waiting = network::waiting(service.accounting.port());
        let again = before > 0 && waiting > before;
        before = waiting;
        again.then_some(())
    })
    .await;
    service.signal(Signal::SIGCONT);
}

/// Waits until `least` records of the kind `status_type` are stored.
pub async fn records(service: &Service, status_type: u32, least: u64) {
    let query =
        format!("SELECT count() FROM accounting_records WHERE status_type = {status_type} FORMAT TSV");
    until(&format!("{least} records of type {status_type}"), 2 * SOON, async || {
        (service.sql(&query).await.trim().parse::<u64>().unwrap() >= least).then_some(())
    })
    .await;
}
