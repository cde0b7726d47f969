//! What is online: the state that records change on one thread, read by everyone else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use schema::live::{LiveFrame, OnlineSession, OnlineTotals};
use schema::{ClientName, CollectorId, Lsn, NasId, SessionKey, TerminateCause, UnixTime};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::attributes;
use crate::journal::Batch;
use crate::live::{Hub, LiveFeed, LiveTopic, encode};
use crate::sessions::{Change, ImageError, Sessions};

/// Which sessions to list; every given condition must hold.
#[derive(Clone, Debug, Default)]
pub struct OnlineFilter {
    /// RADIUS User-Name.
    pub login: Option<String>,
    /// NAS identity, `client/identifier`.
    pub nas: Option<String>,
    /// An address the session has, or one in a prefix it has.
    pub ip: Option<IpAddr>,
    /// MAC address, in any usual spelling.
    pub mac: Option<String>,
}

/// A place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnlineCursor {
    /// Start of the session at that place.
    pub started_at: UnixTime,
    /// Its id.
    pub id: SessionKey,
}

/// A NAS in the overview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NasSummary {
    /// Its identity, `client/identifier`.
    pub nas: NasId,
    /// The client its packets come from.
    pub client: ClientName,
    /// Source address of its newest packet.
    pub source: IpAddr,
    /// Sessions online.
    pub online: u64,
    /// When its newest packet arrived.
    pub last_seen_at: UnixTime,
    /// Records it sent, as far as the journal's checkpoint remembers.
    pub records: u64,
    /// By how many seconds its clock was ahead of ours in its newest record that tells; unknown after a start.
    pub clock_ahead: Option<i64>,
}

/// The live state. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Online(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    collector: CollectorId,
    state: RwLock<Sessions>,
    hub: Hub,
}

impl Online {
    /// Shares `state`, as `collector` knows it.
    #[must_use]
    pub fn new(collector: CollectorId, state: Sessions) -> Self {
        Self(Arc::new(Shared { collector, state: RwLock::new(state), hub: Hub::default() }))
    }

    /// The collector whose state it is.
    #[must_use]
    pub fn collector(&self) -> &CollectorId {
        &self.0.collector
    }

    /// Sessions online at `now` that match, newest first, after `after` where given.
    #[must_use]
    pub fn find(
        &self,
        filter: &OnlineFilter,
        after: Option<OnlineCursor>,
        limit: usize,
        now: UnixTime,
    ) -> Vec<OnlineSession> {
        let state = self.0.state.read();
        let after = after.map(|cursor| (cursor.started_at, cursor.id));
        let shown = |key| state.online(key, now).filter(|session| filter.matches(session));
        match filter.candidates(&state) {
            None => state.newest_first(after).filter_map(shown).take(limit).collect(),
            Some(keys) => {
                let order = |(opened_at, key)| (std::cmp::Reverse(opened_at), key);
                let mut places: Vec<_> =
                    keys.into_iter().filter_map(|key| state.place(key)).map(order).collect();
                places.sort_unstable();
                places.dedup();
                let later = |place: &(std::cmp::Reverse<UnixTime>, SessionKey)| {
                    after.is_none_or(|cursor| *place > order(cursor))
                };
                places.into_iter().filter(later).filter_map(|(_, key)| shown(key)).take(limit).collect()
            }
        }
    }

    /// One session, where it is online.
    #[must_use]
    pub fn get(&self, id: SessionKey, now: UnixTime) -> Option<OnlineSession> {
        self.0.state.read().online(id, now)
    }

    /// When and why a session ended, where that is remembered: a while longer than it was online.
    #[must_use]
    pub fn ended(&self, id: SessionKey) -> Option<(UnixTime, TerminateCause)> {
        self.0.state.read().ended(id)
    }

    /// Sums over everything online.
    #[must_use]
    pub fn totals(&self, now: UnixTime) -> OnlineTotals {
        self.0.state.read().totals(None, now)
    }

    /// Every NAS that has reported, by name.
    #[must_use]
    pub fn nases(&self, now: UnixTime) -> Vec<NasSummary> {
        let state = self.0.state.read();
        let online = state.online_by_nas(now);
        let summary = |(number, nas): (u32, &crate::nas::Nas)| NasSummary {
            nas: nas.id.clone(),
            client: nas.client.clone(),
            source: nas.source,
            online: online.get(&number).copied().unwrap_or(0),
            last_seen_at: nas.last_seen_at,
            records: nas.records,
            clock_ahead: nas.clock_ahead,
        };
        let mut nases: Vec<_> = (0u32..).zip(state.nases()).map(summary).collect();
        nases.sort_by(|a, b| a.nas.cmp(&b.nas));
        nases
    }

    /// Watches a topic: a snapshot, then every change after it.
    #[must_use]
    pub fn subscribe(&self, topic: LiveTopic) -> LiveFeed {
        // Changes are published under the write lock, so none falls between the snapshot and the first frame.
        let state = self.0.state.read();
        let frames = self.0.hub.subscribe(&topic);
        let snapshot = encode(&self.snapshot(&state, &topic, UnixTime::now()));
        drop(state);
        LiveFeed::new(self.clone(), topic, snapshot, frames)
    }

    /// Applies durable records in journal order and tells those who watch.
    pub(crate) fn apply(&self, batch: &Batch) {
        let mut state = self.0.state.write();
        let settings = state.settings().clone();
        for (lsn, entry) in batch.iter() {
            if lsn <= state.applied() {
                continue;
            }
            let record = settings.decode(lsn, &entry);
            let change = state.apply(&record);
            if self.0.hub.is_watched() {
                self.tell(&state, change, lsn);
            }
        }
    }

    /// Sends the sums of watched totals once a second until `shutdown`.
    pub(crate) async fn tick(&self, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        while shutdown.run_until_cancelled(every.tick()).await.is_some() {
            self.tell_totals(UnixTime::now());
        }
    }

    /// The state, for a checkpoint: the last record applied and the image.
    pub(crate) fn checkpoint(&self) -> Result<(Lsn, Vec<u8>), ImageError> {
        self.0.state.write().forget_silent();
        let state = self.0.state.read();
        Ok((state.applied(), state.save()?))
    }

    /// The last record applied.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        self.0.state.read().applied()
    }

    /// Notes that records up to `lsn` cannot be read.
    pub(crate) fn skip_to(&self, lsn: Lsn) {
        self.0.state.write().skip_to(lsn);
    }

    fn tell(&self, state: &Sessions, change: Change, lsn: Lsn) {
        let now = UnixTime::now();
        match change {
            Change::Nothing => {}
            Change::Session(key) => self.0.hub.publish(&topics_of(state, key), || {
                let session = Box::new(state.online(key, now)?);
                Some(LiveFrame::Session { at: now, lsn, session })
            }),
            Change::Ended(key) => self.tell_end(state, key, lsn, now),
            Change::NasRestarted(number) => {
                // Only what somebody watches is looked at, not the NAS's every session.
                let Some(nas) = state.nas(number) else { return };
                for topic in self.0.hub.sweep() {
                    let LiveTopic::Login(login) = &topic else { continue };
                    for key in state.by_login.get(login) {
                        if state.nas_of(*key).is_some_and(|other| other.id == nas.id)
                            && state.online(*key, now).is_none()
                        {
                            self.tell_end(state, *key, lsn, now);
                        }
                    }
                }
                let topic = LiveTopic::Nas(nas.id.clone());
                self.0.hub.publish(std::slice::from_ref(&topic), || Some(self.snapshot(state, &topic, now)));
            }
        }
    }

    fn tell_end(&self, state: &Sessions, key: SessionKey, lsn: Lsn, now: UnixTime) {
        self.0.hub.publish(&topics_of(state, key), || {
            let (ended_at, cause) = state.ended(key)?;
            Some(LiveFrame::Ended { at: now, lsn, id: key, ended_at, cause: cause.to_string() })
        });
    }

    fn tell_totals(&self, now: UnixTime) {
        for topic in self.0.hub.sweep() {
            let nas = match &topic {
                LiveTopic::Login(_) => continue,
                LiveTopic::Nas(nas) => Some(nas),
                LiveTopic::Total => None,
            };
            let state = self.0.state.read();
            let (lsn, totals) = (state.applied(), state.totals(nas, now));
            drop(state);
            self.0
                .hub
                .publish(std::slice::from_ref(&topic), || Some(LiveFrame::Totals { at: now, lsn, totals }));
        }
    }

    fn snapshot(&self, state: &Sessions, topic: &LiveTopic, now: UnixTime) -> LiveFrame {
        let sessions: Vec<OnlineSession> = match topic {
            LiveTopic::Login(login) => {
                state.by_login.get(login).iter().filter_map(|key| state.online(*key, now)).collect()
            }
            LiveTopic::Nas(nas) => {
                let of_nas = |key: &SessionKey| state.nas_of(*key).is_some_and(|other| other.id == *nas);
                state.newest_first(None).filter(of_nas).filter_map(|key| state.online(key, now)).collect()
            }
            LiveTopic::Total => Vec::new(),
        };
        let totals = match topic {
            LiveTopic::Login(_) => sum(&sessions),
            LiveTopic::Nas(nas) => state.totals(Some(nas), now),
            LiveTopic::Total => state.totals(None, now),
        };
        LiveFrame::Snapshot {
            collector: self.0.collector.clone(),
            at: now,
            lsn: state.applied(),
            totals,
            sessions,
        }
    }
}

impl OnlineFilter {
    /// Keys from the narrowest index that the filter allows; `None` where all must be walked.
    fn candidates(&self, state: &Sessions) -> Option<Vec<SessionKey>> {
        if let Some(login) = &self.login {
            return Some(state.by_login.get(login.as_str()).to_vec());
        }
        if let Some(mac) = &self.mac {
            return Some(attributes::mac(mac).map(|mac| state.by_mac.get(&mac).to_vec()).unwrap_or_default());
        }
        let ip = self.ip?;
        let mut keys = state.by_address.get(&ip).to_vec();
        if let IpAddr::V6(v6) = ip {
            for length in 0..=128u8 {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                keys.extend_from_slice(state.by_prefix.get(&((u128::from(v6) & mask).into(), length)));
            }
        }
        Some(keys)
    }

    fn matches(&self, session: &OnlineSession) -> bool {
        self.login.as_ref().is_none_or(|login| session.login.as_str() == login)
            && self.nas.as_ref().is_none_or(|nas| session.nas.as_str() == nas)
            && self.mac.as_ref().is_none_or(|mac| {
                let wanted = attributes::mac(mac).map(attributes::format_mac);
                wanted.is_some() && session.mac == wanted
            })
            && self.ip.is_none_or(|ip| {
                let in_prefix =
                    |prefix: &String| prefix.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&ip));
                session.ips.contains(&ip) || session.prefixes.iter().any(in_prefix)
            })
    }
}

fn topics_of(state: &Sessions, key: SessionKey) -> Vec<LiveTopic> {
    let login = state.login_of(key).cloned().map(LiveTopic::Login);
    let nas = state.nas_of(key).map(|nas| LiveTopic::Nas(nas.id.clone()));
    login.into_iter().chain(nas).collect()
}

fn sum(sessions: &[OnlineSession]) -> OnlineTotals {
    let mut totals = OnlineTotals::default();
    for session in sessions {
        totals.sessions += 1;
        if let Some(rate) = session.rate {
            totals.download_bps.0 = totals.download_bps.0.saturating_add(rate.download_bps.0);
            totals.upload_bps.0 = totals.upload_bps.0.saturating_add(rate.upload_bps.0);
        }
    }
    totals
}
