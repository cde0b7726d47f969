//! The engine host against the real library: what clients rely on, what they must not be able to do, and restarts.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

mod fixture;
mod http;
mod refusals;
mod rows;
mod statements;
mod streams;
mod supervision;
