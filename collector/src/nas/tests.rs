//! Sections of NASes, good and bad.

use schema::UnixMicros;
use usage::policy::{Direction, Ipv6Counters};

use super::*;

pub(crate) fn section(name: &str, aliases: &[&str]) -> NasConfig {
    NasConfig {
        name: name.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ipv6_counters: Ipv6Counters::default(),
        direction: Direction::default(),
        port_speed: None,
    }
}

/// The name under which a packet with this NAS-Identifier or NAS-IP-Address is recorded.
fn heard(settings: &NasSettings, client: &str, kind: u8, identity: &[u8]) -> String {
    let mut packet = vec![0; 20];
    packet.extend([kind, u8::try_from(identity.len() + 2).unwrap()]);
    packet.extend(identity);
    let peer = "192.0.2.1:1646".parse().unwrap();
    let entry = Entry { arrived_at: UnixMicros(0), peer, client, local: 0, packet: &packet };
    let mut name = String::new();
    settings.decode(Lsn(1), &entry).write_nas(&mut name);
    name
}

#[test]
fn an_alias_is_recorded_under_the_name() {
    let aliases = ["bng-1/10.0.0.7", "bng-1/old-name", "bng-1/2001:db8::7"];
    let settings = NasSettings::new(&[section("bng-1/core", &aliases)]).unwrap();
    assert_eq!(heard(&settings, "bng-1", 4, &[10, 0, 0, 7]), "bng-1/core");
    assert_eq!(heard(&settings, "bng-1", 32, b"10.0.0.7"), "bng-1/core");
    assert_eq!(heard(&settings, "bng-1", 32, b"old-name"), "bng-1/core");
    assert_eq!(heard(&settings, "bng-1", 32, b"core"), "bng-1/core");
    let v6 = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
    assert_eq!(heard(&settings, "bng-1", 95, &v6), "bng-1/core");
}

#[test]
fn an_alias_and_the_name_share_their_sessions_in_clickhouse() {
    let settings = NasSettings::new(&[section("bng-1/core", &["bng-1/10.0.0.7"])]).unwrap();
    let row = |identity: &[u8]| {
        let packet = [&[0; 20][..], identity, &[44, 4, b'4', b'2']].concat();
        let peer = "192.0.2.1:1646".parse().unwrap();
        let entry = Entry { arrived_at: UnixMicros(0), peer, client: "bng-1", local: 0, packet: &packet };
        settings.decode(Lsn(1), &entry).to_row("c", &usage::Calendar::new(chrono_tz::UTC))
    };
    let (alias, name, other) = (row(&[4, 6, 10, 0, 0, 7]), row(b"\x20\x06core"), row(&[4, 6, 10, 0, 0, 8]));
    assert_eq!((alias.nas.as_str(), alias.session_key), ("bng-1/core", name.session_key));
    assert_ne!(alias.session_key, other.session_key);
}

#[test]
fn who_is_no_alias_keeps_its_own_name() {
    let settings = NasSettings::new(&[section("bng-1/core", &["bng-1/10.0.0.7"])]).unwrap();
    assert_eq!(heard(&settings, "bng-2", 4, &[10, 0, 0, 7]), "bng-2/10.0.0.7");
    assert_eq!(heard(&settings, "bng-1", 4, &[10, 0, 0, 8]), "bng-1/10.0.0.8");
    assert_eq!(heard(&NasSettings::default(), "bng-1", 32, b"x/y"), "bng-1/x/y");
}

#[test]
fn a_policy_is_its_sections() {
    let mut config = section("bng-1/core", &[]);
    config.direction = Direction::Reversed;
    config.ipv6_counters = Ipv6Counters::Separate;
    config.port_speed = Some(1_000_000_000);
    let settings = NasSettings::new(&[config]).unwrap();
    let policy = NasPolicy {
        direction: Direction::Reversed,
        ipv6_counters: Ipv6Counters::Separate,
        port_speed: Some(BitsPerSecond(1_000_000_000)),
    };
    assert_eq!(settings.policy("bng-1/core"), policy);
    assert_eq!(settings.policies(), &BTreeMap::from([(NasId::from("bng-1/core"), policy)]));
    assert_eq!(settings.policy("bng-1/other"), NasPolicy::default());
}

#[test]
fn sections_that_contradict_are_refused_with_what_contradicts() {
    let no_speed = NasConfig { port_speed: Some(0), ..section("a/1", &[]) };
    for (sections, expected) in [
        (vec![section("a/1", &[]), section("a/1", &[])], "two [[nas]] sections are named \"a/1\""),
        (
            vec![section("a/1", &["a/9"]), section("a/2", &["a/9"])],
            "nas \"a/2\": its alias \"a/9\" is one of \"a/1\" already",
        ),
        (vec![section("a/1", &["a/9", "a/9"])], "nas \"a/1\": its alias \"a/9\" is one of \"a/1\" already"),
        (
            vec![section("a/1", &["a/2"]), section("a/2", &[])],
            "nas \"a/1\": its alias \"a/2\" is the name of a [[nas]] section",
        ),
        (vec![section("a/1", &["a/1"])], "nas \"a/1\": its alias \"a/1\" is the name of a [[nas]] section"),
        (vec![section("a/1", &["b/1"])], "nas \"a/1\": its alias \"b/1\" is of another client"),
        (vec![section("core", &[])], "nas \"core\" is not of the form \"client/identifier\""),
        (vec![section("a/1", &["a/"])], "nas \"a/\" is not of the form \"client/identifier\""),
        (vec![no_speed], "nas \"a/1\": port_speed is 0; leave it out where it is not known"),
    ] {
        assert_eq!(NasSettings::new(&sections).unwrap_err().to_string(), expected);
    }
}
