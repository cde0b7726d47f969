//! One embedded ClickHouse for all tests, a child of this process that dies with it; each test has a database of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use engine::{Endpoint, EngineConfig, EngineState, Supervisor};
use schema::clickhouse::Target;
use tokio_util::sync::CancellationToken;

/// A database that nobody else uses, not migrated yet.
pub fn target() -> Target {
    static ENGINE: OnceLock<Endpoint> = OnceLock::new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let Endpoint { url, user, key } = ENGINE.get_or_init(start).clone();
    let database = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    Target { url, user, key, database, cluster: None }
}

/// A target where nothing answers.
pub fn nowhere() -> Target {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{unused}");
    Target { url, user: "default".into(), key: String::new(), database: "nothing".into(), cluster: None }
}

fn start() -> Endpoint {
    let data_dir = fresh_folder(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let supervisor =
        Supervisor::new(EngineConfig { data_dir, library: None, program: Some(program()) }).unwrap();
    let (endpoint, state) = (supervisor.endpoint(), supervisor.state());
    let (up, is_up) = std::sync::mpsc::channel();
    // A runtime of its own: those of the tests end with them.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(async move { _ = up.send(settled(state).await) });
        runtime.block_on(supervisor.run(CancellationToken::new()));
    });
    let state = is_up.recv_timeout(Duration::from_secs(60)).expect("the engine settles within a minute");
    assert!(matches!(state, EngineState::Up { .. }), "the engine does not start: {state:?}");
    endpoint
}

/// A folder of this process. Those of processes that have ended are removed: nobody could when they ended.
fn fresh_folder(parent: &Path) -> PathBuf {
    const PREFIX: &str = "query-api-engine-";
    for folder in std::fs::read_dir(parent).unwrap().flatten() {
        let name = folder.file_name().into_string().unwrap_or_default();
        if name.strip_prefix(PREFIX).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            _ = std::fs::remove_dir_all(folder.path());
        }
    }
    parent.join(format!("{PREFIX}{}", std::process::id()))
}

async fn settled(mut state: tokio::sync::watch::Receiver<EngineState>) -> EngineState {
    let settled = state.wait_for(|state| !matches!(state, EngineState::Starting)).await;
    settled.unwrap().clone()
}

/// Built by `cargo test` beside this program.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/engine");
    assert!(
        program.is_file(),
        "{} is missing: run the tests with `cargo test -p radtally-query-api`",
        program.display()
    );
    program
}
