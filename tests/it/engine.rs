//! Looking into the embedded ClickHouse itself, past radtally's API.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;

use crate::program;
use crate::service::Service;

impl Service {
    /// What the engine answers to `sql`, as text.
    pub async fn sql(&self, sql: &str) -> String {
        let (status, text) = self.try_sql(sql).await.expect("the engine runs");
        assert!(status.is_success(), "{sql}: {status}: {text}");
        text
    }

    /// What the engine answers to `sql`; `None` where there is none, or no answer. The key is taken from the engine's own
    /// environment.
    pub async fn try_sql(&self, sql: &str) -> Option<(StatusCode, String)> {
        let proc = std::path::PathBuf::from(format!("/proc/{}", self.engine()?));
        let environment = std::fs::read(proc.join("environ")).ok()?;
        let key = environment
            .split(|octet| *octet == 0)
            .find_map(|entry| entry.strip_prefix(b"RADTALLY_ENGINE_KEY="));
        let key = String::from_utf8(key?.to_vec()).unwrap();
        let words = program::command_line(&proc);
        let address = words.split([' ', '=']).find(|word| word.starts_with("127.0.0.1:"))?;
        let request =
            reqwest::Client::new().post(format!("http://{address}/?database=radtally")).body(sql.to_owned());
        let request = request.header("X-ClickHouse-User", "default").header("X-ClickHouse-Key", key);
        let answer = request.timeout(Duration::from_secs(60)).send().await.ok()?;
        let status = answer.status();
        Some((status, answer.text().await.ok()?))
    }

    /// Every stored record's attributes as sent, with how many records have them.
    pub async fn stored_attributes(&self) -> BTreeMap<Vec<u8>, u64> {
        let rows = self
            .sql(
                "SELECT hex(attributes), count() FROM (SELECT DISTINCT collector, lsn, attributes FROM accounting_records) \
                 GROUP BY attributes FORMAT TSV",
            )
            .await;
        let row = |line: &str| {
            let (attributes, count) = line.split_once('\t').unwrap();
            (hex::decode(attributes).unwrap(), count.parse().unwrap())
        };
        rows.lines().map(row).collect()
    }
}
