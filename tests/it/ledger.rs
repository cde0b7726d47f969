//! The loss ledger to the packet: several NASes behind one client, and everything that can become of a packet; and what
//! was lost, beside the usage that it may touch.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::api::{SOON, rfc3339};
use crate::bad_input::{SILENCE, raw, signed, with_length};
use crate::client::{Nas, Said};
use crate::program::Program;
use crate::service::Service;
use crate::until::until;

/// A client whose secret nobody here knows.
const MORE: &str = "[[client]]\nname = \"elsewhere\"\nsource = \"127.0.0.3\"\nsecret = \"another\"\n";

/// Sends as somebody, and counts what it sends by line and by what must become of it.
struct Senders {
    known: Nas,
    elsewhere: Nas,
    stranger: Nas,
    expected: BTreeMap<String, BTreeMap<&'static str, u64>>,
    seconds: u32,
}

impl Senders {
    async fn new(service: &Service) -> Self {
        Self {
            known: Nas::new(service.accounting).await,
            elsewhere: Nas::from(Ipv4Addr::new(127, 0, 0, 3), service.accounting).await,
            stranger: Nas::from(Ipv4Addr::new(127, 0, 0, 2), service.accounting).await,
            expected: BTreeMap::new(),
            seconds: 0,
        }
    }

    fn expect(&mut self, line: &str, outcome: &'static str) {
        *self.expected.entry(line.to_owned()).or_default().entry(outcome).or_default() += 1;
    }

    /// Another report about the session that `nas` has.
    fn report(&mut self, nas: &str) -> Vec<u8> {
        self.seconds += 1;
        let identifier = self.known.identifier();
        let login = format!("user of {nas}");
        Said::interim(&login, self.seconds, 1_000, 100).by(nas).request(identifier)
    }

    /// Sends what must be answered, once.
    async fn answered(&mut self, line: &str, outcome: &'static str, octets: &[u8]) {
        self.expect(line, outcome);
        assert!(self.known.shout(octets, SOON).await.is_some(), "{outcome} of {line} is answered");
    }

    /// Sends what must not be answered, once.
    async fn refused(&mut self, line: &str, reason: &'static str, octets: &[u8]) {
        self.expect(line, reason);
        let sender = match line {
            "unknown" => &self.stranger,
            "elsewhere" => &self.elsewhere,
            _ => &self.known,
        };
        assert_eq!(sender.shout(octets, SILENCE).await, None, "{reason} of {line} is answered");
    }

    fn sent(&self) -> u64 {
        self.expected.values().flat_map(BTreeMap::values).sum()
    }
}

/// Every line by its name, as what became of its packets; those that are 0 are left out.
fn lines(ledger: &Value) -> BTreeMap<String, BTreeMap<String, u64>> {
    let name = |line: &Value| match (line["nas"].as_str(), line["client"].as_str()) {
        (Some(nas), _) => nas.to_owned(),
        (None, client) => client.unwrap_or("unknown").to_owned(),
    };
    let outcomes = |line: &Value| {
        let mut outcomes = BTreeMap::new();
        for outcome in ["acknowledged", "in_flight", "duplicates", "status_server", "pending"] {
            outcomes.insert(outcome.to_owned(), line[outcome].as_u64().unwrap());
        }
        for by_reason in ["rejected", "dropped"] {
            for (reason, packets) in line[by_reason].as_object().unwrap() {
                outcomes.insert(reason.clone(), packets.as_u64().unwrap());
            }
        }
        outcomes.retain(|_, packets| *packets > 0);
        outcomes
    };
    let all = ledger["lines"].as_array().unwrap().iter().map(|line| (name(line), outcomes(line)));
    all.filter(|(_, outcomes)| !outcomes.is_empty()).collect()
}

/// Makes each of the journal's syncs take seconds, for as long as what is returned lives.
async fn slow_disk(service: &Service) -> Program {
    let tasks = fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap();
    let named = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "journal\n")
    };
    let task = tasks.map(Result::unwrap).find(named).unwrap().file_name();
    let mut strace = Command::new("strace");
    strace.args(["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=5000000", "-p"]).arg(task);
    let strace = Program::start(&mut strace, service.dir().join("strace.log"));
    until("strace to hold the journal's thread", SOON, async || {
        strace.output().contains("attached").then_some(())
    })
    .await;
    strace
}

/// Sends more than the journal has room for while its disk is slow; how many were dropped.
async fn overload(service: &Service, senders: &mut Senders) -> u64 {
    let filler: Vec<u8> = (0..15).flat_map(|_| [[18, 255].to_vec(), vec![b'x'; 253]].concat()).collect();
    let mut strace = slow_disk(service).await;
    let mut sent = 0;
    let dropped = loop {
        for _ in 0..300 {
            let octets = [senders.report("loud"), filler.clone()].concat();
            let length = octets.len();
            _ = senders.known.shout(&signed(with_length(octets, length)), Duration::ZERO).await;
            sent += 1;
        }
        let total = until("everything sent to be received", SOON, async || {
            let total = service.get("/api/v1/ledger").await["total"].clone();
            (total["received"] == senders.sent() + sent).then_some(total)
        })
        .await;
        if let Some(dropped) = total["dropped"]["overload"].as_u64() {
            break dropped;
        }
        assert!(sent < 20_000, "the journal takes everything: {total}");
    };
    strace.signal(Signal::SIGINT);
    strace.wait(SOON).await;
    let outcomes = BTreeMap::from([("acknowledged", sent - dropped), ("overload", dropped)]);
    senders.expected.insert("tests/loud".into(), outcomes);
    dropped
}

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_is_placed_by_nas_and_what_was_lost_stands_beside_the_usage() {
    let mut service = Service::start_configured(MORE).await;
    let mut senders = Senders::new(&service).await;
    for (nas, reports) in [("a", 5), ("b", 7), ("c", 3), ("d", 1)] {
        for _ in 0..reports {
            let report = senders.report(nas);
            senders.answered(&format!("tests/{nas}"), "acknowledged", &report).await;
            if nas == "b" {
                senders.answered("tests/b", "duplicates", &report).await;
            }
        }
    }
    let without_type = raw(&[32, 3, b'c', 1, 3, b'x']);
    senders.refused("tests/c", "no_status_type", &without_type).await;
    let foreign = senders.report("e");
    senders.refused("elsewhere", "wrong_authenticator", &foreign).await;
    senders.refused("elsewhere", "wrong_authenticator", &foreign).await;
    senders.refused("unknown", "unknown_client", &foreign).await;
    senders.refused("tests", "too_short", &foreign[..19]).await;
    let dropped = overload(&service, &mut senders).await;

    let ledger = service.all_stored().await;
    let expected: BTreeMap<_, BTreeMap<_, _>> = senders
        .expected
        .iter()
        .map(|(line, outcomes)| {
            (
                line.clone(),
                outcomes.iter().map(|(outcome, packets)| ((*outcome).to_owned(), *packets)).collect(),
            )
        })
        .collect();
    assert_eq!(lines(&ledger), expected, "{ledger}");
    assert_eq!((&ledger["total"]["received"], &ledger["unaccounted"]), (&json!(senders.sent()), &json!(0)));
    assert_eq!(ledger["kernel_drops"], 0, "{ledger}");
    stored_is_what_clickhouse_holds(&service, &ledger).await;
    let labels = [r#"nas="tests/loud""#, r#"outcome="dropped""#, r#"reason="overload""#];
    assert_eq!(service.metric("radtally_collector_packets_total", &labels).await, dropped);

    let touched = json!([{"client": "tests", "nas": "tests/loud", "packets": dropped}]);
    the_gap_stands_beside_usage(&service, &touched).await;
    service.stop().await;
    let away = SystemTime::now() - Duration::from_secs(600);
    fs::File::options()
        .write(true)
        .open(service.data_dir().join("alive"))
        .unwrap()
        .set_modified(away)
        .unwrap();
    service.run().await;
    assert_eq!(service.get("/api/v1/ledger").await["total"]["received"], 0, "a new run counts from 0");
    the_gap_stands_beside_usage(&service, &touched).await;
    until("the time in which nobody listened beside everyone's usage", SOON, async || {
        let gaps = gaps_beside(&service, "user of a").await;
        (gaps[0]["kind"] == "not_running" && gaps[0]["touched"] == json!([])).then_some(())
    })
    .await;
}

async fn stored_is_what_clickhouse_holds(service: &Service, ledger: &Value) {
    let sql = "SELECT nas, count() FROM (SELECT DISTINCT collector, lsn, nas FROM accounting_records) GROUP BY nas FORMAT TSV";
    let rows = service.sql(sql).await;
    let held = rows.lines().map(|line| line.split_once('\t').unwrap());
    let held: BTreeMap<&str, u64> = held.map(|(nas, records)| (nas, records.parse().unwrap())).collect();
    let stored = ledger["lines"].as_array().unwrap().iter();
    let stored = stored.filter_map(|line| Some((line["nas"].as_str()?, line["stored"].as_u64()?)));
    assert_eq!(stored.filter(|(_, records)| *records > 0).collect::<BTreeMap<_, _>>(), held);
}

/// Known gaps beside today's usage of a login, in the summary and in the series alike.
async fn gaps_beside(service: &Service, login: &str) -> Value {
    let now = chrono::Utc::now().timestamp();
    let login = login.replace(' ', "%20");
    let period = format!("login={login}&from={}&to={}", rfc3339(now - 3_600), rfc3339(now + 3_600));
    let summary = service.get(&format!("/api/v1/usage/summary?{period}")).await;
    let series = service.get(&format!("/api/v1/usage/series?{period}&step=1h")).await;
    assert_eq!(summary["gaps"], series["gaps"]);
    summary["gaps"].clone()
}

async fn the_gap_stands_beside_usage(service: &Service, touched: &Value) {
    let overload = |gaps: &Value| {
        let gaps = gaps.as_array().unwrap().iter();
        gaps.filter(|gap| gap["kind"] == "overload").cloned().collect::<Vec<_>>()
    };
    let known = overload(&service.get("/api/v1/ledger").await["gaps"]);
    assert_eq!((known.len(), &known[0]["touched"]), (1, touched), "{known:?}");
    until("the gap beside the usage that it touches", SOON, async || {
        (overload(&gaps_beside(service, "user of loud").await) == known).then_some(())
    })
    .await;
    assert_eq!(overload(&gaps_beside(service, "user of a").await), Vec::<Value>::new());
    let before = format!("/api/v1/ledger?to={}", known[0]["from"].as_str().unwrap());
    assert_eq!(overload(&service.get(&before).await["gaps"]), Vec::<Value>::new());
}
