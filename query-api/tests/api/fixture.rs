//! An API over a database, a directory and live state of its own, with or without an HTTP server.

use std::net::SocketAddr;
use std::sync::Arc;

use collector::sessions::Sessions;
use collector::{Ledger, Online};
use metrics_exporter_prometheus::PrometheusBuilder;
use query_api::{Deps, HttpConfig};
use schema::clickhouse::{Target, migrate};
use schema::health::HealthBoard;
use schema::{CollectorId, CountedRow, RecordRow};
use subscribers::{DatabaseConfig, Directory, Role};
use tempfile::TempDir;
use usage::Calendar;

use crate::engine;
use crate::traffic::Said;

pub const ZONE: chrono_tz::Tz = chrono_tz::Europe::Berlin;

pub struct Fixture {
    pub deps: Deps,
    pub target: Target,
    /// Removed with the fixture.
    _folder: TempDir,
    lsn: u64,
}

impl Fixture {
    /// Nothing is online and nothing is stored.
    pub async fn new() -> Self {
        Self::with_online(&[]).await
    }

    /// What was said is online; it is not stored.
    pub async fn with_online(said: &[Said]) -> Self {
        let target = engine::target();
        migrate(&target).await.unwrap();
        Self::over(target, said).await
    }

    pub async fn over(target: Target, said: &[Said]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut state = Sessions::default();
        for (lsn, said) in (1..).zip(said) {
            said.decoded(lsn, |record| _ = state.apply(record));
        }
        let deps = Deps {
            clickhouse: target.reader(),
            rules: query_api::Rules::default(),
            calendar: Calendar::new(ZONE),
            online: Online::new(CollectorId::from("c1"), state),
            ledger: Ledger::default(),
            health: HealthBoard::default(),
            directory: Directory::connect(&DatabaseConfig::default(), folder.path()).await.unwrap(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            http: Arc::new(HttpConfig::default()),
        };
        Self { deps, target, _folder: folder, lsn: 0 }
    }

    /// Stores what was said, in one batch, in this order.
    pub async fn store(&mut self, said: &[Said]) {
        let rows: Vec<_> = said.iter().map(|said| self.row(said)).collect();
        self.insert(&rows).await;
    }

    pub fn row(&mut self, said: &Said) -> RecordRow {
        self.lsn += 1;
        said.row(self.lsn, &self.deps.calendar)
    }

    pub async fn insert(&self, rows: &[RecordRow]) {
        let mut insert = self.target.client().insert::<RecordRow>("accounting_records").await.unwrap();
        for row in rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
    }

    /// What is stored of the sessions of an Acct-Session-Id.
    pub async fn counted_rows(&self, id: &str) -> Vec<CountedRow> {
        let sql = "SELECT ?fields FROM accounting_records WHERE acct_session_id = ?";
        self.target.reader().query(sql).bind(id).fetch_all().await.unwrap()
    }

    pub async fn token(&self) -> String {
        self.deps.directory.create_token("test", Role::Support).await.unwrap()
    }

    /// Serves the API until the test ends.
    pub async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, query_api::router(self.deps.clone())).into_future());
        address
    }
}
