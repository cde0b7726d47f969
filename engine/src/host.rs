//! ClickHouse's HTTP interface over the embedded engine: what the official client and `curl` need of it.
//!
//! A request is let in and read (`front`, `request`, `statement`), given a place among the running statements (`pool`) and a thread
//! (`job`); here it gets its answer, from `parts`, which stop the statement of a client that goes away.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::answer::{self, Body};
use crate::chdb::{Chdb, ChdbError};
use crate::front;
use crate::job::Job;
use crate::library::{self, NoLibrary};
use crate::parts::{Part, Parts};
use crate::pool::{OpenError, Pool};

/// How long running statements may go on when the host is asked to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the host needs.
pub struct HostConfig {
    /// Loopback address to listen on.
    pub listen: SocketAddr,
    /// The engine's folder.
    pub data_dir: PathBuf,
    /// The library, where it does not lie where npm puts it.
    pub library: Option<PathBuf>,
    /// What a client must show.
    pub key: String,
}

/// Why the host cannot run.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no library.
    #[error(transparent)]
    NoLibrary(#[from] NoLibrary),
    /// The library cannot be loaded.
    #[error(transparent)]
    Library(#[from] ChdbError),
    /// The engine does not start.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It would be open to others.
    #[error("the embedded engine listens on loopback addresses only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The key is empty.
    #[error("the embedded engine needs a key")]
    NoKey,
    /// A file or socket cannot be used.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        error: io::Error,
    },
}

/// Runs the host until `shutdown`.
///
/// # Errors
/// [`HostError`] says what is missing.
pub async fn run(config: HostConfig, shutdown: CancellationToken) -> Result<(), HostError> {
    if !config.listen.ip().is_loopback() {
        return Err(HostError::NotLoopback(config.listen));
    }
    if config.key.is_empty() {
        return Err(HostError::NoKey);
    }
    let library = library::find(config.library)?;
    let io = |what: String| move |error| HostError::Io { what, error };
    std::fs::create_dir_all(&config.data_dir).map_err(io(config.data_dir.display().to_string()))?;
    let (data_dir, chdb) = (config.data_dir, Chdb::load(&library)?);
    let opened = tokio::task::spawn_blocking(move || Pool::open(chdb, &data_dir)).await;
    let pool = opened.map_err(|error| io("starting the engine".to_owned())(error.into()))??;
    let listener =
        TcpListener::bind(config.listen).await.map_err(io(format!("listening on {}", config.listen)))?;
    info!(listen = %config.listen, library = %library.display(), "the embedded ClickHouse is up");
    // Statements that outlive the patience below go on using it: it lives as long as the process.
    let pool: &'static Pool = Box::leak(Box::new(pool));
    serve(listener, Arc::new(Host { pool, key: config.key }), &shutdown).await;
    if !pool.close(PATIENCE).await {
        warn!("statements still run and are cut off; what was acknowledged is on disk");
    }
    Ok(())
}

async fn serve(listener: TcpListener, host: Arc<Host>, shutdown: &CancellationToken) {
    let connections = TaskTracker::new();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        connections.spawn(converse(stream, Arc::clone(&host), shutdown.clone()));
    }
    connections.close();
    _ = tokio::time::timeout(PATIENCE, connections.wait()).await;
}

/// One client's requests, to the end of the one under way at `shutdown`.
async fn converse(stream: TcpStream, host: Arc<Host>, shutdown: CancellationToken) {
    // An answer goes out in several writes: waiting for their acknowledgements would take 40 ms. A socket that refuses is
    // slow, and no more.
    _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let host = Arc::clone(&host);
        async move { Ok::<_, Infallible>(host.answer(request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

struct Host {
    pool: &'static Pool,
    key: String,
}

impl Host {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match front::admit(request, &self.key).await {
            ControlFlow::Continue(job) => {
                self.run(job).await.unwrap_or_else(|message| answer::failed(&message))
            }
            ControlFlow::Break(answer) => answer,
        }
    }

    async fn run(&self, job: Job) -> Result<Response<Body>, String> {
        let (query_id, format) = (job.query_id().map(str::to_owned), job.format().to_owned());
        let place = self.pool.place().await?;
        let (first, written, rest) = begun(job.start(self.pool, place)).await?;
        Ok(answer::result(first, rest, &answer::Facts { query_id, format, written }))
    }
}

/// Waits for what decides the answer's head: the first part, the end, or an error.
async fn begun(mut parts: Parts) -> Result<(Bytes, Option<u64>, Parts), String> {
    Ok(match parts.next().await.transpose()? {
        Some(Part::Result(first)) => (first, None, parts),
        Some(Part::Written(rows)) => (Bytes::new(), Some(rows), parts),
        None => (Bytes::new(), None, parts),
    })
}
