//! Integration tests: the real `radtally serve`, with its real engine, against programs nobody here wrote.
//!
//! `service.rs` starts and stops the service, `api.rs` asks it, `client.rs` sends it RADIUS, `network.rs` makes room for
//! NASes, `reported.rs` compares with what they say themselves; the other files are tests.

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
mod crash;
mod durability;
mod engine;
mod hostapd;
mod network;
mod ocserv;
mod openvpn;
mod outage;
mod program;
mod radclient;
mod reported;
mod service;
mod settling;
mod until;
