//! Records from hand-written packets.

use super::*;

const ARRIVED: i64 = 1_790_000_000;

fn entry<'a>(packet: &'a [u8]) -> Entry<'a> {
    let peer = "192.0.2.1:40000".parse().unwrap();
    Entry { arrived_at: UnixMicros(ARRIVED * 1_000_000), peer, client: "bng", local: 0, packet }
}

fn packet(attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    for (kind, value) in attributes {
        bytes.extend([*kind, u8::try_from(value.len() + 2).unwrap()]);
        bytes.extend(*value);
    }
    bytes
}

fn row(attributes: &[(u8, &[u8])]) -> RecordRow {
    AccountingRecord::decode(Lsn(1), &entry(&packet(attributes))).to_row("c", &Calendar::new(chrono_tz::UTC))
}

#[test]
fn gigawords_and_delay_are_applied() {
    let row = row(&[
        (40, &[0, 0, 0, 3]),
        (44, b"abc"),
        (41, &[0, 0, 0, 10]),
        (46, &[0, 0, 1, 0]),
        (42, &[0, 0, 0, 1]),
        (43, &205_032_704u32.to_be_bytes()),
        (53, &[0, 0, 0, 1]),
    ]);
    assert_eq!((row.input_octets, row.output_octets), (1, 4_500_000_000));
    assert_eq!(i64::from(row.event_at), ARRIVED - 10);
    assert_eq!(i64::from(row.started_at), ARRIVED - 10 - 256);
    assert!(
        RecordFlags(row.flags).has(RecordFlags::GIGAWORDS | RecordFlags::SESSION_TIME | RecordFlags::OCTETS)
    );
    assert_eq!(row.nas, "bng/192.0.2.1");
}

#[test]
fn a_clock_at_1970_or_in_the_future_is_not_believed() {
    let old = row(&[(40, &[0, 0, 0, 1]), (55, &[0, 0, 0, 9])]);
    assert_eq!(i64::from(old.event_at), ARRIVED);
    assert!(RecordFlags(old.flags).has(RecordFlags::TIME_TOO_OLD));
    let future = row(&[(40, &[0, 0, 0, 1]), (55, &[0xff; 4])]);
    assert_eq!(i64::from(future.event_at), ARRIVED);
    assert!(RecordFlags(future.flags).has(RecordFlags::TIME_IN_FUTURE));
}

#[test]
fn a_retransmission_under_a_new_identifier_has_the_same_digest() {
    let first = row(&[(40, &[0, 0, 0, 2]), (44, b"x"), (41, &[0, 0, 0, 0])]);
    let second = row(&[(40, &[0, 0, 0, 2]), (44, b"x"), (41, &[0, 0, 0, 7]), (33, b"p")]);
    assert_eq!(first.digest, second.digest);
    assert_ne!(first.digest, row(&[(40, &[0, 0, 0, 2]), (44, b"y")]).digest);
}

#[test]
fn attributes_of_the_wrong_length_are_flagged_and_kept() {
    let row = row(&[(40, &[0, 0, 0, 2]), (46, &[1, 2]), (8, &[1]), (1, &[0xff, b'a'])]);
    assert!(
        RecordFlags(row.flags)
            .has(RecordFlags::BAD_ATTRIBUTE | RecordFlags::NOT_UTF8 | RecordFlags::OCTETS_MISSING)
    );
    assert_eq!(
        row.attributes,
        packet(&[(40, &[0, 0, 0, 2]), (46, &[1, 2]), (8, &[1]), (1, &[0xff, b'a'])])[HEADER..]
    );
}

/// A Vendor-Specific value of one sub-attribute.
fn vendor(number: u32, kind: u8, value: &[u8]) -> Vec<u8> {
    let header = [kind, u8::try_from(value.len() + 2).unwrap()];
    [&number.to_be_bytes()[..], &header, value].concat()
}

const INTERIM: (u8, &[u8]) = (40, &[0, 0, 0, 3]);

#[test]
fn a_clock_is_believed_for_seven_days_and_an_hour_back_and_two_seconds_ahead() {
    for (off, flag) in [
        (-OLDEST, None),
        (-OLDEST - 1, Some(RecordFlags::TIME_TOO_OLD)),
        (CLOCK_TOLERANCE, None),
        (CLOCK_TOLERANCE + 1, Some(RecordFlags::TIME_IN_FUTURE)),
    ] {
        let said = u32::try_from(ARRIVED + off).unwrap();
        let row = row(&[INTERIM, (46, &[0, 0, 1, 44]), (55, &said.to_be_bytes())]);
        let event_at = if flag.is_none() { ARRIVED + off } else { ARRIVED };
        assert_eq!((i64::from(row.event_at), i64::from(row.started_at)), (event_at, event_at - 300));
        let flags = RecordFlags(row.flags);
        assert!(flags.has(RecordFlags::EVENT_TIMESTAMP | flag.unwrap_or_default()), "{off}");
    }
}

#[test]
fn a_start_older_than_1970_is_not_computed() {
    let row = row(&[INTERIM, (46, &[0xff; 4]), (41, &[0xff; 4])]);
    assert_eq!((i64::from(row.event_at), row.started_at), (ARRIVED, 0));
}

#[test]
fn wide_counters_stand_in_for_absent_ones() {
    let (input, output) = (vendor(6527, 116, &[0x80, 1, 0, 0, 0, 2, 0, 0, 0, 7]), vendor(6527, 117, &[0; 8]));
    let row = row(&[INTERIM, (26, &input), (26, &output)]);
    assert_eq!((row.input_octets, row.output_octets), ((2 << 32) + 7, 0));
    let flags = RecordFlags(row.flags);
    assert!(
        flags.has(RecordFlags::OCTETS | RecordFlags::GIGAWORDS) && !flags.has(RecordFlags::OCTETS_MISSING)
    );
}

#[test]
fn wide_counters_give_the_upper_half_where_gigawords_do_not() {
    let wide = vendor(6527, 116, &[0, 0, 0, 2, 0, 0, 0, 7]);
    let same = row(&[INTERIM, (42, &[0, 0, 0, 7]), (26, &wide)]);
    assert_eq!(same.input_octets, (2 << 32) + 7);
    assert!(RecordFlags(same.flags).has(RecordFlags::GIGAWORDS));
    // They count something else: the standard counter is the session's.
    let other = row(&[INTERIM, (42, &[0, 0, 0, 9]), (26, &wide)]);
    assert_eq!((other.input_octets, RecordFlags(other.flags).has(RecordFlags::GIGAWORDS)), (9, false));
    let whole = row(&[INTERIM, (42, &[0, 0, 0, 7]), (52, &[0, 0, 0, 5]), (26, &wide)]);
    assert_eq!(whole.input_octets, (5 << 32) + 7);
}

#[test]
fn what_vendors_say_is_in_the_row_and_the_rest_is_kept_raw() {
    let attributes = [
        vendor(4874, 151, &[0, 0, 0, 11]),
        vendor(4874, 152, &[0, 0, 0, 12]),
        vendor(3561, 1, b"olt-1 0/3"),
        vendor(3561, 2, &[0xff, b'x']),
        vendor(14988, 8, b"1M/4M"),
        vendor(99_999, 1, b"who knows"),
    ];
    let mut all: Vec<(u8, &[u8])> = vec![INTERIM, (42, &[0, 0, 1, 0]), (43, &[0, 0, 2, 0])];
    all.extend(attributes.iter().map(|attribute| (26u8, &attribute[..])));
    let row = row(&all);
    assert_eq!((row.input_octets, row.output_octets), (256, 512), "never added");
    assert_eq!((row.input_ipv6_octets, row.output_ipv6_octets), (11, 12));
    assert_eq!((row.agent_circuit_id.as_str(), row.agent_remote_id.as_str()), ("olt-1 0/3", "\u{fffd}x"));
    assert_eq!((row.download_limit_bps, row.upload_limit_bps), (4_000_000, 1_000_000));
    assert_eq!(row.attributes, packet(&all)[HEADER..]);
    assert!(!RecordFlags(row.flags).has(RecordFlags::BAD_ATTRIBUTE));
}

#[test]
fn a_services_record_is_a_child_and_names_its_parent() {
    let service = vendor(4874, 83, b"internet");
    let row = |id: &[u8], extra: &[(u8, &[u8])]| {
        let mut all: Vec<(u8, &[u8])> = vec![INTERIM, (44, id)];
        all.extend(extra);
        row(&all)
    };
    let child = row(b"5:1", &[(26, &service)]);
    assert_eq!((SessionKind(child.kind), child.acct_multi_session_id.as_str()), (SessionKind::SERVICE, "5"));
    let session = row(b"5", &[(50, b"bundle")]);
    assert_eq!(
        (SessionKind(session.kind), session.acct_multi_session_id.as_str()),
        (SessionKind::SESSION, "bundle")
    );
    assert_ne!(child.session_key, session.session_key);
}
