//! Vendor-Specific values written by hand.

use super::*;

/// A Vendor-Specific value: vendor number and sub-attributes.
fn value(vendor: u32, subs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vendor.to_be_bytes().to_vec();
    for (kind, value) in subs {
        bytes.extend([*kind, u8::try_from(value.len() + 2).unwrap()]);
        bytes.extend(*value);
    }
    bytes
}

fn number(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn read(values: &[Vec<u8>]) -> VendorFacts<'_> {
    let mut facts = VendorFacts::default();
    values.iter().for_each(|value| facts.read(value));
    facts
}

/// Nokia's ten octets: queue or policer, its number, the counter.
fn wide(selection: u8, id: u8, octets: u64) -> [u8; 10] {
    let mut bytes = [selection, id, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[2..].copy_from_slice(&octets.to_be_bytes());
    bytes
}

#[test]
fn separate_ipv6_counters_of_each_vendor_are_read() {
    for (vendor, kinds) in [
        (ERX, [151, 152, 155, 156]),
        (HUAWEI, [144, 145, 148, 149]),
        (REDBACK, [220, 221, 224, 225]),
        (H3C, [144, 145, 148, 149]),
        (NOKIA, [195, 198, 196, 199]),
    ] {
        let numbers = [7, 8, 1, 2].map(number);
        let subs: Vec<(u8, &[u8])> = kinds.into_iter().zip(numbers.iter().map(|n| &n[..])).collect();
        let together = [value(vendor, &subs)];
        let apart: Vec<_> = subs.iter().map(|sub| value(vendor, &[*sub])).collect();
        for values in [&together[..], &apart] {
            let facts = read(values);
            assert_eq!(facts.input_ipv6(), Octets((1 << 32) + 7), "{vendor}");
            assert_eq!(facts.output_ipv6(), Octets((2 << 32) + 8), "{vendor}");
            assert!(!facts.bad);
        }
    }
}

#[test]
fn packet_counters_are_no_octets() {
    let packets = number(99);
    for (vendor, kinds) in [(ERX, [153, 154]), (HUAWEI, [146, 147]), (REDBACK, [222, 223]), (H3C, [146, 147])]
    {
        let values = kinds.map(|kind| value(vendor, &[(kind, &packets)]));
        let facts = read(&values);
        assert_eq!((facts.input_ipv6(), facts.output_ipv6()), (Octets(0), Octets(0)), "{vendor}");
    }
}

#[test]
fn quotas_are_no_counters() {
    let quota = number(1_000_000);
    let values = [1, 2, 14, 15, 17, 18].map(|kind| value(MIKROTIK, &[(kind, &quota)]));
    let facts = read(&values);
    assert_eq!((facts.input_ipv6(), facts.output_ipv6()), (Octets(0), Octets(0)));
    assert_eq!((facts.wide_input(), facts.wide_output()), (None, None));
    assert_eq!((facts.rates.download(), facts.rates.upload()), (0, 0));
    assert!(!facts.bad);
}

#[test]
fn a_wide_counter_is_the_sum_of_its_queues_and_policers() {
    let values = [
        value(NOKIA, &[(19, &wide(0, 1, 100)), (20, &wide(0, 1, 20))]),
        value(NOKIA, &[(19, &wide(0, 2, 3))]),
        value(NOKIA, &[(116, &wide(0x80, 1, 5_000_000_000)), (116, &wide(0x80, 2, 1))]),
        value(NOKIA, &[(117, &7u64.to_be_bytes())]),
        // Of an application, not of the subscriber.
        value(NOKIA, &[(21, &wide(0x40, 2, 666))]),
    ];
    let facts = read(&values);
    assert_eq!((facts.wide_input(), facts.wide_output()), (Some(5_000_000_124), Some(7)));
    assert!(!facts.bad);
}

#[test]
fn a_policer_that_tells_both_its_profiles_and_their_sum_counts_once() {
    let values =
        [value(NOKIA, &[(21, &wide(0x80, 1, 60)), (22, &wide(0x80, 1, 40)), (117, &wide(0x80, 1, 100))])];
    assert_eq!(read(&values).wide_output(), Some(100));
}

#[test]
fn vendors_with_other_headers_are_not_misread() {
    // As USR writes it: four octets of type, no length. Read the usual way its value would be a counter.
    for vendor in [429, 4846, 8164, 24757] {
        let values = [value(vendor, &[(151, &number(5)), (116, &wide(0x80, 1, 9)), (1, b"circuit")])];
        let facts = read(&values);
        assert_eq!((facts.input_ipv6(), facts.wide_input()), (Octets(0), None));
        assert_eq!((facts.circuit_id(), facts.bad), (&b""[..], false));
    }
}

#[test]
fn what_does_not_parse_is_noticed_and_what_came_before_it_kept() {
    let mut cut = value(ADSL_FORUM, &[(1, b"eth 1/1/04")]);
    cut.extend([2, 200, b'x']);
    for values in [[cut], [value(ADSL_FORUM, &[(1, b"eth 1/1/04"), (129, &[1, 2])])]] {
        let facts = read(&values);
        assert_eq!((facts.circuit_id(), facts.bad), (&b"eth 1/1/04"[..], true));
        assert_eq!(facts.rates.upload(), 0);
    }
    for short in [vec![], vec![0, 0], vec![0, 0, 0x0d, 0xe9, 1, 0], vec![0, 0, 0x0d, 0xe9, 1]] {
        assert!(read(std::slice::from_ref(&short)).bad, "{short:?}");
    }
}

#[test]
fn circuits_and_rates_are_read() {
    let (up, down) = (number(1_024_000), number(16_000_000));
    let values =
        [value(ADSL_FORUM, &[(1, b"olt-3 xpon 0/1"), (2, b"ONT-77"), (129, &up), (130, &down), (9, b"?")])];
    let facts = read(&values);
    assert_eq!((facts.circuit_id(), facts.remote_id()), (&b"olt-3 xpon 0/1"[..], &b"ONT-77"[..]));
    assert_eq!((facts.rates.upload(), facts.rates.download()), (1_024_000, 16_000_000));
    let values = [
        value(WISPR, &[(7, &number(128_000)), (8, &number(512_000))]),
        value(CISCO, &[(1, b"circuit-id-tag=ge-1"), (1, b"remote-id-tag=r-1"), (1, b"connect-progress=Up")]),
    ];
    let facts = read(&values);
    assert_eq!((facts.circuit_id(), facts.remote_id()), (&b"ge-1"[..], &b"r-1"[..]));
    assert_eq!((facts.rates.upload(), facts.rates.download()), (128_000, 512_000));
    let values = [value(MIKROTIK, &[(8, b"2M/10M")])];
    assert_eq!(read(&values).rates.download(), 10_000_000);
}

#[test]
fn a_service_with_a_parent_is_its_child() {
    let juniper = [value(ERX, &[(83, b"internet-50m")])];
    assert_eq!(read(&juniper).parent(b"5:12", b""), Some(&b"5"[..]));
    assert_eq!(read(&juniper).parent(b"12", b"5"), Some(&b"5"[..]));
    let nokia = [value(NOKIA, &[(151, b"video")])];
    assert_eq!(read(&nokia).parent(b"24ADFF02", b"24ADFF01"), Some(&b"24ADFF01"[..]));
    let cisco = [value(CISCO, &[(251, b"NINTERNET"), (1, b"parent-session-id=0000000A")])];
    assert_eq!(read(&cisco).parent(b"0000000B", b""), Some(&b"0000000A"[..]));
}

#[test]
fn a_record_without_service_or_without_parent_is_no_child() {
    let service_only =
        [value(ERX, &[(83, b"gold")]), value(NOKIA, &[(151, b"gold")]), value(CISCO, &[(251, b"Ngold")])];
    for values in service_only {
        assert_eq!(read(&[values]).parent(b"12", b""), None);
    }
    // Bundled links, Nokia's hosts, Wi-Fi roaming: linked, and sessions nevertheless.
    assert_eq!(read(&[]).parent(b"5:12", b"5"), None);
    let parent_only = [value(CISCO, &[(1, b"parent-session-id=0000000A")])];
    assert_eq!(read(&parent_only).parent(b"0000000B", b""), None);
    // Its own parent, as a session that names itself.
    assert_eq!(read(&[value(NOKIA, &[(151, b"gold")])]).parent(b"7", b"7"), None);
    // A user that logs a service on says `U`; an ISG's session record may name services of the session itself.
    let other = [value(CISCO, &[(251, b"Ujoe"), (1, b"parent-session-id=1")])];
    assert_eq!(read(&other).parent(b"2", b""), None);
}

proptest::proptest! {
    #[test]
    fn any_octets_are_read_or_left(values in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), 0..6), vendor in proptest::sample::select(vec![CISCO, ERX, NOKIA, MIKROTIK, ADSL_FORUM])) {
        let values: Vec<Vec<u8>> = values.into_iter().map(|rest| [&vendor.to_be_bytes()[..], &rest].concat()).collect();
        let facts = read(&values);
        let _ = (facts.parent(b"a:b", b"c"), facts.wide_input(), facts.rates.download());
    }
}
