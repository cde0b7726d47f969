//! ClickHouse's HTTP interface over the embedded engine: what the official client and `curl` need of it.
//!
//! A statement runs on a thread of its own and speaks to its request through bounded channels: of a large result, and of a
//! large insert, only a few parts are in memory. A client that goes away cancels its statement.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::chdb::{Chdb, ChdbError};
use crate::library::{self, NoLibrary};
use crate::pool::{Lent, Pool};
use crate::request::Options;
use crate::statement::{self, Statement};

/// Parts of a result or an insert that wait for the other side. Full: the faster side waits.
const PARTS: usize = 4;
/// Longest query text, and longest insert whose query and rows come in one body.
const LONGEST_BODY: usize = 64 << 20;
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
    /// The engine does not start.
    #[error(transparent)]
    Chdb(#[from] ChdbError),
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

type Body = UnsyncBoxBody<Bytes, io::Error>;

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
    let listener =
        TcpListener::bind(config.listen).await.map_err(io(format!("listening on {}", config.listen)))?;
    let (data_dir, chdb) = (config.data_dir.clone(), Chdb::load(&library)?);
    let opened = tokio::task::spawn_blocking(move || Pool::open(chdb, data_dir)).await;
    let pool = opened
        .map_err(|error| HostError::Io { what: "starting the engine".to_owned(), error: error.into() })??;
    // The engine lives as long as the process: taking it down cleanly takes longer than starting it again.
    let host = Arc::new(Host { pool: Box::leak(Box::new(pool)), key: config.key });
    info!(listen = %config.listen, library = %library.display(), "the embedded ClickHouse is up");
    serve(listener, host, shutdown).await;
    Ok(())
}

async fn serve(listener: TcpListener, host: Arc<Host>, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let (host, shutdown) = (Arc::clone(&host), shutdown.clone());
        connections.spawn(async move {
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
        });
    }
    connections.close();
    _ = tokio::time::timeout(PATIENCE, connections.wait()).await;
}

struct Host {
    pool: &'static Pool,
    key: String,
}

/// A statement ready to run.
struct Job {
    options: Options,
    /// The query as it came in the URL, or with the whole body.
    query: Bytes,
    /// Whether rows may follow in the body.
    rows: Option<mpsc::Receiver<io::Result<Bytes>>>,
}

impl Host {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path(), request.uri().query()) {
            (_, "/ping", _) => return plain(StatusCode::OK, "Ok.\n"),
            (&Method::GET, "/", None) => return plain(StatusCode::OK, "Ok.\n"),
            (&Method::GET | &Method::POST, "/", _) => {}
            (_, path, _) => {
                return plain(
                    StatusCode::NOT_FOUND,
                    format!("There is no handle {path}; statements go to /\n"),
                );
            }
        }
        match self.run(request).await {
            Ok(response) => response,
            Err(message) => failed(&message),
        }
    }

    async fn run(&self, request: Request<Incoming>) -> Result<Response<Body>, String> {
        let options =
            Options::parse(request.uri().query().unwrap_or_default()).map_err(|error| error.to_string())?;
        options.authorise(request.headers(), &self.key).map_err(|error| error.to_string())?;
        let job = Job::new(options, request).await?;
        let format = job.options.default_format.clone().unwrap_or_else(|| "TabSeparated".to_owned());
        let query_id = job.options.query_id.clone().unwrap_or_else(new_query_id);
        let lent = self.pool.lend().await?;
        let (to, mut from) = mpsc::channel(PARTS);
        tokio::task::spawn_blocking(move || job.run(lent, &to));
        let first = match from.recv().await {
            Some(Err(message)) => return Err(message),
            Some(Ok(part)) => part,
            None => Bytes::new(),
        };
        let rest = futures_util::stream::unfold(from, |mut from| async move {
            from.recv().await.map(|part| (part, from))
        });
        let parts = futures_util::stream::iter([Ok(first)]).chain(rest);
        // A failure after the first part ends the connection, so that no client takes half a result for a whole one.
        let frames = parts.map(|part| part.map(Frame::data).map_err(io::Error::other));
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
        let headers = [
            ("x-clickhouse-query-id", query_id),
            ("x-clickhouse-format", format),
            ("x-clickhouse-timezone", "UTC".to_owned()),
        ];
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

impl Job {
    /// Reads the query: from the URL, and then the body holds rows; else from the body.
    async fn new(options: Options, request: Request<Incoming>) -> Result<Self, String> {
        let body = request.into_body();
        match &options.query {
            Some(query) => {
                let query = Bytes::copy_from_slice(query.as_bytes());
                Ok(Self { options, query, rows: Some(forward(body)) })
            }
            None => {
                let limited = http_body_util::Limited::new(body, LONGEST_BODY);
                let too_long = |_| {
                    format!(
                        "Code: 62. DB::Exception: the body ends early or is longer than {LONGEST_BODY} octets; give the query in the URL (SYNTAX_ERROR)"
                    )
                };
                let query = limited.collect().await.map_err(too_long)?.to_bytes();
                Ok(Self { options, query, rows: None })
            }
        }
    }

    fn run(mut self, mut lent: Lent<'_>, to: &mpsc::Sender<Result<Bytes, String>>) {
        let prepared = prepare(&mut lent, &self.options);
        let done = prepared.and_then(|()| self.execute(&mut lent, to));
        let restored = restore(&mut lent, &self.options);
        if let Err(message) = done {
            // The client may be gone: then nobody wants to know.
            _ = to.blocking_send(Err(message));
        }
        // A connection that keeps somebody's settings is not lent again.
        if restored.is_ok() {
            lent.give_back();
        }
    }

    fn execute(
        &mut self,
        lent: &mut Lent<'_>,
        to: &mpsc::Sender<Result<Bytes, String>>,
    ) -> Result<(), String> {
        let options = &self.options;
        let format = options.default_format.as_deref().unwrap_or("TabSeparated");
        let insert_format = options.default_format.as_deref().unwrap_or("Values");
        let query = self.query.clone();
        // Rows in the body of a query that wants none are part of its text, as ClickHouse has it.
        match statement::read(&query, insert_format).map_err(|error| error.to_string())? {
            Statement::Select(sql) => {
                let mut stream = lent.connection.stream(sql, format, &options.parameters)?;
                while let Some(part) = stream.next()? {
                    if to.blocking_send(Ok(Bytes::from_owner(part))).is_err() {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Statement::Insert { sql, format, rows } => {
                let mut insert = lent.connection.insert(sql, format, &options.parameters)?;
                if !rows.is_empty() {
                    insert.append(rows)?;
                }
                while let Some(part) = self.rows.as_mut().and_then(mpsc::Receiver::blocking_recv) {
                    insert.append(&part.map_err(|error| {
                        format!("Code: 210. DB::Exception: the rows end early: {error} (NETWORK_ERROR)")
                    })?)?;
                }
                insert.finish()
            }
            Statement::Other(sql) => {
                let result = lent.connection.query(sql, format, &options.parameters)?;
                _ = to.blocking_send(Ok(Bytes::from_owner(result)));
                Ok(())
            }
        }
    }
}

/// Hands the body's parts to the statement's thread.
fn forward(body: Incoming) -> mpsc::Receiver<io::Result<Bytes>> {
    let (to, from) = mpsc::channel(PARTS);
    tokio::spawn(async move {
        let mut frames = BodyStream::new(body);
        while let Some(frame) = frames.next().await {
            let part = match frame {
                Ok(frame) => frame.into_data().map_or_else(|_| None, |data| Some(Ok(data))),
                Err(error) => Some(Err(io::Error::other(error))),
            };
            if let Some(part) = part
                && to.send(part).await.is_err()
            {
                return;
            }
        }
    });
    from
}

fn prepare(lent: &mut Lent<'_>, options: &Options) -> Result<(), String> {
    let database = options.database.as_deref().unwrap_or("default");
    if lent.database != database {
        lent.connection.query(&format!("USE `{}`", escape(database, '`')), "Null", &[])?;
        database.clone_into(&mut lent.database);
    }
    if options.settings.is_empty() {
        return Ok(());
    }
    let values = options.settings.iter().map(|(name, value)| format!("{name} = '{}'", escape(value, '\'')));
    let set = format!("SET {}", values.collect::<Vec<_>>().join(", "));
    lent.connection.query(&set, "Null", &[]).map(drop)
}

fn restore(lent: &mut Lent<'_>, options: &Options) -> Result<(), String> {
    if options.settings.is_empty() {
        return Ok(());
    }
    let names = options.settings.iter().map(|(name, _)| format!("{name} = DEFAULT"));
    let set = format!("SET {}", names.collect::<Vec<_>>().join(", "));
    lent.connection.query(&set, "Null", &[]).map(drop)
}

fn escape(text: &str, quote: char) -> String {
    text.chars().flat_map(|c| (c == quote || c == '\\').then_some('\\').into_iter().chain([c])).collect()
}

fn new_query_id() -> String {
    let mut id = [0; 16];
    // Only a name for log lines: zeros would do.
    _ = getrandom::fill(&mut id);
    hex::encode(id)
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let body = Full::new(Bytes::from(text.into())).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// ClickHouse's form of an error: status, code in a header, text.
fn failed(message: &str) -> Response<Body> {
    let message = message.get(message.find("Code: ").unwrap_or(0)..).unwrap_or(message);
    let code = message
        .strip_prefix("Code: ")
        .and_then(|rest| rest.split('.').next())
        .and_then(|code| code.parse::<i32>().ok());
    let status = match code {
        Some(516) => StatusCode::UNAUTHORIZED,
        Some(497) => StatusCode::FORBIDDEN,
        Some(60 | 81) => StatusCode::NOT_FOUND,
        Some(159) => StatusCode::REQUEST_TIMEOUT,
        Some(202) => StatusCode::SERVICE_UNAVAILABLE,
        Some(6 | 27 | 36 | 38 | 41 | 43 | 47 | 48 | 53 | 62 | 69 | 115 | 117 | 386 | 456 | 457) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = plain(status, format!("{}\n", message.trim_end()));
    if let Some(value) = code.and_then(|code| code.to_string().parse().ok()) {
        response.headers_mut().insert("x-clickhouse-exception-code", value);
    }
    response
}
