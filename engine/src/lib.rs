//! The embedded ClickHouse: a supervised child process that speaks ClickHouse's HTTP interface over libchdb.
//!
//! [`supervisor`] runs in the parent and keeps the child alive; [`host`] is what the child does.

mod answer;
mod chdb;
mod document;
mod front;
#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, clippy::indexing_slicing, reason = "a panic there is what fuzzing looks for")]
pub mod fuzzing;
pub mod host;
mod job;
mod library;
mod multipart;
mod parts;
mod pool;
mod request;
mod sandbox;
mod settings;
mod statement;
pub mod supervisor;
mod tokens;

pub use chdb::ChdbError;
pub use host::{HostConfig, HostError};
pub use library::{LIBRARY_VARIABLE, NoLibrary, find as find_library};
pub use pool::OpenError;
pub use supervisor::{Endpoint, EngineConfig, EngineState, KEY_VARIABLE, Supervisor};
