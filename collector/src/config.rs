//! Configuration of the collector; every key has a default but a client's name, source and secret and a NAS's name.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use usage::policy::{Direction, Ipv6Counters};

/// `[accounting]`: where packets come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountingConfig {
    /// UDP addresses to listen on. RFC 2866 3 names port 1813.
    pub listen: Vec<SocketAddr>,
    /// Size asked of the kernel for each socket's receive buffer, in octets; a default-sized one loses bursts.
    pub receive_buffer: usize,
    /// How long, in seconds, a packet is remembered so that its retransmission gets the same answer.
    pub retransmit_window: u32,
    /// Name of this collector; the host's name where empty.
    pub collector: String,
}

impl Default for AccountingConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 1813)), SocketAddr::from(([0u16; 8], 1813))],
            receive_buffer: 16 << 20,
            retransmit_window: 30,
            collector: String::new(),
        }
    }
}

/// `[journal]`: the log that a record is in before it is acknowledged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// Size of a segment file in MiB, at least 8; allocated when the segment is created.
    pub segment_mib: u64,
    /// Days that segments are kept after ClickHouse holds them.
    pub retention_days: u32,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { segment_mib: 64, retention_days: 7 }
    }
}

/// `[exporter]`: how records go to ClickHouse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExporterConfig {
    /// Most rows in one insert.
    pub batch_rows: usize,
    /// How long, in milliseconds, records may wait for their batch to fill.
    pub batch_age_ms: u64,
    /// Seconds between two comparisons of what ClickHouse holds with the journal.
    pub verify_interval: u64,
}

impl Default for ExporterConfig {
    fn default() -> Self {
        Self { batch_rows: 20_000, batch_age_ms: 500, verify_interval: 60 }
    }
}

/// `[[client]]`: a NAS or proxy that may send accounting.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// What it is called in pages, metrics and NAS names.
    pub name: String,
    /// Addresses it sends from: an address or a prefix. The longest prefix that holds a packet's source wins.
    #[serde(deserialize_with = "source")]
    pub source: IpNet,
    /// The shared secret.
    pub secret: Option<Secret>,
    /// A file that holds the shared secret in its first line, instead of `secret`.
    pub secret_file: Option<PathBuf>,
    /// When a Message-Authenticator is checked.
    #[serde(default)]
    pub message_authenticator: MessageAuthenticator,
}

/// `[[nas]]`: what is to be known about a NAS beyond what it says itself. Most need no section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NasConfig {
    /// Its identity as radtally shows it: `client/identifier`.
    pub name: String,
    /// Other identities that it has, had or will have within its client; their records are recorded under `name`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether the vendor's IPv6 counters are part of the standard ones or come on top of them.
    #[serde(default)]
    pub ipv6_counters: Ipv6Counters,
    /// Whether RADIUS input is from the subscriber (upload, RFC 2866 5.3) or to the subscriber.
    #[serde(default)]
    pub direction: Direction,
    /// Speed of a subscriber's port, bit/s: counters that rise faster are implausible.
    pub port_speed: Option<u64>,
}

/// When an Accounting-Request's Message-Authenticator is checked; the Request Authenticator always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageAuthenticator {
    /// Checked where a packet carries one.
    #[default]
    WhenPresent,
    /// A packet without one is refused.
    Required,
    /// Not looked at: for NASes that compute it wrongly.
    Ignored,
}

/// A shared secret; shows itself to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret's octets, for computing authenticators.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn source<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(from)?;
    let net = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address)));
    net.map_err(|_| {
        serde::de::Error::custom(format!(
            "\"{text}\" is neither an IP address nor a prefix such as 10.0.0.0/24"
        ))
    })
}
