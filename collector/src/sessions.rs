//! Session state: what is online, as a function of the journal. A checkpoint and the records after it give the same state
//! as all records; what depends on the clock (overdue, presumed dead) is computed when it is read.
//!
//! An Accounting-On or -Off closes its NAS's sessions without touching them: it is noted at the NAS, and a session counts
//! as over while its newest record is older than that note. One that goes on reporting is back by that alone.
//!
//! A service's session repeats octets of its parent: it is followed like any other, and neither listed nor summed.

mod image;
mod session;

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use foldhash::{HashMap, HashMapExt as _};
use schema::live::{OnlineSession, OnlineTotals};
use schema::{BitsPerSecond, Login, Lsn, NasId, SessionKey, StatusType, TerminateCause, UnixTime};

pub use image::ImageError;
use session::Session;

use crate::index::Index;
use crate::nas::{Nas, NasSettings, Restart};
use crate::record::AccountingRecord;

/// Seconds for which a stopped session is remembered, so that an Interim-Update that comes after the Stop is not taken
/// for a new session.
const REMEMBER_STOPPED: i64 = 3_600;
/// Seconds after its newest record when a session without a Stop is forgotten; long presumed dead by then.
const FORGET_SILENT: i64 = 7 * 86_400;

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It opened or changed a session.
    Session(SessionKey),
    /// It ended a session.
    Ended(SessionKey),
    /// It ended all older sessions of this NAS.
    NasRestarted(u32),
    /// Nothing that can be seen.
    Nothing,
}

/// All sessions and NASes.
#[derive(Debug, Default)]
pub struct Sessions {
    settings: NasSettings,
    applied: Lsn,
    now: UnixTime,
    nases: Vec<Nas>,
    nas_numbers: HashMap<NasId, u32>,
    /// Boxed, because a large table is half empty.
    sessions: HashMap<SessionKey, Box<Session>>,
    stopped: VecDeque<(UnixTime, SessionKey)>,
    order: BTreeSet<(Reverse<UnixTime>, SessionKey)>,
    pub(crate) by_login: Index<Login>,
    pub(crate) by_address: Index<IpAddr>,
    pub(crate) by_prefix: Index<(Ipv6Addr, u8)>,
    pub(crate) by_mac: Index<[u8; 6]>,
    nas_name: String,
}

impl Sessions {
    /// No sessions yet; NASes are what `settings` say.
    #[must_use]
    pub fn new(settings: NasSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// What is configured about NASes.
    #[must_use]
    pub const fn settings(&self) -> &NasSettings {
        &self.settings
    }

    /// The last record applied.
    #[must_use]
    pub const fn applied(&self) -> Lsn {
        self.applied
    }

    /// Applies the next record of the journal.
    pub fn apply(&mut self, record: &AccountingRecord<'_>) -> Change {
        self.applied = record.lsn;
        self.now = self.now.max(record.arrived_at.seconds());
        self.forget_stopped();
        let nas = self.hear(record);
        match record.status {
            StatusType::ACCOUNTING_ON | StatusType::ACCOUNTING_OFF => self.restart(nas, record),
            status if status.is_session() => match record.session_key(&self.nas_name) {
                Some(key) => self.report(key, nas, record),
                None => Change::Nothing,
            },
            _ => Change::Nothing,
        }
    }

    /// Notes that records up to `lsn` are applied or cannot be read.
    pub fn skip_to(&mut self, lsn: Lsn) {
        self.applied = self.applied.max(lsn);
    }

    /// Notes that a NAS reports; leaves its name in `nas_name`.
    fn hear(&mut self, record: &AccountingRecord<'_>) -> u32 {
        record.write_nas(&mut self.nas_name);
        let number = match self.nas_numbers.get(self.nas_name.as_str()) {
            Some(number) => *number,
            None => self.meet(record),
        };
        if let Some(nas) = self.nases.get_mut(number as usize) {
            nas.records += 1;
            nas.source = record.peer.ip();
            nas.last_seen_at = record.arrived_at.seconds();
            nas.clock_ahead = record.clock_ahead.or(nas.clock_ahead);
        }
        number
    }

    fn meet(&mut self, record: &AccountingRecord<'_>) -> u32 {
        let number = u32::try_from(self.nases.len()).unwrap_or(u32::MAX);
        let id = NasId::from(self.nas_name.as_str());
        self.nas_numbers.insert(id.clone(), number);
        self.nases.push(Nas {
            id,
            client: record.client.into(),
            source: record.peer.ip(),
            records: 0,
            last_seen_at: record.arrived_at.seconds(),
            restarted: None,
            clock_ahead: None,
        });
        number
    }

    fn restart(&mut self, number: u32, record: &AccountingRecord<'_>) -> Change {
        let on = record.status == StatusType::ACCOUNTING_ON;
        let restart = Restart { at: record.event_at, lsn: record.lsn, on };
        if let Some(nas) = self.nases.get_mut(number as usize) {
            nas.restarted = Some(restart);
        }
        Change::NasRestarted(number)
    }

    fn report(&mut self, key: SessionKey, nas: u32, record: &AccountingRecord<'_>) -> Change {
        // Nearly every record only counts on: no index changes.
        if let Some(known) = self.sessions.get_mut(&key).filter(|known| known.goes_on_with(record)) {
            known.go_on(record);
            return if known.is_child() { Change::Nothing } else { Change::Session(key) };
        }
        if self.sessions.get(&key).is_some_and(|known| known.is_another(record)) {
            self.remove(key);
        }
        let known = self.sessions.remove(&key);
        if let Some(known) = &known {
            self.unindex(key, known);
        }
        let was_stopped = known.as_ref().is_some_and(|session| session.stopped.is_some());
        let open = || Box::new(Session::open(nas, self.settings.policy(&self.nas_name), record));
        let mut session = known.unwrap_or_else(open);
        session.note(record);
        let change = match (was_stopped, session.stopped) {
            (true, _) => Change::Nothing,
            (false, Some(_)) => {
                self.stopped.push_back((self.now, key));
                Change::Ended(key)
            }
            (false, None) => Change::Session(key),
        };
        let change = if session.is_child() { Change::Nothing } else { change };
        if session.stopped.is_none() {
            self.index(key, &session);
        }
        self.sessions.insert(key, session);
        change
    }

    fn forget_stopped(&mut self) {
        while let Some(&(at, key)) = self.stopped.front() {
            if self.now.since(at) < REMEMBER_STOPPED {
                return;
            }
            self.stopped.pop_front();
            if self.sessions.get(&key).is_some_and(|session| session.stopped.is_some()) {
                self.sessions.remove(&key);
            }
        }
    }

    /// Forgets sessions that have been silent for a week.
    pub fn forget_silent(&mut self) {
        let oldest = self.now.plus(-FORGET_SILENT);
        let silent: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.last_seen_at < oldest)
            .map(|(key, _)| *key)
            .collect();
        silent.into_iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.remove(&key) {
            self.unindex(key, &session);
        }
    }

    fn index(&mut self, key: SessionKey, session: &Session) {
        if session.is_child() {
            return;
        }
        self.order.insert((Reverse(session.opened_at), key));
        self.by_login.insert(session.login.clone(), key);
        session.addresses.iter().for_each(|address| self.by_address.insert(*address, key));
        session.prefixes.iter().for_each(|prefix| self.by_prefix.insert(*prefix, key));
        session.mac.iter().for_each(|mac| self.by_mac.insert(*mac, key));
    }

    fn unindex(&mut self, key: SessionKey, session: &Session) {
        self.order.remove(&(Reverse(session.opened_at), key));
        self.by_login.remove(&session.login, key);
        session.addresses.iter().for_each(|address| self.by_address.remove(address, key));
        session.prefixes.iter().for_each(|prefix| self.by_prefix.remove(prefix, key));
        session.mac.iter().for_each(|mac| self.by_mac.remove(mac, key));
    }

    /// The session, where it is online at `now`.
    #[must_use]
    pub fn online(&self, key: SessionKey, now: UnixTime) -> Option<OnlineSession> {
        let session = self.sessions.get(&key)?;
        let nas = self.nases.get(session.nas as usize)?;
        session.is_online(nas, now).then(|| session.show(key, nas, now))
    }

    /// Keys of the sessions that may be online, newest first, after `cursor` where given.
    pub fn newest_first(&self, cursor: Option<(UnixTime, SessionKey)>) -> impl Iterator<Item = SessionKey> {
        let from = match cursor {
            Some((opened_at, key)) => std::ops::Bound::Excluded((Reverse(opened_at), key)),
            None => std::ops::Bound::Unbounded,
        };
        self.order.range((from, std::ops::Bound::Unbounded)).map(|(_, key)| *key)
    }

    /// A session's place in that order.
    #[must_use]
    pub fn place(&self, key: SessionKey) -> Option<(UnixTime, SessionKey)> {
        self.sessions.get(&key).map(|session| (session.opened_at, key))
    }

    /// Sums over what is online, of one NAS where given.
    #[must_use]
    pub fn totals(&self, nas: Option<&NasId>, now: UnixTime) -> OnlineTotals {
        let number = nas.map(|id| self.nas_numbers.get(id.as_str()).copied().unwrap_or(u32::MAX));
        let mut totals = OnlineTotals::default();
        let counts =
            |session: &&Session| number.is_none_or(|number| session.nas == number) && !session.is_child();
        for session in self.sessions.values().map(|session| &**session).filter(counts) {
            let Some(nas) = self.nases.get(session.nas as usize) else { continue };
            if session.is_online(nas, now) {
                totals.sessions += 1;
                if let Some(rate) = session.current_rate(now) {
                    totals.download_bps =
                        BitsPerSecond(totals.download_bps.0.saturating_add(rate.download_bps.0));
                    totals.upload_bps = BitsPerSecond(totals.upload_bps.0.saturating_add(rate.upload_bps.0));
                }
            }
        }
        totals
    }

    /// Sessions online per NAS number.
    #[must_use]
    pub fn online_by_nas(&self, now: UnixTime) -> HashMap<u32, u64> {
        let mut counts = HashMap::new();
        for session in self.sessions.values().filter(|session| !session.is_child()) {
            if self.nases.get(session.nas as usize).is_some_and(|nas| session.is_online(nas, now)) {
                *counts.entry(session.nas).or_default() += 1;
            }
        }
        counts
    }

    /// Every NAS, in the order they were met.
    #[must_use]
    pub fn nases(&self) -> &[Nas] {
        &self.nases
    }

    /// The NAS with this number.
    #[must_use]
    pub fn nas(&self, number: u32) -> Option<&Nas> {
        self.nases.get(number as usize)
    }

    /// The NAS that reports a session.
    #[must_use]
    pub fn nas_of(&self, key: SessionKey) -> Option<&Nas> {
        self.nas(self.sessions.get(&key)?.nas)
    }

    /// Login of a session.
    #[must_use]
    pub fn login_of(&self, key: SessionKey) -> Option<&Login> {
        self.sessions.get(&key).map(|session| &session.login)
    }

    /// When and why a session ended: by its Stop, else by its NAS's restart at its last evidence.
    #[must_use]
    pub fn ended(&self, key: SessionKey) -> Option<(UnixTime, TerminateCause)> {
        const NAS_REBOOT: TerminateCause = TerminateCause(11);
        let session = self.sessions.get(&key)?;
        session.stopped.or_else(|| {
            let nas = self.nases.get(session.nas as usize)?;
            session.closed_by_restart(nas).then_some((session.last_event_at, NAS_REBOOT))
        })
    }
}

#[cfg(test)]
mod tests;
