//! One accounting record: RADIUS's enumerations, what was noticed about it, and its row in ClickHouse.

use std::fmt;
use std::net::Ipv6Addr;
use std::ops::{BitOr, BitOrAssign};

use clickhouse::Row;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Acct-Status-Type (RFC 2866 5.1, RFC 2867); values without a name here are recorded and acknowledged all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusType(pub u32);

impl StatusType {
    /// A session began.
    pub const START: Self = Self(1);
    /// A session ended.
    pub const STOP: Self = Self(2);
    /// A session goes on; counters so far.
    pub const INTERIM_UPDATE: Self = Self(3);
    /// The NAS (re)started accounting.
    pub const ACCOUNTING_ON: Self = Self(7);
    /// The NAS is about to stop accounting.
    pub const ACCOUNTING_OFF: Self = Self(8);

    /// Whether records of this type describe one session.
    #[must_use]
    pub const fn is_session(self) -> bool {
        matches!(self, Self::START | Self::STOP | Self::INTERIM_UPDATE)
    }

    /// The name in the dictionaries.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "Start",
            2 => "Stop",
            3 => "Interim-Update",
            7 => "Accounting-On",
            8 => "Accounting-Off",
            9 => "Tunnel-Start",
            10 => "Tunnel-Stop",
            11 => "Tunnel-Reject",
            12 => "Tunnel-Link-Start",
            13 => "Tunnel-Link-Stop",
            14 => "Tunnel-Link-Reject",
            15 => "Failed",
            _ => return None,
        })
    }
}

impl fmt::Display for StatusType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// Acct-Terminate-Cause (RFC 2866 5.10, RFC 3580); 0 where a Stop carries none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TerminateCause(pub u32);

impl TerminateCause {
    /// The name in the dictionaries.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "User-Request",
            2 => "Lost-Carrier",
            3 => "Lost-Service",
            4 => "Idle-Timeout",
            5 => "Session-Timeout",
            6 => "Admin-Reset",
            7 => "Admin-Reboot",
            8 => "Port-Error",
            9 => "NAS-Error",
            10 => "NAS-Request",
            11 => "NAS-Reboot",
            12 => "Port-Unneeded",
            13 => "Port-Preempted",
            14 => "Port-Suspended",
            15 => "Service-Unavailable",
            16 => "Callback",
            17 => "User-Error",
            18 => "Host-Request",
            19 => "Supplicant-Restart",
            20 => "Reauthentication-Failure",
            21 => "Port-Reinitialized",
            22 => "Port-Administratively-Disabled",
            23 => "Lost-Power",
            _ => return None,
        })
    }

    /// Whether a session that ended so counts among `errors`: anything but a user or administrator request, an idle
    /// or a session time-out. A Stop that gives no cause is no error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        !matches!(self.0, 0 | 1 | 4 | 5 | 6)
    }
}

impl fmt::Display for TerminateCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None if self.0 == 0 => f.write_str("not given"),
            None => self.0.fmt(f),
        }
    }
}

/// What a record carries and what was noticed about it; OR-ed together in the rollups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordFlags(pub u32);

impl RecordFlags {
    /// Acct-Session-Time is present.
    pub const SESSION_TIME: Self = Self(1);
    /// Acct-Input-Octets or Acct-Output-Octets is present, or a vendor's 64-bit counter in their place.
    pub const OCTETS: Self = Self(1 << 1);
    /// Acct-Input-Gigawords or Acct-Output-Gigawords is present, or a vendor's 64-bit counter in their place.
    pub const GIGAWORDS: Self = Self(1 << 2);
    /// The event time is the NAS's Event-Timestamp, not computed from the arrival.
    pub const EVENT_TIMESTAMP: Self = Self(1 << 3);
    /// An Acct-Session-Id is present.
    pub const SESSION_ID: Self = Self(1 << 4);
    /// A Start is among the records.
    pub const START: Self = Self(1 << 5);
    /// A Stop is among the records.
    pub const STOP: Self = Self(1 << 6);
    /// The NAS's time lies in the future; the arrival is taken instead.
    pub const TIME_IN_FUTURE: Self = Self(1 << 8);
    /// The NAS's time lies more than seven days before the arrival; the arrival is taken instead.
    pub const TIME_TOO_OLD: Self = Self(1 << 9);
    /// An Interim-Update or Stop came without octet counters.
    pub const OCTETS_MISSING: Self = Self(1 << 10);
    /// An Interim-Update or Stop came without Acct-Session-Time.
    pub const SESSION_TIME_MISSING: Self = Self(1 << 13);
    /// A Stop tells that nothing was counted, as some NASes do where a session was cut off.
    pub const ZERO_STOP: Self = Self(1 << 14);
    /// A text attribute is not UTF-8; its text column holds it with replacement characters, `attributes` as sent.
    pub const NOT_UTF8: Self = Self(1 << 11);
    /// An attribute has a length its type does not allow; it is kept raw and not interpreted.
    pub const BAD_ATTRIBUTE: Self = Self(1 << 12);

    /// Whether a record lacks what usage is computed from, or its time is not believed.
    #[must_use]
    pub const fn is_doubtful(self) -> bool {
        const DOUBTFUL: u32 = RecordFlags::OCTETS_MISSING.0
            | RecordFlags::SESSION_TIME_MISSING.0
            | RecordFlags::TIME_IN_FUTURE.0
            | RecordFlags::TIME_TOO_OLD.0;
        self.0 & DOUBTFUL != 0
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for RecordFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for RecordFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What a session counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKind(pub u8);

impl SessionKind {
    /// All of a subscriber's traffic.
    pub const SESSION: Self = Self(0);
    /// One service's part of its parent's traffic; never added to it.
    pub const SERVICE: Self = Self(1);
    /// One queue's part of its parent's traffic; never added to it.
    pub const QUEUE: Self = Self(2);
}

impl fmt::Display for SessionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::SERVICE => "service",
            Self::QUEUE => "queue",
            _ => "session",
        })
    }
}

impl Serialize for SessionKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "session" => Ok(Self::SESSION),
            "service" => Ok(Self::SERVICE),
            "queue" => Ok(Self::QUEUE),
            other => Err(D::Error::custom(format!("\"{other}\" is no kind of session"))),
        }
    }
}

/// A row of `accounting_records`: everything a NAS said in one packet, without its secrets.
///
/// Times are seconds since 1970 UTC unless said otherwise; absent numbers are 0, absent texts empty, absent addresses
/// `::` (IPv4 addresses are IPv4-mapped); `flags` tells absent from zero where it matters.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct RecordRow {
    /// Who recorded it; with `lsn` the record's name.
    pub collector: String,
    /// Position in the collector's journal.
    pub lsn: u64,
    /// Arrival, microseconds.
    pub arrived_at: i64,
    /// The packet's source address.
    pub source: Ipv6Addr,
    /// The packet's source port.
    pub source_port: u16,
    /// The client that the source address picked.
    pub client: String,
    /// Who reports.
    pub nas: String,
    /// Hash of NAS and Acct-Session-Id; 0 where there is no Acct-Session-Id.
    pub session_key: u128,
    /// Acct-Session-Id.
    pub acct_session_id: String,
    /// Acct-Multi-Session-Id; of a service the Acct-Session-Id of the session that it is a part of.
    pub acct_multi_session_id: String,
    /// User-Name.
    pub login: String,
    /// Acct-Status-Type.
    pub status_type: u32,
    /// [`SessionKind`].
    pub kind: u8,
    /// Event time: Event-Timestamp, else arrival − Acct-Delay-Time; the arrival where that is impossible.
    pub event_at: u32,
    /// Event time − Acct-Session-Time; 0 where unknown.
    pub started_at: u32,
    /// First instant of the provider's local day that holds the event time.
    pub day_starts_at: u32,
    /// That day, in days since 1970-01-01.
    pub local_day: u16,
    /// The provider's time zone (IANA) by which the day was computed.
    pub zone: String,
    /// Acct-Session-Time.
    pub session_time: u32,
    /// Acct-Input-Octets with Gigawords: upload, unless the NAS's policy says otherwise.
    pub input_octets: u64,
    /// Acct-Output-Octets with Gigawords: download, unless the NAS's policy says otherwise.
    pub output_octets: u64,
    /// The vendor's separate count of IPv6 octets from the subscriber.
    pub input_ipv6_octets: u64,
    /// The vendor's separate count of IPv6 octets to the subscriber.
    pub output_ipv6_octets: u64,
    /// Acct-Input-Packets.
    pub input_packets: u32,
    /// Acct-Output-Packets.
    pub output_packets: u32,
    /// Acct-Delay-Time.
    pub delay_time: u32,
    /// Acct-Terminate-Cause.
    pub terminate_cause: u32,
    /// Framed-IP-Address, Framed-IPv6-Address.
    pub addresses: Vec<Ipv6Addr>,
    /// Framed-IPv6-Prefix, Delegated-IPv6-Prefix, as `2001:db8::/56`.
    pub prefixes: Vec<String>,
    /// Calling-Station-Id, as sent: the subscriber's MAC address on most access networks.
    pub calling_station_id: String,
    /// The MAC address in Calling-Station-Id as `aa:bb:cc:dd:ee:ff`, or empty.
    pub mac: String,
    /// Called-Station-Id.
    pub called_station_id: String,
    /// NAS-Port.
    pub nas_port: u32,
    /// NAS-Port-Id.
    pub nas_port_id: String,
    /// Agent-Circuit-Id (RFC 4679 3.3.1).
    pub agent_circuit_id: String,
    /// Agent-Remote-Id (RFC 4679 3.3.2).
    pub agent_remote_id: String,
    /// Rate to the subscriber that the NAS says it allows, bit/s.
    pub download_limit_bps: u64,
    /// Rate from the subscriber that the NAS says it allows, bit/s.
    pub upload_limit_bps: u64,
    /// Hash of all attributes but Acct-Delay-Time, Event-Timestamp, Proxy-State and Message-Authenticator: the same
    /// for a retransmission under a new identifier.
    pub digest: u128,
    /// [`RecordFlags`].
    pub flags: u32,
    /// The attributes as sent (RFC 2865 5), without secrets.
    #[serde(with = "serde_bytes")]
    pub attributes: Vec<u8>,
}

/// What usage is computed from: some columns of `accounting_records`.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see RecordRow")]
pub struct CountedRow {
    pub collector: String,
    pub lsn: u64,
    pub arrived_at: i64,
    pub nas: String,
    pub session_key: u128,
    pub login: String,
    pub status_type: u32,
    pub kind: u8,
    pub event_at: u32,
    pub session_time: u32,
    pub input_octets: u64,
    pub output_octets: u64,
    pub input_ipv6_octets: u64,
    pub output_ipv6_octets: u64,
    pub terminate_cause: u32,
    pub addresses: Vec<Ipv6Addr>,
    pub nas_port: u32,
    pub digest: u128,
    pub flags: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_carrier_is_an_error_and_user_request_is_not() {
        assert!(TerminateCause(2).is_error());
        assert!(!TerminateCause(1).is_error());
        assert!(!TerminateCause(0).is_error());
    }

    #[test]
    fn unknown_values_keep_their_number() {
        assert_eq!(StatusType(4711).to_string(), "4711");
        assert_eq!(TerminateCause(99).to_string(), "99");
    }
}
