//! A record as the engine sees it.

use std::net::Ipv4Addr;

use schema::{
    CollectorId, CountedRow, Login, Lsn, Octets, RecordFlags, StatusType, TerminateCause, UnixMicros,
    UnixTime,
};

use crate::policy::RawCounters;

/// What names a record for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// Who recorded it.
    pub collector: CollectorId,
    /// Its place in that collector's journal.
    pub lsn: Lsn,
}

/// One record of a session key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: RecordName,
    /// Event time.
    pub at: UnixTime,
    /// Whether that is the NAS's own clock (Event-Timestamp, RFC 2869 5.3), which may step.
    pub nas_clock: bool,
    /// Arrival.
    pub arrived_at: UnixMicros,
    /// Acct-Status-Type.
    pub status: StatusType,
    /// Acct-Session-Time.
    pub session_time: Option<u32>,
    /// Its counters as reported; `None` where it carries none.
    pub counters: Option<RawCounters>,
    /// Whether it carries Gigawords.
    pub gigawords: bool,
    /// Whether it lacks counters or session time, or its time is not believed.
    pub doubtful: bool,
    /// User-Name.
    pub login: Login,
    /// NAS-Port; `None` where absent or 0.
    pub nas_port: Option<u32>,
    /// Framed-IP-Address.
    pub address: Option<Ipv4Addr>,
    /// Acct-Terminate-Cause.
    pub cause: TerminateCause,
    /// The same for retransmissions under a new identifier.
    pub digest: u128,
}

impl From<&CountedRow> for Record {
    fn from(row: &CountedRow) -> Self {
        let flags = RecordFlags(row.flags);
        Self {
            name: RecordName { collector: row.collector.as_str().into(), lsn: Lsn(row.lsn) },
            at: UnixTime(row.event_at.into()),
            nas_clock: flags.has(RecordFlags::EVENT_TIMESTAMP),
            arrived_at: UnixMicros(row.arrived_at),
            status: StatusType(row.status_type),
            session_time: flags.has(RecordFlags::SESSION_TIME).then_some(row.session_time),
            counters: flags.has(RecordFlags::OCTETS).then_some(RawCounters {
                input: Octets(row.input_octets),
                output: Octets(row.output_octets),
                input_ipv6: Octets(row.input_ipv6_octets),
                output_ipv6: Octets(row.output_ipv6_octets),
            }),
            gigawords: flags.has(RecordFlags::GIGAWORDS),
            doubtful: flags.is_doubtful(),
            login: row.login.as_str().into(),
            nas_port: Some(row.nas_port).filter(|port| *port != 0),
            address: row.addresses.iter().find_map(|address| address.to_ipv4_mapped()),
            cause: TerminateCause(row.terminate_cause),
            digest: row.digest,
        }
    }
}

impl Record {
    /// Seconds since the session's start by this record alone; a Start that carries none is at 0.
    #[must_use]
    pub fn elapsed(&self) -> Option<i64> {
        self.session_time.map(i64::from).or_else(|| (self.status == StatusType::START).then_some(0))
    }

    /// When the session began by this record alone.
    #[must_use]
    pub fn started_at(&self) -> Option<UnixTime> {
        self.elapsed().map(|elapsed| self.at.plus(-elapsed))
    }

    /// Its place among the records of one second: a Start comes first, a Stop last.
    pub(crate) const fn rank(&self) -> u8 {
        match self.status {
            StatusType::START => 0,
            StatusType::STOP => 2,
            _ => 1,
        }
    }
}
