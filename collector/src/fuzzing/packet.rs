//! Any datagram: parsed, verified as it came and once more with right authenticators, stored, decoded, answered.

use std::sync::{Arc, LazyLock};

use hmac::{Hmac, Mac};
use md5::{Digest as _, Md5};
use schema::{Lsn, UnixMicros, dictionary};
use usage::period::Calendar;

use crate::attributes as attr;
use crate::client::{Client, ClientTable};
use crate::config::{ClientConfig, MessageAuthenticator, Secret};
use crate::journal::Entry;
use crate::ledger::Ledger;
use crate::packet::{
    ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE, Attribute, HEADER, MAX_PACKET, Malformed, Packet, STATUS_SERVER,
};
use crate::record::{AccountingRecord, CLOCK_TOLERANCE, OLDEST};
use crate::reply::{Reply, Route};
use crate::verify::{AccountingRequest, Datagram, Rejected, VerifiedRequest, verify};

const SECRET: &str = "s3cret";
const PEER: &str = "192.0.2.1:1646";

/// The sub-attributes of RFC 2548 that are or hold a password or a key.
const MICROSOFT_SECRETS: [u8; 10] = [1, 3, 4, 5, 6, 12, 16, 17, 25, 27];

static CLIENT: LazyLock<Arc<Client>> = LazyLock::new(|| {
    let config = ClientConfig {
        name: "bng".into(),
        source: "192.0.2.0/24".parse().expect("a prefix"),
        secret: Some(Secret::new(SECRET.into())),
        secret_file: None,
        message_authenticator: MessageAuthenticator::WhenPresent,
    };
    let table = ClientTable::new(&[config], &Ledger::default()).expect("one client");
    Arc::clone(table.iter().next().expect("one client"))
});

static CALENDAR: LazyLock<Calendar> = LazyLock::new(|| Calendar::new(chrono_tz::Europe::Berlin));

/// Takes a datagram as far as its row and its reply.
pub fn packet(datagram: &[u8]) {
    lengths_hold(datagram);
    if check(datagram).is_ok() {
        assert!(is_signed(datagram), "a packet is taken whose sender need not know the secret");
    }
    let Some(signed) = signed(datagram) else { return };
    match check(&signed) {
        Ok(VerifiedRequest::Accounting(request)) => {
            answered(&request);
            stored(&request, arrival(datagram));
        }
        Ok(VerifiedRequest::StatusServer(request)) => answered(&request),
        Err(rejected) => rightly_rejected(&signed, rejected),
    }
}

fn check(bytes: &[u8]) -> Result<VerifiedRequest<'_>, Rejected> {
    let peer = PEER.parse().expect("an address");
    verify(&Datagram { bytes, peer, arrived_at: UnixMicros(0), cut: false }, &CLIENT)
}

/// When the packet arrives, drawn from its authenticator: any second that a row can hold, and a week after the first.
fn arrival(datagram: &[u8]) -> UnixMicros {
    let seconds = datagram.get(4..8).and_then(attr::integer).unwrap_or(0);
    UnixMicros(i64::from(seconds).max(OLDEST) * 1_000_000)
}

/// Whatever is taken for a packet lies within the datagram, and the numbers of an error are those of the datagram.
fn lengths_hold(datagram: &[u8]) {
    match Packet::parse(datagram) {
        Ok(packet) => {
            assert!(datagram.starts_with(packet.bytes()));
            assert_eq!(usize::from(u16::from_be_bytes([datagram[2], datagram[3]])), packet.bytes().len());
            let mut offset = HEADER;
            for attribute in packet.attributes() {
                assert_eq!(attribute.offset, offset);
                assert!(packet.bytes()[offset..].starts_with(attribute.bytes));
                assert_eq!(attribute.bytes[0], attribute.kind);
                assert_eq!(attribute.bytes[2..], *attribute.value);
                offset += usize::from(attribute.bytes[1]);
            }
            assert_eq!(offset, packet.bytes().len(), "attributes fill the packet");
        }
        Err(Malformed::TooShort(octets)) => assert!(octets == datagram.len() && octets < HEADER),
        Err(Malformed::BadLength(declared)) => {
            assert!(!(HEADER..=MAX_PACKET).contains(&usize::from(declared)));
        }
        Err(Malformed::Truncated { declared, arrived }) => {
            assert!(arrived == datagram.len() && arrived < usize::from(declared));
        }
        Err(Malformed::BadAttribute { kind, offset, declared, remaining }) => {
            assert_eq!(datagram[offset], kind);
            assert!(offset + remaining <= datagram.len());
            assert!(declared < 2 || usize::from(declared) > remaining);
        }
    }
}

/// Whether the authenticators prove that the sender knows the secret, by another MD5 than the service's.
fn is_signed(datagram: &[u8]) -> bool {
    signed(datagram).is_some_and(|signed| datagram.starts_with(&signed))
}

/// The packet as a NAS that knows the secret would send it; `None` where its attributes do not allow that.
fn signed(datagram: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = datagram.get(..datagram.len().min(MAX_PACKET))?.to_vec();
    let header: &mut [u8; HEADER] = bytes.first_chunk_mut()?;
    if header[0] != STATUS_SERVER {
        header[0] = ACCOUNTING_REQUEST;
    }
    let declared = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if (HEADER..=bytes.len()).contains(&declared) {
        bytes.truncate(declared);
    }
    let length = u16::try_from(bytes.len()).ok()?.to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    let authenticator = last_message_authenticator(&Packet::parse(&bytes).ok()?);
    if bytes[0] == ACCOUNTING_REQUEST {
        bytes[4..HEADER].fill(0);
    }
    if let Some(at) = authenticator {
        bytes[at..at + 16].fill(0);
        let mut hmac = Hmac::<Md5>::new_from_slice(SECRET.as_bytes()).ok()?;
        hmac.update(&bytes);
        bytes[at..at + 16].copy_from_slice(&hmac.finalize().into_bytes());
    }
    if bytes[0] == ACCOUNTING_REQUEST {
        let digest = Md5::new().chain_update(&bytes).chain_update(SECRET).finalize();
        bytes[4..HEADER].copy_from_slice(&digest);
    }
    Some(bytes)
}

/// Offset of the value that counts, where it has the right length.
fn last_message_authenticator(packet: &Packet<'_>) -> Option<usize> {
    let last = packet.attributes().filter(|attribute| attribute.kind == 80).last()?;
    (last.value.len() == 16).then_some(last.offset + 2)
}

/// A signed packet is refused for what its attributes lack, and for nothing else.
fn rightly_rejected(signed: &[u8], rejected: Rejected) {
    let packet = Packet::parse(signed).expect("it was signed");
    let has = |kind, length| {
        packet.attributes().any(|attribute| attribute.kind == kind && attribute.value.len() == length)
    };
    match rejected {
        Rejected::NoStatusType => assert!(packet.code() == ACCOUNTING_REQUEST && !has(40, 4)),
        Rejected::NoMessageAuthenticator => assert!(packet.code() == STATUS_SERVER && !has(80, 16)),
        Rejected::WrongMessageAuthenticator => assert_eq!(last_message_authenticator(&packet), None),
        other => panic!("refused though it is signed: {other}"),
    }
}

/// The reply is a packet, and echoes the Proxy-States whole and in their order (RFC 2865 5.33).
fn answered(request: &AccountingRequest<'_>) {
    let route = Route { socket: 0, peer: PEER.parse().expect("an address"), local: None };
    let reply = Reply::new(request, route);
    let reply = Packet::parse(reply.bytes()).expect("a reply is a packet");
    assert_eq!((reply.code(), reply.identifier()), (ACCOUNTING_RESPONSE, request.packet.identifier()));
    let asked = request.packet.attributes().filter(|attribute| attribute.kind == 33);
    assert!(asked.map(|attribute| attribute.bytes).eq(reply.attributes().map(|attribute| attribute.bytes)));
}

/// What is stored has no secret, everything else, and becomes a row that says the same.
fn stored(request: &AccountingRequest<'_>, arrived_at: UnixMicros) {
    let mut scratch = Vec::new();
    let kept = request.without_secrets(&mut scratch);
    let packet = Packet::parse(kept).expect("what is stored is a packet");
    assert!(packet.bytes().len() == kept.len() && kept.len() <= request.packet.bytes().len());
    for attribute in packet.attributes() {
        assert!(
            !matches!(attribute.kind, 2 | 3 | 69 | 70 | 121 | 143),
            "attribute {} is a secret",
            attribute.kind
        );
        assert_eq!(microsoft_secret(&attribute), None, "a secret of Microsoft's is stored");
    }
    let plain = |attribute: &Attribute<'_>| {
        !matches!(attribute.kind, 2 | 3 | 69 | 70 | 121 | 143) && !is_microsoft(attribute)
    };
    let sent = request.packet.attributes().filter(plain).map(|attribute| attribute.bytes);
    assert!(sent.eq(packet.attributes().filter(plain).map(|attribute| attribute.bytes)), "all else is kept");
    let peer = PEER.parse().expect("an address");
    decoded(&Entry { arrived_at, peer, client: "bng", local: 0, packet: kept });
}

fn is_microsoft(attribute: &Attribute<'_>) -> bool {
    attribute.kind == 26 && attribute.value.starts_with(&311u32.to_be_bytes())
}

/// The first secret of a Microsoft attribute, also one that is cut off.
fn microsoft_secret(attribute: &Attribute<'_>) -> Option<u8> {
    let mut rest = attribute.value.get(4..).filter(|_| is_microsoft(attribute))?;
    while let Some(kind) = rest.first().copied() {
        if MICROSOFT_SECRETS.contains(&kind) {
            return Some(kind);
        }
        let length = usize::from(*rest.get(1)?).max(2);
        rest = rest.get(length..)?;
    }
    None
}

fn decoded(entry: &Entry<'_>) {
    let record = AccountingRecord::decode(Lsn(7), entry);
    let arrived = entry.arrived_at.seconds();
    assert!((-CLOCK_TOLERANCE..=OLDEST).contains(&arrived.since(record.event_at)), "its time is believed");
    assert!(record.started_at().is_none_or(|start| start <= record.event_at));
    assert!(record.prefixes().all(|(_, length)| length <= 128));
    let row = record.to_row("c", &CALENDAR);
    assert_eq!(row.status_type, record.status.0);
    assert_eq!(row.attributes, record.attributes);
    assert_eq!(row.session_key == 0, record.acct_session_id.is_empty());
    assert!(row.day_starts_at <= row.event_at);
    let named = dictionary::decode(&row.attributes);
    assert_eq!(named.is_empty(), row.attributes.is_empty());
    for name in named.iter().filter(|name| name.name.ends_with("-Password")) {
        assert!(!name.value.starts_with("0x"), "a secret is shown: {} {}", name.number, name.value);
    }
}
