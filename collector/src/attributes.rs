//! Numbers of the attributes that radtally reads, the values it decodes, and the secrets it must not keep.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet::Attribute;

/// User-Name (RFC 2865 5.1).
pub const USER_NAME: u8 = 1;
/// User-Password (RFC 2865 5.2).
pub const USER_PASSWORD: u8 = 2;
/// CHAP-Password (RFC 2865 5.3).
pub const CHAP_PASSWORD: u8 = 3;
/// NAS-IP-Address (RFC 2865 5.4).
pub const NAS_IP_ADDRESS: u8 = 4;
/// NAS-Port (RFC 2865 5.5).
pub const NAS_PORT: u8 = 5;
/// Framed-IP-Address (RFC 2865 5.8).
pub const FRAMED_IP_ADDRESS: u8 = 8;
/// Filter-Id (RFC 2865 5.11).
pub const FILTER_ID: u8 = 11;
/// Vendor-Specific (RFC 2865 5.26).
pub const VENDOR_SPECIFIC: u8 = 26;
/// Called-Station-Id (RFC 2865 5.30).
pub const CALLED_STATION_ID: u8 = 30;
/// Calling-Station-Id (RFC 2865 5.31).
pub const CALLING_STATION_ID: u8 = 31;
/// NAS-Identifier (RFC 2865 5.32).
pub const NAS_IDENTIFIER: u8 = 32;
/// Proxy-State (RFC 2865 5.33).
pub const PROXY_STATE: u8 = 33;
/// Acct-Status-Type (RFC 2866 5.1).
pub const ACCT_STATUS_TYPE: u8 = 40;
/// Acct-Delay-Time (RFC 2866 5.2).
pub const ACCT_DELAY_TIME: u8 = 41;
/// Acct-Input-Octets (RFC 2866 5.3).
pub const ACCT_INPUT_OCTETS: u8 = 42;
/// Acct-Output-Octets (RFC 2866 5.4).
pub const ACCT_OUTPUT_OCTETS: u8 = 43;
/// Acct-Session-Id (RFC 2866 5.5).
pub const ACCT_SESSION_ID: u8 = 44;
/// Acct-Session-Time (RFC 2866 5.7).
pub const ACCT_SESSION_TIME: u8 = 46;
/// Acct-Input-Packets (RFC 2866 5.8).
pub const ACCT_INPUT_PACKETS: u8 = 47;
/// Acct-Output-Packets (RFC 2866 5.9).
pub const ACCT_OUTPUT_PACKETS: u8 = 48;
/// Acct-Terminate-Cause (RFC 2866 5.10).
pub const ACCT_TERMINATE_CAUSE: u8 = 49;
/// Acct-Multi-Session-Id (RFC 2866 5.11).
pub const ACCT_MULTI_SESSION_ID: u8 = 50;
/// Acct-Input-Gigawords (RFC 2869 5.1).
pub const ACCT_INPUT_GIGAWORDS: u8 = 52;
/// Acct-Output-Gigawords (RFC 2869 5.2).
pub const ACCT_OUTPUT_GIGAWORDS: u8 = 53;
/// Event-Timestamp (RFC 2869 5.3).
pub const EVENT_TIMESTAMP: u8 = 55;
/// Tunnel-Password (RFC 2868 3.5).
pub const TUNNEL_PASSWORD: u8 = 69;
/// ARAP-Password (RFC 2869 5.4).
pub const ARAP_PASSWORD: u8 = 70;
/// Digest-HA1 (RFC 5090 3.19).
pub const DIGEST_HA1: u8 = 121;
/// PKM-Auth-Key (RFC 5904).
pub const PKM_AUTH_KEY: u8 = 143;
/// Message-Authenticator (RFC 2869 5.14).
pub const MESSAGE_AUTHENTICATOR: u8 = 80;
/// NAS-Port-Id (RFC 2869 5.17).
pub const NAS_PORT_ID: u8 = 87;
/// NAS-IPv6-Address (RFC 3162 2.1).
pub const NAS_IPV6_ADDRESS: u8 = 95;
/// Framed-IPv6-Prefix (RFC 3162 2.3).
pub const FRAMED_IPV6_PREFIX: u8 = 97;
/// Delegated-IPv6-Prefix (RFC 4818).
pub const DELEGATED_IPV6_PREFIX: u8 = 123;
/// Framed-IPv6-Address (RFC 6911).
pub const FRAMED_IPV6_ADDRESS: u8 = 168;

/// Microsoft's vendor number (RFC 2548).
const MICROSOFT: u32 = 311;
/// MS-CHAP-Response, MS-CHAP-CPW-1/2, MS-CHAP-LM/NT-Enc-PW, MS-CHAP-MPPE-Keys, MS-MPPE-Send-Key, MS-MPPE-Recv-Key,
/// MS-CHAP2-Response, MS-CHAP2-CPW.
const MICROSOFT_SECRETS: [u8; 10] = [1, 3, 4, 5, 6, 12, 16, 17, 25, 27];

/// Whether the attribute itself is a secret.
#[must_use]
pub const fn is_secret(kind: u8) -> bool {
    matches!(
        kind,
        USER_PASSWORD | CHAP_PASSWORD | TUNNEL_PASSWORD | ARAP_PASSWORD | DIGEST_HA1 | PKM_AUTH_KEY
    )
}

/// The sub-attributes of a Microsoft Vendor-Specific value (vendor number included), where one of them is a secret.
///
/// Microsoft's sub-attributes have a one-octet type and length (RFC 2548 2). What does not parse is kept as a tail.
#[must_use]
pub fn without_microsoft_secrets(value: &[u8]) -> Option<Vec<u8>> {
    let (vendor, mut rest) = value.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*vendor) != MICROSOFT {
        return None;
    }
    let mut kept = vendor.to_vec();
    let mut dropped = false;
    while let [kind, length, ..] = *rest {
        let (Some(sub), Some(next)) =
            (rest.get(..usize::from(length).max(2)), rest.get(usize::from(length).max(2)..))
        else {
            break;
        };
        if MICROSOFT_SECRETS.contains(&kind) {
            dropped = true;
        } else {
            kept.extend_from_slice(sub);
        }
        rest = next;
    }
    // A cut-off secret is a secret.
    if rest.first().is_some_and(|kind| MICROSOFT_SECRETS.contains(kind)) {
        dropped = true;
    } else {
        kept.extend_from_slice(rest);
    }
    dropped.then_some(kept)
}

/// A 32-bit integer (RFC 2865 5).
#[must_use]
pub fn integer(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// An IPv4 address (RFC 2865 5); 255.255.255.255 and 255.255.255.254 mean "no address known" (RFC 2865 5.8).
#[must_use]
pub fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = value.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

/// An IPv6 address (RFC 3162).
#[must_use]
pub fn ipv6(value: &[u8]) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = value.try_into().ok()?;
    Some(Ipv6Addr::from(octets))
}

/// The address in a NAS-IP-Address or NAS-IPv6-Address.
#[must_use]
pub fn nas_address(attribute: &Attribute<'_>) -> Option<IpAddr> {
    match attribute.kind {
        NAS_IP_ADDRESS => ipv4(attribute.value).map(IpAddr::V4),
        NAS_IPV6_ADDRESS => ipv6(attribute.value).map(IpAddr::V6),
        _ => None,
    }
}

/// An IPv6 prefix (RFC 3162 2.3): a reserved octet, the length in bits, and as many octets as it needs. Bits beyond the
/// length, which must be zero, are cleared.
#[must_use]
pub fn ipv6_prefix(value: &[u8]) -> Option<(Ipv6Addr, u8)> {
    let [_, length, prefix @ ..] = value else { return None };
    if *length > 128 || prefix.len() > 16 || prefix.len() * 8 < usize::from(*length) {
        return None;
    }
    let mut octets = [0; 16];
    octets.get_mut(..prefix.len())?.copy_from_slice(prefix);
    let mask = u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
    Some((Ipv6Addr::from(u128::from_be_bytes(octets) & mask), *length))
}

/// The MAC address that a Calling-Station-Id holds, in any of the usual spellings (`AA-BB-CC-DD-EE-FF`,
/// `aa:bb:cc:dd:ee:ff`, `aabb.ccdd.eeff`, `aabbccddeeff`), also followed by other text (RFC 3580 3.20, `:SSID`).
#[must_use]
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0u8; 6];
    let mut digits = 0usize;
    for (at, c) in text.char_indices() {
        if let Some(digit) = c.to_digit(16) {
            let octet = mac.get_mut(digits / 2)?;
            *octet = (*octet << 4) | u8::try_from(digit).ok()?;
            digits += 1;
            if digits == 12 {
                let end = text.get(at + 1..)?;
                return (!end.starts_with(|c: char| c.is_ascii_alphanumeric())).then_some(mac);
            }
        } else if !matches!(c, '-' | ':' | '.') || digits == 0 || !digits.is_multiple_of(2) {
            return None;
        }
    }
    None
}

/// A MAC address as `aa:bb:cc:dd:ee:ff`.
#[must_use]
pub fn format_mac(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_in_every_usual_spelling_are_read() {
        for text in [
            "AA-BB-CC-DD-EE-0F",
            "aa:bb:cc:dd:ee:0f",
            "aabb.ccdd.ee0f",
            "AABBCCDDEE0F",
            "AA-BB-CC-DD-EE-0F:guest",
        ] {
            assert_eq!(mac(text).map(format_mac).as_deref(), Some("aa:bb:cc:dd:ee:0f"), "{text}");
        }
        for text in ["", "+4420794605000", "10.0.0.1", "aabbccddee0f0", "0-0", "user aa:bb:cc:dd:ee:ff"] {
            assert_eq!(mac(text), None, "{text}");
        }
    }

    #[test]
    fn mppe_keys_are_dropped_and_their_neighbours_kept() {
        let mut value = 311u32.to_be_bytes().to_vec();
        value.extend([16, 5, 1, 2, 3, 7, 4, 9, 9]);
        let mut kept = 311u32.to_be_bytes().to_vec();
        kept.extend([7, 4, 9, 9]);
        assert_eq!(without_microsoft_secrets(&value), Some(kept));
        assert_eq!(without_microsoft_secrets(&[0, 0, 1, 55, 17, 40, 1]), Some(vec![0, 0, 1, 55]));
        assert_eq!(without_microsoft_secrets(&[0, 0, 1, 55, 7, 3, 1]), None);
        assert_eq!(without_microsoft_secrets(&[0, 0, 0, 9, 16, 3, 1]), None);
    }

    #[test]
    fn prefixes_need_as_many_octets_as_their_length_says() {
        assert_eq!(
            ipv6_prefix(&[0, 56, 0x20, 1, 0xd, 0xb8, 0, 1, 2]),
            Some(("2001:db8:1:200::".parse().unwrap(), 56))
        );
        assert_eq!(ipv6_prefix(&[0, 64, 0x20, 1]), None);
        assert_eq!(ipv6_prefix(&[0, 129]), None);
    }
}
