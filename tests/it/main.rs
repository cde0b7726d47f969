//! Integration tests: the real `radtally serve`, with its real engine, against programs nobody here wrote.
//!
//! `service.rs` starts and stops the service, `api.rs` asks it, `client.rs` sends it RADIUS, `network.rs` makes room for
//! NASes, `mounts.rs` gives it a disk of its own, `reported.rs` compares with what NASes say themselves; the other files are
//! tests. Those of everything that can be done to a service are in `torture.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]

mod access;
mod api;
mod bad_input;
mod browser;
mod client;
mod durability;
mod engine;
mod hostapd;
mod ledger;
mod metrics;
mod mounts;
mod network;
mod ocserv;
mod openvpn;
mod outage;
#[path = "../../subscribers/src/tests/postgres.rs"]
mod postgres;
mod program;
mod radclient;
mod reported;
mod restart;
mod service;
mod settling;
mod torture;
mod until;
