//! One session: what its records said of it so far.

use std::net::{IpAddr, Ipv6Addr};

use schema::live::{Confidence, OnlineSession, Rate};
use schema::{
    ClientName, Login, Lsn, RecordFlags, SessionKey, SessionKind, StatusType, TerminateCause, UnixTime,
};
use serde::{Deserialize, Serialize};
use usage::tracker::{Tracker, TrackerInput};
use usage::{NasPolicy, START_TOLERANCE};

use crate::attributes::format_mac;
use crate::nas::Nas;
use crate::record::AccountingRecord;

/// One session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    pub(super) login: Login,
    pub(super) nas: u32,
    /// What its NAS's counters mean, as it was configured when the session opened.
    policy: NasPolicy,
    kind: SessionKind,
    acct_session_id: Box<str>,
    calling_station_id: Box<str>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) prefixes: Vec<(Ipv6Addr, u8)>,
    tracker: Tracker,
    /// When it began, as first computed: its place in the order of the online list.
    pub(super) opened_at: UnixTime,
    /// When it began by the arrival of its records, which no step of its NAS's clock moves; late where all were delayed.
    arrived_start: Option<UnixTime>,
    /// Event time of its newest record.
    pub(super) last_event_at: UnixTime,
    /// Arrival of its newest record.
    pub(super) last_seen_at: UnixTime,
    /// Its newest record.
    lsn: Lsn,
    /// Event time and cause of its Stop.
    pub(super) stopped: Option<(UnixTime, TerminateCause)>,
}

impl Session {
    pub(super) fn open(nas: u32, policy: NasPolicy, record: &AccountingRecord<'_>) -> Self {
        Self {
            login: Login::default(),
            nas,
            policy,
            kind: SessionKind::SESSION,
            acct_session_id: String::from_utf8_lossy(record.acct_session_id).into(),
            calling_station_id: Box::default(),
            mac: None,
            addresses: Vec::new(),
            prefixes: Vec::new(),
            tracker: Tracker::new(policy.port_speed),
            opened_at: record.started_at().unwrap_or(record.event_at),
            arrived_start: None,
            last_event_at: record.event_at,
            last_seen_at: record.arrived_at.seconds(),
            lsn: record.lsn,
            stopped: None,
        }
    }

    pub(super) fn note(&mut self, record: &AccountingRecord<'_>) {
        self.count(record);
        if record.event_at >= self.last_event_at {
            self.last_event_at = record.event_at;
            self.describe(record);
        }
        if record.status == StatusType::STOP {
            self.stopped = Some((record.event_at, record.terminate_cause));
        }
    }

    /// Notes a record that it [goes on with](Self::goes_on_with).
    pub(super) fn go_on(&mut self, record: &AccountingRecord<'_>) {
        self.count(record);
        self.last_event_at = self.last_event_at.max(record.event_at);
    }

    fn count(&mut self, record: &AccountingRecord<'_>) {
        self.lsn = record.lsn;
        self.last_seen_at = record.arrived_at.seconds();
        self.kind = self.kind.max(record.kind);
        let arrived_start = record.arrived_start();
        self.arrived_start = self.arrived_start.into_iter().chain(arrived_start).min();
        let octets = record.counters.map(|counters| self.policy.octets(counters));
        self.tracker.apply(&TrackerInput {
            at: record.event_at,
            arrived_at: record.arrived_at.seconds(),
            session_time: record.session_time,
            download: octets.map(|(download, _)| download),
            upload: octets.map(|(_, upload)| upload),
            status: record.status,
            flags: record.flags,
        });
    }

    /// Whether the record is this session's, does not end it, and changes nothing that it is found by.
    pub(super) fn goes_on_with(&self, record: &AccountingRecord<'_>) -> bool {
        let same_text = |told: &[u8], known: &str| told.is_empty() || told == known.as_bytes();
        let same_addresses = |family: fn(&IpAddr) -> bool| {
            let mut told = record.addresses().filter(family).peekable();
            told.peek().is_none() || told.eq(self.addresses.iter().copied().filter(family))
        };
        let same_prefixes = || {
            let mut told = record.prefixes().peekable();
            told.peek().is_none() || told.eq(self.prefixes.iter().copied())
        };
        self.stopped.is_none()
            && record.status != StatusType::STOP
            && record.kind <= self.kind
            && same_text(record.login, self.login.as_str())
            && same_text(record.calling_station_id, &self.calling_station_id)
            && same_addresses(IpAddr::is_ipv4)
            && same_addresses(IpAddr::is_ipv6)
            && same_prefixes()
            && !self.is_another(record)
    }

    fn describe(&mut self, record: &AccountingRecord<'_>) {
        if !record.login.is_empty() && record.login != self.login.as_str().as_bytes() {
            self.login = Login::from(String::from_utf8_lossy(record.login).as_ref());
        }
        if !record.calling_station_id.is_empty() {
            self.calling_station_id = String::from_utf8_lossy(record.calling_station_id).into();
            self.mac = record.mac();
        }
        // A record that names an address of one family says nothing of the other: IPv6 often comes later.
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            if record.addresses().any(|address| family(&address)) {
                self.addresses.retain(|address| !family(address));
                self.addresses.extend(record.addresses().filter(family));
            }
        }
        if record.prefixes().next().is_some() {
            self.prefixes = record.prefixes().collect();
        }
    }

    /// Whether the record, which has this session's key, belongs to a later session that reuses the identifier.
    pub(super) fn is_another(&self, record: &AccountingRecord<'_>) -> bool {
        self.begins_after(record)
            || self.stopped.is_some_and(|(stopped_at, _)| {
                record.status == StatusType::START && record.event_at > stopped_at
            })
    }

    /// Whether the record tells a start after all that is known of this session, and not because its NAS's clock was set.
    fn begins_after(&self, record: &AccountingRecord<'_>) -> bool {
        let apart = |told: Option<UnixTime>, known: UnixTime| {
            told.is_some_and(|told| told.since(known) > START_TOLERANCE)
        };
        let nas_clock = record.flags.has(RecordFlags::EVENT_TIMESTAMP);
        let as_arrived = self.arrived_start.is_none_or(|known| apart(record.arrived_start(), known));
        apart(record.started_at(), self.last_event_at) && (!nas_clock || as_arrived)
    }

    pub(super) fn closed_by_restart(&self, nas: &Nas) -> bool {
        nas.restarted.is_some_and(|restart| restart.lsn > self.lsn && self.opened_at <= restart.at)
    }

    /// Whether it is a part of another session.
    pub(super) fn is_child(&self) -> bool {
        self.kind != SessionKind::SESSION
    }

    pub(super) fn is_online(&self, nas: &Nas, now: UnixTime) -> bool {
        self.stopped.is_none()
            && !self.closed_by_restart(nas)
            && self.confidence(now) != Confidence::PresumedDead
    }

    fn confidence(&self, now: UnixTime) -> Confidence {
        self.tracker.confidence(now)
    }

    pub(super) fn current_rate(&self, now: UnixTime) -> Option<Rate> {
        self.tracker.rate().filter(|_| self.confidence(now) == Confidence::Live)
    }

    pub(super) fn show(&self, id: SessionKey, nas: &Nas, now: UnixTime) -> OnlineSession {
        OnlineSession {
            id,
            login: self.login.clone(),
            nas: nas.id.clone(),
            client: ClientName::from(nas.client.as_str()),
            acct_session_id: self.acct_session_id.to_string(),
            kind: self.kind,
            ips: self.addresses.clone(),
            prefixes: self.prefixes.iter().map(|(address, length)| format!("{address}/{length}")).collect(),
            mac: self.mac.map(format_mac),
            calling_station_id: self.calling_station_id.to_string(),
            started_at: self.opened_at,
            last_seen_at: self.last_event_at,
            duration_seconds: self.tracker.duration_seconds(),
            download_octets: self.tracker.download(),
            upload_octets: self.tracker.upload(),
            rate: self.tracker.rate(),
            interval_seconds: self.tracker.interval_seconds(),
            confidence: self.confidence(now),
        }
    }
}
