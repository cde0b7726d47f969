//! The real service in a folder of its own, on ports of its own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use crate::mounts::OwnDisk;
use crate::program::{self, Program};
use crate::until::until;

/// The secret of the client 127.0.0.1, which the tests send as.
pub const SECRET: &str = "s3cret-of-the-tests";
/// Any port.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A start loads the engine's library, half a gigabyte, on a machine that other tests keep busy.
const START: Duration = Duration::from_secs(120);

/// What is to be different about a service.
#[derive(Default)]
pub struct Setup {
    /// Programs that it is started under, such as `strace`, with their arguments; `{dir}` stands for its folder.
    pub wrapper: Vec<String>,
    /// What stands in its environment; here too `{dir}` stands for its folder.
    pub environment: Vec<(String, String)>,
    /// What stands in its configuration besides.
    pub more: String,
    /// Where it takes accounting; anywhere where there is none.
    pub accounting: Option<SocketAddr>,
    /// Whether its data lie on a disk of their own.
    pub own_disk: bool,
}

impl Setup {
    /// It stores in the ClickHouse of another.
    pub fn beside(other: &Service) -> Self {
        let access = std::fs::read(other.data_dir().join("engine-access.json")).unwrap();
        let access: serde_json::Value = serde_json::from_slice(&access).unwrap();
        let more = format!(
            "[clickhouse]\nurl = {}\nuser = {}\npassword = {}\n",
            access["url"], access["user"], access["key"]
        );
        Self { more, ..Self::default() }
    }
}

/// A running service.
pub struct Service {
    /// Before the folder, which holds what it has to say at its end.
    program: Option<Program>,
    /// Before the folder, which it is mounted in.
    disk: Option<OwnDisk>,
    dir: TempDir,
    setup: Setup,
    /// Where it takes accounting.
    pub accounting: SocketAddr,
    /// Where it serves API and dashboard.
    pub http: SocketAddr,
    /// A token that may do everything.
    pub token: String,
    /// Records in the journal when it was started last.
    pub recorded_before: u64,
}

/// What the service writes once it is ready.
#[derive(Deserialize)]
struct Addresses {
    accounting: Vec<SocketAddr>,
    http: SocketAddr,
}

impl Service {
    /// Starts a service.
    pub async fn start() -> Self {
        Self::start_under(Vec::new()).await
    }

    /// Starts a service that stores in the ClickHouse of another.
    pub async fn start_beside(other: &Self) -> Self {
        Self::start_as(Setup::beside(other)).await
    }

    /// Starts a service with `more` in its configuration.
    pub async fn start_configured(more: &str) -> Self {
        Self::start_as(Setup { more: more.to_owned(), ..Setup::default() }).await
    }

    /// Starts a service that takes accounting at `accounting`.
    pub async fn start_at(accounting: SocketAddr) -> Self {
        Self::start_as(Setup { accounting: Some(accounting), ..Setup::default() }).await
    }

    /// Adds to its configuration, which holds from the next start on.
    pub fn configure(&mut self, more: &str) {
        self.setup.more.push_str(more);
    }

    /// Starts a service as the last arguments of `wrapper`, such as `strace`; `{dir}` stands for its folder.
    pub async fn start_under(wrapper: Vec<String>) -> Self {
        Self::start_as(Setup { wrapper, ..Setup::default() }).await
    }

    /// Starts a service that is different.
    pub async fn start_as(setup: Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("radtally-it-").tempdir().unwrap();
        let mut service = Self {
            disk: setup.own_disk.then(|| OwnDisk::mounted(&dir.path().join("data"))),
            dir,
            program: None,
            accounting: setup.accounting.unwrap_or(ANY),
            setup,
            http: ANY,
            token: String::new(),
            recorded_before: 0,
        };
        service.write_config();
        service.token =
            service.command(&["token", "create", "--role", "admin", "--name", "tests"], "").trim().to_owned();
        service.run().await;
        service
    }

    /// Its folder; everything it writes is below.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// The process of the service itself, below whatever it was started under.
    pub fn pid(&self) -> Pid {
        let outer = self.program().pid();
        if self.setup.wrapper.is_empty() {
            outer
        } else {
            program::children(outer, "radtally").first().copied().unwrap()
        }
    }

    /// The process of the embedded engine.
    pub fn engine(&self) -> Option<Pid> {
        program::children(self.pid(), " engine").first().copied()
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> String {
        self.program().output()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
    }

    /// Kills it, engine included, as a power cut would.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// The disk of its own.
    pub fn disk(&self) -> &OwnDisk {
        self.disk.as_ref().expect("it was set up with a disk of its own")
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.program.as_mut().unwrap().wait(Duration::from_secs(60)).await;
        assert!(status.success(), "the service ended with {status}");
        self.program = None;
    }

    /// Starts it again, on the addresses it had.
    pub async fn run(&mut self) {
        self.write_config();
        let file = self.data_dir().join("addresses.json");
        _ = std::fs::remove_file(&file);
        let here = |word: &String| word.replace("{dir}", &self.dir().display().to_string());
        let mut words = self.setup.wrapper.iter().map(here);
        let radtally = env!("CARGO_BIN_EXE_radtally").to_owned();
        let mut command = Command::new(words.next().unwrap_or_else(|| radtally.clone()));
        command.args(words);
        if !self.setup.wrapper.is_empty() {
            command.arg(radtally);
        }
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, here(value))));
        command.arg("--config").arg(self.config_file()).arg("serve").current_dir(env!("CARGO_MANIFEST_DIR"));
        self.program = Some(Program::start(&mut command, self.dir().join("log")));
        let addresses = until("addresses.json", START, async || {
            let ended = self.program.as_mut().unwrap().ended();
            assert!(ended.is_none(), "the service ended with {}", ended.unwrap());
            serde_json::from_slice::<Addresses>(&std::fs::read(&file).ok()?).ok()
        });
        let Addresses { accounting, http } = addresses.await;
        (self.accounting, self.http) = (accounting[0], http);
        self.all_up().await;
        let ledger = self.get("/api/v1/ledger").await;
        self.recorded_before = ["stored", "pending"].iter().filter_map(|part| ledger[part].as_u64()).sum();
    }

    /// Waits until every part is up.
    async fn all_up(&self) {
        let deadline = tokio::time::Instant::now() + START;
        let mut last = None;
        until("an answer about every part", 2 * START, async || {
            let (_, health) = self.try_get("/api/v1/health").await?;
            let up = health["parts"].as_object()?.values().all(|part| part["status"] == "up");
            last = Some(health);
            (up || tokio::time::Instant::now() > deadline).then_some(())
        })
        .await;
        let health = last.unwrap();
        assert_eq!(health["status"], "up", "not all parts are up after {START:?}: {health}");
    }

    /// Runs another `radtally` command on the same configuration, with `input` as its standard input, and gives what it
    /// prints.
    pub fn command(&self, words: &[&str], input: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_radtally"));
        command.arg("--config").arg(self.config_file()).args(["--log", "warn"]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "radtally {}: {}: {errors}", words.join(" "), output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }

    fn config_file(&self) -> PathBuf {
        self.dir().join("radtally.toml")
    }

    fn write_config(&self) {
        let mut config = String::new();
        writeln!(config, "data_dir = \"{}\"\ntimezone = \"Africa/Lagos\"", self.data_dir().display())
            .unwrap();
        writeln!(config, "[accounting]\nlisten = [\"{}\"]", self.accounting).unwrap();
        writeln!(config, "[http]\nlisten = \"{}\"", self.http).unwrap();
        writeln!(config, "[[client]]\nname = \"tests\"\nsource = \"127.0.0.1\"\nsecret = \"{SECRET}\"")
            .unwrap();
        config.push_str(&self.setup.more);
        std::fs::write(self.config_file(), config).unwrap();
    }
}
