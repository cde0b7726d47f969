//! Connections to the one engine of this process, each in use by one statement at a time.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::chdb::{Chdb, ChdbError, Connection};

/// Statements that may run at once. Full: a statement waits up to [`PATIENCE`] and is then refused.
const CONNECTIONS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(20);

/// Options for a small machine: radtally shares it with its engine.
const OPTIONS: [&str; 4] =
    ["--max_threads=2", "--max_insert_threads=1", "--async_insert=0", "--max_memory_usage=4000000000"];

/// The pool.
pub struct Pool {
    chdb: Chdb,
    data_dir: PathBuf,
    idle: Mutex<Vec<(Connection, String)>>,
    free: Semaphore,
    /// The engine stops when its last connection is closed.
    _keeper: Mutex<Connection>,
}

/// A connection lent. What is not given back with [`Lent::give_back`] is closed.
pub struct Lent<'p> {
    pool: &'p Pool,
    /// The connection.
    pub connection: Connection,
    /// The database it uses.
    pub database: String,
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    /// Starts the engine on `data_dir`.
    ///
    /// # Errors
    /// The engine does not start.
    pub fn open(chdb: Chdb, data_dir: PathBuf) -> Result<Self, ChdbError> {
        let keeper = chdb.connect(&data_dir, &OPTIONS)?;
        Ok(Self {
            chdb,
            data_dir,
            idle: Mutex::default(),
            free: Semaphore::new(CONNECTIONS),
            _keeper: Mutex::new(keeper),
        })
    }

    /// Lends a connection, when one is free within a while.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub async fn lend(&self) -> Result<Lent<'_>, String> {
        let busy = || {
            format!(
                "Code: 202. DB::Exception: Too many simultaneous queries. Maximum: {CONNECTIONS} (TOO_MANY_SIMULTANEOUS_QUERIES)"
            )
        };
        let permit = tokio::time::timeout(PATIENCE, self.free.acquire()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (connection, database) = match idle {
            Some(known) => known,
            None => {
                let connection = self.chdb.connect(&self.data_dir, &OPTIONS);
                let failed = |error| format!("Code: 210. DB::Exception: {error} (NETWORK_ERROR)");
                (connection.map_err(failed)?, "default".to_owned())
            }
        };
        Ok(Lent { pool: self, connection, database, _permit: permit })
    }
}

impl Lent<'_> {
    /// Gives the connection back for the next statement.
    pub fn give_back(self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push((self.connection, self.database));
    }
}
