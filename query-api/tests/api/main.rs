//! The query API against the real ClickHouse engine, a real directory and real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]

extern crate radtally_query_api as query_api;

mod engine;
mod explain;
mod fixture;
mod http;
mod live;
mod migrations;
mod oracle;
mod replay;
mod retention;
mod sessions;
mod settler;
mod totals;
mod traffic;
mod usage;
