//! libchdb: ClickHouse as a library, loaded at run time. All `unsafe` code of this crate is here.
//!
//! A connection runs one statement at a time; several connections to one folder run side by side. Binary rows must go
//! through an insert stream: text handed to a query ends at the first blank line in the data, without an error.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

use libloading::Library;

/// Why the library or a connection cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ChdbError {
    /// The file is no loadable library, or another version without the functions needed.
    #[error("{}: {error}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        error: libloading::Error,
    },
    /// The engine did not start.
    #[error("the engine cannot open {}; another process may have it open", .0.display())]
    Connect(PathBuf),
}

type Conn = *mut c_void;
type RawResult = *mut c_void;
type RawStream = *mut c_void;
type Connect = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Conn;
type Query = unsafe extern "C" fn(
    Conn,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> *mut c_void;

/// The functions used, by the library's names.
struct Functions {
    connect: Connect,
    close: unsafe extern "C" fn(*mut Conn),
    query: Query,
    stream_query: Query,
    fetch: unsafe extern "C" fn(Conn, RawResult) -> RawResult,
    cancel: unsafe extern "C" fn(Conn, RawResult),
    destroy: unsafe extern "C" fn(RawResult),
    buffer: unsafe extern "C" fn(RawResult) -> *const c_char,
    length: unsafe extern "C" fn(RawResult) -> usize,
    error: unsafe extern "C" fn(RawResult) -> *const c_char,
    rows_written: unsafe extern "C" fn(RawResult) -> u64,
    insert: Query,
    append: unsafe extern "C" fn(RawStream, *const c_char, usize) -> c_int,
    done: unsafe extern "C" fn(RawStream) -> RawResult,
    cancel_insert: unsafe extern "C" fn(RawStream),
    destroy_insert: unsafe extern "C" fn(RawStream),
    insert_error: unsafe extern "C" fn(RawStream) -> *const c_char,
    _library: Library,
}

/// The loaded library.
#[derive(Clone)]
pub struct Chdb(Arc<Functions>);

impl Chdb {
    /// Loads the library at `path`.
    ///
    /// # Errors
    /// [`ChdbError::Library`].
    pub fn load(path: &Path) -> Result<Self, ChdbError> {
        let failed = |error| ChdbError::Library { path: path.to_owned(), error };
        // SAFETY: loading runs the library's initialisers; it is ClickHouse's library, chosen by the operator. The types
        // given to the symbols are those of chdb.h of version 26.7.
        unsafe {
            let library = Library::new(path).map_err(failed)?;
            macro_rules! symbol {
                ($name:literal) => {
                    *library.get($name).map_err(failed)?
                };
            }
            Ok(Self(Arc::new(Functions {
                connect: symbol!(c"chdb_connect"),
                close: symbol!(c"chdb_close_conn"),
                query: symbol!(c"chdb_query_with_params_n"),
                stream_query: symbol!(c"chdb_stream_query_with_params_n"),
                fetch: symbol!(c"chdb_stream_fetch_result"),
                cancel: symbol!(c"chdb_stream_cancel_query"),
                destroy: symbol!(c"chdb_destroy_query_result"),
                buffer: symbol!(c"chdb_result_buffer"),
                length: symbol!(c"chdb_result_length"),
                error: symbol!(c"chdb_result_error"),
                rows_written: symbol!(c"chdb_result_rows_written"),
                insert: symbol!(c"chdb_stream_insert_with_params_n"),
                append: symbol!(c"chdb_stream_append"),
                done: symbol!(c"chdb_stream_done"),
                cancel_insert: symbol!(c"chdb_stream_cancel_insert"),
                destroy_insert: symbol!(c"chdb_destroy_insert_stream"),
                insert_error: symbol!(c"chdb_stream_insert_error"),
                _library: library,
            })))
        }
    }

    /// Opens a connection to the folder `data_dir`, with command-line `options` such as `--max_threads=2`.
    ///
    /// # Errors
    /// [`ChdbError::Connect`].
    pub fn connect(&self, data_dir: &Path, options: &[&str]) -> Result<Connection, ChdbError> {
        let failed = || ChdbError::Connect(data_dir.to_owned());
        let path = format!("--path={}", data_dir.display());
        let arguments = ["clickhouse", &path].into_iter().chain(options.iter().copied()).map(CString::new);
        let arguments: Vec<CString> = arguments.collect::<Result<_, _>>().map_err(|_| failed())?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| failed())?;
        // SAFETY: `pointers` holds `count` NUL-terminated texts that outlive the call.
        let handle = unsafe { (self.0.connect)(count, pointers.as_mut_ptr()) };
        if handle.is_null() {
            return Err(failed());
        }
        Ok(Connection(Arc::new(Handle { chdb: self.clone(), connection: handle })))
    }
}

/// Names and values of a statement's `{name:Type}` places.
pub type Parameters = [(String, String)];

/// A connection. It stays open until its last result is dropped, too.
pub struct Connection(Arc<Handle>);

struct Handle {
    chdb: Chdb,
    connection: *mut Conn,
}

// SAFETY: the library lets a connection be used from any thread, one at a time; what uses it takes `&mut Connection`.
// Results share the handle only to keep it open.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the connection is open, and neither it nor a result of it is used any more.
        unsafe { (self.chdb.0.close)(self.connection) }
    }
}

impl Connection {
    /// Runs a statement and gives its whole result in `format`.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub fn query(&mut self, sql: &str, format: &str, parameters: &Parameters) -> Result<Chunk, String> {
        let result = self.call(self.functions().query, sql, format, parameters);
        Chunk::new(&self.0, result)
    }

    /// Begins a query whose result is fetched in parts.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub fn stream(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Result<QueryStream<'_>, String> {
        let result = self.call(self.functions().stream_query, sql, format, parameters);
        let started = Chunk::new(&self.0, result)?;
        Ok(QueryStream { connection: self, started })
    }

    /// Begins an insert whose rows follow in `format`.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Result<InsertStream<'_>, String> {
        let handle = self.call(self.functions().insert, sql, format, parameters);
        let stream = InsertStream { connection: self, handle, ended: false };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    fn functions(&self) -> &Functions {
        &self.0.chdb.0
    }

    fn raw(&self) -> Conn {
        // SAFETY: the pointer leads to the connection until `Handle` is dropped.
        unsafe { *self.0.connection }
    }

    fn call(&self, function: Query, sql: &str, format: &str, parameters: &Parameters) -> *mut c_void {
        let pointer = |text: &String| text.as_ptr().cast::<c_char>();
        let names: Vec<_> = parameters.iter().map(|(name, _)| pointer(name)).collect();
        let name_lengths: Vec<_> = parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<_> = parameters.iter().map(|(_, value)| pointer(value)).collect();
        let value_lengths: Vec<_> = parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: each pointer leads to as many octets as the length beside it says, and all outlive the call.
        unsafe {
            function(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                parameters.len(),
            )
        }
    }
}

/// A result, or a part of one. Its octets stay the library's until it is dropped.
pub struct Chunk {
    connection: Arc<Handle>,
    handle: RawResult,
}

// SAFETY: a result belongs to nobody but its holder; the library frees it from any thread.
unsafe impl Send for Chunk {}

impl Chunk {
    fn new(connection: &Arc<Handle>, handle: RawResult) -> Result<Self, String> {
        if handle.is_null() {
            return Err("Code: 1002. DB::Exception: the engine gave no result".to_owned());
        }
        let chunk = Self { connection: Arc::clone(connection), handle };
        // SAFETY: the handle is valid; a message lives as long as it.
        match text(unsafe { (connection.chdb.0.error)(handle) }) {
            Some(error) => Err(error),
            None => Ok(chunk),
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the handle is valid; the buffer has that length and lives as long as it.
        unsafe {
            let buffer = (self.connection.chdb.0.buffer)(self.handle);
            let length = (self.connection.chdb.0.length)(self.handle);
            if buffer.is_null() { &[] } else { std::slice::from_raw_parts(buffer.cast(), length) }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and not used any more.
        unsafe { (self.connection.chdb.0.destroy)(self.handle) }
    }
}

/// A query under way. Dropped before its end, it is cancelled.
pub struct QueryStream<'c> {
    connection: &'c mut Connection,
    started: Chunk,
}

impl QueryStream<'_> {
    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// ClickHouse's message; the query is over.
    pub fn next(&mut self) -> Result<Option<Chunk>, String> {
        // SAFETY: both handles are valid.
        let part = unsafe { (self.connection.functions().fetch)(self.connection.raw(), self.started.handle) };
        let part = Chunk::new(&self.connection.0, part)?;
        Ok((!part.as_ref().is_empty()).then_some(part))
    }
}

impl Drop for QueryStream<'_> {
    fn drop(&mut self) {
        // SAFETY: both handles are valid. To cancel what has ended does nothing.
        unsafe { (self.connection.functions().cancel)(self.connection.raw(), self.started.handle) }
    }
}

/// An insert under way. Dropped before [`InsertStream::finish`], it is cancelled.
pub struct InsertStream<'c> {
    connection: &'c mut Connection,
    handle: RawStream,
    ended: bool,
}

impl InsertStream<'_> {
    /// Adds octets of the rows.
    ///
    /// # Errors
    /// ClickHouse's message.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), String> {
        // SAFETY: the handle is valid and the octets outlive the call.
        let state =
            unsafe { (self.connection.functions().append)(self.handle, bytes.as_ptr().cast(), bytes.len()) };
        if state == 0 {
            Ok(())
        } else {
            Err(self.error().unwrap_or_else(|| "Code: 1002. DB::Exception: rows were refused".to_owned()))
        }
    }

    /// Ends the rows, waits until they are stored, and says how many they were.
    ///
    /// # Errors
    /// ClickHouse's message: the insert has failed.
    pub fn finish(mut self) -> Result<u64, String> {
        self.ended = true;
        // SAFETY: the handle is valid.
        let result = unsafe { (self.connection.functions().done)(self.handle) };
        let result = Chunk::new(&self.connection.0, result)?;
        // SAFETY: the handle is valid.
        let written = unsafe { (self.connection.functions().rows_written)(result.handle) };
        self.error().map_or(Ok(written), Err)
    }

    fn error(&self) -> Option<String> {
        // SAFETY: the handle is valid; a message lives as long as it.
        text(unsafe { (self.connection.functions().insert_error)(self.handle) })
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and not used any more.
        unsafe {
            if !self.ended {
                (self.connection.functions().cancel_insert)(self.handle);
            }
            (self.connection.functions().destroy_insert)(self.handle);
        }
    }
}

fn text(pointer: *const c_char) -> Option<String> {
    if ptr::eq(pointer, ptr::null()) {
        return None;
    }
    // SAFETY: the library's messages are NUL-terminated and outlive this function.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
