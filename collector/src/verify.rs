//! From [`Datagram`] to [`VerifiedRequest`]: is it RADIUS, of a code we answer, and does its sender know the secret?
//!
//! The Request Authenticator of an Accounting-Request is always verified (RFC 2866 3). A Message-Authenticator is
//! computed with the authenticator field set to zeros in an Accounting-Request and as it stands in a Status-Server
//! (RFC 2869 5.14, RFC 5997 3), which must carry a valid one.

use std::net::SocketAddr;
use std::sync::Arc;

use fast_md5::Md5;
use hmac::{Hmac, Mac};
use schema::{StatusType, UnixMicros};
use subtle::ConstantTimeEq;

use crate::attributes;
use crate::client::Client;
use crate::config::MessageAuthenticator;
use crate::packet::{ACCOUNTING_REQUEST, HEADER, Malformed, Packet, STATUS_SERVER};

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
    outline: Outline,
}

#[derive(Clone, Copy, Debug, Default)]
struct Outline {
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

impl<'a> AccountingRequest<'a> {
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

impl Outline {
    fn of(packet: &Packet<'_>) -> Self {
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
    outline: &Outline,
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
