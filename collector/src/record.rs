//! [`AccountingRecord`]: what one stored packet says, decoded without copying, and its row for ClickHouse.
//!
//! Event time is the NAS's Event-Timestamp, else arrival − Acct-Delay-Time. A NAS's clock is believed for times up to
//! seven days before the arrival and up to [`CLOCK_TOLERANCE`] seconds after it; otherwise the arrival counts and the
//! record is flagged. Of an attribute that must occur once, the first occurrence counts.
//!
//! Octets are the standard counters with Gigawords. A vendor's 64-bit counters take their place where those are absent, or
//! were sent without Gigawords and agree with them in the lower half; the vendor's IPv6 counters are kept apart.

mod scan;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use schema::{
    Lsn, RecordFlags, RecordRow, SessionKey, SessionKind, StatusType, TerminateCause, UnixMicros, UnixTime,
};
use usage::RawCounters;
use usage::period::Calendar;
use xxhash_rust::xxh3::xxh3_128;

use crate::attributes as attr;
use crate::journal::Entry;
use crate::packet::{Attributes, HEADER};
use scan::Scan;

/// How far, in seconds, a NAS's clock may be ahead before its times are not believed.
pub const CLOCK_TOLERANCE: i64 = 2;
/// How old, in seconds, a record may be by its NAS's clock: seven days, and an hour for a backlog's own delay.
pub const OLDEST: i64 = 7 * 86_400 + 3_600;

/// What names the NAS within its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NasIdentity<'a> {
    /// NAS-Identifier.
    Identifier(&'a [u8]),
    /// NAS-IP-Address or NAS-IPv6-Address, else the packet's source.
    Address(IpAddr),
}

impl<'a> NasIdentity<'a> {
    /// By what a packet says, else by where it came from.
    #[must_use]
    pub fn of(identifier: Option<&'a [u8]>, address: Option<IpAddr>, source: IpAddr) -> Self {
        match identifier.filter(|identifier| !identifier.is_empty()) {
            Some(identifier) => Self::Identifier(identifier),
            None => Self::Address(address.unwrap_or(source)),
        }
    }

    /// Writes `client/identity` over `name`.
    pub fn write(&self, client: &str, name: &mut String) {
        name.clear();
        name.push_str(client);
        name.push('/');
        match self {
            Self::Identifier(identifier) => name.push_str(&String::from_utf8_lossy(identifier)),
            Self::Address(address) => drop(write!(name, "{address}")),
        }
    }
}

/// One stored accounting record.
#[derive(Clone, Debug)]
pub struct AccountingRecord<'a> {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// When it arrived.
    pub arrived_at: UnixMicros,
    /// Who sent the packet.
    pub peer: SocketAddr,
    /// Name of the client it came from.
    pub client: &'a str,
    /// Its attributes as sent, without secrets.
    pub attributes: &'a [u8],
    /// Acct-Status-Type.
    pub status: StatusType,
    /// Who reports.
    pub nas: NasIdentity<'a>,
    /// Acct-Session-Id; empty where absent.
    pub acct_session_id: &'a [u8],
    /// Acct-Multi-Session-Id; of a service the session that it is a part of.
    pub acct_multi_session_id: &'a [u8],
    /// What the session counts.
    pub kind: SessionKind,
    /// User-Name.
    pub login: &'a [u8],
    /// Event time.
    pub event_at: UnixTime,
    /// By how many seconds the NAS's clock is ahead of ours, by Event-Timestamp and Acct-Delay-Time; less than none where it
    /// is behind, or the record waited longer than it says.
    pub clock_ahead: Option<i64>,
    /// Acct-Session-Time.
    pub session_time: Option<u32>,
    /// Its counters; `None` where it carries none.
    pub counters: Option<RawCounters>,
    /// Acct-Input-Packets.
    pub input_packets: u32,
    /// Acct-Output-Packets.
    pub output_packets: u32,
    /// Acct-Delay-Time.
    pub delay_time: u32,
    /// Acct-Terminate-Cause.
    pub terminate_cause: TerminateCause,
    /// Calling-Station-Id.
    pub calling_station_id: &'a [u8],
    /// Called-Station-Id.
    pub called_station_id: &'a [u8],
    /// NAS-Port.
    pub nas_port: u32,
    /// NAS-Port-Id.
    pub nas_port_id: &'a [u8],
    /// Agent-Circuit-Id (RFC 4679 3.3.1).
    pub agent_circuit_id: &'a [u8],
    /// Agent-Remote-Id (RFC 4679 3.3.2).
    pub agent_remote_id: &'a [u8],
    /// Rate to the subscriber that the NAS says it allows, bit/s; 0 where it does not say.
    pub download_limit_bps: u64,
    /// Rate from the subscriber that the NAS says it allows, bit/s; 0 where it does not say.
    pub upload_limit_bps: u64,
    /// What it carries and what was noticed.
    pub flags: RecordFlags,
}

impl<'a> AccountingRecord<'a> {
    /// Decodes a journal entry. Entries were verified before they were stored; what their attributes hold may still be
    /// anything.
    #[must_use]
    pub fn decode(lsn: Lsn, entry: &Entry<'a>) -> Self {
        let attributes = entry.packet.get(HEADER..).unwrap_or_default();
        let mut scan = Scan::default();
        Attributes::stored(attributes).for_each(|attribute| scan.read(&attribute));
        let status = StatusType(scan.status.unwrap_or(0));
        let delay_time = scan.delay_time.unwrap_or(0);
        let mut flags = scan.flags(status);
        let event_at = event_time(entry.arrived_at.seconds(), delay_time, scan.event_timestamp, &mut flags);
        let session_id = scan.acct_session_id.unwrap_or_default();
        let multi_session_id = scan.acct_multi_session_id.unwrap_or_default();
        let parent = scan.vendor.parent(session_id, multi_session_id);
        let nas = NasIdentity::of(scan.nas_identifier, scan.nas_address, entry.peer.ip());
        Self {
            lsn,
            arrived_at: entry.arrived_at,
            peer: entry.peer,
            client: entry.client,
            attributes,
            status,
            nas,
            acct_session_id: session_id,
            acct_multi_session_id: parent.unwrap_or(multi_session_id),
            kind: if parent.is_some() { SessionKind::SERVICE } else { SessionKind::SESSION },
            login: scan.login.unwrap_or_default(),
            event_at,
            clock_ahead: scan
                .event_timestamp
                .map(|said| i64::from(said) + i64::from(delay_time) - entry.arrived_at.seconds().0),
            session_time: scan.session_time,
            counters: scan.counters(),
            input_packets: scan.input_packets.unwrap_or(0),
            output_packets: scan.output_packets.unwrap_or(0),
            delay_time,
            terminate_cause: TerminateCause(scan.terminate_cause.unwrap_or(0)),
            calling_station_id: scan.calling_station_id.unwrap_or_default(),
            called_station_id: scan.called_station_id.unwrap_or_default(),
            nas_port: scan.nas_port.unwrap_or(0),
            nas_port_id: scan.nas_port_id.unwrap_or_default(),
            agent_circuit_id: scan.vendor.circuit_id(),
            agent_remote_id: scan.vendor.remote_id(),
            download_limit_bps: scan.vendor.rates.download(),
            upload_limit_bps: scan.vendor.rates.upload(),
            flags,
        }
    }

    /// Writes `client/identity` over `name`.
    pub fn write_nas(&self, name: &mut String) {
        self.nas.write(self.client, name);
    }

    /// The session that the record speaks of, as reported by `nas`; `None` where it carries no Acct-Session-Id.
    #[must_use]
    pub fn session_key(&self, nas: &str) -> Option<SessionKey> {
        (!self.acct_session_id.is_empty()).then(|| SessionKey::new(nas, self.acct_session_id))
    }

    /// Addresses the subscriber has: Framed-IP-Address, Framed-IPv6-Address.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + 'a {
        Attributes::stored(self.attributes).filter_map(|attribute| match attribute.kind {
            // 255.255.255.255 and 255.255.255.254 ask the server to choose (RFC 2865 5.8).
            attr::FRAMED_IP_ADDRESS => attr::ipv4(attribute.value)
                .filter(|ip| u32::from(*ip) < u32::MAX - 1 && !ip.is_unspecified())
                .map(IpAddr::V4),
            attr::FRAMED_IPV6_ADDRESS => attr::ipv6(attribute.value).map(IpAddr::V6),
            _ => None,
        })
    }

    /// Prefixes the subscriber has: Framed-IPv6-Prefix, Delegated-IPv6-Prefix.
    pub fn prefixes(&self) -> impl Iterator<Item = (Ipv6Addr, u8)> + 'a {
        Attributes::stored(self.attributes).filter_map(|attribute| match attribute.kind {
            attr::FRAMED_IPV6_PREFIX | attr::DELEGATED_IPV6_PREFIX => attr::ipv6_prefix(attribute.value),
            _ => None,
        })
    }

    /// The MAC address in Calling-Station-Id.
    #[must_use]
    pub fn mac(&self) -> Option<[u8; 6]> {
        std::str::from_utf8(self.calling_station_id).ok().and_then(attr::mac)
    }

    /// A hash of what a retransmission under a new identifier repeats: all attributes but Acct-Delay-Time,
    /// Event-Timestamp, Proxy-State and Message-Authenticator.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut kept = Vec::with_capacity(self.attributes.len());
        let changing =
            [attr::ACCT_DELAY_TIME, attr::EVENT_TIMESTAMP, attr::PROXY_STATE, attr::MESSAGE_AUTHENTICATOR];
        for attribute in
            Attributes::stored(self.attributes).filter(|attribute| !changing.contains(&attribute.kind))
        {
            kept.extend_from_slice(attribute.bytes);
        }
        xxh3_128(&kept)
    }

    /// The record's row, as `collector` writes it; local days are those of `calendar`.
    #[must_use]
    pub fn to_row(&self, collector: &str, calendar: &Calendar) -> RecordRow {
        let mut nas = String::new();
        self.write_nas(&mut nas);
        let mut flags = self.flags;
        let mut text = |octets: &[u8]| {
            let text = String::from_utf8_lossy(octets);
            if matches!(text, Cow::Owned(_)) {
                flags |= RecordFlags::NOT_UTF8;
            }
            text.into_owned()
        };
        let day = calendar.day_of(self.event_at);
        let session_key = self.session_key(&nas).unwrap_or_default();
        let counters = self.counters.unwrap_or_default();
        RecordRow {
            collector: collector.to_owned(),
            lsn: self.lsn.0,
            arrived_at: self.arrived_at.0,
            source: to_ipv6(self.peer.ip()),
            source_port: self.peer.port(),
            client: self.client.to_owned(),
            session_key: session_key.0,
            acct_session_id: text(self.acct_session_id),
            acct_multi_session_id: text(self.acct_multi_session_id),
            login: text(self.login),
            status_type: self.status.0,
            kind: self.kind.0,
            event_at: seconds(self.event_at),
            started_at: self.started_at().map_or(0, seconds),
            day_starts_at: seconds(day.starts_at),
            local_day: u16::try_from(day.date.signed_duration_since(chrono::NaiveDate::default()).num_days())
                .unwrap_or(0),
            zone: calendar.zone().name().to_owned(),
            session_time: self.session_time.unwrap_or(0),
            input_octets: counters.input.0,
            output_octets: counters.output.0,
            input_ipv6_octets: counters.input_ipv6.0,
            output_ipv6_octets: counters.output_ipv6.0,
            input_packets: self.input_packets,
            output_packets: self.output_packets,
            delay_time: self.delay_time,
            terminate_cause: self.terminate_cause.0,
            addresses: self.addresses().map(to_ipv6).collect(),
            prefixes: self.prefixes().map(|(address, length)| format!("{address}/{length}")).collect(),
            calling_station_id: text(self.calling_station_id),
            mac: self.mac().map(attr::format_mac).unwrap_or_default(),
            called_station_id: text(self.called_station_id),
            nas_port: self.nas_port,
            nas_port_id: text(self.nas_port_id),
            agent_circuit_id: text(self.agent_circuit_id),
            agent_remote_id: text(self.agent_remote_id),
            download_limit_bps: self.download_limit_bps,
            upload_limit_bps: self.upload_limit_bps,
            digest: self.digest(),
            nas,
            flags: flags.0,
            attributes: self.attributes.to_vec(),
        }
    }

    /// When the session began by this record alone: event time − Acct-Session-Time; the event time of a Start that
    /// carries none.
    #[must_use]
    pub fn started_at(&self) -> Option<UnixTime> {
        self.elapsed().map(|elapsed| UnixTime(self.event_at.plus(-elapsed).0.max(0)))
    }

    /// The same by the arrival, which a step of the NAS's clock does not move.
    #[must_use]
    pub fn arrived_start(&self) -> Option<UnixTime> {
        self.elapsed().map(|elapsed| self.arrived_at.seconds().plus(-elapsed))
    }

    fn elapsed(&self) -> Option<i64> {
        self.session_time.map(i64::from).or_else(|| (self.status == StatusType::START).then_some(0))
    }
}

/// The event time by the rules at the file's opening.
fn event_time(arrived: UnixTime, delay: u32, timestamp: Option<u32>, flags: &mut RecordFlags) -> UnixTime {
    let said = match timestamp {
        Some(timestamp) => {
            *flags |= RecordFlags::EVENT_TIMESTAMP;
            UnixTime(i64::from(timestamp))
        }
        None => arrived.plus(-i64::from(delay)),
    };
    let age = arrived.since(said);
    if age < -CLOCK_TOLERANCE {
        *flags |= RecordFlags::TIME_IN_FUTURE;
        arrived
    } else if age > OLDEST {
        *flags |= RecordFlags::TIME_TOO_OLD;
        arrived
    } else {
        said
    }
}

fn to_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn seconds(time: UnixTime) -> u32 {
    u32::try_from(time.0.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
