//! RADIUS records as a NAS would send them, decoded by the collector, and what they should add up to by a naive model.

use collector::journal::Entry;
use collector::record::AccountingRecord;
use schema::{Lsn, RecordRow, SessionKey, UnixMicros, UnixTime};
use usage::Calendar;

pub const START: u32 = 1;
pub const STOP: u32 = 2;
pub const INTERIM: u32 = 3;
pub const ACCOUNTING_ON: u32 = 7;

/// What one packet says.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u32,
    pub login: String,
    pub id: String,
    /// When it happened.
    pub at: i64,
    /// When it arrived.
    pub arrived_at: i64,
    pub session_time: Option<u32>,
    pub download: u64,
    pub upload: u64,
    pub ip: Option<[u8; 4]>,
    pub mac: &'static str,
    pub cause: Option<u32>,
}

impl Said {
    pub fn new(status: u32, login: &str, id: &str, at: i64, session_time: u32) -> Self {
        Self {
            status,
            login: login.into(),
            id: id.into(),
            at,
            arrived_at: at,
            session_time: Some(session_time),
            download: 0,
            upload: 0,
            ip: None,
            mac: "AA-BB-CC-00-00-01",
            cause: None,
        }
    }

    pub fn octets(self, download: u64, upload: u64) -> Self {
        Self { download, upload, ..self }
    }

    pub fn cause(self, cause: u32) -> Self {
        Self { cause: Some(cause), ..self }
    }

    pub fn ip(self, ip: [u8; 4]) -> Self {
        Self { ip: Some(ip), ..self }
    }

    fn packet(&self) -> Vec<u8> {
        let mut packet = vec![0; 20];
        let mut attribute = |kind: u8, value: &[u8]| {
            packet.extend([kind, u8::try_from(value.len() + 2).unwrap()]);
            packet.extend(value);
        };
        let mut number = |kind: u8, value: u64| attribute(kind, &(value as u32).to_be_bytes());
        number(40, self.status.into());
        number(55, self.at as u64);
        number(42, self.upload);
        number(52, self.upload >> 32);
        number(43, self.download);
        number(53, self.download >> 32);
        self.session_time.iter().for_each(|time| number(46, (*time).into()));
        self.cause.iter().for_each(|cause| number(49, (*cause).into()));
        if !self.login.is_empty() {
            attribute(1, self.login.as_bytes());
        }
        if !self.id.is_empty() {
            attribute(44, self.id.as_bytes());
        }
        attribute(31, self.mac.as_bytes());
        self.ip.iter().for_each(|ip| attribute(8, ip));
        packet
    }

    /// Hands the record, decoded, to `to`.
    pub fn decoded<T>(&self, lsn: u64, to: impl FnOnce(&AccountingRecord<'_>) -> T) -> T {
        let packet = self.packet();
        let entry = Entry {
            arrived_at: UnixMicros(self.arrived_at * 1_000_000),
            peer: "192.0.2.1:1646".parse().unwrap(),
            client: "bng",
            local: 0,
            packet: &packet,
        };
        to(&AccountingRecord::decode(Lsn(lsn), &entry))
    }

    pub fn row(&self, lsn: u64, calendar: &Calendar) -> RecordRow {
        self.decoded(lsn, |record| record.to_row("c1", calendar))
    }
}

/// The key of a session of this NAS.
pub fn key(id: &str) -> SessionKey {
    SessionKey::new("bng/192.0.2.1", id.as_bytes())
}

/// One session's truth: its reports as (time, download, upload), the first at its start.
#[derive(Clone, Debug)]
pub struct Truth {
    pub login: String,
    pub reports: Vec<(i64, u64, u64)>,
}

impl Truth {
    /// Counters at a time: between two reports in proportion to the time, rounded down.
    fn at(&self, time: i64) -> (u64, u64) {
        let mut before = self.reports[0];
        if time <= before.0 {
            return (before.1, before.2);
        }
        for after in &self.reports[1..] {
            if time < after.0 {
                let share = |from: u64, to: u64| {
                    let part = (u128::from(to) - u128::from(from)) * (time - before.0) as u128;
                    from + (part / (after.0 - before.0) as u128) as u64
                };
                return (share(before.1, after.1), share(before.2, after.2));
            }
            before = *after;
        }
        (before.1, before.2)
    }

    pub fn usage(&self, from: i64, to: i64) -> (u64, u64, u64) {
        let (start, end) = (self.reports[0].0, self.reports[self.reports.len() - 1].0);
        let (before, after) = (self.at(from), self.at(to));
        let seconds = (to.clamp(start, end) - from.clamp(start, end)) as u64;
        (after.0 - before.0, after.1 - before.1, seconds)
    }
}

/// Time as the API writes it.
pub fn time(at: i64) -> String {
    UnixTime(at).to_string()
}
