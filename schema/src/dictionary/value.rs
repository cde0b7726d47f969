//! The types of values (RFC 2865 5, RFC 3162, RFC 6929 and vendors' own), and how each is written.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Entry;
use crate::UnixTime;

/// The word for an enumerated value.
pub(super) type Words = fn(u32) -> Option<&'static str>;

/// What an attribute's octets mean.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// 8, 16, 32 or 64 bits, most significant octet first; most attributes have 32, and some vendors send fewer or more.
    Integer,
    /// An integer with words for its values.
    Words(Words),
    /// UTF-8.
    Text,
    /// Octets by definition, in practice mostly text; shown as text where they are printable.
    Opaque,
    Octets,
    Ipv4,
    Ipv6,
    /// Reserved octet, length in bits, as many octets as needed (RFC 3162 2.3).
    Ipv6Prefix,
    /// Reserved octet, length in bits, four octets (RFC 6572 4.11).
    Ipv4Prefix,
    /// Eight octets (RFC 3162 2.2).
    InterfaceId,
    /// Seconds since 1970 UTC (RFC 2865 5).
    Date,
    /// A tag, or 0, before an integer of 24 bits (RFC 2868 3.1).
    TaggedInteger(Option<Words>),
    /// A tag where the first octet is at most 0x1F (RFC 2868 3.3).
    TaggedText,
    /// Nokia's 64-bit counter, behind two octets: queue (0) or policer (0x80), and its number.
    Counter64,
    /// Attributes within (RFC 6929 2.3).
    Structure(&'static [Entry]),
    /// Never shown: passwords, keys, and whom the law has watched.
    Secret,
}

impl Kind {
    /// `value` as the type says; in hexadecimal where it does not fit.
    pub(super) fn render(self, value: &[u8]) -> String {
        let fitting = match self {
            Self::Integer => integer(value).map(|number| number.to_string()),
            Self::Words(words) => small_integer(value).map(|number| with_word(number, words)),
            Self::Text => Some(text(value)),
            Self::Opaque => opaque(value),
            Self::Ipv4 => ipv4(value).map(|address| address.to_string()),
            Self::Ipv6 => ipv6(value).map(|address| address.to_string()),
            Self::Ipv6Prefix => ipv6_prefix(value),
            Self::Ipv4Prefix => ipv4_prefix(value),
            Self::InterfaceId => interface_id(value),
            Self::Date => small_integer(value).map(|seconds| UnixTime(seconds.into()).to_string()),
            Self::TaggedInteger(words) => tagged_integer(value, words),
            Self::TaggedText => Some(tagged_text(value)),
            Self::Counter64 => counter64(value),
            Self::Secret => Some(format!("({} octets, not shown)", value.len())),
            Self::Octets | Self::Structure(_) => None,
        };
        fitting.unwrap_or_else(|| hex(value))
    }
}

/// `0x` and two digits for each octet.
pub(super) fn hex(octets: &[u8]) -> String {
    let mut hex = String::with_capacity(2 + octets.len() * 2);
    hex.push_str("0x");
    for octet in octets {
        // Writing to a String does not fail.
        let _ = write!(hex, "{octet:02x}");
    }
    hex
}

fn integer(value: &[u8]) -> Option<u64> {
    matches!(value.len(), 1 | 2 | 4 | 8)
        .then(|| value.iter().fold(0, |number, octet| (number << 8) | u64::from(*octet)))
}

fn small_integer(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

fn with_word(number: u32, words: Words) -> String {
    words(number).map_or_else(|| number.to_string(), |word| format!("{word} ({number})"))
}

/// As UTF-8, with escapes for what is unprintable or not UTF-8. Backslashes are not escaped: they are common in logins.
fn text(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(UNESCAPED) {
            let plain = piece.strip_suffix(UNESCAPED).unwrap_or(piece);
            text.extend(plain.escape_debug());
            text.push_str(piece.get(plain.len()..).unwrap_or_default());
        }
        for octet in chunk.invalid() {
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    text
}

/// What [`str::escape_debug`] escapes although it is printable.
const UNESCAPED: [char; 3] = ['\\', '"', '\''];

/// Text, unless it would need an escape or could be taken for hexadecimal.
fn opaque(value: &[u8]) -> Option<String> {
    let plain =
        std::str::from_utf8(value).ok().filter(|plain| !plain.is_empty() && !plain.starts_with("0x"))?;
    let written = text(value);
    (written == plain).then_some(written)
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

fn ipv6(value: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from)
}

/// As sent: bits beyond the length are not cleared.
fn ipv6_prefix(value: &[u8]) -> Option<String> {
    let [_, length, prefix @ ..] = value else { return None };
    if *length > 128 || prefix.len() * 8 < usize::from(*length) {
        return None;
    }
    let mut address = [0; 16];
    address.get_mut(..prefix.len())?.copy_from_slice(prefix);
    Some(format!("{}/{length}", Ipv6Addr::from(address)))
}

fn ipv4_prefix(value: &[u8]) -> Option<String> {
    let [_, length @ 0..=32, address @ ..] = value else { return None };
    ipv4(address).map(|address| format!("{address}/{length}"))
}

/// As the second half of an IPv6 address.
fn interface_id(value: &[u8]) -> Option<String> {
    let [a, b, c, d, e, f, g, h] = value else { return None };
    Some(format!("{a:02x}{b:02x}:{c:02x}{d:02x}:{e:02x}{f:02x}:{g:02x}{h:02x}"))
}

fn tagged_integer(value: &[u8], words: Option<Words>) -> Option<String> {
    let number = small_integer(value)?;
    let (tag, number) = (number >> 24, number & 0x00ff_ffff);
    let number = words.map_or_else(|| number.to_string(), |words| with_word(number, words));
    Some(if tag == 0 { number } else { format!("tag {tag}: {number}") })
}

fn tagged_text(value: &[u8]) -> String {
    match value {
        [0, untagged @ ..] => text(untagged),
        [tag @ 1..=0x1f, tagged @ ..] => format!("tag {tag}: {}", text(tagged)),
        _ => text(value),
    }
}

fn counter64(value: &[u8]) -> Option<String> {
    match *value {
        [0, queue, ref octets @ ..] if octets.len() == 8 => {
            Some(format!("{} (queue {queue})", integer(octets)?))
        }
        [0x80, policer, ref octets @ ..] if octets.len() == 8 => {
            Some(format!("{} (policer {policer})", integer(octets)?))
        }
        _ if value.len() == 8 => integer(value).map(|number| number.to_string()),
        _ => None,
    }
}
