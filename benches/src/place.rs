//! Where measurements happen: an engine of their own in a temporary folder, and what the API reads from.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use collector::sessions::Sessions;
use collector::{Ledger, NasSettings, Online};
use engine::{EngineConfig, EngineState, Supervisor};
use metrics_exporter_prometheus::PrometheusBuilder;
use query_api::{Deps, HttpConfig, Rules};
use schema::clickhouse::{Target, migrate};
use schema::health::HealthBoard;
use subscribers::{DatabaseConfig, Directory};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use usage::Calendar;

/// An engine with an empty database.
pub struct Place {
    pub deps: Deps,
    pub target: Target,
    engine: JoinHandle<()>,
    shutdown: CancellationToken,
    /// Removed at the end.
    _folder: TempDir,
}

impl Place {
    /// Starts it.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("radtally-bench-").tempdir()?;
        let data_dir = folder.path().join("clickhouse");
        let library = Some(engine::find_library(None)?);
        let supervisor = Supervisor::new(EngineConfig { data_dir, library, program: None })?;
        let endpoint = supervisor.endpoint();
        let mut state = supervisor.state();
        let shutdown = CancellationToken::new();
        let engine = tokio::spawn(supervisor.run(shutdown.clone()));
        let settled = state.wait_for(|state| !matches!(state, EngineState::Starting)).await?.clone();
        if let EngineState::Down { reason, .. } = settled {
            bail!("the engine: {reason}");
        }
        let target = Target {
            url: endpoint.url,
            user: endpoint.user,
            key: endpoint.key,
            database: "bench".into(),
            cluster: None,
        };
        migrate(&target).await?;
        let deps = Deps {
            clickhouse: target.reader().with_setting("max_execution_time", "600"),
            rules: Rules::default(),
            calendar: Calendar::new(Tz::UTC),
            online: Online::new("bench".into(), Sessions::new(NasSettings::default())),
            ledger: Ledger::default(),
            health: HealthBoard::default(),
            directory: Directory::connect(&DatabaseConfig::default(), folder.path()).await?,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            http: Arc::new(HttpConfig::default()),
        };
        Ok(Self { deps, target, engine, shutdown, _folder: folder })
    }

    /// Runs a statement that may take long.
    pub async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let client = self.target.client().with_setting("max_execution_time", "3600");
        client.query_raw(sql).execute().await.with_context(|| sql.to_owned())
    }

    /// Ends it.
    pub async fn end(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        Ok(self.engine.await?)
    }
}
