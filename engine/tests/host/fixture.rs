//! Engines for the tests: children of real supervisors, running this crate's example program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clickhouse::Client;
use radtally_engine::{Endpoint, EngineConfig, EngineState, Supervisor};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An engine under supervision; it ends when this is dropped.
pub struct Engine {
    pub endpoint: Endpoint,
    pub state: watch::Receiver<EngineState>,
    shutdown: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Engine {
    /// Starts an engine on `data_dir` and waits until it is up.
    pub fn start(data_dir: &Path) -> Self {
        let config = EngineConfig {
            data_dir: data_dir.to_owned(),
            library: Some(radtally_engine::find_library(None).unwrap_or_else(|error| panic!("{error}"))),
            program: Some(program()),
        };
        let supervisor = Supervisor::new(config).unwrap();
        let (endpoint, state) = (supervisor.endpoint(), supervisor.state());
        let shutdown = CancellationToken::new();
        let thread = std::thread::spawn({
            let shutdown = shutdown.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(supervisor.run(shutdown));
            }
        });
        let engine = Self { endpoint, state, shutdown, thread: Some(thread) };
        engine.pid();
        engine
    }

    /// Its process, when it is up.
    pub fn pid(&self) -> i32 {
        self.pid_other_than(0)
    }

    /// Its process, when it is up and is not `old`.
    pub fn pid_other_than(&self, old: i32) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state.borrow().clone();
            if let EngineState::Up { pid, .. } = state
                && pid.cast_signed() != old
            {
                return pid.cast_signed();
            }
            assert!(Instant::now() < deadline, "the engine does not come up: {state:?}");
            std::thread::yield_now();
        }
    }

    /// An HTTP request to it, with the key.
    pub fn post(&self, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(&self.endpoint.url)
            .query(query)
            .header("x-clickhouse-user", &self.endpoint.user)
            .header("x-clickhouse-key", &self.endpoint.key)
    }

    /// What it answers to `sql`, as text.
    pub async fn ask(&self, sql: &str) -> String {
        let response = self.post(&[]).body(sql.to_owned()).send().await.unwrap();
        response.text().await.unwrap().trim_end().to_owned()
    }

    /// The official client.
    pub fn client(&self) -> Client {
        let Endpoint { url, user, key } = self.endpoint.clone();
        Client::default().with_url(url).with_user(user).with_password(key)
    }

    /// A database that no other test uses, and the official client for it.
    pub async fn database(&self) -> (String, Client) {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        assert_eq!(self.ask(&format!("CREATE DATABASE {name}")).await, "");
        (name.clone(), self.client().with_database(name))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The engine that most tests share; it dies with this process.
pub fn shared() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let folders = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engines");
        remove_left_over(&folders);
        Engine::start(&folders.join(std::process::id().to_string()))
    })
}

/// Removes the folders, named by process, of processes that are gone.
fn remove_left_over(folders: &Path) {
    for folder in std::fs::read_dir(folders).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(folder.file_name()).exists() {
            // Another run may be faster.
            _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

/// The example program, which cargo builds beside the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/host");
    assert!(program.is_file(), "{} is missing: cargo test without --test builds it", program.display());
    program
}

/// Resident memory of a process, in octets.
pub fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
