//! A statement on its way through the library: on a thread of its own, which speaks to the request through bounded
//! channels. Of a large result, and of a large insert, only a few parts are in memory.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper::Method;
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts as Head;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::chdb::Connection;
use crate::document::{self, Joining};
use crate::multipart;
use crate::parts::{self, Part, Parts};
use crate::pool::Pool;
use crate::request::Options;
use crate::statement::{self, Statement};

/// Parts of an insert that wait for the library. Full: the client waits.
const PARTS: usize = 2;
/// Longest query text, and longest insert whose query and rows come in one body.
const LONGEST_TEXT: usize = 64 << 20;

/// Parts of an insert's rows. `None` is their end: without it they were cut off.
type Rows = mpsc::Receiver<io::Result<Option<Bytes>>>;

/// A statement ready to run.
pub struct Job {
    pub(crate) options: Options,
    pub(crate) query: Bytes,
    /// Rows of an insert that are still on their way.
    rows: Option<Rows>,
    /// The format of what it gives.
    format: String,
    /// Whether it changes nothing, and may be stopped when nobody waits for it any more.
    reads: bool,
}

impl Job {
    /// Reads the query from the URL and the body, as far as it is no rows of an insert.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub async fn read(mut options: Options, head: &Head, body: Incoming) -> Result<Self, String> {
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if let Some(boundary) = content_type.and_then(multipart::boundary) {
            take_form(&mut options, boundary, &whole(body).await?)?;
            let query = Bytes::copy_from_slice(options.query.as_bytes());
            return Self::new(options, query, None, &head.method);
        }
        let query = Bytes::copy_from_slice(options.query.as_bytes());
        if matches!(statement::read(&query, ""), Ok(Statement::Insert { .. })) {
            return Self::new(options, query, Some(forward(body)), &head.method);
        }
        let body = whole(body).await?;
        let query = match (query.is_empty(), body.is_empty()) {
            (true, _) => body,
            (false, true) => query,
            (false, false) => [&query, &b"\n"[..], &body].concat().into(),
        };
        Self::new(options, query, None, &head.method)
    }

    fn new(options: Options, query: Bytes, rows: Option<Rows>, method: &Method) -> Result<Self, String> {
        let statement = statement::read(&query, "").map_err(|error| error.to_string())?;
        let (reads, format) = match statement {
            Statement::Select { format, .. } => (true, format),
            Statement::Insert { .. } => (false, None),
            Statement::Other { format, reads, .. } => (reads, format),
        };
        if !reads && method == Method::GET {
            return Err("Code: 164. DB::Exception: a GET changes nothing: use POST (READONLY)".to_owned());
        }
        let format = format.unwrap_or_else(|| options.format_or("TabSeparated")).to_owned();
        Ok(Self { options, query, rows, format, reads })
    }

    /// The client's name for it.
    #[must_use]
    pub fn query_id(&self) -> Option<&str> {
        self.options.query_id.as_deref()
    }

    /// The format of what it gives.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Runs it on a thread of its own.
    pub fn start(self, pool: &'static Pool, place: OwnedSemaphorePermit) -> Parts {
        let mark = self.reads.then(new_mark).flatten();
        let (to, from) = parts::channel(pool, mark.clone());
        tokio::task::spawn_blocking(move || {
            let done = pool.connect(mark.as_deref()).and_then(|connection| self.run(connection, &to));
            if let Err(message) = done {
                // The client may be gone: then nobody wants to know.
                _ = to.blocking_send(Err(message));
            }
            drop(place);
        });
        from
    }

    fn run(mut self, mut connection: Connection, to: &parts::Sender) -> Result<(), String> {
        let options = &self.options;
        for preparation in options.preparations() {
            connection.query(&preparation, "Null", &[])?;
        }
        let statement = statement::read(&self.query, options.format_or("Values"));
        match statement.map_err(|error| error.to_string())? {
            Statement::Select { sql, .. } if document::joining(&self.format) == Joining::Whole => {
                let result = connection.query(sql, &self.format, &options.parameters)?;
                _ = to.blocking_send(Ok(Part::Result(Bytes::from_owner(result))));
            }
            Statement::Select { sql, .. } => {
                let mut stream = connection.stream(sql, &self.format, &options.parameters)?;
                let mut first = true;
                while let Some(block) = stream.next()? {
                    let block = document::continued(Bytes::from_owner(block), &self.format, first)?;
                    if to.blocking_send(Ok(Part::Result(block))).is_err() {
                        break;
                    }
                    first = false;
                }
            }
            Statement::Insert { sql, format, rows } => {
                let mut insert = connection.insert(sql, format, &options.parameters)?;
                insert.append(rows)?;
                while let Some(part) = self.rows.as_mut().map_or(Ok(None), next_rows)? {
                    insert.append(&part)?;
                }
                _ = to.blocking_send(Ok(Part::Written(insert.finish()?)));
            }
            Statement::Other { sql, .. } => {
                let result = connection.query(sql, &self.format, &options.parameters)?;
                _ = to.blocking_send(Ok(Part::Result(Bytes::from_owner(result))));
            }
        }
        Ok(())
    }
}

/// The next part of an insert's rows; `None` at their end.
fn next_rows(rows: &mut Rows) -> Result<Option<Bytes>, String> {
    let part = rows.blocking_recv().unwrap_or_else(|| Err(io::ErrorKind::ConnectionAborted.into()));
    part.map_err(|error| format!("Code: 210. DB::Exception: the body ends early: {error} (NETWORK_ERROR)"))
}

/// A name for a statement that no other bears. Without random numbers it has none, and its time-out alone stops it.
fn new_mark() -> Option<String> {
    let mut mark = [0; 16];
    getrandom::fill(&mut mark).ok().map(|()| hex::encode(mark))
}

/// A body that is text.
async fn whole(body: Incoming) -> Result<Bytes, String> {
    let body = Limited::new(body, LONGEST_TEXT).collect().await.map_err(|error| {
        format!(
            "Code: 62. DB::Exception: {error}; at most {LONGEST_TEXT} octets are read: give the query in the \
             URL and only rows in the body (SYNTAX_ERROR)"
        )
    })?;
    Ok(body.to_bytes())
}

fn take_form(options: &mut Options, boundary: &str, body: &[u8]) -> Result<(), String> {
    let fields = std::str::from_utf8(body).ok().and_then(|body| multipart::fields(body, boundary));
    let fields = fields.ok_or(
        "Code: 48. DB::Exception: the form is broken or carries a file, which the embedded engine does not take \
         (NOT_IMPLEMENTED)",
    )?;
    fields
        .into_iter()
        .try_for_each(|(name, value)| options.take(name, value))
        .map_err(|error| error.to_string())
}

/// Hands the body's parts to the statement's thread.
fn forward(body: Incoming) -> Rows {
    let (to, from) = mpsc::channel(PARTS);
    tokio::spawn(async move {
        let mut frames = BodyStream::new(body);
        while let Some(frame) = frames.next().await {
            let part = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => Ok(Some(data)),
                // Trailers say nothing about rows.
                Ok(Err(_)) => continue,
                Err(error) => Err(io::Error::other(error)),
            };
            let cut = part.is_err();
            if to.send(part).await.is_err() || cut {
                return;
            }
        }
        // The statement may have failed by now: then it needs no end.
        _ = to.send(Ok(None)).await;
    });
    from
}
