//! Looking into the embedded ClickHouse itself, past radtally's API.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::program;
use crate::service::Service;

impl Service {
    /// What the engine answers to `sql`, as text. The key is taken from the engine's own environment.
    pub async fn sql(&self, sql: &str) -> String {
        let engine = self.engine().expect("the engine runs");
        let proc = std::path::PathBuf::from(format!("/proc/{engine}"));
        let environment = std::fs::read(proc.join("environ")).unwrap();
        let key = environment
            .split(|octet| *octet == 0)
            .find_map(|entry| entry.strip_prefix(b"RADTALLY_ENGINE_KEY="));
        let key = String::from_utf8(key.expect("the engine has a key").to_vec()).unwrap();
        let words = program::command_line(&proc);
        let address = words
            .split([' ', '='])
            .find(|word| word.starts_with("127.0.0.1:"))
            .expect("the engine has an address");
        let request =
            reqwest::Client::new().post(format!("http://{address}/?database=radtally")).body(sql.to_owned());
        let request = request.header("X-ClickHouse-User", "default").header("X-ClickHouse-Key", key);
        let answer = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{sql}: {status}: {text}");
        text
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
