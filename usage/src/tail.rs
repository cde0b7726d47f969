//! Whether a session is well-behaved, record by record as they come: then rollups say all there is to say of it.
//!
//! A session is well-behaved while one collector hears one login, starts agree, session time and counters rise in the order
//! of arrival, every step is plausible, and no record changes a day that was settled. One that is not is evaluated from its
//! records ([`crate::evaluate`]). It is only the end of a session that must be remembered to tell.

use schema::{CollectorId, Login, Octets, StatusType, UnixTime};

use crate::amend::{PATIENCE, Watch};
use crate::counters::Port;
use crate::incarnation::START_TOLERANCE;
use crate::policy::{NasPolicy, RawCounters};
use crate::record::Record;

/// Without Gigawords, a counter from here on may have wrapped unseen.
const MAY_WRAP: Octets = Octets(1 << 31);

/// The end of a session as far as it has been followed.
#[derive(Clone, Debug)]
pub struct Tail {
    collector: CollectorId,
    login: Login,
    /// Least and greatest start that a record tells.
    started_at: (UnixTime, UnixTime),
    elapsed: i64,
    counters: RawCounters,
    at: UnixTime,
    heard_at: UnixTime,
    digest: u128,
    gigawords: bool,
    stopped: bool,
    irregular: bool,
}

impl Tail {
    /// The tail of a session of which `record` is the first to be followed.
    #[must_use]
    pub fn open(record: &Record, policy: NasPolicy, watch: Watch) -> Self {
        let started_at = record.started_at().unwrap_or(record.at);
        let mut tail = Self {
            collector: record.name.collector.clone(),
            login: record.login.clone(),
            started_at: (started_at, started_at),
            elapsed: 0,
            counters: RawCounters::default(),
            at: started_at.min(record.at),
            heard_at: record.arrived_at.seconds(),
            digest: record.digest,
            gigawords: record.gigawords,
            stopped: false,
            irregular: watch.is_over(started_at, PATIENCE, record.arrived_at.seconds()),
        };
        tail.advance(record, policy);
        tail
    }

    /// The tail of a session that was found irregular before.
    #[must_use]
    pub fn irregular(record: &Record, policy: NasPolicy, watch: Watch) -> Self {
        Self { irregular: true, ..Self::open(record, policy, watch) }
    }

    /// The tail of a session that was followed up to `record` and found regular, when its starts lay in `started_at`.
    #[must_use]
    pub fn resumed(
        record: &Record,
        started_at: (UnixTime, UnixTime),
        policy: NasPolicy,
        watch: Watch,
    ) -> Self {
        let mut tail = Self::open(record, policy, watch);
        tail.started_at = started_at;
        tail.irregular = tail.starts_differ();
        tail
    }

    /// Takes the next record; whether the session is still well-behaved.
    pub fn follow(&mut self, record: &Record, policy: NasPolicy, watch: Watch) -> bool {
        let arrived_at = record.arrived_at.seconds();
        let over = |time: UnixTime, patience: i64| watch.is_over(time, patience, arrived_at);
        let told = record.started_at().unwrap_or(self.started_at.0);
        // A start that moves moves every sample, also those of days that were settled.
        self.irregular |= told < self.started_at.0 && over(self.started_at.0, 0);
        self.started_at = (self.started_at.0.min(told), self.started_at.1.max(told));
        self.irregular |= self.starts_differ();
        let repeated = record.digest == self.digest && record.name.collector == self.collector;
        if !repeated {
            let silent = arrived_at.since(self.heard_at) >= PATIENCE && over(self.at, PATIENCE);
            self.irregular |= silent
                || self.stopped
                || record.at < self.at
                || record.name.collector != self.collector
                || record.login != self.login;
            self.advance(record, policy);
        }
        self.heard_at = self.heard_at.max(arrived_at);
        !self.irregular
    }

    /// Whether the session is well-behaved so far.
    #[must_use]
    pub const fn is_regular(&self) -> bool {
        !self.irregular
    }

    /// Whether nothing more is expected: stopped, or silent, when the clock shows `now`.
    #[must_use]
    pub const fn is_idle(&self, now: UnixTime, seconds: i64) -> bool {
        now.since(self.heard_at) > seconds
    }

    const fn starts_differ(&self) -> bool {
        self.started_at.1.since(self.started_at.0) > START_TOLERANCE
    }

    fn advance(&mut self, record: &Record, policy: NasPolicy) {
        let elapsed = record.elapsed().unwrap_or(self.elapsed);
        let counters = record.counters.unwrap_or(self.counters);
        let (before, after) = (policy.octets(self.counters), policy.octets(counters));
        let added = (after.0 - before.0).max(after.1 - before.1);
        let plausible = Port::of(policy.port_speed).is_plausible(added, elapsed - self.elapsed);
        self.gigawords |= record.gigawords;
        // Of two counts in one second the higher holds from its beginning on, which a rollup does not show.
        let counted_twice = elapsed == self.elapsed && elapsed > 0 && counters != self.counters;
        self.irregular |= record.doubtful
            || counted_twice
            || elapsed < self.elapsed
            || !counters.rise_from(&self.counters)
            || !plausible
            || (!self.gigawords && counters.greatest_of_all() >= MAY_WRAP);
        self.elapsed = elapsed;
        self.counters = counters;
        self.at = self.at.max(record.at);
        self.digest = record.digest;
        self.stopped |= record.status == StatusType::STOP;
    }
}

#[cfg(test)]
mod tests;
