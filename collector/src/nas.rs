//! NASes as the collector knows them: learned when first heard, never configured.

use std::net::IpAddr;

use schema::{ClientName, Lsn, NasId, UnixTime};
use serde::{Deserialize, Serialize};

/// A NAS that has reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nas {
    /// Its identity, `client/identifier`.
    pub id: NasId,
    /// The client its packets come from.
    pub client: ClientName,
    /// The source address of its newest packet.
    pub source: IpAddr,
    /// Records it sent.
    pub records: u64,
    /// When its newest packet arrived.
    pub last_seen_at: UnixTime,
    /// Its newest Accounting-On or -Off: sessions that began before it and have not reported since are over.
    pub restarted: Option<Restart>,
}

/// An Accounting-On or Accounting-Off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Its event time.
    pub at: UnixTime,
    /// Its place in the journal.
    pub lsn: Lsn,
    /// Whether it was an Accounting-On.
    pub on: bool,
}
