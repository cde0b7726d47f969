//! Restarts: a killed engine comes back with its data, and two never share a folder.

use std::path::Path;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use radtally_engine::EngineState;

use crate::fixture::{Engine, PATIENCE, program};

#[tokio::test]
async fn a_killed_engine_comes_back_with_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    engine.ask("CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let first = engine.pid();
    let mut state = engine.state.clone();
    for round in 0..20 {
        assert_eq!(engine.ask(&format!("INSERT INTO default.t VALUES ({round})")).await, "");
    }
    state.borrow_and_update();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let down =
        tokio::time::timeout(PATIENCE, state.wait_for(|state| matches!(state, EngineState::Down { .. })));
    let EngineState::Down { reason, .. } = down.await.unwrap().unwrap().clone() else { unreachable!() };
    assert!(reason.contains("SIGKILL"), "{reason}");
    let second = engine.pid_other_than(first);
    assert_ne!(first, second);
    assert_eq!(engine.ask("SELECT count(), sum(a) FROM default.t").await, "20\t190");
}

#[tokio::test]
async fn an_engine_asked_to_end_leaves_no_process_and_its_data_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    engine.ask("CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    engine.ask("INSERT INTO default.t VALUES (7)").await;
    let pid = engine.pid();
    let asked = Instant::now();
    drop(engine);
    assert!(asked.elapsed().as_secs() < 10, "it took {:?} to end", asked.elapsed());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let engine = Engine::start(folder.path());
    assert_eq!(engine.ask("SELECT a FROM default.t").await, "7");
}

#[tokio::test]
async fn a_second_engine_on_one_folder_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    let second = std::process::Command::new(program())
        .args(["engine", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .args(["--library".as_ref(), radtally_engine::find_library(None).unwrap().as_os_str()])
        .env(radtally_engine::KEY_VARIABLE, "k")
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&*folder.path().to_string_lossy()), "{said}");
    assert_eq!(engine.ask("SELECT 1").await, "1");
}

#[test]
fn an_engine_is_never_open_to_the_network_or_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    for (listen, key, why) in [("0.0.0.0:0", "k", "loopback"), ("127.0.0.1:0", "", "key")] {
        let refused = std::process::Command::new(program())
            .args(["engine", "--listen", listen, "--data-dir"])
            .arg(folder.path())
            .env(radtally_engine::KEY_VARIABLE, key)
            .output()
            .unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(said.contains(why), "{said}");
    }
}
