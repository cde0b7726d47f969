//! Reaching ClickHouse from a command: a server, the engine of the service that runs on the same data folder, or an engine
//! started for the time.
//!
//! The running service leaves address and key of its engine in the data folder, readable by its own user alone, who could
//! read the engine's files as well.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use engine::{EngineConfig, EngineState, Supervisor};
use schema::clickhouse::Target;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

#[derive(Serialize, Deserialize)]
struct Access {
    url: String,
    user: String,
    key: String,
}

/// ClickHouse for the time of a command.
pub struct Reached {
    /// Where it is.
    pub target: Target,
    /// The engine that was started for it.
    engine: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Reached {
    /// Ends what was started.
    pub async fn end(self) -> anyhow::Result<()> {
        if let Some((engine, shutdown)) = self.engine {
            shutdown.cancel();
            engine.await.context("the engine's supervisor")?;
        }
        Ok(())
    }
}

/// Finds ClickHouse, or starts it.
pub async fn reach(config: &Config) -> anyhow::Result<Reached> {
    if !config.clickhouse.is_embedded() {
        return Ok(Reached { target: target(config, None), engine: None });
    }
    if let Some(target) = running(config).await {
        return Ok(Reached { target, engine: None });
    }
    let shutdown = CancellationToken::new();
    let supervisor = supervisor(config)?.context("the embedded ClickHouse")?;
    let target = target(config, Some(&supervisor));
    let mut state = supervisor.state();
    let engine = tokio::spawn(supervisor.run(shutdown.clone()));
    let settled = state.wait_for(|state| !matches!(state, EngineState::Starting)).await?.clone();
    if let EngineState::Down { reason, .. } = settled {
        shutdown.cancel();
        engine.await.context("the engine's supervisor")?;
        bail!("the embedded ClickHouse: {reason}");
    }
    Ok(Reached { target, engine: Some((engine, shutdown)) })
}

/// The engine of a service that is running.
async fn running(config: &Config) -> Option<Target> {
    let access = fs::read(file(&config.data_dir)).ok()?;
    let Access { url, user, key } = serde_json::from_slice(&access).ok()?;
    let target = Target { url, user, key, ..target(config, None) };
    let asked = target.reader();
    // What was left behind by a service that was killed does not answer, or does not know the key.
    asked.query("SELECT 1").execute().await.ok().map(|()| target)
}

/// The supervisor of the embedded engine, where there is to be one.
pub fn supervisor(config: &Config) -> anyhow::Result<Option<Supervisor>> {
    if !config.clickhouse.is_embedded() {
        return Ok(None);
    }
    // Found out here, where somebody reads it, not by a child that dies again and again.
    let library = engine::find_library(config.clickhouse.library.clone())?;
    let engine =
        EngineConfig { data_dir: config.data_dir.join("clickhouse"), library: Some(library), program: None };
    Ok(Some(Supervisor::new(engine).context("preparing the embedded ClickHouse")?))
}

/// Where ClickHouse is: at the supervisor's engine, or as configured.
pub fn target(config: &Config, supervisor: Option<&Supervisor>) -> Target {
    let clickhouse = &config.clickhouse;
    let (url, user, key) = match supervisor.map(Supervisor::endpoint) {
        Some(endpoint) => (endpoint.url, endpoint.user, endpoint.key),
        None => (clickhouse.url.clone(), clickhouse.user.clone(), clickhouse.password.clone()),
    };
    Target { url, user, key, database: clickhouse.database.clone(), cluster: clickhouse.cluster.clone() }
}

/// Leaves address and key of the engine for commands; gone when the guard is.
pub fn leave_access(data_dir: &Path, target: &Target) -> anyhow::Result<AccessFile> {
    let path = file(data_dir);
    let write = || {
        // A file that is there may be readable by others.
        _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let access = Access { url: target.url.clone(), user: target.user.clone(), key: target.key.clone() };
        file.write_all(&serde_json::to_vec(&access)?)
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(AccessFile(path))
}

/// The file that tells commands how to reach the engine.
pub struct AccessFile(PathBuf);

impl Drop for AccessFile {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("engine-access.json")
}
