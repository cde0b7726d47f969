//! Session history.

use query_api::sessions::{SessionFilter, SessionId, SessionState, Sort, get, list};
use query_api::{Page, PageRequest};
use schema::{Octets, UnixTime};

use crate::fixture::Fixture;
use crate::traffic::{ACCOUNTING_ON, INTERIM, START, STOP, Said, key};

const BEGIN: i64 = 1_792_792_800;

fn session(login: &str, id: &str, at: i64, ip: [u8; 4]) -> [Said; 3] {
    [
        Said::new(START, login, id, at, 0).ip(ip),
        Said::new(INTERIM, login, id, at + 300, 300).octets(3_000, 300).ip(ip),
        Said::new(STOP, login, id, at + 600, 600).octets(9_000, 900).ip(ip).cause(1),
    ]
}

fn ids(page: &Page<query_api::sessions::Session>) -> Vec<&str> {
    page.items.iter().map(|session| session.acct_session_id.as_str()).collect()
}

async fn find(fixture: &Fixture, filter: SessionFilter) -> Page<query_api::sessions::Session> {
    list(&fixture.deps, &filter, Sort::default(), PageRequest::default()).await.unwrap()
}

#[tokio::test]
async fn a_session_shows_what_its_nas_said() {
    let mut fixture = Fixture::new().await;
    fixture.store(&session("anna", "a1", BEGIN, [10, 0, 0, 7])).await;
    fixture.store(&session("anna", "a1", BEGIN, [10, 0, 0, 7])[2..]).await;
    let page = find(&fixture, SessionFilter { login: Some("anna".into()), ..SessionFilter::default() }).await;
    let [session] = page.items.as_slice() else { panic!("{page:?}") };
    assert_eq!((session.started_at, session.ended_at), (UnixTime(BEGIN), Some(UnixTime(BEGIN + 600))));
    assert_eq!((session.download_octets, session.upload_octets), (Octets(9_000), Octets(900)));
    assert_eq!(session.duration_seconds, 600);
    assert_eq!(session.ips, ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(session.mac.as_deref(), Some("aa:bb:cc:00:00:01"));
    assert_eq!((session.nas.as_str(), session.client.as_str()), ("bng/192.0.2.1", "bng"));
    assert_eq!(
        (session.state, session.terminate_cause.as_deref()),
        (SessionState::Closed, Some("User-Request"))
    );
    assert_eq!(session.in_period, None);
    let id = SessionId { key: key("a1"), number: None };
    let detail = get(&fixture.deps, id).await.unwrap().unwrap();
    assert_eq!((&detail.session, detail.records), (session, 4));
    assert_eq!(get(&fixture.deps, SessionId { key: key("other"), number: None }).await.unwrap(), None);
}

#[tokio::test]
async fn pages_hold_every_session_once_in_every_order() {
    let mut fixture = Fixture::new().await;
    for number in 0..25i64 {
        // Several begin in the same second.
        fixture
            .store(&session("anna", &format!("s{number}"), BEGIN + number / 3 * 1_000, [10, 0, 0, 1]))
            .await;
    }
    let filter = SessionFilter { login: Some("anna".into()), ..SessionFilter::default() };
    for order in
        ["-started_at", "started_at", "-ended_at", "duration_seconds", "-download_octets", "upload_octets"]
    {
        let sort: Sort = order.parse().unwrap();
        let mut request = PageRequest { limit: 7, cursor: None };
        let mut seen = Vec::new();
        loop {
            let page = list(&fixture.deps, &filter, sort, request).await.unwrap();
            seen.extend(page.items.into_iter().map(|session| (session.started_at, session.acct_session_id)));
            let Some(next) = page.next else { break };
            request.cursor = Some(next.parse().unwrap());
        }
        if order.ends_with("started_at") {
            let times: Vec<_> = seen.iter().map(|(started_at, _)| *started_at).collect();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            if order.starts_with('-') {
                sorted.reverse();
            }
            assert_eq!(times, sorted, "{order}");
        }
        assert_eq!(seen.len(), 25, "{order}");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{order}");
    }
}

#[tokio::test]
async fn whoever_had_an_address_at_a_time_is_found() {
    let mut fixture = Fixture::new().await;
    fixture.store(&session("anna", "a", BEGIN, [10, 0, 0, 7])).await;
    fixture.store(&session("ben", "b", BEGIN + 1_000, [10, 0, 0, 7])).await;
    fixture.store(&session("carol", "c", BEGIN, [10, 0, 0, 8])).await;
    let at = |seconds: i64| SessionFilter {
        ip: Some("10.0.0.7".parse().unwrap()),
        at: Some(UnixTime(BEGIN + seconds)),
        ..SessionFilter::default()
    };
    assert_eq!(ids(&find(&fixture, at(300)).await), ["a"]);
    assert_eq!(ids(&find(&fixture, at(1_000)).await), ["b"]);
    assert!(find(&fixture, at(800)).await.items.is_empty());
    let mac = SessionFilter { mac: Some("aa:bb:cc:00:00:01".into()), ..SessionFilter::default() };
    assert_eq!(find(&fixture, mac).await.items.len(), 3);
    let nas = SessionFilter { nas: Some("bng/other".into()), ..SessionFilter::default() };
    assert!(find(&fixture, nas).await.items.is_empty());
}

#[tokio::test]
async fn an_address_that_changed_within_a_session_belongs_to_whom_it_was_given_next() {
    let (seven, nine) = ([10, 0, 0, 7], [10, 0, 0, 9]);
    let mut fixture = Fixture::new().await;
    let mut moved = session("anna", "a", BEGIN, seven).to_vec();
    // The address comes after the Start, and is another one from the last report on.
    moved[0].ip = None;
    moved[2].ip = Some(nine);
    fixture.store(&moved).await;
    fixture.store(&[Said::new(INTERIM, "anna", "a", BEGIN + 900, 900).octets(9_000, 900)]).await;
    fixture.store(&session("ben", "b", BEGIN + 650, seven)).await;
    for (ip, seconds, holders) in [
        (seven, 100, vec!["a"]),
        (seven, 599, vec!["a"]),
        (seven, 700, vec!["b"]),
        (nine, 700, vec!["a"]),
        (nine, 599, vec![]),
    ] {
        let at = Some(UnixTime(BEGIN + seconds));
        let filter = SessionFilter { ip: Some(ip.into()), at, ..SessionFilter::default() };
        assert_eq!(ids(&find(&fixture, filter).await), holders, "{ip:?} at {seconds}");
    }
}

#[tokio::test]
async fn a_period_shows_its_part_of_each_session() {
    let mut fixture = Fixture::new().await;
    fixture.store(&session("anna", "a", BEGIN, [10, 0, 0, 7])).await;
    let filter = SessionFilter {
        from: Some(UnixTime(BEGIN + 300)),
        to: Some(UnixTime(BEGIN + 400)),
        ..SessionFilter::default()
    };
    let page = find(&fixture, filter).await;
    let [session] = page.items.as_slice() else { panic!("{page:?}") };
    let part = session.in_period.unwrap();
    assert_eq!(
        (part.download_octets, part.upload_octets, part.online_seconds),
        (Octets(2_000), Octets(200), 100)
    );
    assert_eq!(part.estimated_octets, Octets(2_200));
    assert_eq!(session.download_octets, Octets(9_000));
}

#[tokio::test]
async fn sessions_under_one_identifier_are_told_apart() {
    let mut fixture = Fixture::new().await;
    fixture.store(&session("anna", "same", BEGIN, [10, 0, 0, 7])).await;
    // Were it the same in all but its times, it would be a replay of the first.
    let second = session("anna", "same", BEGIN + 5_000, [10, 0, 0, 7]).map(|said| said.octets(77_000, 7_000));
    fixture.store(&second).await;
    let page = find(&fixture, SessionFilter { login: Some("anna".into()), ..SessionFilter::default() }).await;
    let shown: Vec<_> =
        page.items.iter().map(|session| (session.id.to_string(), session.started_at.0)).collect();
    assert_eq!(shown, [(format!("{}.2", key("same")), BEGIN + 5_000), (format!("{}.1", key("same")), BEGIN)]);
    let newest = get(&fixture.deps, key("same").to_string().parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(newest.session, page.items[0]);
    let oldest = get(&fixture.deps, page.items[1].id).await.unwrap().unwrap();
    assert_eq!(oldest.session, page.items[1]);
}

#[tokio::test]
async fn a_session_is_live_while_the_collector_says_so_and_over_when_its_nas_restarts() {
    let now = UnixTime::now().0;
    let live = [
        Said::new(START, "anna", "live", now - 60, 0),
        Said::new(INTERIM, "anna", "live", now - 30, 30).octets(10, 1),
    ];
    let mut fixture = Fixture::with_online(&live).await;
    fixture.store(&live).await;
    fixture.store(&[Said::new(START, "anna", "silent", now - 90_000, 0)]).await;
    let states = |page: &Page<query_api::sessions::Session>| {
        page.items.iter().map(|session| (session.state, session.ended_at.map(|at| at.0))).collect::<Vec<_>>()
    };
    let filter = || SessionFilter { login: Some("anna".into()), ..SessionFilter::default() };
    let page = find(&fixture, filter()).await;
    assert_eq!(states(&page), [(SessionState::Live, None), (SessionState::PresumedDead, Some(now - 90_000))]);
    fixture.store(&[Said { session_time: None, ..Said::new(ACCOUNTING_ON, "", "", now - 80_000, 0) }]).await;
    let page = find(&fixture, filter()).await;
    assert_eq!(states(&page), [(SessionState::Live, None), (SessionState::Closed, Some(now - 90_000))]);
    assert_eq!(page.items[1].terminate_cause.as_deref(), Some("NAS-Reboot"));
}

#[tokio::test]
async fn a_stop_that_is_not_stored_yet_has_ended_the_session_all_the_same() {
    let now = UnixTime::now().0;
    let said = session("anna", "a", now - 610, [10, 0, 0, 7]);
    let mut fixture = Fixture::with_online(&said).await;
    fixture.store(&said[..2]).await;
    let page = find(&fixture, SessionFilter { login: Some("anna".into()), ..SessionFilter::default() }).await;
    let [session] = page.items.as_slice() else { panic!("{page:?}") };
    assert_eq!((session.state, session.ended_at), (SessionState::Closed, Some(UnixTime(now - 10))));
    assert_eq!(session.terminate_cause.as_deref(), Some("User-Request"));
}
