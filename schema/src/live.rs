//! Live state as it crosses process and network borders: the online list and the frames of `GET /api/v1/live`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    BitsPerSecond, ClientName, CollectorId, Login, Lsn, NasId, Octets, SessionKey, SessionKind, UnixTime,
};

/// How sure radtally is that a session is still up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Reports come as expected.
    Live,
    /// No record for 2.5 of the session's own reporting intervals.
    Overdue,
    /// No record for so long that the session is taken for over, at its last evidence; a later record revives it.
    PresumedDead,
}

/// The average rate between a session's last two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Start of the interval it covers.
    pub from: UnixTime,
    /// End of the interval it covers.
    pub to: UnixTime,
    /// To the subscriber, bit/s.
    pub download_bps: BitsPerSecond,
    /// From the subscriber, bit/s.
    pub upload_bps: BitsPerSecond,
}

/// A session as `GET /api/v1/online` and the live feed show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineSession {
    /// Session id.
    pub id: SessionKey,
    /// RADIUS User-Name.
    pub login: Login,
    /// Who reports it.
    pub nas: NasId,
    /// The client its packets come from.
    pub client: ClientName,
    /// Acct-Session-Id.
    pub acct_session_id: String,
    /// What it counts; only a `session` is in a list or a sum.
    pub kind: SessionKind,
    /// Current addresses, IPv4 and IPv6.
    pub ips: Vec<IpAddr>,
    /// Current IPv6 prefixes.
    pub prefixes: Vec<String>,
    /// MAC address from Calling-Station-Id, `aa:bb:cc:dd:ee:ff`; `null` where it holds none.
    pub mac: Option<String>,
    /// Calling-Station-Id as sent.
    pub calling_station_id: String,
    /// When it began.
    pub started_at: UnixTime,
    /// Event time of the newest record.
    pub last_seen_at: UnixTime,
    /// Seconds from start to the newest sample.
    pub duration_seconds: u64,
    /// To the subscriber since the session began.
    pub download_octets: Octets,
    /// From the subscriber since the session began.
    pub upload_octets: Octets,
    /// `null` until two samples are known.
    pub rate: Option<Rate>,
    /// Learned reporting interval in seconds; `null` until two reports are known.
    pub interval_seconds: Option<u32>,
    /// How sure it is that the session is up.
    pub confidence: Confidence,
}

/// Sums over all sessions that are live or overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineTotals {
    /// Sessions online.
    pub sessions: u64,
    /// Sum of the known current rates, bit/s to subscribers.
    pub download_bps: BitsPerSecond,
    /// Sum of the known current rates, bit/s from subscribers.
    pub upload_bps: BitsPerSecond,
}

/// One message of the live feed. `at` is when the server made it; `lsn` grows along one collector's feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LiveFrame {
    /// What matched when the feed began.
    Snapshot {
        /// The collector that speaks.
        collector: CollectorId,
        /// When this was made.
        at: UnixTime,
        /// The last record it covers.
        lsn: Lsn,
        /// Sums over what matches.
        totals: OnlineTotals,
        /// The sessions that match; empty for `?total`.
        sessions: Vec<OnlineSession>,
    },
    /// A record changed a session.
    Session {
        /// When this was made.
        at: UnixTime,
        /// The record.
        lsn: Lsn,
        /// The session after it.
        session: Box<OnlineSession>,
    },
    /// A session ended.
    Ended {
        /// When this was made.
        at: UnixTime,
        /// The record that ended it.
        lsn: Lsn,
        /// Session id.
        id: SessionKey,
        /// When it ended.
        ended_at: UnixTime,
        /// Why, in the dictionaries' words (`User-Request`, `NAS-Reboot`, …).
        cause: String,
    },
    /// Sums, once a second, for `?total` and `?nas=`.
    Totals {
        /// When this was made.
        at: UnixTime,
        /// The last record they cover.
        lsn: Lsn,
        /// The sums.
        totals: OnlineTotals,
    },
}
