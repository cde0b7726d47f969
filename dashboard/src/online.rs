//! Online sessions as rows of a table.

use chrono_tz::Tz;
use schema::live::OnlineSession;

use crate::{format, next};

/// A row of `sessions_online.html`.
pub(crate) struct OnlineRow {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) login_path: String,
    pub(crate) start: String,
    pub(crate) duration: String,
    pub(crate) download: String,
    pub(crate) download_exact: String,
    pub(crate) upload: String,
    pub(crate) upload_exact: String,
    pub(crate) down_rate: String,
    pub(crate) up_rate: String,
    /// The first address.
    pub(crate) ip: String,
    pub(crate) ips: Vec<String>,
    pub(crate) mac: String,
    pub(crate) nas: String,
    pub(crate) nas_name: String,
    pub(crate) nas_query: String,
    pub(crate) last_seen: String,
    /// Event time of the newest record, for the page's clock.
    pub(crate) seen: i64,
    /// Learned reporting interval in seconds, empty where none is known.
    pub(crate) interval: String,
}

impl OnlineRow {
    pub(crate) fn new(session: &OnlineSession, zone: Tz) -> Self {
        let rate = |of: fn(&schema::live::Rate) -> schema::BitsPerSecond| {
            session.rate.as_ref().map_or_else(|| "–".to_owned(), |rate| format::rate(of(rate)))
        };
        let ips = addresses(session.ips.iter().map(ToString::to_string), &session.prefixes);
        Self {
            id: session.id.to_string(),
            login: session.login.to_string(),
            login_path: next::encoded(session.login.as_str()),
            start: format::local(session.started_at, zone),
            duration: format::duration(session.duration_seconds),
            download: format::octets(session.download_octets),
            download_exact: format::exact(session.download_octets),
            upload: format::octets(session.upload_octets),
            upload_exact: format::exact(session.upload_octets),
            down_rate: rate(|rate| rate.download_bps),
            up_rate: rate(|rate| rate.upload_bps),
            ip: ips.first().cloned().unwrap_or_else(|| "–".to_owned()),
            ips,
            mac: station(session.mac.as_deref(), &session.calling_station_id),
            nas: session.nas.to_string(),
            nas_name: nas_name(session.nas.as_str(), session.client.as_str()).to_owned(),
            nas_query: next::encoded(session.nas.as_str()),
            last_seen: format::local(session.last_seen_at, zone),
            seen: session.last_seen_at.0,
            interval: session.interval_seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
        }
    }
}

/// Addresses, then prefixes.
pub(crate) fn addresses(ips: impl Iterator<Item = String>, prefixes: &[String]) -> Vec<String> {
    ips.chain(prefixes.iter().cloned()).collect()
}

/// The MAC address, else Calling-Station-Id as sent, else a dash.
pub(crate) fn station(mac: Option<&str>, calling_station_id: &str) -> String {
    let sent = Some(calling_station_id).filter(|id| !id.is_empty());
    mac.or(sent).unwrap_or("–").to_owned()
}

/// A NAS's name within its client: the client's name stands before it in every one.
pub(crate) fn nas_name<'a>(nas: &'a str, client: &str) -> &'a str {
    nas.strip_prefix(client).and_then(|rest| rest.strip_prefix('/')).unwrap_or(nas)
}
