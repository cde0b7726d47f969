//! Usage that is settled: a NAS that fails over between two collectors, and rules that change.

use serde_json::Value;

use crate::api::{SOON, rfc3339};
use crate::client::{Nas, Said};
use crate::service::Service;
use crate::until::until;

impl Service {
    /// What `login` used since `from`.
    async fn used(&self, login: &str, from: i64) -> Value {
        let (from, to) = (rfc3339(from), rfc3339(from + 10 * 86_400));
        self.get(&format!("/api/v1/usage/summary?login={login}&from={from}&to={to}")).await
    }

    async fn used_at_last(&self, login: &str, from: i64, download: u64, upload: u64) {
        let mut last = Value::Null;
        let what = format!("{login} to have used {download} and {upload}");
        until(&what, SOON, async || {
            last = self.used(login, from).await;
            (last["download_octets"] == download && last["upload_octets"] == upload).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nas_fails_over_to_another_collector_and_back_and_nobody_sees_a_spike() {
    let first = Service::start().await;
    let second = Service::start_beside(&first).await;
    let start = chrono::Utc::now().timestamp() - 2_400;
    // 1 Mbit/s down throughout.
    let report = |seconds: u32| {
        Said::interim("anna", seconds, u64::from(seconds) * 125_000, u64::from(seconds) * 1_000)
            .at(start + i64::from(seconds))
    };
    let mut at_first = Nas::new(first.accounting).await;
    let mut at_second = Nas::new(second.accounting).await;
    at_first.say(&report(0).status(1)).await;
    at_first.say(&report(300)).await;
    at_first.say(&report(600)).await;
    at_second.say(&report(900)).await;
    let met = second.get("/api/v1/online?login=anna").await;
    assert_eq!(met["items"][0]["rate"], Value::Null, "one report tells no rate: {met}");
    at_second.say(&report(1_200)).await;
    let rate = |online: Value| online["items"][0]["rate"]["download_bps"].clone();
    assert_eq!(rate(second.get("/api/v1/online?login=anna").await), 1_000_000);
    at_first.say(&report(1_500)).await;
    at_first.say(&report(1_800)).await;
    assert_eq!(rate(first.get("/api/v1/online?login=anna").await), 1_000_000);
    at_first.say(&report(2_100).status(2)).await;
    for service in [&first, &second] {
        service.all_stored().await;
        service.used_at_last("anna", start - 60, 2_100 * 125_000, 2_100_000).await;
    }
    let settled = until("the session to be settled", SOON, async || {
        let count = first.sql("SELECT count() FROM settled_sessions FINAL FORMAT TSV").await;
        (count.trim() != "0").then_some(count)
    });
    assert_eq!(settled.await.trim(), "1");
    let summary = second.used("anna", start - 60).await;
    assert_eq!(
        (&summary["sessions"], &summary["errors"], &summary["online_seconds"]),
        (&1.into(), &0.into(), &2_100.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_beside_the_service_makes_new_rules_hold_for_the_past() {
    let mut service = Service::start().await;
    let start = chrono::Utc::now().timestamp() - 2_400;
    let mut nas = Nas::new(service.accounting).await;
    let mut say = async |login: &str, reports: [(u32, u64, u64); 3]| {
        nas.say(&Said::interim(login, 0, 0, 0).status(1).at(start)).await;
        for (seconds, download, upload) in reports {
            let said = Said::interim(login, seconds, download, upload).at(start + i64::from(seconds));
            nas.say(&said).await;
        }
    };
    say("anna", [(300, 5_000, 100), (600, 9_000, 200), (900, 12_000, 300)]).await;
    // Its counters begin anew.
    say("bert", [(300, 5_000, 100), (600, 400, 10), (900, 800, 20)]).await;
    service.all_stored().await;
    service.used_at_last("anna", start, 12_000, 300).await;
    service.used_at_last("bert", start, 5_800, 120).await;
    service.stop().await;
    service.configure("[[nas]]\nname = \"tests/nas-it\"\ndirection = \"reversed\"\n");
    service.run().await;
    service.used_at_last("anna", start, 12_000, 300).await;
    let told = service.command(&["replay", "--dry-run"], "");
    assert!(told.contains("2 sessions from 8 records, 1 of them irregular"), "{told}");
    assert!(told.contains("Nothing is published"), "{told}");
    service.used_at_last("anna", start, 12_000, 300).await;
    let told = service.command(&["replay", "--yes"], "");
    for line in ["Going on with the replay", "Usage of 2 logins changes", "-11700", "+11700", "Published."] {
        assert!(told.contains(line), "{line}: {told}");
    }
    service.used_at_last("anna", start, 300, 12_000).await;
    service.used_at_last("bert", start, 120, 5_800).await;
    // And with what comes next.
    let mut nas = Nas::new(service.accounting).await;
    nas.say(&Said::interim("bert", 1_200, 900, 30).status(2).at(start + 1_200)).await;
    service.used_at_last("bert", start, 130, 5_900).await;
}
