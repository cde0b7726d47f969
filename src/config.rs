//! The configuration file: one section per concern, every key with a default, unknown keys refused by name.
//!
//! Each key can be overridden by an environment variable: `RADTALLY_` and the key in capitals, with two underscores
//! between section and key. `RADTALLY_TIMEZONE=Africa/Lagos`, `RADTALLY_ACCOUNTING__LISTEN='["0.0.0.0:1813"]'`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use collector::{AccountingConfig, ClientConfig, ExporterConfig, JournalSettings, NasConfig, NasSettings};
use dashboard::DashboardConfig;
use query_api::HttpConfig;
use query_api::retention::RetentionConfig;
use serde::Deserialize;
use subscribers::DatabaseConfig;
use usage::Calendar;

/// Prefix of the environment's overrides.
const PREFIX: &str = "RADTALLY_";

/// Everything that can be configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the journal, the embedded ClickHouse and the SQLite file.
    pub data_dir: PathBuf,
    /// The provider's time zone (IANA): where days and months begin.
    pub timezone: Tz,
    /// What was used before is not counted: RFC 3339, or a local date.
    pub usage_starts_at: Option<String>,
    /// Where packets come in.
    pub accounting: AccountingConfig,
    /// The journal.
    pub journal: JournalSettings,
    /// How records go to ClickHouse.
    pub exporter: ExporterConfig,
    /// How long ClickHouse keeps what.
    pub retention: RetentionConfig,
    /// API and dashboard.
    pub http: HttpConfig,
    /// The pages.
    pub dashboard: DashboardConfig,
    /// Where usage is kept.
    pub clickhouse: ClickHouseConfig,
    /// Where staff and tokens are kept.
    pub database: DatabaseConfig,
    /// Who may send.
    pub client: Vec<ClientConfig>,
    /// What is to be known about NASes.
    pub nas: Vec<NasConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            timezone: Tz::UTC,
            usage_starts_at: None,
            accounting: AccountingConfig::default(),
            journal: JournalSettings::default(),
            exporter: ExporterConfig::default(),
            retention: RetentionConfig::default(),
            http: HttpConfig::default(),
            dashboard: DashboardConfig::default(),
            clickhouse: ClickHouseConfig::default(),
            database: DatabaseConfig::default(),
            client: Vec::new(),
            nas: Vec::new(),
        }
    }
}

/// `[clickhouse]`: where usage is kept.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouseConfig {
    /// `embedded` for the engine that radtally runs itself, or a server's `http://host:8123`.
    pub url: String,
    /// User at a server.
    pub user: String,
    /// Password at a server.
    pub password: String,
    /// Database.
    pub database: String,
    /// Cluster name: tables are created on it, with Replicated engines.
    pub cluster: Option<String>,
    /// The embedded engine's library, where it does not lie where npm puts it.
    pub library: Option<PathBuf>,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "embedded".into(),
            user: "default".into(),
            password: String::new(),
            database: "radtally".into(),
            cluster: None,
            library: None,
        }
    }
}

impl std::fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("url", &self.url)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl ClickHouseConfig {
    /// Whether radtally runs the engine itself.
    pub fn is_embedded(&self) -> bool {
        self.url == "embedded"
    }
}

impl Config {
    /// Reads `file`, applies the environment, and checks what can be checked without starting anything. Without a file
    /// the defaults hold.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let text = match file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
            }
            None => String::new(),
        };
        let shown = file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        Self::parse(&text, std::env::vars()).with_context(|| format!("in {shown}"))
    }

    fn parse(text: &str, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let overrides: Vec<_> = environment.filter(|(name, _)| is_override(name)).collect();
        if overrides.is_empty() {
            // Straight from the text, so that errors show the line.
            return toml::from_str::<Self>(text)?.checked();
        }
        let mut table: toml::Table = toml::from_str(text)?;
        for (name, value) in overrides {
            apply(&mut table, &name, &value)?;
        }
        table.try_into::<Self>()?.checked()
    }

    fn checked(self) -> anyhow::Result<Self> {
        if !self.clickhouse.is_embedded() && !self.clickhouse.url.starts_with("http") {
            bail!(
                "clickhouse.url: \"{}\" is neither \"embedded\" nor an http:// address",
                self.clickhouse.url
            );
        }
        NasSettings::new(&self.nas)?;
        self.calendar()?;
        Ok(self)
    }

    /// The provider's calendar.
    pub fn calendar(&self) -> anyhow::Result<Calendar> {
        let calendar = Calendar::new(self.timezone);
        let Some(text) = &self.usage_starts_at else { return Ok(calendar) };
        let Some(time) = calendar.instant(text) else {
            bail!("usage_starts_at: \"{text}\" is no time: 2026-01-31 or 2026-01-31T00:00:00Z is expected");
        };
        Ok(calendar.counting_since(time))
    }
}

/// Variables that are no configuration keys.
fn is_override(name: &str) -> bool {
    let reserved =
        ["RADTALLY_ENGINE_KEY", "RADTALLY_LIBCHDB", "RADTALLY_LOG", "RADTALLY_CONFIG", "RADTALLY_PASSWORD"];
    name.starts_with(PREFIX) && !reserved.contains(&name)
}

fn apply(table: &mut toml::Table, name: &str, value: &str) -> anyhow::Result<()> {
    let key = name.trim_start_matches(PREFIX).to_lowercase();
    let mut path: Vec<&str> = key.split("__").collect();
    let Some(last) = path.pop() else { return Ok(()) };
    let mut at = table;
    for section in path {
        let entry = at.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = entry.as_table_mut().with_context(|| format!("{name}: {section} is not a section"))?;
    }
    // What does not read as a TOML value is a text: no quotes are needed around a path or a zone.
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut one| one.remove("v"));
    at.insert(last.to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use schema::BitsPerSecond;
    use usage::NasPolicy;

    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::parse(text, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_example_is_valid_and_shows_the_defaults() {
        let example = parse(include_str!("../radtally.example.toml"), &[]).unwrap();
        let default = Config::default();
        assert_eq!(example.data_dir, default.data_dir);
        assert_eq!(example.accounting.listen, default.accounting.listen);
        assert_eq!(example.client.len(), 1);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = format!("{:#}", parse("[accounting]\nlitsen = []\n", &[]).unwrap_err());
        assert!(error.contains("litsen"), "{error}");
        let error = format!("{:#}", parse("", &[("RADTALLY_HTTP__LITSEN", "x")]).unwrap_err());
        assert!(error.contains("litsen"), "{error}");
    }

    #[test]
    fn bad_values_are_named() {
        for (text, value) in [
            ("timezone = \"Mars/Olympus\"", "Mars/Olympus"),
            ("[[client]]\nname = \"a\"\nsource = \"10.0.0.300\"\nsecret = \"x\"", "10.0.0.300"),
            ("[clickhouse]\nurl = \"ftp://x\"", "ftp://x"),
            ("usage_starts_at = \"yesterday\"", "yesterday"),
        ] {
            let error = format!("{:#}", parse(text, &[]).unwrap_err());
            assert!(error.contains(value), "{error}");
        }
    }

    #[test]
    fn usage_starts_on_a_local_day_or_at_an_instant() {
        let starts_at = |text: &str| {
            let text = format!("timezone = \"Africa/Lagos\"\nusage_starts_at = \"{text}\"");
            parse(&text, &[]).unwrap().calendar().unwrap().usage_starts_at().to_string()
        };
        assert_eq!(starts_at("2026-02-01"), "2026-01-31T23:00:00Z");
        assert_eq!(starts_at("2026-02-01T06:00:00+01:00"), "2026-02-01T05:00:00Z");
    }

    #[test]
    fn a_nas_has_a_section_and_the_example_shows_one() {
        let example = include_str!("../radtally.example.toml");
        let (_, section) = example.split_once("# [[nas]]").unwrap();
        let section: String = section
            .lines()
            .map(|line| line.trim_start_matches("# "))
            .fold("[[nas]]".to_owned(), |text, line| text + line + "\n");
        let [nas] = parse(&section, &[]).unwrap().nas.try_into().unwrap();
        assert_eq!((nas.name.as_str(), &nas.aliases[..]), ("bng-1/core", &["bng-1/10.0.0.7".to_owned()][..]));
        let settings = NasSettings::new(&[nas]).unwrap();
        let policy = settings.policy("bng-1/core");
        assert_eq!(
            policy,
            NasPolicy { port_speed: policy.port_speed, ..NasPolicy::default() },
            "the defaults"
        );
        assert_eq!(policy.port_speed, Some(BitsPerSecond(1_000_000_000)));
    }

    #[test]
    fn sections_of_nases_that_contradict_are_refused_by_value() {
        let section = |name: &str, rest: &str| format!("[[nas]]\nname = \"{name}\"\n{rest}\n");
        for (text, value) in [
            (section("a/1", "") + &section("a/1", ""), "a/1"),
            (section("a/1", "aliases = [\"a/7\"]") + &section("a/2", "aliases = [\"a/7\"]"), "a/7"),
            (section("a/1", "aliases = [\"a/2\"]") + &section("a/2", ""), "a/2"),
            (section("a/1", "port_speed = 0"), "port_speed is 0"),
            (section("a/1", "port_speed = -5"), "-5"),
            (section("a/1", "direction = \"sideways\""), "sideways"),
            (section("a/1", "ipv6_counters = \"both\""), "both"),
            (section("a/1", "ipv6_counter = \"separate\""), "ipv6_counter"),
            ("[[nas]]\ndirection = \"rfc\"".to_owned(), "name"),
        ] {
            let error = format!("{:#}", parse(&text, &[]).unwrap_err());
            assert!(error.contains(value), "{error}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = parse(
            "timezone = \"UTC\"\n[accounting]\nretransmit_window = 5",
            &[
                ("RADTALLY_TIMEZONE", "Africa/Lagos"),
                ("RADTALLY_ACCOUNTING__LISTEN", "[\"127.0.0.1:0\"]"),
                ("RADTALLY_LOG", "debug"),
            ],
        )
        .unwrap();
        assert_eq!(config.timezone, Tz::Africa__Lagos);
        assert_eq!(config.accounting.listen, ["127.0.0.1:0".parse().unwrap()]);
        assert_eq!(config.accounting.retransmit_window, 5);
    }
}
