//! What the dictionary says of attributes as they are sent.

use proptest::prelude::*;

use super::walk::Part;
use super::*;

/// An attribute, or a sub-attribute in the recommended form.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(value.len() + 2).unwrap()], value].concat()
}

fn vsa(vendor: u32, inner: &[u8]) -> Vec<u8> {
    tlv(26, &[&vendor.to_be_bytes(), inner].concat())
}

fn long(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// `number name = value` of each attribute.
fn lines(attributes: &[u8]) -> Vec<String> {
    let lines = decode(attributes).into_iter();
    lines.map(|decoded| format!("{} {} = {}", decoded.number, decoded.name, decoded.value)).collect()
}

#[track_caller]
fn says(attributes: &[u8], expected: &str) {
    assert_eq!(lines(attributes), [expected]);
}

#[test]
fn standard_attributes_say_what_they_mean() {
    says(&tlv(46, &long(300)), "46 Acct-Session-Time = 300");
    says(&tlv(40, &long(3)), "40 Acct-Status-Type = Interim-Update (3)");
    says(&tlv(40, &long(4711)), "40 Acct-Status-Type = 4711");
    says(&tlv(49, &long(2)), "49 Acct-Terminate-Cause = Lost-Carrier (2)");
    says(&tlv(61, &long(33)), "61 NAS-Port-Type = PPPoEoVLAN (33)");
    says(&tlv(8, &[192, 0, 2, 1]), "8 Framed-IP-Address = 192.0.2.1");
    says(&tlv(55, &long(1_700_000_000)), "55 Event-Timestamp = 2023-11-14T22:13:20Z");
    says(&tlv(96, &[2, 0, 0, 0xff, 0xfe, 0, 0, 1]), "96 Framed-Interface-Id = 0200:00ff:fe00:0001");
    says(&tlv(2, b"not to be seen"), "2 User-Password = (14 octets, not shown)");
    says(&tlv(200, &[1, 0xab]), "200 Attr-200 = 0x01ab");
}

#[test]
fn ipv6_prefixes_are_written_as_prefixes_and_impossible_ones_as_octets() {
    says(&tlv(97, &[0, 56, 0x20, 1, 0xd, 0xb8, 0, 1, 2]), "97 Framed-IPv6-Prefix = 2001:db8:1:200::/56");
    says(&tlv(123, &[0, 0]), "123 Delegated-IPv6-Prefix = ::/0");
    says(&tlv(123, &[0, 64, 0x20, 1]), "123 Delegated-IPv6-Prefix = 0x00402001");
    says(&tlv(123, &[0, 129, 1]), "123 Delegated-IPv6-Prefix = 0x008101");
}

#[test]
fn tags_come_before_the_value_and_no_tag_is_not_shown() {
    says(&tlv(64, &[1, 0, 0, 3]), "64 Tunnel-Type = tag 1: L2TP (3)");
    says(&tlv(64, &[0, 0, 0, 13]), "64 Tunnel-Type = VLAN (13)");
    says(&tlv(67, b"\x02lns.example"), "67 Tunnel-Server-Endpoint = tag 2: lns.example");
    says(&tlv(67, b"192.0.2.9"), "67 Tunnel-Server-Endpoint = 192.0.2.9");
}

#[test]
fn texts_keep_every_script_and_escape_what_cannot_be_seen() {
    says(&tlv(1, "Ünïcødé ภาษาไทย".as_bytes()), "1 User-Name = Ünïcødé ภาษาไทย");
    says(&tlv(1, br#"EXAMPLE\o'neil "x""#), r#"1 User-Name = EXAMPLE\o'neil "x""#);
    says(&tlv(1, b"a\0\n\xffb"), r"1 User-Name = a\0\n\xffb");
    says(&tlv(1, "evil\u{202e}txt".as_bytes()), r"1 User-Name = evil\u{202e}txt");
    says(&tlv(25, b"gold"), "25 Class = gold");
    says(&tlv(25, b"\x01gold"), "25 Class = 0x01676f6c64");
    says(&tlv(25, b"0x01"), "25 Class = 0x30783031");
}

#[test]
fn several_sub_attributes_in_one_attribute_are_all_named() {
    let inner = [tlv(151, &long(7)), tlv(7, &[192, 0, 2, 7]), tlv(255, b"?")].concat();
    let decoded = decode(&vsa(4874, &inner));
    let read: Vec<_> =
        decoded.iter().map(|one| (one.number.as_str(), &*one.name, one.value.as_str(), one.source)).collect();
    let expected = [
        ("26.4874.151", "ERX-IPv6-Acct-Input-Octets", "7", "ERX"),
        ("26.4874.7", "ERX-Secondary-Wins", "192.0.2.7", "ERX"),
        ("26.4874.255", "Vendor-4874-Attr-255", "0x3f", UNKNOWN),
    ];
    assert_eq!(read, expected);
    assert!(decoded.iter().all(|one| one.vendor == Some("ERX")));
}

#[test]
fn lines_and_counters_of_access_vendors_are_named() {
    says(&vsa(3561, &tlv(1, b"dslam eth 1/2")), "26.3561.1 Agent-Circuit-Id = dslam eth 1/2");
    says(&vsa(3561, &tlv(2, &[0, 1, 0xfe])), "26.3561.2 Agent-Remote-Id = 0x0001fe");
    says(&vsa(3561, &tlv(255, &tlv(2, b"S1"))), "26.3561.255.2 ADSL-Forum-Device-Serial-Number = S1");
    says(&vsa(14988, &tlv(8, b"1M/2M")), "26.14988.8 Mikrotik-Rate-Limit = 1M/2M");
    let counter = [&[0x80, 3], 5_000_000_000u64.to_be_bytes().as_slice()].concat();
    says(&vsa(6527, &tlv(116, &counter)), "26.6527.116 Alc-Acct-I-All-Octets_64 = 5000000000 (policer 3)");
    says(&vsa(6527, &tlv(19, &[0; 10])), "26.6527.19 Alc-Acct-I-Inprof-Octets-64 = 0 (queue 0)");
    says(&vsa(25506, &tlv(148, &long(1))), "26.25506.148 H3C-Acct-IPv6-Input-Gigawords = 1");
    says(&vsa(2352, &tlv(128, &9u64.to_be_bytes())), "26.2352.128 Acct-Input-Octets-64 = 9");
    says(&vsa(311, &tlv(16, b"key")), "26.311.16 MS-MPPE-Send-Key = (3 octets, not shown)");
}

#[test]
fn vendors_with_headers_of_their_own_are_taken_apart_by_them() {
    says(&vsa(429, &[0, 0, 0x98, 0x15, 7]), "26.429.38933 Vendor-429-Attr-38933 = 0x07");
    says(&vsa(4846, &[1, 2, 5, 9, 8]), "26.4846.258 Vendor-4846-Attr-258 = 0x0908");
    says(&vsa(8164, &[3, 0xe9, 0, 8, 0, 0, 0, 5]), "26.8164.1001 SNA-PPP-Ctrl-Input-Octets = 5");
    says(&vsa(24757, &[48, 7, 0, 0, 0, 0, 2]), "26.24757.48 WiMAX-Acct-Input-Packets-Gigaword = 2");
}

#[test]
fn a_value_that_goes_on_in_the_next_attribute_stays_octets() {
    let begun = vsa(24757, &[32, 5, 0x80, 0, 1]);
    let ended = vsa(24757, &[32, 5, 0, 0, 2]);
    let whole = vsa(24757, &[32, 7, 0, 0, 0, 0, 2]);
    let name = "26.24757.32 WiMAX-Control-Octets-In";
    assert_eq!(
        lines(&[begun, ended, whole].concat()),
        [format!("{name} = 0x0001"), format!("{name} = 0x0002"), format!("{name} = 2")]
    );
    let begun = tlv(245, &[26, 0x80, 0, 0, 0, 9, 1, 7]);
    let ended = tlv(245, &[26, 0, 8]);
    let name = "245.26 Extended-Vendor-Specific";
    assert_eq!(
        lines(&[begun, ended].concat()),
        [format!("{name} = 0x000000090107"), format!("{name} = 0x08")]
    );
}

#[test]
fn extended_attributes_and_their_structures_are_named() {
    let range = [tlv(3, &[192, 0, 2, 1]), tlv(9, &long(1024)), tlv(10, &long(2047)), tlv(99, &[1])].concat();
    let lines = lines(&tlv(241, &[&[6], range.as_slice()].concat()));
    let expected = [
        "241.6.3 IP-Port-Ext-IPv4-Addr = 192.0.2.1",
        "241.6.9 IP-Port-Range-Start = 1024",
        "241.6.10 IP-Port-Range-End = 2047",
        "241.6.99 Attr-241.6.99 = 0x01",
    ];
    assert_eq!(lines, expected);
    says(&tlv(241, &[200, 1]), "241.200 Attr-241.200 = 0x01");
    says(&tlv(246, &[3, 0, 1]), "246.3 Attr-246.3 = 0x01");
    let vendors = decode(&tlv(242, &[26, 0, 0, 0, 9, 7, 1, 2]));
    assert_eq!((vendors[0].number.as_str(), vendors[0].vendor), ("242.26.9.7", Some("Cisco")));
    assert_eq!((&*vendors[0].name, vendors[0].value.as_str()), ("Vendor-9-Attr-242.26.9.7", "0x0102"));
}

#[test]
fn what_cannot_be_told_apart_is_shown_under_what_holds_it() {
    says(&[26, 5, 1, 2, 3], "26 Vendor-Specific = 0x010203");
    says(&vsa(9, &[1, 9, b'x']), "26.9 Vendor-Specific = 0x010978");
    says(&vsa(9, &[]), "26.9 Vendor-Specific = 0x");
    says(&vsa(99_999, &[1, 9, b'x']), "26.99999 Vendor-Specific = 0x010978");
    says(&vsa(99_999, &[1, 3, b'x']), "26.99999.1 Vendor-99999-Attr-1 = 0x78");
    says(&tlv(46, &[1, 2, 3]), "46 Acct-Session-Time = 0x010203");
    says(&tlv(241, &[5, 1, 1]), "241.5 IP-Port-Limit-Info = 0x0101");
    says(&tlv(241, &[]), "241 Attr-241 = 0x");
    assert_eq!(
        lines(&[tlv(44, b"a"), vec![46, 200, 1]].concat()),
        ["44 Acct-Session-Id = a", " Malformed = 0x2ec801"]
    );
    assert_eq!(
        lines(&vsa(9, &[tlv(1, b"a=b"), vec![0]].concat())),
        ["26.9.1 Cisco-AVPair = a=b", "26.9 Vendor-Specific = 0x00"]
    );
}

#[test]
fn every_table_is_sorted_so_that_every_name_is_found() {
    fn check(table: &[Entry]) {
        assert!(table.is_sorted_by(|one, next| one.number < next.number));
        for entry in table {
            if let Kind::Structure(inner) = entry.kind {
                check(inner);
            }
        }
    }
    check(standard::TABLE);
    (241..=246).for_each(|outer| check(extended::table(outer)));
    vendors::VENDORS.iter().for_each(|vendor| check(vendor.entries));
    assert!(vendors::VENDORS.is_sorted_by(|one, next| one.number < next.number));
    assert!(standard::TABLE.iter().all(|entry| entry.source.starts_with("RFC ")));
}

/// Attributes that are well-formed outside and anything inside.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just(26u8), 241..=246u8, any::<u8>()];
    let vendors: Vec<u32> = vendors::VENDORS.iter().map(|vendor| vendor.number).collect();
    let vendor = prop_oneof![proptest::sample::select(vendors), any::<u32>()];
    let value = proptest::collection::vec(prop_oneof![0..9u8, any::<u8>()], 0..40);
    let one = (kind, vendor, value).prop_map(|(kind, vendor, value)| match kind {
        26 => vsa(vendor, &value),
        _ => tlv(kind, &value),
    });
    proptest::collection::vec(one, 0..6).prop_map(|all| all.concat())
}

/// Leaves lie in the input in its order and reach its end; between them there are headers only.
fn accounts_for_all(input: &[u8]) -> Result<(), TestCaseError> {
    const HEADERS: usize = 2 + 4 + 4 + 2 + 2;
    let start = input.as_ptr() as usize;
    let mut end = 0;
    for leaf in walk::leaves(input) {
        let at = leaf.octets.as_ptr() as usize - start;
        prop_assert!(at >= end && at - end <= HEADERS, "{} octets before {}", at - end, leaf.path);
        end = at + leaf.octets.len();
    }
    prop_assert_eq!(end, input.len());
    Ok(())
}

proptest! {
    #[test]
    fn no_octet_is_lost_whatever_arrives(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        accounts_for_all(&input)?;
        prop_assert_eq!(decode(&input).is_empty(), input.is_empty());
    }

    #[test]
    fn no_octet_of_a_vendor_s_is_lost(input in attributes()) {
        accounts_for_all(&input)?;
        for decoded in decode(&input) {
            prop_assert!(!decoded.name.is_empty() && !decoded.value.chars().any(char::is_control));
        }
    }

    #[test]
    fn octets_that_were_not_understood_can_be_read_back(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let decoded = decode(&tlv(200, &value));
        let digits = decoded[0].value.strip_prefix("0x").unwrap();
        let read: Vec<u8> =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
        prop_assert_eq!(read, value);
    }

    #[test]
    fn what_vendors_with_known_headers_send_is_whole(numbers in proptest::collection::vec(any::<u8>(), 1..20)) {
        let inner: Vec<u8> = numbers.iter().flat_map(|number| tlv(*number, &[1, 2, 3])).collect();
        let input = vsa(99_999, &inner);
        let leaves = walk::leaves(&input);
        prop_assert_eq!(leaves.len(), numbers.len());
        prop_assert!(leaves.iter().all(|leaf| leaf.part == Part::Whole && leaf.octets == [1, 2, 3]));
    }
}
