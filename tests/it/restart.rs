//! A graceful stop and what the next start finds; `torture.rs` ends it by other means.

use crate::client::{Nas, Said};
use crate::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_keeps_sessions_and_records() {
    let mut service = Service::start().await;
    let mut nas = Nas::new(service.accounting).await;
    let started_at = chrono::Utc::now().timestamp() - 600;
    let at = |seconds: u32, octets| {
        Said::interim("stays", seconds, octets, 1_000).at(started_at + i64::from(seconds))
    };
    nas.say(&at(60, 1_000_000)).await;
    nas.say(&at(120, 2_000_000)).await;
    service.stop().await;
    service.run().await;
    let online = service.get("/api/v1/online?login=stays").await;
    assert_eq!(online["items"][0]["download_octets"], 2_000_000, "{online}");
    let mut nas = Nas::new(service.accounting).await;
    nas.say(&at(180, 3_000_000).status(2)).await;
    service.all_stored().await;
    assert_eq!(service.stored_attributes().await.len(), 3);
}
