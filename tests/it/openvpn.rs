//! OpenVPN as a NAS, through the plugin of `openvpn-auth-radius`; FreeRADIUS lets its user in and sets the interval.
//!
//! What the plugin 2.1 sends: User-Name, NAS-Identifier, NAS-IP-Address, NAS-Port, octets with Gigawords, no packets, no
//! Event-Timestamp, no Acct-Delay-Time, no cause of the end. Its octets are what OpenVPN's status file said last: that file
//! is some seconds old, so that several Interims say the same octets under another time, and what flows after its last
//! writing, such as the good-bye, never reaches RADIUS. The octets are those of the encrypted packets. Every packet has a
//! source port of its own; sent again it has another one, with the same identifier and authenticator: a new packet to a
//! server that goes by ports. Ports above 9999 lose their last digit.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::api::SOON;
use crate::network::{self, Host, NAS, on_own_network};
use crate::program::Program;
use crate::reported::{self, Reported};
use crate::service::{SECRET, Service};
use crate::until::until;

/// The NAS's end of the tunnel, and the first address that it gives out.
const TUNNEL: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);
/// Octets of TCP in each of two exchanges.
const UP: usize = 700_000;
const DOWN: usize = 3_000_000;

/// Starts a FreeRADIUS that lets alice in and wants to hear of her every two seconds.
fn freeradius(dir: &Path) -> Program {
    let raddb = dir.join("raddb");
    std::fs::create_dir(&raddb).unwrap();
    let of = raddb.display();
    let config = format!(
        "prefix = /usr\nlibdir = /usr/lib/freeradius\nraddbdir = {of}\nrun_dir = {of}\nlogdir = {of}\n\
         client openvpn {{\n ipaddr = 127.0.0.1\n secret = \"{SECRET}\"\n}}\n\
         modules {{\n pap {{\n }}\n}}\n\
         server default {{\n listen {{\n type = auth\n ipaddr = 127.0.0.1\n port = 1812\n }}\n\
         authorize {{\n if (&User-Name == \"alice\") {{\n\
         update control {{\n &Cleartext-Password := \"wonderland\"\n }}\n\
         update reply {{\n &Acct-Interim-Interval := 2\n }}\n }}\n pap\n }}\n\
         authenticate {{\n pap\n }}\n}}\n"
    );
    std::fs::write(raddb.join("radiusd.conf"), config).unwrap();
    let mut command = Command::new("freeradius");
    Program::start(command.args(["-f", "-l", "stdout", "-d"]).arg(raddb), dir.join("freeradius.log"))
}

/// Starts OpenVPN, which reports to `service`.
fn openvpn(service: &Service) -> Program {
    let dir = service.dir().display();
    network::certificate(service.dir());
    std::fs::create_dir(service.dir().join("clients")).unwrap();
    let write = |name: &str, text: String| std::fs::write(service.dir().join(name), text).unwrap();
    let port = service.accounting.port();
    write(
        "plugin.cnf",
        format!(
            "NAS-Identifier=vpn-2\nService-Type=5\nFramed-Protocol=1\nNAS-Port-Type=5\nNAS-IP-Address=127.0.0.1\n\
             OpenVPNConfig={dir}/server.conf\nsubnet=255.255.255.0\noverwriteccfiles=true\n\
             server\n{{\nacctport={port}\nauthport=1812\nname=127.0.0.1\nretry=5\nwait=2\nsharedsecret={SECRET}\n}}\n"
        ),
    );
    write(
        "server.conf",
        format!(
            "dev tun\nproto udp\nlocal {NAS}\nport 1194\ntopology subnet\nserver 10.97.0.0 255.255.255.0\ndh none\n\
             ca {dir}/cert.pem\ncert {dir}/cert.pem\nkey {dir}/key.pem\n\
             verify-client-cert none\nusername-as-common-name\nclient-config-dir {dir}/clients\n\
             status {dir}/status 1\nstatus-version 1\n\
             plugin /usr/lib/openvpn/radiusplugin.so {dir}/plugin.cnf\nverb 3\n"
        ),
    );
    let mut command = Command::new("openvpn");
    Program::start(
        command.arg("--config").arg(service.dir().join("server.conf")),
        service.dir().join("openvpn.log"),
    )
}

/// Starts the client that logs in as alice.
fn client(host: &Host, dir: &Path) -> Program {
    let password = dir.join("password");
    std::fs::write(&password, "alice\nwonderland\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = host.command("openvpn");
    command.args(["--client", "--dev", "tun", "--proto", "udp", "--nobind", "--explicit-exit-notify", "1"]);
    command.args(["--remote", &NAS.to_string(), "1194", "--ca"]).arg(dir.join("cert.pem"));
    command.arg("--auth-user-pass").arg(password);
    Program::start(&mut command, dir.join("client.log"))
}

/// What the status file says of alice, while she is connected.
fn reported(dir: &Path) -> Option<Reported> {
    let status = std::fs::read_to_string(dir.join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("alice,"))?;
    let mut counters = line.split(',').skip(2).map_while(|field| field.parse().ok());
    let (upload, download) = (counters.next()?, counters.next()?);
    status.contains("\nEND").then_some(Reported { download, upload })
}

#[test]
fn openvpn_session_is_billed_to_the_octet_as_its_status_file_tells() {
    on_own_network(async || {
        let service = Service::start_at(SocketAddr::from(([127, 0, 0, 1], 1813))).await;
        let host = Host::wired(service.dir()).await;
        let authenticator = freeradius(service.dir());
        until("FreeRADIUS", SOON, async || authenticator.output().contains("Ready to process").then_some(()))
            .await;
        let nas = openvpn(&service);
        until("OpenVPN", SOON, async || nas.output().contains("Sequence Completed").then_some(())).await;
        let client = client(&host, service.dir());
        until("the tunnel", SOON, async || client.output().contains("Sequence Completed").then_some(()))
            .await;
        host.exchange(TUNNEL, UP, DOWN);
        reported::records(&service, 3, 1).await;
        reported::online(&service, "alice", "tests/vpn-2", Ipv4Addr::new(10, 97, 0, 2)).await;
        reported::answer_late(&service, || ()).await;
        host.exchange(TUNNEL, UP, DOWN);

        // The status file is written about once a second, seen many times in between, and without her once she is gone.
        let moved = |told: &Reported| told.download >= 2 * DOWN as u64 && told.upload >= 2 * UP as u64;
        until("the status to tell all", SOON, async || reported(service.dir()).filter(moved)).await;
        client.signal(Signal::SIGINT);
        let mut told = reported(service.dir());
        until("the end of the session", SOON, async || {
            let now = reported(service.dir());
            told = now.or(told);
            nas.output().contains("client-instance exiting").then_some(())
        })
        .await;
        let told = told.unwrap();
        told.assert_carried(2 * UP, 2 * DOWN);
        told.assert_billed(&service, "alice").await;
        let query = "SELECT count() > uniq(digest), uniq(digest) >= 4 FROM accounting_records FORMAT TSV";
        assert_eq!(
            service.sql(query).await.trim(),
            "1\t1",
            "what was sent from another port is told apart by digest"
        );
    });
}
