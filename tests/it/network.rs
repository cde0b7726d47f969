//! Networks of a test's own: interfaces, addresses and tunnels that a NAS program makes are nobody else's, and gone with
//! the test. On its own network a test may use any address and any port.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::api::SOON;
use crate::program::Program;
use crate::until::until;

/// The NAS's end of the wire to the subscriber's host.
pub const NAS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// Runs `test` on a new network: every socket that it opens and every program that it starts is there.
pub fn on_own_network<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("making a network needs root");
        ip("link set lo up");
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip`.
pub fn ip(words: &str) {
    run(&mut Command::new("ip"), words);
}

fn run(command: &mut Command, words: &str) {
    let status =
        command.args(words.split_whitespace()).status().expect("`cargo xtask test` installs iproute2");
    assert!(status.success(), "ip {words}: {status}; making interfaces needs root");
}

/// A subscriber's host, on a network of its own that a wire joins to this one.
pub struct Host {
    holder: Program,
}

impl Host {
    /// A host at the other end of a wire that begins at [`NAS`]; `dir` takes its programs' files.
    pub async fn wired(dir: &Path) -> Self {
        let mut command = Command::new("unshare");
        let holder = Program::start(command.args(["--net", "sleep", "infinity"]), dir.join("host.log"));
        let host = Self { holder };
        let ours = fs::read_link("/proc/thread-self/ns/net").unwrap();
        until("the host's network", SOON, async || {
            fs::read_link(host.network()).is_ok_and(|theirs| theirs != ours).then_some(())
        })
        .await;
        ip(&format!("link add nas type veth peer name host netns {}", host.holder.pid()));
        ip(&format!("address add {NAS}/30 dev nas"));
        ip("link set nas up");
        for words in ["link set lo up", &format!("address add {HOST}/30 dev host"), "link set host up"] {
            run(&mut host.command("ip"), words);
        }
        host
    }

    /// A program that will run on the host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network())).arg(program);
        command
    }

    /// Sends `up` octets from the host to `nas` while `down` octets go the other way, over one TCP connection. Every octet
    /// is looked at.
    pub fn exchange(&self, nas: Ipv4Addr, up: usize, down: usize) {
        let listener = TcpListener::bind((nas, 0)).unwrap();
        let subscriber = self.connect(listener.local_addr().unwrap());
        let (server, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            for (stream, length) in [(&subscriber, up), (&server, down)] {
                scope.spawn(move || send(stream, length));
            }
            scope.spawn(|| receive(&subscriber, down));
            receive(&server, up);
        });
    }

    /// A connection from the host; a socket stays on the network that it was opened on.
    fn connect(&self, to: SocketAddr) -> TcpStream {
        let network = File::open(self.network()).unwrap();
        let connect = move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            TcpStream::connect_timeout(&to, SOON).unwrap()
        };
        thread::spawn(connect).join().unwrap()
    }

    fn network(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.pid())
    }
}

/// The octet at a place of what is sent.
fn octet(place: usize) -> u8 {
    (place % 251) as u8
}

fn send(mut stream: &TcpStream, length: usize) {
    stream.set_write_timeout(Some(SOON)).unwrap();
    let octets: Vec<_> = (0..length).map(octet).collect();
    stream.write_all(&octets).unwrap();
}

fn receive(mut stream: &TcpStream, length: usize) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).unwrap();
    assert!(octets.iter().enumerate().all(|(place, found)| *found == octet(place)), "other octets arrived");
}

/// Memory held by datagrams that nobody has taken yet from the socket at `port`.
pub fn waiting(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/udp").unwrap();
    let at = format!(":{port:04X}");
    // Columns: slot, local address, remote address, state, sending:receiving queue.
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&at)));
    ours.map(|row| u64::from_str_radix(row[4].split(':').nth(1).unwrap(), 16).unwrap()).sum()
}

/// Makes a certificate of [`NAS`]'s own in `dir`: `cert.pem` and `key.pem`.
pub fn certificate(dir: &Path) {
    shell(
        dir,
        &format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem \
             -days 2 -subj /CN=vpn -addext subjectAltName=IP:{NAS} 2>&1"
        ),
    );
}

/// Runs a line of shell in `dir`.
pub fn shell(dir: &Path, line: &str) {
    let output = Command::new("sh").args(["-c", line]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
}
