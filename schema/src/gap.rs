//! A known gap's row in ClickHouse.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

/// A row of `known_gaps`. Of the rows with one collector and id that with the greatest version holds.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct GapRow {
    /// The collector that knows of it.
    pub collector: String,
    /// Names it among its collector's gaps.
    pub id: u64,
    /// Grows with each change.
    pub version: u64,
    /// What made it.
    pub kind: String,
    /// Its first second.
    pub from_at: u32,
    /// The first second after it.
    pub to_at: u32,
    /// Packets lost; of a hole, records.
    pub packets: u64,
    /// Clients that lost packets, one for each of `nases`; none where that is not known.
    pub clients: Vec<String>,
    /// NASes that did; an empty name stands for any of the client's.
    pub nases: Vec<String>,
    /// How many each lost.
    pub counts: Vec<u64>,
}
