//! RADIUS on the wire: header and attributes (RFC 2865 3 and 5), borrowed from the datagram, nothing copied.
//!
//! Trailing octets beyond the header's length are padding and ignored (RFC 2865 3). Nothing here panics on any input.

/// Octets of the header: code, identifier, length, authenticator.
pub const HEADER: usize = 20;
/// Largest packet (RFC 2865 3).
pub const MAX_PACKET: usize = 4096;
/// Code of an Accounting-Request (RFC 2866 4.1).
pub const ACCOUNTING_REQUEST: u8 = 4;
/// Code of an Accounting-Response (RFC 2866 4.2).
pub const ACCOUNTING_RESPONSE: u8 = 5;
/// Code of a Status-Server (RFC 5997).
pub const STATUS_SERVER: u8 = 12;

/// Why octets are no RADIUS packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer octets than a header.
    #[error("{0} octets are fewer than a RADIUS header's 20")]
    TooShort(usize),
    /// The header's length is below 20 or above 4096.
    #[error("the header declares {0} octets; 20 to 4096 are allowed")]
    BadLength(u16),
    /// The datagram is shorter than its header says.
    #[error("the header declares {declared} octets, {arrived} arrived")]
    Truncated {
        /// Length in the header.
        declared: u16,
        /// Octets in the datagram.
        arrived: usize,
    },
    /// An attribute runs over the end of the packet or is shorter than its own header.
    #[error("attribute {kind} at offset {offset} declares {declared} octets, {remaining} remain")]
    BadAttribute {
        /// Attribute type.
        kind: u8,
        /// Offset from the packet's first octet.
        offset: usize,
        /// Length in the attribute.
        declared: u8,
        /// Octets from here to the packet's end.
        remaining: usize,
    },
}

/// A well-formed packet: its lengths are consistent; nothing more is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    header: &'a [u8; HEADER],
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks every length in `datagram`.
    ///
    /// # Errors
    /// [`Malformed`], with the numbers that do not fit.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let header: &[u8; HEADER] = datagram.first_chunk().ok_or(Malformed::TooShort(datagram.len()))?;
        let declared = u16::from_be_bytes([header[2], header[3]]);
        if !(HEADER..=MAX_PACKET).contains(&usize::from(declared)) {
            return Err(Malformed::BadLength(declared));
        }
        let Some(bytes) = datagram.get(..usize::from(declared)) else {
            return Err(Malformed::Truncated { declared, arrived: datagram.len() });
        };
        check_attributes(bytes)?;
        Ok(Self { header, bytes })
    }

    /// Packet type.
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.header[0]
    }

    /// What pairs a request with its reply.
    #[must_use]
    pub const fn identifier(&self) -> u8 {
        self.header[1]
    }

    /// Request Authenticator.
    #[must_use]
    pub fn authenticator(&self) -> [u8; 16] {
        let mut authenticator = [0; 16];
        authenticator.copy_from_slice(&self.header[4..]);
        authenticator
    }

    /// The packet without padding.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All attributes, as octets.
    #[must_use]
    pub fn attribute_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// The attributes in their order.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.bytes, offset: HEADER }
    }
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Type.
    pub kind: u8,
    /// Value, 0 to 253 octets.
    pub value: &'a [u8],
    /// Offset of the attribute from the packet's first octet.
    pub offset: usize,
    /// The attribute whole: type, length, value.
    pub bytes: &'a [u8],
}

/// Walks the attributes of a checked packet.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Attributes<'a> {
    /// Walks attributes stored without a header.
    #[must_use]
    pub const fn stored(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..)?;
        let [kind, length, ..] = *rest else { return None };
        let bytes = rest.get(..usize::from(length))?;
        let value = bytes.get(2..)?;
        let offset = self.offset;
        self.offset += usize::from(length);
        Some(Attribute { kind, value, offset, bytes })
    }
}

fn check_attributes(packet: &[u8]) -> Result<(), Malformed> {
    let mut offset = HEADER;
    while let Some(rest @ [kind, after @ ..]) = packet.get(offset..) {
        let (kind, declared) = (*kind, after.first().copied().unwrap_or(0));
        if declared < 2 || usize::from(declared) > rest.len() {
            return Err(Malformed::BadAttribute { kind, offset, declared, remaining: rest.len() });
        }
        offset += usize::from(declared);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![4, 7, 0, 0];
        bytes.extend([9; 16]);
        bytes.extend(attributes);
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    }

    #[test]
    fn padding_is_ignored() {
        let mut bytes = packet(&[1, 5, b'a', b'b', b'c']);
        bytes.extend([0; 7]);
        let parsed = Packet::parse(&bytes).unwrap();
        assert_eq!(parsed.bytes().len(), 25);
        assert_eq!(
            parsed.attributes().map(|a| (a.kind, a.value, a.offset)).collect::<Vec<_>>(),
            [(1, &b"abc"[..], 20)]
        );
    }

    #[test]
    fn errors_carry_offset_declared_and_actual() {
        let error = Packet::parse(&packet(&[1, 3, b'a', 4, 40, 0, 0])).unwrap_err();
        assert_eq!(error.to_string(), "attribute 4 at offset 23 declares 40 octets, 4 remain");
        assert_eq!(
            Packet::parse(&packet(&[1, 1])).unwrap_err(),
            Malformed::BadAttribute { kind: 1, offset: 20, declared: 1, remaining: 2 }
        );
        assert_eq!(
            Packet::parse(&packet(&[1])).unwrap_err(),
            Malformed::BadAttribute { kind: 1, offset: 20, declared: 0, remaining: 1 }
        );
    }

    #[test]
    fn a_datagram_shorter_than_its_header_says_is_truncated() {
        let bytes = packet(&[1, 5, b'a', b'b', b'c']);
        assert_eq!(
            Packet::parse(&bytes[..22]).unwrap_err(),
            Malformed::Truncated { declared: 25, arrived: 22 }
        );
        assert_eq!(Packet::parse(&bytes[..19]).unwrap_err(), Malformed::TooShort(19));
    }

    proptest! {
        #[test]
        fn any_octets_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let walked: usize = packet.attributes().map(|a| a.bytes.len()).sum();
                prop_assert_eq!(walked, packet.attribute_bytes().len());
            }
        }

        #[test]
        fn plausible_attributes_walk_to_the_end(values in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut attributes = Vec::new();
            for (kind, value) in &values {
                attributes.extend([*kind, u8::try_from(value.len() + 2).unwrap()]);
                attributes.extend(value);
            }
            let bytes = packet(&attributes);
            let parsed = Packet::parse(&bytes).unwrap();
            let walked: Vec<_> = parsed.attributes().map(|a| (a.kind, a.value.to_vec())).collect();
            prop_assert_eq!(walked, values);
        }
    }
}
