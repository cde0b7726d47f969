//! Session state, record by record.

use proptest::prelude::*;
use schema::UnixMicros;

use super::*;
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
}

fn report(status: u32, id: &'static str, start: i64, time: u32, octets: u32) -> Report {
    Report { status, id, login: "anna", start, time, octets }
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
        bytes
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
    fn tell(&mut self, report: &Report) -> Change {
        self.lsn = self.lsn.next();
        let packet = report.packet();
        let arrived_at = UnixMicros((T + report.start + i64::from(report.time)) * 1_000_000);
        let peer = "192.0.2.1:1646".parse().unwrap();
        let entry = Entry { arrived_at, peer, client: "bng", local: 0, packet: &packet };
        self.state.apply(&AccountingRecord::decode(self.lsn, &entry))
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
        Report { status, id, login, start, time, octets }
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
        let image = first.state.save().unwrap();
        let mut second = Story { state: Sessions::load(first.state.applied(), &image).unwrap(), lsn: first.lsn };
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
