//! ClickHouse: how to reach it, and the migrations that bring it to this version's schema.
//!
//! Migrations are the files of `schema/clickhouse`, applied in order and only ever appended. Each of their statements may
//! run again (`IF NOT EXISTS`), so a run that stopped in the middle goes on at the next start, and two processes that
//! start at once do no harm. What was applied is noted in the table `migrations` with a digest of its text: a file that was
//! changed afterwards, or one that only a later version knows, is an error.

mod statements;

use std::collections::BTreeMap;
use std::fmt;

use clickhouse::{Client, Row};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use statements::statements;

/// The migrations in their order: name and text.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_accounting", include_str!("../clickhouse/0001_accounting.sql")),
    ("0002_settled", include_str!("../clickhouse/0002_settled.sql")),
    ("0003_known_gaps", include_str!("../clickhouse/0003_known_gaps.sql")),
];

/// The table of what was applied.
const LOG: &str = "CREATE TABLE IF NOT EXISTS migrations {on_cluster} (name String, digest String, applied_at DateTime('UTC')) \
                   ENGINE = {replicated}ReplacingMergeTree ORDER BY (name, digest) {durable}";

/// Settings of every table: an INSERT returns, and a merged part's sources go, only when the data is on disk. Replaced parts
/// stay for a while all the same, so that a part torn by a power cut has its sources.
const DURABLE: &str = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, \
                       min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480";

/// Longest run of a query, in seconds.
pub const QUERY_SECONDS: u32 = 30;

/// A ClickHouse to work with.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it speaks HTTP, as `http://host:8123`.
    pub url: String,
    /// User.
    pub user: String,
    /// Password.
    pub key: String,
    /// Database; created if it is not there.
    pub database: String,
    /// Cluster on which tables are created, with Replicated engines; `None` for a single server.
    pub cluster: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// A client that may write: rows are in ClickHouse when an insert has returned, and a batch that is inserted again
    /// reaches the rollups again, where it changes nothing.
    #[must_use]
    pub fn client(&self) -> Client {
        self.server()
            .with_database(&self.database)
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "0")
    }

    /// A client for queries, which stop after [`QUERY_SECONDS`].
    #[must_use]
    pub fn reader(&self) -> Client {
        self.server()
            .with_database(&self.database)
            .with_setting("max_execution_time", QUERY_SECONDS.to_string())
    }

    fn server(&self) -> Client {
        Client::default().with_url(&self.url).with_user(&self.user).with_password(&self.key)
    }

    /// Fills in what differs between a server and a cluster.
    fn adapt(&self, sql: &str) -> String {
        let on_cluster = self.cluster.as_ref().map(|name| format!("ON CLUSTER {}", quoted(name, '\'')));
        sql.replace("{replicated}", if self.cluster.is_some() { "Replicated" } else { "" })
            .replace("{on_cluster}", &on_cluster.unwrap_or_default())
            .replace("{durable}", DURABLE)
    }
}

/// A migration that [`migrate`] applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its name.
    pub name: String,
    /// How many statements it has.
    pub statements: usize,
}

/// Why ClickHouse cannot be brought to this version's schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// ClickHouse refused or did not answer.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// A statement failed.
    #[error("migration {name}, statement {number}: {source}")]
    Statement {
        /// The migration.
        name: String,
        /// The statement, counted from 1.
        number: usize,
        /// Why.
        source: clickhouse::error::Error,
    },
    /// The text of a migration is not the one that was applied.
    #[error(
        "migration {name} was applied with digest {applied}, but this version's text has {known}; migrations must not change"
    )]
    Changed {
        /// The migration.
        name: String,
        /// Digest of what was applied.
        applied: String,
        /// Digest of what this version has.
        known: String,
    },
    /// A later version has been here.
    #[error(
        "migration {name} was applied by another version of radtally, which this one does not know; use that version or a later one"
    )]
    Unknown {
        /// The migration.
        name: String,
    },
}

/// Brings the database of `target` to this version's schema and tells what was missing.
///
/// # Errors
/// ClickHouse does not answer, a statement fails, or what was applied is not what this version knows.
pub async fn migrate(target: &Target) -> Result<Vec<Applied>, MigrationError> {
    migrate_to(target, MIGRATIONS).await
}

/// Like [`migrate`], to a list of migrations: their names and texts.
///
/// # Errors
/// As for [`migrate`].
pub async fn migrate_to(
    target: &Target,
    migrations: &[(&str, &str)],
) -> Result<Vec<Applied>, MigrationError> {
    create_database(target).await?;
    let client = target.client();
    client.query_raw(&target.adapt(LOG)).execute().await?;
    let log = read_log(&client).await?;
    let missing = check(migrations, &log)?;
    let mut applied = Vec::new();
    for (name, text) in missing {
        let statements = apply(target, &client, name, text).await?;
        note(&client, name, text).await?;
        tracing::info!(migration = name, statements, "ClickHouse's schema was extended");
        applied.push(Applied { name: name.to_owned(), statements });
    }
    Ok(applied)
}

async fn create_database(target: &Target) -> Result<(), MigrationError> {
    let sql = format!("CREATE DATABASE IF NOT EXISTS {} {{on_cluster}}", quoted(&target.database, '`'));
    Ok(target.server().query_raw(&target.adapt(&sql)).execute().await?)
}

#[derive(Row, Deserialize)]
struct Noted {
    name: String,
    digest: String,
}

async fn read_log(client: &Client) -> Result<BTreeMap<String, String>, MigrationError> {
    let rows =
        client.query("SELECT name, digest FROM migrations ORDER BY applied_at").fetch_all::<Noted>().await?;
    Ok(rows.into_iter().map(|row| (row.name, row.digest)).collect())
}

/// The migrations that are not in the log.
fn check<'a>(
    migrations: &[(&'a str, &'a str)],
    log: &BTreeMap<String, String>,
) -> Result<Vec<(&'a str, &'a str)>, MigrationError> {
    if let Some(name) = log.keys().find(|name| migrations.iter().all(|(known, _)| known != name)) {
        return Err(MigrationError::Unknown { name: name.clone() });
    }
    let mut missing = Vec::new();
    for (name, text) in migrations {
        let known = digest(text);
        match log.get(*name) {
            None => missing.push((*name, *text)),
            Some(applied) if *applied == known => {}
            Some(applied) => {
                return Err(MigrationError::Changed {
                    name: (*name).to_owned(),
                    applied: applied.clone(),
                    known,
                });
            }
        }
    }
    Ok(missing)
}

async fn apply(target: &Target, client: &Client, name: &str, text: &str) -> Result<usize, MigrationError> {
    let text = target.adapt(text);
    let statements = statements(&text);
    for (number, sql) in (1..).zip(&statements) {
        let failed = |source| MigrationError::Statement { name: name.to_owned(), number, source };
        client.query_raw(sql).execute().await.map_err(failed)?;
    }
    Ok(statements.len())
}

async fn note(client: &Client, name: &str, text: &str) -> Result<(), MigrationError> {
    let insert = client.query("INSERT INTO migrations SELECT ?, ?, now('UTC')");
    Ok(insert.bind(name).bind(digest(text)).execute().await?)
}

fn digest(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

fn quoted(name: &str, quote: char) -> String {
    let escaped = name.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
    format!("{quote}{escaped}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(cluster: Option<&str>) -> Target {
        Target {
            url: "http://127.0.0.1:8123".into(),
            user: "default".into(),
            key: "secret".into(),
            database: "radtally".into(),
            cluster: cluster.map(Into::into),
        }
    }

    fn log(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, text)| ((*name).to_owned(), digest(text))).collect()
    }

    #[test]
    fn a_cluster_gets_replicated_engines() {
        let sql = "CREATE TABLE t {on_cluster} (a String) ENGINE = {replicated}MergeTree";
        assert_eq!(target(None).adapt(sql), "CREATE TABLE t  (a String) ENGINE = MergeTree");
        assert_eq!(
            target(Some("a'b")).adapt(sql),
            "CREATE TABLE t ON CLUSTER 'a\\'b' (a String) ENGINE = ReplicatedMergeTree"
        );
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", target(None)).contains("secret"));
    }

    #[test]
    fn only_what_is_missing_is_applied() {
        let known = [("0001", "SELECT 1"), ("0002", "SELECT 2")];
        assert_eq!(check(&known, &log(&[("0001", "SELECT 1")])).unwrap(), [("0002", "SELECT 2")]);
    }

    #[test]
    fn a_changed_migration_is_refused_by_name() {
        let error = check(&[("0001", "SELECT 1")], &log(&[("0001", "SELECT 2")])).unwrap_err();
        assert!(matches!(&error, MigrationError::Changed { name, .. } if name == "0001"), "{error}");
    }

    #[test]
    fn a_later_versions_migration_is_refused_by_name() {
        let error = check(&[("0001", "a")], &log(&[("0001", "a"), ("0002", "b")])).unwrap_err();
        assert!(matches!(&error, MigrationError::Unknown { name } if name == "0002"), "{error}");
    }

    #[test]
    fn every_statement_of_every_migration_may_run_again() {
        for (name, text) in MIGRATIONS {
            for statement in statements(text) {
                // A view's query is set, whatever it was; `sessions` joins its rows, so that the same ones change nothing.
                let may_run_again = ["IF NOT EXISTS", "IF EXISTS", "MODIFY QUERY", "INSERT INTO sessions ("];
                assert!(may_run_again.iter().any(|words| statement.contains(words)), "{name}: {statement}");
            }
        }
    }
}
