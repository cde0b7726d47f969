//! Session rows: what the table `sessions` knows of each session key, and which of them match.

use std::net::{IpAddr, Ipv6Addr};

use clickhouse::{Client, Row};
use schema::{SessionKey, UnixTime};
use serde::Deserialize;

use crate::ApiError;
use crate::page::Cursor;
use crate::query::{fetch, numbers, seconds};

/// What all rows of one key add up to.
#[derive(Clone, Debug, Row, Deserialize)]
pub(crate) struct StoredSession {
    pub(crate) session_key: u128,
    /// What the list is sorted by.
    pub(crate) place: i64,
    /// More than one where User-Name changed, or some records carry none.
    pub(crate) logins: Vec<String>,
    pub(crate) client: String,
    /// More than one where its NAS failed over.
    pub(crate) collectors: Vec<String>,
    pub(crate) nas: String,
    pub(crate) acct_session_id: String,
    pub(crate) acct_multi_session_id: String,
    pub(crate) kind: u8,
    pub(crate) first_event_at: u32,
    pub(crate) last_event_at: u32,
    pub(crate) terminate_cause: u32,
    pub(crate) addresses: Vec<Ipv6Addr>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) macs: Vec<String>,
    pub(crate) calling_station_id: String,
    pub(crate) called_station_id: String,
    pub(crate) nas_port_id: String,
    pub(crate) agent_circuit_id: String,
    pub(crate) agent_remote_id: String,
    pub(crate) download_limit_bps: u64,
    pub(crate) upload_limit_bps: u64,
}

impl StoredSession {
    pub(crate) const fn key(&self) -> SessionKey {
        SessionKey(self.session_key)
    }

    /// Whether one login's records came to one collector, as rollups presume.
    pub(crate) const fn is_regular(&self) -> bool {
        self.logins.len() <= 1 && self.collectors.len() <= 1
    }

    pub(crate) const fn cursor(&self) -> Cursor {
        Cursor { value: self.place, id: self.key() }
    }
}

/// What sessions are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Start.
    #[default]
    StartedAt,
    /// End, or the newest record.
    EndedAt,
    /// Duration.
    Duration,
    /// Download counter.
    Download,
    /// Upload counter.
    Upload,
}

/// An order of sessions. The default is newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// Greatest first.
    pub descending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { by: SortBy::StartedAt, descending: true }
    }
}

impl std::str::FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let by = match name {
            "started_at" => SortBy::StartedAt,
            "ended_at" => SortBy::EndedAt,
            "duration_seconds" => SortBy::Duration,
            "download_octets" => SortBy::Download,
            "upload_octets" => SortBy::Upload,
            _ => {
                return Err(format!(
                    "\"{text}\" is no order: started_at, ended_at, duration_seconds, download_octets or upload_octets \
                     is expected, with - in front for the greatest first"
                ));
            }
        };
        Ok(Self { by, descending })
    }
}

impl Sort {
    const fn expression(self) -> &'static str {
        match self.by {
            SortBy::StartedAt => "if(max(s.max_started_at) = 0, min(s.min_event_at), max(s.max_started_at))",
            SortBy::EndedAt => "max(s.max_event_at)",
            SortBy::Duration => "max(s.max_session_time)",
            SortBy::Download => "max(s.max_output)",
            SortBy::Upload => "max(s.max_input)",
        }
    }
}

/// Which sessions; every given condition must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Match<'a> {
    pub(crate) login: Option<&'a str>,
    pub(crate) nas: Option<&'a str>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) mac: Option<&'a str>,
    /// One of these.
    pub(crate) keys: Option<&'a [SessionKey]>,
    /// Sessions that were on in `[from, to)`.
    pub(crate) from: Option<UnixTime>,
    pub(crate) to: Option<UnixTime>,
    /// Sessions that match the other conditions and are online: they are on until now, whatever their newest record.
    pub(crate) online: &'a [SessionKey],
}

/// Sessions that match, in order, after `cursor`; at most `limit`, or all.
pub(crate) async fn find(
    client: &Client,
    wanted: &Match<'_>,
    sort: Sort,
    cursor: Option<Cursor>,
    limit: Option<usize>,
) -> Result<Vec<StoredSession>, ApiError> {
    let mut query = Conditions::default();
    query.narrow(wanted);
    let mut having = Conditions::default();
    having.overlap(wanted);
    having.after(sort, cursor);
    let order = if sort.descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT s.session_key AS session_key, toInt64({place}) AS place, groupUniqArray(s.login) AS logins, \
         max(s.client) AS client, groupUniqArrayArray(s.collectors) AS collectors, max(s.nas) AS nas, max(s.acct_session_id) AS acct_session_id, \
         max(s.acct_multi_session_id) AS acct_multi_session_id, max(s.kind) AS kind, \
         toUInt32(min(least(s.min_started_at, s.min_event_at))) AS first_event_at, \
         toUInt32(max(s.max_event_at)) AS last_event_at, max(s.terminate_cause) AS terminate_cause, \
         groupUniqArrayArray(s.addresses) AS addresses, groupUniqArrayArray(s.prefixes) AS prefixes, \
         groupUniqArrayArray(s.macs) AS macs, max(s.calling_station_id) AS calling_station_id, \
         max(s.called_station_id) AS called_station_id, max(s.nas_port_id) AS nas_port_id, \
         max(s.agent_circuit_id) AS agent_circuit_id, max(s.agent_remote_id) AS agent_remote_id, \
         max(s.download_limit_bps) AS download_limit_bps, max(s.upload_limit_bps) AS upload_limit_bps \
         FROM sessions AS s {wher} GROUP BY session_key {having} \
         ORDER BY place {order}, session_key {order} {limit}",
        place = sort.expression(),
        wher = query.sql("WHERE"),
        having = having.sql("HAVING"),
        limit = limit.map_or(String::new(), |limit| format!("LIMIT {limit}")),
    );
    fetch(having.bind(query.bind(client.query(&sql)))).await
}

/// Conditions joined by AND, with their values.
#[derive(Default)]
struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

enum Value {
    Text(String),
    Number(i64),
    Key(u128),
    Keys(Vec<u128>),
}

impl Conditions {
    fn and(&mut self, text: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.texts.push(text.into());
        self.values.extend(values);
    }

    /// A session has a row per login and month, so what may differ between its rows selects keys, not rows.
    fn narrow(&mut self, wanted: &Match<'_>) {
        if let Some(keys) = wanted.keys {
            self.and("s.session_key IN ?", [Value::Keys(numbers(keys))]);
        }
        if let Some(nas) = wanted.nas {
            self.and("s.nas = ?", [Value::Text(nas.into())]);
        }
        let mut inner = Self::default();
        if let Some(login) = wanted.login {
            inner.and("login = ?", [Value::Text(login.into())]);
        }
        if let Some(mac) = wanted.mac {
            inner.and("has(macs, ?)", [Value::Text(mac.into())]);
        }
        match wanted.ip {
            Some(IpAddr::V4(ip)) => {
                inner.and("has(addresses, toIPv6(?))", [Value::Text(ip.to_ipv6_mapped().to_string())]);
            }
            Some(IpAddr::V6(ip)) => {
                let ip = ip.to_string();
                inner.and(
                    "(has(addresses, toIPv6(?)) OR arrayExists(p -> isIPAddressInRange(?, p), prefixes))",
                    [Value::Text(ip.clone()), Value::Text(ip)],
                );
            }
            None => {}
        }
        if !inner.texts.is_empty() {
            let keys = format!("s.session_key IN (SELECT session_key FROM sessions {})", inner.sql("WHERE"));
            self.and(keys, inner.values);
        }
    }

    fn overlap(&mut self, wanted: &Match<'_>) {
        if let Some(to) = wanted.to {
            self.and("first_event_at < ?", [Value::Number(seconds(to).into())]);
        }
        if let Some(from) = wanted.from {
            let online = wanted.online.iter().map(|key| key.0).collect();
            self.and(
                "(last_event_at >= ? OR session_key IN ?)",
                [Value::Number(seconds(from).into()), Value::Keys(online)],
            );
        }
    }

    fn after(&mut self, sort: Sort, cursor: Option<Cursor>) {
        if let Some(cursor) = cursor {
            let than = if sort.descending { "<" } else { ">" };
            self.and(
                format!("(place, session_key) {than} (?, ?)"),
                [Value::Number(cursor.value), Value::Key(cursor.id.0)],
            );
        }
    }

    fn sql(&self, word: &str) -> String {
        if self.texts.is_empty() { String::new() } else { format!("{word} {}", self.texts.join(" AND ")) }
    }

    fn bind(self, query: clickhouse::query::Query) -> clickhouse::query::Query {
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Key(key) => query.bind(key),
            Value::Keys(keys) => query.bind(keys),
        })
    }
}
