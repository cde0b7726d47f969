//! How a report becomes an Accounting-Request: attributes as a BNG (PPPoE) or a Wi-Fi controller sends them.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use chrono::DateTime;
use radius::core::code::Code;
use radius::core::packet::Packet;
use radius::core::rfc2866::{
    ACCT_AUTHENTIC_RADIUS, ACCT_STATUS_TYPE_START, ACCT_STATUS_TYPE_STOP, AcctStatusType, AcctTerminateCause,
};
use radius::core::{rfc2865, rfc2866, rfc2869, rfc3162, rfc4818};

use super::population::{Line, Subscriber};
use super::traffic::Counters;

/// What a NAS has to say at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The NAS's number.
    pub nas: u32,
    /// When; seconds since 1970 UTC.
    pub at: i64,
    /// Acct-Status-Type.
    pub status: AcctStatusType,
    /// The session it is about; none for Accounting-On and -Off.
    pub session: Option<SessionReport>,
}

/// What a NAS knows of a session at that moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    /// Whose session it is.
    pub who: Subscriber,
    /// Acct-Session-Id.
    pub id: String,
    /// Framed-IP-Address.
    pub address: Ipv4Addr,
    /// Acct-Session-Time.
    pub seconds: i64,
    /// Counters.
    pub counters: Counters,
    /// Acct-Terminate-Cause, told in a Stop.
    pub cause: AcctTerminateCause,
}

/// Encodes `report` under `identifier`.
///
/// # Errors
/// A value does not fit its attribute.
pub fn encode(report: &Report, secret: &[u8], identifier: u8) -> anyhow::Result<Vec<u8>> {
    let mut packet = Packet::new_with_identifier(Code::AccountingRequest, secret, identifier);
    rfc2866::add_acct_status_type(&mut packet, report.status);
    rfc2865::add_nas_identifier(&mut packet, &nas_name(report.nas));
    rfc2865::add_nas_ip_address(&mut packet, &Ipv4Addr::new(10, 255, 0, u8::try_from(report.nas % 250 + 1)?));
    let at = DateTime::from_timestamp(report.at, 0).context("the time is out of range")?;
    rfc2869::add_event_timestamp(&mut packet, &at);
    if let Some(session) = &report.session {
        add_session(&mut packet, report, session)?;
    }
    packet.encode().context("encoding an Accounting-Request")
}

/// The NAS-Identifier of the NAS numbered `nas`.
pub fn nas_name(nas: u32) -> String {
    format!("bng-{}", nas + 1)
}

fn add_session(packet: &mut Packet, report: &Report, session: &SessionReport) -> anyhow::Result<()> {
    let who = &session.who;
    rfc2866::add_acct_session_id(packet, &session.id);
    rfc2865::add_user_name(packet, &who.login);
    rfc2866::add_acct_authentic(packet, ACCT_AUTHENTIC_RADIUS);
    rfc2865::add_framed_ip_address(packet, &session.address);
    add_line(packet, report.nas, who)?;
    if report.status != ACCT_STATUS_TYPE_START {
        add_counters(packet, &session.counters, who.line);
        rfc2866::add_acct_session_time(packet, u32::try_from(session.seconds)?);
    }
    if report.status == ACCT_STATUS_TYPE_STOP {
        rfc2866::add_acct_terminate_cause(packet, session.cause);
    }
    Ok(())
}

fn add_line(packet: &mut Packet, nas: u32, who: &Subscriber) -> anyhow::Result<()> {
    let [a, b, c, d, e, f] = who.mac;
    rfc2865::add_nas_port(packet, who.port);
    if who.line == Line::Hotspot {
        rfc2865::add_nas_port_type(packet, rfc2865::NAS_PORT_TYPE_WIRELESS_802_11);
        rfc2865::add_calling_station_id(packet, &format!("{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{f:02X}"));
        rfc2865::add_called_station_id(packet, "02-00-5E-00-53-01:Town Square");
        return Ok(());
    }
    rfc2865::add_nas_port_type(packet, rfc2865::NAS_PORT_TYPE_ETHERNET);
    rfc2865::add_service_type(packet, rfc2865::SERVICE_TYPE_FRAMED_USER);
    rfc2865::add_framed_protocol(packet, rfc2865::FRAMED_PROTOCOL_PPP);
    rfc2865::add_calling_station_id(packet, &format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"));
    rfc2865::add_called_station_id(packet, "internet");
    rfc2869::add_nas_port_id(packet, &format!("ge-0/{}/{}.{}", nas % 4, who.port / 64, 100 + who.port));
    if let Some(prefix) = who.prefix {
        let octets = prefix.octets();
        let (network, _) = octets.split_at(8);
        rfc3162::add_framed_ipv6_prefix(packet, network).context("Framed-IPv6-Prefix")?;
        let (delegated, _) = octets.split_at(7);
        rfc4818::add_delegated_ipv6_prefix(packet, delegated).context("Delegated-IPv6-Prefix")?;
    }
    Ok(())
}

/// Input is from the subscriber, output to them (RFC 2866 5.3, 5.4). Packet counters wrap, having no Gigawords.
#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what the attributes hold")]
fn add_counters(packet: &mut Packet, counters: &Counters, line: Line) {
    let high = |octets: u64| (octets >> 32) as u32;
    rfc2866::add_acct_input_octets(packet, counters.upload_octets as u32);
    rfc2866::add_acct_output_octets(packet, counters.download_octets as u32);
    rfc2866::add_acct_input_packets(packet, counters.upload_packets as u32);
    rfc2866::add_acct_output_packets(packet, counters.download_packets as u32);
    // Some NASes send Gigawords always, some only once there are any.
    let always = line != Line::Hotspot;
    if always || high(counters.upload_octets) > 0 {
        rfc2869::add_acct_input_gigawords(packet, high(counters.upload_octets));
    }
    if always || high(counters.download_octets) > 0 {
        rfc2869::add_acct_output_gigawords(packet, high(counters.download_octets));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn report(status: AcctStatusType, download_octets: u64) -> Report {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let who = Subscriber {
            line: Line::Fibre,
            prefix: "2001:db8:0:ff00::".parse().ok(),
            ..Subscriber::new(0, 7, &mut rng)
        };
        let counters = Counters { download_octets, ..Counters::default() };
        let session = SessionReport {
            who,
            id: "A1".into(),
            address: Ipv4Addr::new(100, 64, 0, 2),
            seconds: 60,
            counters,
            cause: 2,
        };
        Report { nas: 0, at: 1_700_000_000, status, session: Some(session) }
    }

    #[test]
    fn counters_beyond_32_bits_travel_with_gigawords() {
        let bytes = encode(&report(3, 4_500_000_000), b"secret", 9).unwrap();
        assert!(Packet::is_authentic_request(&bytes, b"secret"));
        let packet = Packet::decode(&bytes, b"secret").unwrap();
        assert_eq!(rfc2869::lookup_acct_output_gigawords(&packet).unwrap().unwrap(), 1);
        assert_eq!(rfc2866::lookup_acct_output_octets(&packet).unwrap().unwrap(), 205_032_704);
    }

    #[test]
    fn only_a_stop_tells_a_cause() {
        for (status, told) in [(1, false), (3, false), (2, true)] {
            let packet = Packet::decode(&encode(&report(status, 0), b"s", 1).unwrap(), b"s").unwrap();
            assert_eq!(rfc2866::lookup_acct_terminate_cause(&packet).is_some(), told);
        }
    }
}
