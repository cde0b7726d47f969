//! The collector: from a UDP datagram to a durable, acknowledged record, to live session state, and to ClickHouse.
//!
//! Start reading at [`pipeline`]; it names the steps of a packet's life in their order.

pub mod attributes;
pub mod checkpoint;
pub mod client;
pub mod config;
pub mod exporter;
#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, clippy::indexing_slicing, reason = "a panic there is what fuzzing looks for")]
pub mod fuzzing;
pub mod index;
pub mod journal;
pub mod ledger;
pub mod lines;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod nas;
pub mod online;
pub mod packet;
pub mod pipeline;
pub mod record;
pub mod reply;
pub mod retransmit;
pub mod service;
pub mod sessions;
pub mod socket;
pub mod storage;
pub mod vendor;
pub mod verify;

pub use client::{Client, ClientError, Clients};
pub use config::{AccountingConfig, ClientConfig, ExporterConfig, JournalSettings, NasConfig};
pub use ledger::{Ledger, LedgerReport};
pub use live::{LiveFeed, LiveTopic};
pub use nas::{NasError, NasSettings};
pub use online::{NasSummary, Online, OnlineCursor, OnlineFilter};
pub use service::{Collector, CollectorError, CollectorParts};
