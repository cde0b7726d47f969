//! The one engine of this process, and how many statements may run in it at once.
//!
//! Each statement gets a connection of its own, which takes half a millisecond: what one sets, uses or creates for the time
//! being never reaches another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::chdb::{Chdb, ChdbError, Connection};
use crate::sandbox::Sandbox;
use crate::settings;

/// Statements that may run at once. Full: a statement waits up to [`PATIENCE`] and is then refused.
const STATEMENTS: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its configuration cannot be written.
    #[error("{}: {error}", folder.display())]
    Folder {
        /// Its folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The library refuses.
    #[error(transparent)]
    Chdb(#[from] ChdbError),
}

/// The engine, running.
pub struct Pool {
    chdb: Chdb,
    data_dir: PathBuf,
    sandbox: Sandbox,
    places: Arc<Semaphore>,
    /// The engine ends with its last connection: this one.
    keeper: Mutex<Option<Connection>>,
}

impl Pool {
    /// Starts the engine on the folder `data_dir`, which only one engine at a time can have. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(chdb: Chdb, data_dir: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Folder { folder: data_dir.to_owned(), error };
        let data_dir = data_dir.canonicalize().map_err(failed)?;
        let config_file = settings::write(&data_dir).map_err(failed)?;
        let sandbox = Sandbox::new(&data_dir);
        sandbox.enter();
        let keeper = chdb.connect(&data_dir, &[&format!("--config-file={}", config_file.display())])?;
        let places = Arc::new(Semaphore::new(STATEMENTS as usize));
        Ok(Self { chdb, data_dir, sandbox, places, keeper: Mutex::new(Some(keeper)) })
    }

    /// Waits a while for a place among the running statements.
    ///
    /// # Errors
    /// ClickHouse's message: too many statements run, or the engine is about to end.
    pub async fn place(&self) -> Result<OwnedSemaphorePermit, String> {
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| {
            format!(
                "Code: 202. DB::Exception: Too many simultaneous queries. Maximum: {STATEMENTS} \
                 (TOO_MANY_SIMULTANEOUS_QUERIES)"
            )
        })
    }

    /// A connection for a statement that has a place; `mark` is what [`Pool::stop`] knows it by. Blocks; confines the
    /// calling thread for good.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub fn connect(&self, mark: Option<&str>) -> Result<Connection, String> {
        self.sandbox.enter();
        let connection = self.chdb.connect(&self.data_dir, &[]);
        let failed = |error| format!("Code: 210. DB::Exception: {error} (NETWORK_ERROR)");
        let mut connection = connection.map_err(failed)?;
        if let Some(mark) = mark {
            connection.query(&format!("SET log_comment = '{mark}'"), "Null", &[])?;
        }
        Ok(connection)
    }

    /// Stops the statement on the connection of this mark, if it still runs. Blocks.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub fn stop(&self, mark: &str) -> Result<(), String> {
        // The library cannot stop a statement before its first part; ClickHouse can.
        let kill = format!("KILL QUERY WHERE Settings['log_comment'] = '{mark}' ASYNC");
        self.connect(None)?.query(&kill, "Null", &[]).map(drop)
    }

    /// Waits a while for running statements, then ends the engine; says whether it came to that.
    pub async fn close(&self, patience: Duration) -> bool {
        let Ok(Ok(_all)) = timeout(patience, self.places.acquire_many(STATEMENTS)).await else {
            return false;
        };
        self.places.close();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        tokio::task::spawn_blocking(move || drop(keeper)).await.is_ok()
    }
}
