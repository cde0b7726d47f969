//! Keeps the engine's process alive: starts it, watches it, starts it again after a growing wait, and ends it.
//!
//! Address and key are chosen once, so that clients need not follow a restart. The key goes to the child in its
//! environment, which only its own user can read, never on its command line. The child dies with its parent.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The variable that carries the key to the child.
pub const KEY_VARIABLE: &str = "RADTALLY_ENGINE_KEY";

/// First and longest wait before a restart.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A child that lived this long was healthy: the next wait is short again.
const HEALTHY: Duration = Duration::from_secs(60);
/// How much the engine gives way to whoever acknowledges packets, and for how many nanoseconds one of its threads may keep
/// a processor that another has woken up for: by default milliseconds, as long as many replies take.
const NICE: i32 = 5;
const SLICE: u64 = 100_000;
/// How long the child may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the supervisor needs.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The engine's folder.
    pub data_dir: PathBuf,
    /// The library, where it does not lie where npm puts it.
    pub library: Option<PathBuf>,
    /// The program to run with `engine …`; this program where `None`.
    pub program: Option<PathBuf>,
}

/// Where the engine speaks, and what it wants to hear.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address as a URL.
    pub url: String,
    /// The user to name.
    pub user: String,
    /// The key to show.
    pub key: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How the engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// The child is starting.
    Starting,
    /// It answers.
    Up {
        /// Since when.
        since: SystemTime,
        /// Its process.
        pid: u32,
    },
    /// It has ended.
    Down {
        /// Why, as far as is known.
        reason: String,
        /// When it is started again.
        retry_in: Duration,
    },
}

/// Keeps one engine alive.
pub struct Supervisor {
    config: EngineConfig,
    address: SocketAddr,
    key: String,
    state: watch::Sender<EngineState>,
}

impl Supervisor {
    /// Chooses address and key; starts nothing yet.
    ///
    /// # Errors
    /// No port is free, or the system gives no random numbers.
    pub fn new(config: EngineConfig) -> io::Result<Self> {
        // Free now; should another program take it before the child does, the child says so and the port stays the same.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { config, address, key: hex::encode(key), state: watch::Sender::new(EngineState::Starting) })
    }

    /// Where the engine speaks.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            url: format!("http://{}", self.address),
            user: "default".to_owned(),
            key: self.key.clone(),
        }
    }

    /// How it does, from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }

    /// Keeps the engine alive until `shutdown`, then ends it.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut wait = WAITS.0;
        while !shutdown.is_cancelled() {
            let started = Instant::now();
            self.state.send_replace(EngineState::Starting);
            let reason = match self.start() {
                Ok(child) => match self.watch(child, &shutdown).await {
                    Some(reason) => reason,
                    None => return,
                },
                Err(error) => format!("it cannot be started: {error}"),
            };
            if started.elapsed() > HEALTHY {
                wait = WAITS.0;
            }
            warn!(%reason, retry_in = ?wait, "the embedded ClickHouse is down; records wait in the journal");
            self.state.send_replace(EngineState::Down { reason, retry_in: wait });
            _ = shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
            wait = (wait * 2).min(WAITS.1);
        }
    }

    fn start(&self) -> io::Result<Child> {
        let program = self.config.program.clone().map_or_else(std::env::current_exe, Ok)?;
        let mut command = Command::new(program);
        command
            .arg("engine")
            .arg("--listen")
            .arg(self.address.to_string())
            .arg("--data-dir")
            .arg(&self.config.data_dir);
        if let Some(library) = &self.config.library {
            command.arg("--library").arg(library);
        }
        command
            .env(KEY_VARIABLE, &self.key)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // A process group of its own: Ctrl-C in a terminal reaches the parent alone, which ends the child in its turn.
        command.process_group(0).kill_on_drop(true);
        let parent = nix::unistd::getpid();
        // SAFETY: between fork and exec only async-signal-safe calls are made (nice, sched_setattr, prctl, getppid).
        unsafe {
            command.pre_exec(move || {
                give_way();
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The parent may have died before the line above.
                if nix::unistd::getppid() == parent {
                    Ok(())
                } else {
                    Err(io::Error::other("the parent is gone"))
                }
            });
        }
        command.spawn()
    }

    /// Watches a child until it ends; `None` when it was asked to.
    async fn watch(&self, mut child: Child, shutdown: &CancellationToken) -> Option<String> {
        let pid = child.id().unwrap_or(0);
        let last_words = child.stderr.take().map(|stderr| tokio::spawn(log_lines(stderr)));
        let ended = tokio::select! {
            ended = child.wait() => Some(ended),
            () = self.note_when_up(pid) => tokio::select! {
                ended = child.wait() => Some(ended),
                () = shutdown.cancelled() => None,
            },
            () = shutdown.cancelled() => None,
        };
        let Some(ended) = ended else {
            end(child, pid).await;
            return None;
        };
        let last_words = match last_words {
            Some(lines) => lines.await.ok().flatten(),
            None => None,
        };
        Some(describe(ended, last_words))
    }

    async fn note_when_up(&self, pid: u32) {
        while TcpStream::connect(self.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.state.send_replace(EngineState::Up { since: SystemTime::now(), pid });
        info!(pid, "the embedded ClickHouse is up");
    }
}

async fn end(mut child: Child, pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // It may have ended just now.
        _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        warn!(pid, "the embedded ClickHouse does not end by itself and is killed");
        _ = child.kill().await;
    }
}

/// Passes the child's lines on; gives the last one.
async fn log_lines(stderr: impl AsyncRead + Unpin) -> Option<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut last = None;
    while let Ok(Some(line)) = lines.next_line().await {
        info!(target: "engine", "{line}");
        last = Some(line);
    }
    last
}

fn describe(ended: io::Result<ExitStatus>, last_words: Option<String>) -> String {
    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    match last_words {
        Some(words) => format!("its process ended ({how}): {words}"),
        None => format!("its process ended ({how})"),
    }
}
/// Lets the calling process, and what it starts, give way. Where the kernel knows no slices (before 6.12) or does not
/// allow it, it runs as before.
fn give_way() {
    let Ok(nice) = rustix::process::nice(NICE) else { return };
    // SAFETY: all zeros is a valid sched_attr, and the call reads no more than its size says.
    unsafe {
        let mut attributes: libc::sched_attr = std::mem::zeroed();
        attributes.size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
        attributes.sched_nice = nice;
        attributes.sched_runtime = SLICE;
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}
