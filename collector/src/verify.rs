//! From [`Datagram`] to [`VerifiedRequest`]: is it RADIUS, of a code we answer, and does its sender know the secret?
//!
//! The Request Authenticator of an Accounting-Request is always verified (RFC 2866 3). A Message-Authenticator is
//! computed with the authenticator field set to zeros in an Accounting-Request and as it stands in a Status-Server
//! (RFC 2869 5.14, RFC 5997 3), which must carry a valid one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fast_md5::Md5;
use hmac::{Hmac, Mac};
use schema::{StatusType, UnixMicros};
use subtle::ConstantTimeEq;

use crate::attributes;
use crate::client::Client;
use crate::config::MessageAuthenticator;
use crate::packet::{ACCOUNTING_REQUEST, HEADER, Malformed, Packet, STATUS_SERVER};
use crate::record::NasIdentity;

/// What arrived on a socket.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its octets.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// When it was taken from the kernel.
    pub arrived_at: UnixMicros,
    /// Whether the kernel cut it to the buffer's 4,096 octets.
    pub cut: bool,
}

/// Why a datagram of a known client is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No RADIUS packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More than 4,096 octets.
    #[error("the datagram has more than 4096 octets")]
    TooLong,
    /// Neither an Accounting-Request nor a Status-Server.
    #[error("code {0} is neither Accounting-Request (4) nor Status-Server (12)")]
    WrongCode(u8),
    /// The Request Authenticator does not fit: another secret, or a changed packet.
    #[error("the Request Authenticator is wrong: the secrets differ, or the packet was changed on its way")]
    WrongAuthenticator,
    /// The Message-Authenticator does not fit.
    #[error("the Message-Authenticator is wrong")]
    WrongMessageAuthenticator,
    /// There is none where one is required.
    #[error("the Message-Authenticator is missing")]
    NoMessageAuthenticator,
    /// An Accounting-Request without Acct-Status-Type, which RFC 2866 5.13 requires.
    #[error("the Acct-Status-Type is missing or not 4 octets long")]
    NoStatusType,
}

impl Rejected {
    /// The reason as metrics and ledger name it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::TooShort(_)) => "too_short",
            Self::Malformed(Malformed::BadLength(_)) => "bad_length",
            Self::Malformed(Malformed::Truncated { .. }) => "truncated",
            Self::Malformed(Malformed::BadAttribute { .. }) => "bad_attribute",
            Self::TooLong => "too_long",
            Self::WrongCode(_) => "wrong_code",
            Self::WrongAuthenticator => "wrong_authenticator",
            Self::WrongMessageAuthenticator => "wrong_message_authenticator",
            Self::NoMessageAuthenticator => "no_message_authenticator",
            Self::NoStatusType => "no_status_type",
        }
    }
}

/// A request whose sender proved to know the client's secret.
#[derive(Clone, Debug)]
pub enum VerifiedRequest<'a> {
    /// An Accounting-Request (RFC 2866 4.1).
    Accounting(AccountingRequest<'a>),
    /// A Status-Server (RFC 5997).
    StatusServer(AccountingRequest<'a>),
}

/// A verified packet and what one walk over its attributes found.
#[derive(Clone, Debug)]
pub struct AccountingRequest<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Who sent it.
    pub client: Arc<Client>,
    outline: Outline<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Outline<'a> {
    nas_identifier: Option<&'a [u8]>,
    nas_address: Option<IpAddr>,
    message_authenticator: Option<usize>,
    status_type: Option<StatusType>,
    has_proxy_state: bool,
    may_hold_secrets: bool,
}

/// Verifies `datagram` with the secret of `client`.
///
/// # Errors
/// [`Rejected`] says why it must not be answered.
pub fn verify<'a>(datagram: &Datagram<'a>, client: &Arc<Client>) -> Result<VerifiedRequest<'a>, Rejected> {
    if datagram.cut {
        return Err(Rejected::TooLong);
    }
    let packet = Packet::parse(datagram.bytes)?;
    let outline = Outline::of(&packet);
    let secret = client.secret.octets();
    let request = |outline| AccountingRequest { packet, client: Arc::clone(client), outline };
    match packet.code() {
        ACCOUNTING_REQUEST => {
            check_request_authenticator(&packet, secret)?;
            check_message_authenticator(&packet, &outline, secret, client.message_authenticator)?;
            outline.status_type.ok_or(Rejected::NoStatusType)?;
            Ok(VerifiedRequest::Accounting(request(outline)))
        }
        STATUS_SERVER => {
            check_message_authenticator(&packet, &outline, secret, MessageAuthenticator::Required)?;
            Ok(VerifiedRequest::StatusServer(request(outline)))
        }
        code => Err(Rejected::WrongCode(code)),
    }
}

/// The NAS that a packet names, whether or not the packet is complete.
#[must_use]
pub fn nas_of<'a>(datagram: &Datagram<'a>) -> Option<NasIdentity<'a>> {
    Some(Outline::of(&Packet::parse(datagram.bytes).ok()?).nas(datagram.peer.ip()))
}

impl<'a> AccountingRequest<'a> {
    /// The NAS that it names; the one at `source` where it names none.
    #[must_use]
    pub fn nas(&self, source: IpAddr) -> NasIdentity<'a> {
        self.outline.nas(source)
    }

    /// The Proxy-State attributes whole, in their order, as a reply must echo them (RFC 2865 5.33).
    #[must_use]
    pub fn proxy_states(&self) -> Option<Vec<u8>> {
        self.outline.has_proxy_state.then(|| {
            let states =
                self.packet.attributes().filter(|attribute| attribute.kind == attributes::PROXY_STATE);
            states.flat_map(|attribute| attribute.bytes).copied().collect()
        })
    }

    /// The packet as it may be stored: the original octets, or a copy in `scratch` without the secrets it carries.
    #[must_use]
    pub fn without_secrets<'b>(&self, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.outline.may_hold_secrets {
            return self.packet.bytes();
        }
        scratch.clear();
        scratch.extend_from_slice(self.packet.bytes().get(..HEADER).unwrap_or_default());
        for attribute in self.packet.attributes().filter(|attribute| !attributes::is_secret(attribute.kind)) {
            match attributes::without_microsoft_secrets(attribute.value) {
                Some(kept) if attribute.kind == attributes::VENDOR_SPECIFIC => {
                    if kept.len() > 4 {
                        scratch.extend([attribute.kind, u8::try_from(kept.len() + 2).unwrap_or(u8::MAX)]);
                        scratch.extend(kept);
                    }
                }
                _ => scratch.extend_from_slice(attribute.bytes),
            }
        }
        let length = u16::try_from(scratch.len()).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(field) = scratch.get_mut(2..4) {
            field.copy_from_slice(&length);
        }
        scratch
    }
}

impl<'a> Outline<'a> {
    fn nas(&self, source: IpAddr) -> NasIdentity<'a> {
        NasIdentity::of(self.nas_identifier, self.nas_address, source)
    }

    fn of(packet: &Packet<'a>) -> Self {
        let mut outline = Self::default();
        for attribute in packet.attributes() {
            match attribute.kind {
                attributes::ACCT_STATUS_TYPE if outline.status_type.is_none() => {
                    outline.status_type = attributes::integer(attribute.value).map(StatusType);
                }
                // One of another length cannot be right: no offset fits, so that it is refused.
                attributes::MESSAGE_AUTHENTICATOR => {
                    let fits = attribute.value.len() == 16;
                    outline.message_authenticator =
                        Some(if fits { attribute.offset + 2 } else { usize::MAX });
                }
                attributes::PROXY_STATE => outline.has_proxy_state = true,
                attributes::NAS_IDENTIFIER => {
                    outline.nas_identifier.get_or_insert(attribute.value);
                }
                attributes::NAS_IP_ADDRESS | attributes::NAS_IPV6_ADDRESS => {
                    outline.nas_address = outline.nas_address.or_else(|| attributes::nas_address(&attribute));
                }
                attributes::VENDOR_SPECIFIC => {
                    outline.may_hold_secrets |= attribute.value.starts_with(&[0, 0, 1, 55]);
                }
                kind => outline.may_hold_secrets |= attributes::is_secret(kind),
            }
        }
        outline
    }
}

fn check_request_authenticator(packet: &Packet<'_>, secret: &[u8]) -> Result<(), Rejected> {
    let mut md5 = Md5::new();
    md5.update(packet.bytes().get(..4).unwrap_or_default());
    md5.update(&[0; 16]);
    md5.update(packet.attribute_bytes());
    md5.update(secret);
    let equal: bool = md5.finalize().ct_eq(&packet.authenticator()).into();
    equal.then_some(()).ok_or(Rejected::WrongAuthenticator)
}

fn check_message_authenticator(
    packet: &Packet<'_>,
    outline: &Outline<'_>,
    secret: &[u8],
    policy: MessageAuthenticator,
) -> Result<(), Rejected> {
    if policy == MessageAuthenticator::Ignored {
        return Ok(());
    }
    let Some(at) = outline.message_authenticator else {
        return match policy {
            MessageAuthenticator::Required => Err(Rejected::NoMessageAuthenticator),
            _ => Ok(()),
        };
    };
    let bytes = packet.bytes();
    let (before, rest) = bytes.split_at_checked(at).ok_or(Rejected::WrongMessageAuthenticator)?;
    let (given, after) = rest.split_at_checked(16).ok_or(Rejected::WrongMessageAuthenticator)?;
    let mut hmac =
        Hmac::<md5::Md5>::new_from_slice(secret).map_err(|_| Rejected::WrongMessageAuthenticator)?;
    if packet.code() == ACCOUNTING_REQUEST {
        hmac.update(before.get(..4).unwrap_or_default());
        hmac.update(&[0; 16]);
        hmac.update(before.get(HEADER..).unwrap_or_default());
    } else {
        hmac.update(before);
    }
    hmac.update(&[0; 16]);
    hmac.update(after);
    hmac.verify_slice(given).map_err(|_| Rejected::WrongMessageAuthenticator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientTable;
    use crate::config::{ClientConfig, Secret};
    use crate::ledger::Ledger;
    use crate::reply::{Reply, Route};
    use md5::{Digest as _, Md5 as ReferenceMd5};
    use proptest::prelude::*;

    const SECRET: &str = "s3cret";
    const INTERIM: [u8; 6] = [40, 6, 0, 0, 0, 3];

    fn client(policy: MessageAuthenticator) -> Arc<Client> {
        let config = ClientConfig {
            name: "bng".into(),
            source: "192.0.2.0/24".parse().unwrap(),
            secret: Some(Secret::new(SECRET.into())),
            secret_file: None,
            message_authenticator: policy,
        };
        let table = ClientTable::new(&[config], &Ledger::default()).unwrap();
        Arc::clone(table.of("192.0.2.1".parse().unwrap()).unwrap())
    }

    /// A packet signed by the reference MD5, with a Message-Authenticator where `sign` says so.
    fn packet(code: u8, attributes: &[u8], sign: bool) -> Vec<u8> {
        let mut bytes = vec![code, 9, 0, 0];
        bytes.extend([0; 16]);
        bytes.extend(attributes);
        if sign {
            bytes.extend([80, 18]);
            bytes.extend([0; 16]);
        }
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        if code == STATUS_SERVER {
            bytes[4..20].copy_from_slice(&[7; 16]);
        }
        if sign {
            let mut hmac = Hmac::<ReferenceMd5>::new_from_slice(SECRET.as_bytes()).unwrap();
            hmac.update(&bytes);
            let at = bytes.len() - 16;
            bytes[at..].copy_from_slice(&hmac.finalize().into_bytes());
        }
        if code != STATUS_SERVER {
            let digest = ReferenceMd5::new().chain_update(&bytes).chain_update(SECRET).finalize();
            bytes[4..20].copy_from_slice(&digest);
        }
        bytes
    }

    fn check(bytes: &[u8], policy: MessageAuthenticator) -> Result<VerifiedRequest<'_>, Rejected> {
        let peer = "192.0.2.1:1646".parse().unwrap();
        verify(&Datagram { bytes, peer, arrived_at: UnixMicros(0), cut: false }, &client(policy))
    }

    const PRESENT: MessageAuthenticator = MessageAuthenticator::WhenPresent;

    #[test]
    fn a_signed_request_is_verified_also_with_padding() {
        let mut bytes = packet(ACCOUNTING_REQUEST, &INTERIM, true);
        assert!(matches!(check(&bytes, MessageAuthenticator::Required), Ok(VerifiedRequest::Accounting(_))));
        bytes.extend([0; 5]);
        assert!(matches!(check(&bytes, PRESENT), Ok(VerifiedRequest::Accounting(_))));
    }

    #[test]
    fn any_changed_octet_is_refused() {
        let whole = packet(ACCOUNTING_REQUEST, &INTERIM, true);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(check(&bytes, PRESENT).is_err(), "octet {at}");
        }
    }

    #[test]
    fn the_message_authenticator_follows_its_policy() {
        let without = packet(ACCOUNTING_REQUEST, &INTERIM, false);
        assert!(check(&without, PRESENT).is_ok());
        assert_eq!(
            check(&without, MessageAuthenticator::Required).unwrap_err(),
            Rejected::NoMessageAuthenticator
        );
        let mut attributes = INTERIM.to_vec();
        attributes.extend([80, 18]);
        attributes.extend([1; 16]);
        let wrong = packet(ACCOUNTING_REQUEST, &attributes, false);
        assert_eq!(check(&wrong, PRESENT).unwrap_err(), Rejected::WrongMessageAuthenticator);
        assert!(check(&wrong, MessageAuthenticator::Ignored).is_ok());
        let short = packet(ACCOUNTING_REQUEST, &[40, 6, 0, 0, 0, 3, 80, 3, 1], false);
        assert_eq!(check(&short, PRESENT).unwrap_err(), Rejected::WrongMessageAuthenticator);
    }

    #[test]
    fn a_status_server_needs_a_message_authenticator() {
        assert!(matches!(
            check(&packet(STATUS_SERVER, &[], true), PRESENT),
            Ok(VerifiedRequest::StatusServer(_))
        ));
        let without = packet(STATUS_SERVER, &[], false);
        assert_eq!(
            check(&without, MessageAuthenticator::Ignored).unwrap_err(),
            Rejected::NoMessageAuthenticator
        );
    }

    #[test]
    fn other_codes_and_missing_status_types_are_refused() {
        assert_eq!(check(&packet(1, &INTERIM, false), PRESENT).unwrap_err(), Rejected::WrongCode(1));
        assert_eq!(
            check(&packet(ACCOUNTING_REQUEST, &[], false), PRESENT).unwrap_err(),
            Rejected::NoStatusType
        );
    }

    #[test]
    fn secrets_do_not_reach_the_journal() {
        let mut attributes = INTERIM.to_vec();
        attributes.extend([2, 4, b'p', b'w', 1, 3, b'a', 69, 3, 9]);
        attributes.extend([26, 10, 0, 0, 1, 55, 17, 4, 8, 8]);
        let bytes = packet(ACCOUNTING_REQUEST, &attributes, false);
        let Ok(VerifiedRequest::Accounting(request)) = check(&bytes, PRESENT) else { panic!("it is valid") };
        let mut scratch = Vec::new();
        let stored = Packet::parse(request.without_secrets(&mut scratch)).unwrap();
        let kinds: Vec<_> = stored.attributes().map(|attribute| attribute.kind).collect();
        assert_eq!(kinds, [40, 1]);
    }

    #[test]
    fn a_packet_without_secrets_is_stored_as_it_came() {
        let bytes = packet(ACCOUNTING_REQUEST, &INTERIM, false);
        let Ok(VerifiedRequest::Accounting(request)) = check(&bytes, PRESENT) else { panic!("it is valid") };
        assert_eq!(request.without_secrets(&mut Vec::new()), bytes);
    }

    #[test]
    fn the_reply_echoes_proxy_states_in_order_and_is_signed() {
        let mut attributes = INTERIM.to_vec();
        attributes.extend([33, 3, b'x', 1, 3, b'a', 33, 4, b'y', b'z']);
        let bytes = packet(ACCOUNTING_REQUEST, &attributes, false);
        let Ok(VerifiedRequest::Accounting(request)) = check(&bytes, PRESENT) else { panic!("it is valid") };
        let route = Route { socket: 0, peer: "192.0.2.1:1646".parse().unwrap(), local: None };
        let reply = Reply::new(&request, route).bytes().to_vec();
        assert_eq!(reply[..4], [5, 9, 0, 27]);
        assert_eq!(reply[20..], [33, 3, b'x', 33, 4, b'y', b'z']);
        let expected = ReferenceMd5::new()
            .chain_update(&reply[..4])
            .chain_update(&bytes[4..20])
            .chain_update(&reply[20..])
            .chain_update(SECRET);
        assert_eq!(reply[4..20], expected.finalize()[..]);
    }

    proptest! {
        #[test]
        fn any_datagram_is_verified_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            prop_assert!(check(&bytes, PRESENT).is_err());
        }

        #[test]
        fn any_attributes_that_are_signed_are_taken_and_decode(values in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..30)), 0..20)) {
            let mut attributes = INTERIM.to_vec();
            for (kind, value) in values.iter().filter(|(kind, _)| *kind != 80) {
                attributes.extend([*kind, u8::try_from(value.len() + 2).unwrap()]);
                attributes.extend(value);
            }
            let bytes = packet(ACCOUNTING_REQUEST, &attributes, false);
            let Ok(VerifiedRequest::Accounting(request)) = check(&bytes, PRESENT) else { panic!("it is valid") };
            let mut scratch = Vec::new();
            let stored = request.without_secrets(&mut scratch);
            prop_assert!(Packet::parse(stored).is_ok());
            let peer = "192.0.2.1:1646".parse().unwrap();
            let entry = crate::journal::Entry { arrived_at: UnixMicros(1_790_000_000_000_000), peer, client: "bng", local: 0, packet: stored };
            let record = crate::record::AccountingRecord::decode(schema::Lsn(1), &entry);
            let row = record.to_row("c", &usage::Calendar::new(chrono_tz::UTC));
            prop_assert_eq!(row.status_type, 3);
            prop_assert_eq!(record.nas, request.nas(peer.ip()));
        }
    }
}
