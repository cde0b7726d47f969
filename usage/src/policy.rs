//! Per-NAS policies: what its counters mean, where RADIUS leaves that open.
//!
//! A policy holds for the sessions that begin while it holds, so that a changed one never rewrites what was counted before;
//! `radtally replay` makes today's policies hold for the past as well.

use std::collections::BTreeMap;

use schema::{BitsPerSecond, NasId, Octets, UnixTime};
use serde::{Deserialize, Serialize};

/// Which way Acct-Input-Octets flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Input is from the subscriber: upload (RFC 2866 5.3).
    #[default]
    Rfc,
    /// Input is to the subscriber: some NASes count from their own point of view.
    Reversed,
}

/// What a vendor's separate IPv6 counters are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6Counters {
    /// Part of Acct-Input-Octets and Acct-Output-Octets already (Juniper).
    #[default]
    Included,
    /// Not part of them: both add up.
    Separate,
}

/// What a NAS's counters mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct NasPolicy {
    /// Which way input flows.
    pub direction: Direction,
    /// What separate IPv6 counters are.
    pub ipv6_counters: Ipv6Counters,
    /// Speed of a subscriber's port: more than it carries is implausible. 10 Gbit/s where unknown.
    pub port_speed: Option<BitsPerSecond>,
}

/// Counters as a NAS reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawCounters {
    /// Acct-Input-Octets with Gigawords.
    pub input: Octets,
    /// Acct-Output-Octets with Gigawords.
    pub output: Octets,
    /// The vendor's input octets of IPv6.
    pub input_ipv6: Octets,
    /// The vendor's output octets of IPv6.
    pub output_ipv6: Octets,
}

impl RawCounters {
    /// Standard counters alone.
    #[must_use]
    pub const fn standard(input: Octets, output: Octets) -> Self {
        Self { input, output, input_ipv6: Octets(0), output_ipv6: Octets(0) }
    }

    /// The lesser of each counter.
    pub(crate) fn least(&self, other: &Self) -> Self {
        self.each(other, Octets::min)
    }

    /// The greater of each counter.
    pub(crate) fn greatest(&self, other: &Self) -> Self {
        self.each(other, Octets::max)
    }

    fn each(&self, other: &Self, choose: fn(Octets, Octets) -> Octets) -> Self {
        Self {
            input: choose(self.input, other.input),
            output: choose(self.output, other.output),
            input_ipv6: choose(self.input_ipv6, other.input_ipv6),
            output_ipv6: choose(self.output_ipv6, other.output_ipv6),
        }
    }

    /// Whether none is below `earlier`'s.
    pub(crate) fn rise_from(&self, earlier: &Self) -> bool {
        self.least(earlier) == *earlier
    }

    pub(crate) fn greatest_of_all(&self) -> Octets {
        self.input.max(self.output).max(self.input_ipv6).max(self.output_ipv6)
    }

    /// Whether neither standard counter is below `earlier`'s.
    #[must_use]
    pub fn is_at_least(&self, earlier: &Self) -> bool {
        self.input >= earlier.input && self.output >= earlier.output
    }
}

impl NasPolicy {
    /// Download and upload.
    #[must_use]
    pub fn octets(&self, counters: RawCounters) -> (Octets, Octets) {
        let RawCounters { mut input, mut output, input_ipv6, output_ipv6 } = counters;
        if self.ipv6_counters == Ipv6Counters::Separate {
            input += input_ipv6;
            output += output_ipv6;
        }
        match self.direction {
            Direction::Rfc => (output, input),
            Direction::Reversed => (input, output),
        }
    }
}

/// One NAS's policies over time: each holds for sessions that begin at its instant or later. Before the first, and
/// without any, the default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyHistory(BTreeMap<i64, NasPolicy>);

impl PolicyHistory {
    /// The policy of a session that began at `start`.
    #[must_use]
    pub fn at(&self, start: UnixTime) -> NasPolicy {
        self.0.range(..=start.0).next_back().map(|(_, policy)| *policy).unwrap_or_default()
    }

    /// The newest policy.
    #[must_use]
    pub fn newest(&self) -> NasPolicy {
        self.0.last_key_value().map(|(_, policy)| *policy).unwrap_or_default()
    }

    /// One policy that always held.
    #[must_use]
    pub fn always(policy: NasPolicy) -> Self {
        if policy == NasPolicy::default() { Self::default() } else { Self([(i64::MIN, policy)].into()) }
    }

    fn change(&mut self, policy: NasPolicy, since: UnixTime) {
        if self.newest() != policy {
            self.0.insert(since.0, policy);
        }
    }
}

/// The policies of all NASes over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyBook(BTreeMap<String, PolicyHistory>);

impl PolicyBook {
    /// A book by which today's policies always held.
    #[must_use]
    pub fn always(policies: &BTreeMap<NasId, NasPolicy>) -> Self {
        let history = |(nas, policy): (&NasId, &NasPolicy)| {
            let history = PolicyHistory::always(*policy);
            (history != PolicyHistory::default()).then(|| (nas.as_str().to_owned(), history))
        };
        Self(policies.iter().filter_map(history).collect())
    }

    /// A NAS's policies.
    #[must_use]
    pub fn of(&self, nas: &str) -> &PolicyHistory {
        const NONE: &PolicyHistory = &PolicyHistory(BTreeMap::new());
        self.0.get(nas).unwrap_or(NONE)
    }

    /// The book in which `policies` hold from `since` on; a NAS that they do not name has the default from then on.
    #[must_use]
    pub fn changed(&self, policies: &BTreeMap<NasId, NasPolicy>, since: UnixTime) -> Self {
        let mut book = self.clone();
        for (nas, policy) in policies {
            book.0.entry(nas.as_str().to_owned()).or_default().change(*policy, since);
        }
        for (nas, history) in &mut book.0 {
            if !policies.contains_key(nas.as_str()) {
                history.change(NasPolicy::default(), since);
            }
        }
        book.0.retain(|_, history| *history != PolicyHistory::default());
        book
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVERSED: NasPolicy =
        NasPolicy { direction: Direction::Reversed, ipv6_counters: Ipv6Counters::Included, port_speed: None };

    fn counters() -> RawCounters {
        RawCounters {
            input: Octets(1),
            output: Octets(20),
            input_ipv6: Octets(300),
            output_ipv6: Octets(4_000),
        }
    }

    #[test]
    fn separate_ipv6_counters_are_added_and_included_ones_are_not() {
        let separate = NasPolicy { ipv6_counters: Ipv6Counters::Separate, ..NasPolicy::default() };
        assert_eq!(separate.octets(counters()), (Octets(4_020), Octets(301)));
        assert_eq!(NasPolicy::default().octets(counters()), (Octets(20), Octets(1)));
        assert_eq!(REVERSED.octets(counters()), (Octets(1), Octets(20)));
    }

    #[test]
    fn a_changed_policy_holds_for_sessions_that_begin_later() {
        let nas = NasId::from("bng/a");
        let book = PolicyBook::default().changed(&[(nas, REVERSED)].into(), UnixTime(100));
        let at = |book: &PolicyBook, time| book.of("bng/a").at(UnixTime(time)).direction;
        assert_eq!((at(&book, 99), at(&book, 100)), (Direction::Rfc, Direction::Reversed));
        let back = book.changed(&BTreeMap::new(), UnixTime(200));
        assert_eq!((at(&back, 199), at(&back, 200)), (Direction::Reversed, Direction::Rfc));
        assert_eq!(back, back.changed(&BTreeMap::new(), UnixTime(300)), "nothing changed");
        let json = serde_json::to_string(&back).unwrap();
        assert_eq!(serde_json::from_str::<PolicyBook>(&json).unwrap(), back);
    }
}
