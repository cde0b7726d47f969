//! Extended attributes (RFC 6929), 241 to 246; so far all of them are below 241.

use super::value::Kind::{Integer, Ipv4, Ipv6, Octets, Opaque, Structure};
use super::{Entry, rfc};

/// The attributes below one of 241 to 246.
pub(super) const fn table(outer: u32) -> &'static [Entry] {
    match outer {
        241 => BELOW_241,
        _ => VENDOR_SPECIFIC,
    }
}

const BELOW_241: &[Entry] = &[
    rfc(1, "Frag-Status", Integer, "RFC 7499"),
    rfc(2, "Proxy-State-Length", Integer, "RFC 7499"),
    rfc(3, "Response-Length", Integer, "RFC 7930"),
    rfc(4, "Original-Packet-Code", Integer, "RFC 7930"),
    rfc(5, "IP-Port-Limit-Info", Structure(IP_PORT), "RFC 8045 3.1.1"),
    rfc(6, "IP-Port-Range", Structure(IP_PORT), "RFC 8045 3.1.2"),
    rfc(7, "IP-Port-Forwarding-Map", Structure(IP_PORT), "RFC 8045 3.1.3"),
    rfc(8, "Operator-NAS-Identifier", Opaque, "RFC 8559"),
    rfc(26, "Extended-Vendor-Specific", Octets, "RFC 6929 2.4"),
];

const VENDOR_SPECIFIC: &[Entry] = &[rfc(26, "Extended-Vendor-Specific", Octets, "RFC 6929 2.4")];

/// Ports that a carrier-grade NAT gives to a subscriber. All three attributes have the same structure.
const IP_PORT: &[Entry] = &[
    rfc(1, "IP-Port-Type", Integer, "RFC 8045 3.2.1"),
    rfc(2, "IP-Port-Limit", Integer, "RFC 8045 3.2.2"),
    rfc(3, "IP-Port-Ext-IPv4-Addr", Ipv4, "RFC 8045 3.2.3"),
    rfc(4, "IP-Port-Int-IPv4-Addr", Ipv4, "RFC 8045 3.2.4"),
    rfc(5, "IP-Port-Int-IPv6-Addr", Ipv6, "RFC 8045 3.2.5"),
    rfc(6, "IP-Port-Int-Port", Integer, "RFC 8045 3.2.6"),
    rfc(7, "IP-Port-Ext-Port", Integer, "RFC 8045 3.2.7"),
    rfc(8, "IP-Port-Alloc", Integer, "RFC 8045 3.2.8"),
    rfc(9, "IP-Port-Range-Start", Integer, "RFC 8045 3.2.9"),
    rfc(10, "IP-Port-Range-End", Integer, "RFC 8045 3.2.10"),
    rfc(11, "IP-Port-Local-Id", Opaque, "RFC 8045 3.2.11"),
];
