//! Session state, record by record.

use proptest::prelude::*;
use schema::live::Confidence;
use schema::{Octets, SessionKind, UnixMicros};
use usage::policy::{Direction, Ipv6Counters};

use super::*;
use crate::config::NasConfig;
use crate::journal::Entry;

const T: i64 = 1_790_000_000;

/// A record of session `id`, `time` seconds after its start, which is `start` seconds after `T`.
#[derive(Clone, Debug)]
struct Report {
    status: u32,
    id: &'static str,
    login: &'static str,
    start: i64,
    time: u32,
    octets: u32,
    extra: Vec<(u8, Vec<u8>)>,
}

fn report(status: u32, id: &'static str, start: i64, time: u32, octets: u32) -> Report {
    Report { status, id, login: "anna", start, time, octets, extra: Vec::new() }
}

impl Report {
    fn packet(&self) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        let mut add = |kind: u8, value: &[u8]| {
            bytes.extend([kind, u8::try_from(value.len() + 2).unwrap()]);
            bytes.extend(value);
        };
        add(40, &self.status.to_be_bytes());
        if !self.id.is_empty() {
            add(1, self.login.as_bytes());
            add(44, self.id.as_bytes());
            add(46, &self.time.to_be_bytes());
            add(42, &(self.octets / 10).to_be_bytes());
            add(43, &self.octets.to_be_bytes());
            add(8, &[10, 0, 0, 7]);
            add(123, &[0, 56, 0x20, 1, 0xd, 0xb8, 0, 1, 2, 0]);
            add(31, b"AA-BB-CC-00-00-01");
        }
        self.extra.iter().for_each(|(kind, value)| add(*kind, value));
        bytes
    }

    fn with(mut self, kind: u8, value: &[u8]) -> Self {
        self.extra.push((kind, value.to_vec()));
        self
    }

    /// Names its time by the NAS's clock, which is `ahead` seconds ahead.
    fn by_clock(self, ahead: i64) -> Self {
        let said = u32::try_from(T + self.start + i64::from(self.time) + ahead).unwrap();
        self.with(55, &said.to_be_bytes())
    }

    /// Names a service and the session that it is a part of.
    fn of_service(self, parent: &str) -> Self {
        self.with(26, b"\0\0\x13\x0a\x53\x06gold").with(50, parent.as_bytes())
    }
}

fn at(second: i64) -> UnixTime {
    UnixTime(T + second)
}

#[derive(Default)]
struct Story {
    state: Sessions,
    lsn: Lsn,
}

impl Story {
    /// With this section of a NAS.
    fn with(config: NasConfig) -> Self {
        let settings = NasSettings::new(&[config]).unwrap();
        Self { state: Sessions::new(settings), lsn: Lsn::ZERO }
    }

    /// What a start from the checkpoint gives, the NAS being configured so.
    fn restarted(&self, settings: NasSettings) -> Self {
        let image = self.state.save().unwrap();
        Self { state: Sessions::load(self.state.applied(), &image, settings).unwrap(), lsn: self.lsn }
    }

    fn tell(&mut self, report: &Report) -> Change {
        self.lsn = self.lsn.next();
        let packet = report.packet();
        let arrived_at = UnixMicros((T + report.start + i64::from(report.time)) * 1_000_000);
        let peer = "192.0.2.1:1646".parse().unwrap();
        let entry = Entry { arrived_at, peer, client: "bng", local: 0, packet: &packet };
        let settings = self.state.settings().clone();
        self.state.apply(&settings.decode(self.lsn, &entry))
    }

    fn online(&self, second: i64) -> Vec<OnlineSession> {
        self.state.newest_first(None).filter_map(|key| self.state.online(key, at(second))).collect()
    }
}

#[test]
fn a_session_comes_moves_and_goes() {
    let mut story = Story::default();
    story.tell(&report(1, "a", 0, 0, 0));
    story.tell(&report(3, "a", 0, 300, 75_000_000));
    let [session] = story.online(310).try_into().unwrap();
    assert_eq!(
        (session.login.as_str(), session.nas.as_str(), session.duration_seconds),
        ("anna", "bng/192.0.2.1", 300)
    );
    assert_eq!(session.rate.unwrap().download_bps, BitsPerSecond(2_000_000));
    assert_eq!(
        (session.mac.as_deref(), &session.prefixes[..]),
        (Some("aa:bb:cc:00:00:01"), &["2001:db8:1:200::/56".to_owned()][..])
    );
    assert!(matches!(story.tell(&report(2, "a", 0, 400, 80_000_000)), Change::Ended(_)));
    assert_eq!(story.online(410), []);
    assert_eq!(story.state.by_login.get("anna"), []);
    assert_eq!(story.state.totals(None, at(410)).sessions, 0);
}

#[test]
fn an_interim_after_the_stop_does_not_open_the_session_again() {
    let mut story = Story::default();
    story.tell(&report(2, "a", 0, 400, 9));
    assert_eq!(story.tell(&report(3, "a", 0, 300, 7)), Change::Nothing);
    assert_eq!(story.online(410), []);
}

#[test]
fn an_identifier_that_is_used_again_is_another_session() {
    let mut story = Story::default();
    story.tell(&report(3, "a", 0, 300, 1_000));
    story.tell(&report(1, "a", 5_000, 0, 0));
    let [session] = story.online(5_001).try_into().unwrap();
    assert_eq!((session.started_at, session.download_octets.0), (at(5_000), 0));
}

#[test]
fn accounting_on_ends_older_sessions_and_those_that_go_on_are_back() {
    let mut story = Story::default();
    story.tell(&report(1, "a", 0, 0, 0));
    story.tell(&report(1, "b", 0, 0, 0));
    assert_eq!(story.tell(&report(7, "", 100, 0, 0)), Change::NasRestarted(0));
    assert_eq!(story.online(101), []);
    story.tell(&report(1, "c", 110, 0, 0));
    story.tell(&report(3, "b", 0, 120, 5));
    let ids: Vec<_> = story.online(121).into_iter().map(|session| session.acct_session_id).collect();
    assert_eq!(ids, ["c", "b"]);
}

#[test]
fn silence_makes_a_session_overdue_and_then_takes_it_off_the_list() {
    let mut story = Story::default();
    story.tell(&report(1, "a", 0, 0, 0));
    story.tell(&report(3, "a", 0, 300, 1));
    assert_eq!(story.online(2_000)[0].confidence, Confidence::Overdue);
    assert_eq!(story.online(90_000), []);
    story.tell(&report(3, "a", 0, 90_000, 2));
    assert_eq!(story.online(90_001).len(), 1);
}

#[test]
fn a_record_after_presumed_death_brings_the_session_back_with_all_it_counted() {
    let mut story = Story::default();
    story.tell(&report(1, "a", 0, 0, 0));
    story.tell(&report(3, "a", 0, 300, 1_000));
    assert_eq!((story.online(20_000), story.state.totals(None, at(20_000)).sessions), (Vec::new(), 0));
    assert!(matches!(story.tell(&report(3, "a", 0, 20_000, 5_000)), Change::Session(_)));
    let [session] = story.online(20_001).try_into().unwrap();
    assert_eq!(
        (session.started_at, session.download_octets, session.confidence),
        (at(0), Octets(5_000), Confidence::Live)
    );
}

#[test]
fn a_restart_ends_sessions_at_their_last_evidence_and_touches_none() {
    let mut story = Story::default();
    for id in ["a", "b"] {
        story.tell(&report(3, id, 0, 300, 1_000));
    }
    let keys: Vec<_> = story.state.newest_first(None).collect();
    assert_eq!(story.tell(&report(7, "", 900, 0, 0)), Change::NasRestarted(0));
    for key in keys {
        assert_eq!(story.state.ended(key), Some((at(300), TerminateCause(11))));
        assert_eq!(story.state.online(key, at(901)), None);
    }
    // It says nothing of sessions that began after it, though it arrived later.
    story.tell(&report(1, "c", 950, 0, 0));
    story.tell(&report(7, "", 910, 50, 0).with(41, &[0, 0, 0, 50]));
    let ids: Vec<_> = story.online(961).into_iter().map(|session| session.acct_session_id).collect();
    assert_eq!(ids, ["c"]);
}

#[test]
fn a_clock_that_is_set_in_mid_session_does_not_begin_another() {
    let mut story = Story::default();
    story.tell(&report(1, "a", 0, 0, 0).by_clock(-7_200));
    story.tell(&report(3, "a", 0, 300, 75_000_000).by_clock(-7_200));
    story.tell(&report(3, "a", 0, 600, 150_000_000).by_clock(0));
    let [session] = story.online(601).try_into().unwrap();
    assert_eq!((session.duration_seconds, session.download_octets), (600, Octets(150_000_000)));
    assert_eq!(session.rate.unwrap().download_bps, BitsPerSecond(2_000_000));
    // And back.
    story.tell(&report(3, "a", 0, 900, 225_000_000).by_clock(-7_200));
    assert_eq!(story.online(901)[0].duration_seconds, 900);
    // Nor does it join what reuses the identifier.
    story.tell(&report(3, "a", 9_000, 300, 10).by_clock(0));
    assert_eq!(story.online(9_301)[0].download_octets, Octets(10));
}

#[test]
fn a_nas_that_reappears_under_an_alias_goes_on_with_its_sessions() {
    let mut story = Story::with(NasConfig {
        aliases: vec!["bng/192.0.2.1".into(), "bng/10.0.0.9".into()],
        ..section("bng/core")
    });
    story.tell(&report(1, "a", 0, 0, 0));
    story.tell(&report(3, "a", 0, 300, 75_000_000).with(4, &[10, 0, 0, 9]));
    story.tell(&report(3, "a", 0, 600, 150_000_000).with(32, b"core"));
    let [session] = story.online(601).try_into().unwrap();
    assert_eq!((session.nas.as_str(), session.duration_seconds), ("bng/core", 600));
    assert_eq!(story.state.nases().len(), 1);
}

#[test]
fn a_session_keeps_the_policy_that_it_was_opened_with() {
    let reversed = NasConfig { direction: Direction::Reversed, ..section("bng/192.0.2.1") };
    let mut story = Story::with(reversed);
    story.tell(&report(3, "a", 0, 300, 1_000));
    let octets = |story: &Story| {
        let session = story.online(601).pop().unwrap();
        (session.download_octets, session.upload_octets)
    };
    assert_eq!(octets(&story), (Octets(100), Octets(1_000)));
    let mut story = story.restarted(NasSettings::default());
    story.tell(&report(3, "a", 0, 600, 2_000));
    assert_eq!(octets(&story), (Octets(200), Octets(2_000)));
    story.tell(&report(3, "b", 1, 600, 2_000));
    assert_eq!(story.online(601)[0].download_octets, Octets(2_000), "a later one has today's");
}

#[test]
fn separate_ipv6_counters_are_added_where_the_policy_says_so() {
    let v6 = b"\0\0\x13\x0a\x97\x06\0\0\0\x07\x98\x06\0\0\0\x09";
    for (ipv6_counters, expected) in
        [(Ipv6Counters::Included, (1_000, 100)), (Ipv6Counters::Separate, (1_009, 107))]
    {
        let mut story = Story::with(NasConfig { ipv6_counters, ..section("bng/192.0.2.1") });
        story.tell(&report(3, "a", 0, 300, 1_000).with(26, v6));
        let [session] = story.online(301).try_into().unwrap();
        assert_eq!((session.download_octets.0, session.upload_octets.0), expected);
    }
}

#[test]
fn a_service_is_followed_and_neither_listed_nor_summed() {
    let mut story = Story::default();
    for time in [300, 600] {
        story.tell(&report(3, "5", 0, time, time * 100));
        assert_eq!(story.tell(&report(3, "5:1", 0, time, time * 90).of_service("5")), Change::Nothing);
    }
    let [session] = story.online(601).try_into().unwrap();
    assert_eq!((session.acct_session_id.as_str(), session.kind), ("5", SessionKind::SESSION));
    let totals = story.state.totals(None, at(601));
    assert_eq!((totals.sessions, totals.download_bps), (1, session.rate.unwrap().download_bps));
    assert_eq!(story.state.online_by_nas(at(601)), HashMap::from_iter([(0, 1)]));
    assert_eq!(story.state.by_login.get("anna"), [session.id]);
    let service = story.state.online(SessionKey::new("bng/192.0.2.1", b"5:1"), at(601)).unwrap();
    assert_eq!((service.kind, service.download_octets), (SessionKind::SERVICE, Octets(54_000)));
}

#[test]
fn a_checkpoint_of_another_version_is_refused() {
    let image = Story::default().state.save().unwrap();
    let settings = NasSettings::default;
    assert!(Sessions::load(Lsn(1), &image, settings()).is_ok());
    // As it was before it had a version: it began with the time.
    let before = postcard::to_stdvec(&(at(0), [0u8; 3])).unwrap();
    assert!(matches!(Sessions::load(Lsn(1), &before, settings()), Err(ImageError::Version(_))));
    assert!(matches!(Sessions::load(Lsn(1), &[], settings()), Err(ImageError::Encoding(_))));
}

fn section(name: &str) -> NasConfig {
    NasConfig {
        name: name.to_owned(),
        aliases: Vec::new(),
        ipv6_counters: Ipv6Counters::default(),
        direction: Direction::default(),
        port_speed: None,
    }
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let one = (
        prop::sample::select(vec![1u32, 2, 3, 3, 3, 7, 8]),
        prop::sample::select(vec!["a", "b", "c"]),
        prop::sample::select(vec!["anna", "bert"]),
        0i64..2_000,
        0u32..3_000,
        any::<u32>(),
    );
    let report = one.prop_map(|(status, id, login, start, time, octets)| {
        let id = if status > 3 { "" } else { id };
        Report { status, id, login, start, time, octets, extra: Vec::new() }
    });
    proptest::collection::vec(report, 1..40)
}

proptest! {
    #[test]
    fn a_checkpoint_and_the_rest_give_the_same_state_as_all(reports in reports(), cut in any::<prop::sample::Index>()) {
        let mut whole = Story::default();
        reports.iter().for_each(|report| _ = whole.tell(report));
        let cut = cut.index(reports.len());
        let mut first = Story::default();
        reports[..cut].iter().for_each(|report| _ = first.tell(report));
        let mut second = first.restarted(NasSettings::default());
        reports[cut..].iter().for_each(|report| _ = second.tell(report));
        prop_assert_eq!(whole.online(3_000), second.online(3_000));
        prop_assert_eq!(whole.state.totals(None, at(3_000)), second.state.totals(None, at(3_000)));
        prop_assert_eq!(whole.state.applied(), second.state.applied());
    }

    #[test]
    fn every_index_finds_what_the_list_shows(reports in reports()) {
        let mut story = Story::default();
        reports.iter().for_each(|report| _ = story.tell(report));
        for session in story.online(3_000) {
            prop_assert!(story.state.by_login.get(session.login.as_str()).contains(&session.id));
            prop_assert!(story.state.by_address.get(&session.ips[0]).contains(&session.id));
            prop_assert!(story.state.by_mac.get(&[0xaa, 0xbb, 0xcc, 0, 0, 1]).contains(&session.id));
        }
    }
}
