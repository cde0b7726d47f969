//! `ocserv` (AnyConnect) as a NAS, with `openconnect` as who logs in.
//!
//! What ocserv 1.1.6 with radcli sends: User-Name, NAS-Identifier, NAS-IP-Address, Acct-Delay-Time (always 0), octets with
//! Gigawords, no packets, no NAS-Port, no Event-Timestamp; the tunnel's address from the first Interim on. Whatever
//! `stats-report-time` says, an Interim comes after 10 seconds, then every 30, and one right before the Stop. Every packet
//! has a source port of its own; sent again, it is the very same packet from the same port.

use std::net::Ipv4Addr;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::api::SOON;
use crate::network::{self, Host, NAS, on_own_network};
use crate::program::Program;
use crate::reported::{self, Reported};
use crate::service::{SECRET, Service};
use crate::until::until;

/// The NAS's end of the tunnel, and the first address that it gives out.
const TUNNEL: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
/// Octets of TCP in each of two exchanges.
const UP: usize = 700_000;
const DOWN: usize = 3_000_000;

/// Starts ocserv, which reports to `service`.
fn ocserv(service: &Service) -> Program {
    let dir = service.dir().display();
    network::certificate(service.dir());
    let write = |name: &str, text: String| std::fs::write(service.dir().join(name), text).unwrap();
    write("servers", format!("127.0.0.1 {SECRET}\n"));
    let at = service.accounting;
    write(
        "radcli.conf",
        format!(
            "acctserver {at}\nauthserver {at}\nservers {dir}/servers\ndictionary /etc/radcli/dictionary\n\
             default_realm\nradius_timeout 2\nradius_retries 5\nbindaddr *\n"
        ),
    );
    write(
        "ocserv.conf",
        format!(
            "auth = \"plain[passwd={dir}/passwd]\"\nacct = \"radius[config={dir}/radcli.conf,nas-identifier=vpn-1]\"\n\
             listen-host = {NAS}\ntcp-port = 443\nudp-port = 443\nrun-as-user = ocserv\nrun-as-group = ocserv\n\
             socket-file = {dir}/ocserv.socket\nuse-occtl = false\nisolate-workers = false\nsec-mod-scale = 1\nlog-level = 3\n\
             server-cert = {dir}/cert.pem\nserver-key = {dir}/key.pem\nstats-report-time = 2\n\
             device = vpns\nipv4-network = 10.98.0.0\nipv4-netmask = 255.255.255.0\nping-leases = false\n"
        ),
    );
    network::shell(service.dir(), "echo wonderland | ocpasswd -c passwd alice");
    let mut command = Command::new("ocserv");
    command.arg("--foreground").arg("--config").arg(service.dir().join("ocserv.conf"));
    Program::start(&mut command, service.dir().join("ocserv.log"))
}

/// Starts the client that logs in as alice.
fn openconnect(host: &Host, service: &Service) -> Program {
    let script = "[ $reason != connect ] || { ip address add $INTERNAL_IP4_ADDRESS/24 dev $TUNDEV; \
                  ip link set $TUNDEV mtu $INTERNAL_IP4_MTU up; }";
    let mut command = host.command("openconnect");
    command.args([
        "--protocol=anyconnect",
        "--non-inter",
        "--user=alice",
        "--form-entry=main:password=wonderland",
    ]);
    command.arg("--cafile").arg(service.dir().join("cert.pem")).args(["--script", script]);
    command.arg(format!("https://{NAS}"));
    Program::start(&mut command, service.dir().join("openconnect.log"))
}

/// What ocserv logs about a session at its end.
fn reported(log: &str) -> Option<Reported> {
    let (_, after) = log.split_once("user disconnected (reason: user disconnected, rx: ")?;
    let (upload, after) = after.split_once(", tx: ")?;
    let (download, _) = after.split_once(')')?;
    Some(Reported { download: download.parse().unwrap(), upload: upload.parse().unwrap() })
}

#[test]
fn ocserv_session_is_billed_to_the_octet_as_ocserv_counted_it() {
    on_own_network(async || {
        let service = Service::start().await;
        let host = Host::wired(service.dir()).await;
        let nas = ocserv(&service);
        // It takes connections before it can prove who it is.
        until("ocserv", SOON, async || nas.output().contains("sec-mod initialized").then_some(())).await;
        let client = openconnect(&host, &service);
        reported::records(&service, 1, 1).await;
        until("the tunnel", SOON, async || client.output().contains("Configured as").then_some(())).await;
        host.exchange(TUNNEL, UP, DOWN);
        reported::records(&service, 3, 1).await;
        let address = Ipv4Addr::new(10, 98, 0, 50);
        reported::online(&service, "alice", "tests/vpn-1", address).await;
        host.exchange(TUNNEL, UP, DOWN);
        reported::answer_late(&service, || client.signal(Signal::SIGINT)).await;

        let told = until("ocserv's own account", SOON, async || reported(&nas.output())).await;
        told.assert_carried(2 * UP, 2 * DOWN);
        let session = told.assert_billed(&service, "alice").await;
        assert_eq!(session["terminate_cause"], "User-Request", "{session}");
        let ledger = service.all_stored().await;
        assert_ne!(ledger["total"]["duplicates"], 0, "the same packet again: {ledger}");
        let kinds = "SELECT arraySort(groupArray(status_type)) FROM accounting_records FORMAT TSV";
        assert_eq!(service.sql(kinds).await.trim(), "[1,2,3,3]");
    });
}
