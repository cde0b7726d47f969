//! The open database, and what its users share: password slots, the identity cache, news of revocations.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait;
use tokio::sync::broadcast;

use crate::cache::Cache;
use crate::config::Target;
use crate::migrations::Migrator;
use crate::passwords::Passwords;
use crate::throttle::Throttle;
use crate::{Credential, DatabaseConfig, DirectoryError};

/// The customer directory. Cloning shares it.
#[derive(Clone)]
pub struct Directory {
    pub(crate) db: DatabaseConnection,
    pub(crate) passwords: Passwords,
    pub(crate) cache: Arc<Cache>,
    pub(crate) throttle: Arc<Throttle>,
    revocations: broadcast::Sender<Credential>,
}

impl Directory {
    /// Opens the database, creates the SQLite file where there is none, and brings the schema to this version.
    pub async fn connect(config: &DatabaseConfig, data_dir: &Path) -> Result<Self, DirectoryError> {
        let db = match config.target(data_dir)? {
            Target::Sqlite(file) => open_sqlite(&file).await?,
            Target::Postgres(url) => open(ConnectOptions::new(url), format!("{config:?}")).await?,
        };
        migrate(&db).await?;
        // Full: the oldest news are dropped and a slow listener is told that it missed some; it must then check its
        // credential again.
        let (revocations, _) = broadcast::channel(256);
        let passwords = Passwords::new().await?;
        Ok(Self { db, passwords, cache: Arc::default(), throttle: Arc::default(), revocations })
    }

    /// News of revoked credentials, so that what lives on one (a WebSocket) can end with it. A listener that lagged
    /// behind must check with [`Directory::is_valid`].
    #[must_use]
    pub fn revocations(&self) -> broadcast::Receiver<Credential> {
        self.revocations.subscribe()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DirectoryError> {
        Ok(self.db.ping().await?)
    }

    /// Forgets who was authenticated and tells those who live on `revoked`.
    pub(crate) fn announce(&self, revoked: impl IntoIterator<Item = Credential>) {
        self.cache.forget();
        for credential in revoked {
            // Fails only where nobody listens.
            let _ = self.revocations.send(credential);
        }
    }
}

async fn open_sqlite(file: &Path) -> Result<DatabaseConnection, DirectoryError> {
    let created = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
    created.map_err(|source| DirectoryError::Create { path: file.to_owned(), source })?;
    let mut options = ConnectOptions::new("sqlite::memory:");
    let path = file.to_owned();
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .in_memory(false)
            .shared_cache(false)
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
    });
    open(options, file.display().to_string()).await
}

async fn open(mut options: ConnectOptions, database: String) -> Result<DatabaseConnection, DirectoryError> {
    options
        .max_connections(8)
        .connect_timeout(Duration::from_secs(10))
        .acquire_timeout(Duration::from_secs(10))
        .sqlx_logging(false);
    Database::connect(options).await.map_err(|source| DirectoryError::Open { database, source })
}

/// Applies what is missing. Two processes may start at once: whoever comes second finds the work done on a later try.
async fn migrate(db: &DatabaseConnection) -> Result<(), DirectoryError> {
    let mut failure = None;
    for _ in 0..5 {
        match Migrator::up(db, None).await {
            Ok(()) => return Ok(()),
            Err(error) => failure = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    failure.map_or(Ok(()), |error| Err(DirectoryError::Migrate(error)))
}
