//! Datagrams that are wrong in every way: the service goes on, answers only what is valid, and counts why not.

use std::net::Ipv4Addr;
use std::time::Duration;

use radius::core::code::Code;
use radius::core::packet::Packet;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use crate::api::SOON;
use crate::client::{Nas, Said, is_answer};
use crate::service::{SECRET, Service};
use crate::until::until;

/// How long silence must last to count as none: answers on loopback take milliseconds.
pub const SILENCE: Duration = Duration::from_millis(400);

fn valid(identifier: u8) -> Vec<u8> {
    Said::interim("mallory", 60, 1_000, 500).request(identifier)
}

/// A packet whose authenticator fits, whatever its attributes say.
pub fn signed(mut octets: Vec<u8>) -> Vec<u8> {
    octets[4..20].fill(0);
    let digest = <md5::Md5 as md5::Digest>::digest([&octets[..], SECRET.as_bytes()].concat());
    octets[4..20].copy_from_slice(&digest);
    octets
}

pub fn with_length(mut octets: Vec<u8>, length: usize) -> Vec<u8> {
    octets[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    octets
}

/// An Accounting-Request of these attributes, given as octets.
pub fn raw(attributes: &[u8]) -> Vec<u8> {
    let packet = [&[4, 77, 0, 0][..], &[0; 16], attributes].concat();
    let length = packet.len();
    signed(with_length(packet, length))
}

fn cases() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let good = valid(1);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let long_status = [40, 3, 1];
    vec![
        ("nothing", "too_short", Vec::new()),
        ("half a header", "too_short", good[..19].to_vec()),
        ("a length below the header", "bad_length", with_length(good.clone(), 19)),
        ("a length above 4096", "bad_length", with_length(good.clone(), 4_097)),
        ("a cut packet", "truncated", good[..good.len() - 5].to_vec()),
        ("an attribute of length 0", "bad_attribute", raw(&[40, 6, 0, 0, 0, 3, 1, 0])),
        ("an attribute of length 1", "bad_attribute", raw(&[40, 6, 0, 0, 0, 3, 1, 1])),
        ("an attribute that runs over the end", "bad_attribute", raw(&[40, 6, 0, 0, 0, 3, 1, 200, b'x'])),
        ("half an attribute header", "bad_attribute", raw(&[40, 6, 0, 0, 0, 3, 1])),
        ("no Acct-Status-Type", "no_status_type", raw(&[1, 3, b'x'])),
        ("an Acct-Status-Type of one octet", "no_status_type", raw(&long_status)),
        ("a changed octet", "wrong_authenticator", changed),
        ("an Access-Request", "wrong_code", {
            let mut octets = good.clone();
            octets[0] = Code::AccessRequest as u8;
            octets
        }),
        ("our own answer", "wrong_code", {
            let mut octets = good.clone();
            octets[0] = Code::AccountingResponse as u8;
            octets
        }),
        ("more than 4096 octets", "too_long", [&good[..], &[0; 4_100]].concat()),
        ("a Status-Server without Message-Authenticator", "no_message_authenticator", {
            Packet::new(Code::StatusServer, SECRET.as_bytes()).encode().unwrap()
        }),
        ("a wrong Message-Authenticator", "wrong_message_authenticator", {
            raw(&[&[40, 6, 0, 0, 0, 3, 80, 18][..], &[7; 16]].concat())
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_not_answered_but_counted_by_its_reason() {
    let service = Service::start().await;
    let nas = Nas::new(service.accounting).await;
    let mut expected = std::collections::BTreeMap::<&str, u64>::new();
    for (what, reason, octets) in cases() {
        assert_eq!(nas.shout(&octets, SILENCE).await, None, "{what} is answered");
        *expected.entry(reason).or_default() += 1;
    }
    let stranger = Nas::from(Ipv4Addr::new(127, 0, 0, 2), service.accounting).await;
    assert_eq!(stranger.shout(&valid(2), SILENCE).await, None, "an unknown client is answered");
    for (reason, packets) in expected {
        let labels = [r#"client="tests""#, r#"outcome="rejected""#, &format!(r#"reason="{reason}""#)];
        until(&format!("{packets} packets rejected as {reason}"), SOON, async || {
            (service.metric("radtally_collector_packets_total", &labels).await == packets).then_some(())
        })
        .await;
    }
    let ledger = service.all_stored().await;
    assert_eq!(ledger["unknown_sources"][0]["source"], "127.0.0.2", "{ledger}");
    assert_eq!(
        (ledger["total"]["rejected"]["unknown_client"].as_u64(), ledger["stored"].as_u64()),
        (Some(1), Some(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_but_valid_packets_are_answered() {
    let service = Service::start().await;
    let nas = Nas::new(service.accounting).await;
    let padded = [&valid(3)[..], &[0xaa; 100]].concat();
    let reply = nas.shout(&padded, SOON).await.expect("a padded packet is answered");
    assert!(is_answer(&reply, &valid(3)));
    let only_a_type = raw(&[40, 6, 0, 0, 0x12, 0x67]);
    let reply =
        nas.shout(&only_a_type, SOON).await.expect("an unknown Acct-Status-Type is recorded and answered");
    assert!(is_answer(&reply, &only_a_type));
    let strange_vendor = raw(&[40, 6, 0, 0, 0, 3, 26, 7, 0, 0, 0xff, 0xff, 1]);
    assert!(nas.shout(&strange_vendor, SOON).await.is_some(), "an unknown vendor's attribute is kept");
    let largest = {
        let filler: Vec<u8> = (0..15).flat_map(|_| [[18, 255].to_vec(), vec![b'x'; 253]].concat()).collect();
        let rest = 4_096 - 20 - 6 - filler.len();
        let last = [&[18, u8::try_from(rest).unwrap()][..], &vec![b'y'; rest - 2]].concat();
        raw(&[&[40, 6, 0, 0, 0, 3][..], &filler, &last].concat())
    };
    assert_eq!(largest.len(), 4_096);
    assert!(nas.shout(&largest, SOON).await.is_some(), "4096 octets are allowed");
    let proxied = raw(&[40, 6, 0, 0, 0, 3, 33, 4, b'a', b'b', 33, 3, b'c']);
    let reply = nas.shout(&proxied, SOON).await.expect("a proxied packet is answered");
    assert_eq!(&reply[20..], [33, 4, b'a', b'b', 33, 3, b'c'], "Proxy-State comes back in its order");
    assert_eq!(service.all_stored().await["stored"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_stops_nothing() {
    let service = Service::start().await;
    let nas = Nas::new(service.accounting).await;
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..4_000 {
        let octets = if round % 2 == 0 {
            let mut octets = vec![0; rng.random_range(0..600)];
            rng.fill_bytes(&mut octets);
            octets
        } else {
            // A valid packet with some octets changed, signed again: the decoder sees it.
            let mut octets = valid(9);
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(20..octets.len());
                octets[at] = rng.random();
            }
            signed(octets)
        };
        _ = nas.shout(&octets, Duration::ZERO).await;
    }
    let mut other = Nas::new(service.accounting).await;
    other.say(&Said::interim("still here", 60, 1, 1)).await;
    let ledger = service.all_stored().await;
    assert!(ledger["total"]["received"].as_u64().unwrap() > 1_000, "{ledger}");
    assert!(!service.log().contains("panicked"), "{}", service.log());
}
