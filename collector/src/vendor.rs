//! Vendor-Specific attributes (RFC 2865 5.26): the counters, circuits, rates and parents that vendors tell in their own.
//!
//! Only vendors named here are read, and all of them use the recommended form: a sub-attribute is a type octet, a length
//! octet that counts both, and a value; several may share an attribute. USR (429), Lucent (4846), Starent (8164) and WiMAX
//! (24757) have other headers and are not read; nor is anybody else: what is unknown stays raw in the record.
//!
//! What is no counter is not taken for one: MikroTik's (14988) 1, 2, 14, 15, 17 and 18 are quotas. Numbers come from the
//! dictionaries; where those contradict each other (H3C's Gigawords), from the vendor's manual.

mod rates;

use schema::Octets;

use crate::attributes::integer;
use rates::Rates;

const CISCO: u32 = 9;
const HUAWEI: u32 = 2011;
/// Redback, now Ericsson.
const REDBACK: u32 = 2352;
/// ADSL Forum, now Broadband Forum (RFC 4679).
const ADSL_FORUM: u32 = 3561;
/// Juniper, once Unisphere.
const ERX: u32 = 4874;
/// Nokia Service Router, once Alcatel.
const NOKIA: u32 = 6527;
const WISPR: u32 = 14122;
const MIKROTIK: u32 = 14988;
const H3C: u32 = 25506;

/// What a record's Vendor-Specific attributes say; of each fact the first occurrence counts.
#[derive(Clone, Debug, Default)]
pub struct VendorFacts<'a> {
    ipv6: Ipv6Counters,
    wide_input: Nokia64,
    wide_output: Nokia64,
    circuit_id: Option<&'a [u8]>,
    remote_id: Option<&'a [u8]>,
    pub(crate) rates: Rates,
    /// The vendor whose service the record names.
    service: Option<u32>,
    /// The parent that a Cisco AVPair names.
    parent: Option<&'a [u8]>,
    /// A value has a length that its type does not allow.
    pub(crate) bad: bool,
}

/// A vendor's separate count of IPv6 octets.
#[derive(Clone, Copy, Debug, Default)]
struct Ipv6Counters {
    input: Option<u32>,
    output: Option<u32>,
    input_gigawords: Option<u32>,
    output_gigawords: Option<u32>,
}

impl<'a> VendorFacts<'a> {
    /// Reads one Vendor-Specific value, vendor number included.
    pub(crate) fn read(&mut self, value: &'a [u8]) {
        let Some((vendor, mut rest)) = value.split_first_chunk::<4>() else {
            self.bad = true;
            return;
        };
        let vendor = u32::from_be_bytes(*vendor);
        if !is_read(vendor) {
            return;
        }
        while let [kind, length, ..] = *rest {
            let Some((sub, next)) = rest.split_at_checked(usize::from(length)) else { break };
            let Some(value) = sub.get(2..) else { break };
            self.sub_attribute(vendor, kind, value);
            rest = next;
        }
        self.bad |= !rest.is_empty();
    }

    fn sub_attribute(&mut self, vendor: u32, kind: u8, value: &'a [u8]) {
        if let Some(field) = self.ipv6.field(vendor, kind) {
            match integer(value) {
                Some(number) => _ = field.get_or_insert(number),
                None => self.bad = true,
            }
            return;
        }
        match (vendor, kind) {
            (NOKIA, _) => self.nokia(kind, value),
            // Agent-Circuit-Id, Agent-Remote-Id (RFC 4679 3.3.1, 3.3.2).
            (ADSL_FORUM, 1) => _ = self.circuit_id.get_or_insert(value),
            (ADSL_FORUM, 2) => _ = self.remote_id.get_or_insert(value),
            // Actual-Data-Rate-Upstream, -Downstream (RFC 4679 3.3.3, 3.3.4): the line's.
            (ADSL_FORUM, 129) => self.rate(value, |rates| &mut rates.line.upload),
            (ADSL_FORUM, 130) => self.rate(value, |rates| &mut rates.line.download),
            // WISPr-Bandwidth-Max-Up, -Down.
            (WISPR, 7) => self.rate(value, |rates| &mut rates.wispr.upload),
            (WISPR, 8) => self.rate(value, |rates| &mut rates.wispr.download),
            // Mikrotik-Rate-Limit.
            (MIKROTIK, 8) => self.rates.mikrotik(value),
            // ERX-Service-Session: the name of the service that the record is of.
            (ERX, 83) if !value.is_empty() => _ = self.service.get_or_insert(ERX),
            // Cisco-Service-Info: `N` and the service's name.
            (CISCO, 251) if matches!(value, [b'N', _, ..]) => _ = self.service.get_or_insert(CISCO),
            (CISCO, 1) => self.cisco(value),
            _ => {}
        }
    }

    fn rate(&mut self, value: &[u8], field: impl FnOnce(&mut Rates) -> &mut Option<u64>) {
        match integer(value) {
            Some(rate) => _ = field(&mut self.rates).get_or_insert(rate.into()),
            None => self.bad = true,
        }
    }

    /// Counters of 64 bits, per queue and policer (7750 SR RADIUS Attributes Reference Guide, ESM accounting).
    fn nokia(&mut self, kind: u8, value: &[u8]) {
        let read = match kind {
            // Alc-Acct-I-Inprof-Octets-64, -Outprof-; or IPv4 and IPv6. Both together are what was forwarded.
            19 | 20 => self.wide_input.profile(value),
            21 | 22 => self.wide_output.profile(value),
            // Alc-Acct-I-All-Octets_64, Alc-Acct-O-All-Octets_64.
            116 => self.wide_input.all(value),
            117 => self.wide_output.all(value),
            // Alc-Sub-Serv-Activate: in accounting the name of the service that the record is of.
            151 if !value.is_empty() => {
                self.service.get_or_insert(NOKIA);
                Some(())
            }
            _ => Some(()),
        };
        self.bad |= read.is_none();
    }

    /// Cisco-AVPair: `attribute=value`.
    fn cisco(&mut self, pair: &'a [u8]) {
        let after = |name: &[u8]| pair.strip_prefix(name).filter(|value| !value.is_empty());
        if let Some(parent) = after(b"parent-session-id=") {
            self.parent.get_or_insert(parent);
        } else if let Some(circuit) = after(b"circuit-id-tag=") {
            self.circuit_id.get_or_insert(circuit);
        } else if let Some(remote) = after(b"remote-id-tag=") {
            self.remote_id.get_or_insert(remote);
        }
    }
}

/// What the facts say of the record as a whole.
impl<'a> VendorFacts<'a> {
    /// The session that this record's session is a part of, where it is one: the record names a service *and* a parent.
    ///
    /// - Juniper: ERX-Service-Session; the parent in Acct-Multi-Session-Id, or before the colon of an Acct-Session-Id
    ///   `parent:service`, as the MX sends it.
    /// - Nokia: Alc-Sub-Serv-Activate; the parent in Acct-Multi-Session-Id (RADIUS Attributes Reference Guide, subscriber
    ///   service accounting). Its queue instances are no children: without host or session accounting they are all there
    ///   is, and with it a record does not tell which of both it is of.
    /// - Cisco ISG: Cisco-Service-Info; the parent in the AVPair `parent-session-id` (ISG Configuration Guide, per-flow
    ///   accounting).
    pub(crate) fn parent(&self, session_id: &'a [u8], multi_session_id: &'a [u8]) -> Option<&'a [u8]> {
        let linked = Some(multi_session_id).filter(|id| !id.is_empty());
        let parent = match self.service? {
            ERX => linked.or_else(|| before_colon(session_id)),
            NOKIA => linked,
            CISCO => self.parent,
            _ => None,
        };
        parent.filter(|parent| !parent.is_empty() && *parent != session_id)
    }

    /// The vendor's IPv6 octets from the subscriber.
    pub(crate) fn input_ipv6(&self) -> Octets {
        Octets::from_gigawords(self.ipv6.input_gigawords.unwrap_or(0), self.ipv6.input.unwrap_or(0))
    }

    /// The vendor's IPv6 octets to the subscriber.
    pub(crate) fn output_ipv6(&self) -> Octets {
        Octets::from_gigawords(self.ipv6.output_gigawords.unwrap_or(0), self.ipv6.output.unwrap_or(0))
    }

    /// The vendor's 64-bit count of octets from the subscriber.
    pub(crate) fn wide_input(&self) -> Option<u64> {
        self.wide_input.total()
    }

    /// The vendor's 64-bit count of octets to the subscriber.
    pub(crate) fn wide_output(&self) -> Option<u64> {
        self.wide_output.total()
    }

    /// Agent-Circuit-Id; empty where absent.
    pub(crate) fn circuit_id(&self) -> &'a [u8] {
        self.circuit_id.unwrap_or_default()
    }

    /// Agent-Remote-Id; empty where absent.
    pub(crate) fn remote_id(&self) -> &'a [u8] {
        self.remote_id.unwrap_or_default()
    }
}

impl Ipv6Counters {
    /// The counter that a sub-attribute is.
    const fn field(&mut self, vendor: u32, kind: u8) -> Option<&mut Option<u32>> {
        Some(match (vendor, kind) {
            (ERX, 151) | (HUAWEI | H3C, 144) | (REDBACK, 220) | (NOKIA, 195) => &mut self.input,
            (ERX, 152) | (HUAWEI | H3C, 145) | (REDBACK, 221) | (NOKIA, 198) => &mut self.output,
            (ERX, 155) | (HUAWEI | H3C, 148) | (REDBACK, 224) | (NOKIA, 196) => &mut self.input_gigawords,
            (ERX, 156) | (HUAWEI | H3C, 149) | (REDBACK, 225) | (NOKIA, 199) => &mut self.output_gigawords,
            _ => return None,
        })
    }
}

/// One direction of Nokia's counters, each 8 octets, mostly behind an octet that tells queue (0) from policer (0x80) and
/// one that numbers it. A policer counts everything, or by profile, as it is configured.
#[derive(Clone, Copy, Debug, Default)]
struct Nokia64 {
    queues: Option<u64>,
    policers_all: Option<u64>,
    policers_profile: Option<u64>,
}

impl Nokia64 {
    /// `None`: the value has no length that is known.
    fn profile(&mut self, value: &[u8]) -> Option<()> {
        match (value, value.last_chunk()) {
            ([0, _, ..], Some(octets)) if value.len() == 10 => add(&mut self.queues, *octets),
            ([0x80, _, ..], Some(octets)) if value.len() == 10 => add(&mut self.policers_profile, *octets),
            // Application Assurance counts applications under the same numbers.
            _ if value.len() == 10 => {}
            _ => return None,
        }
        Some(())
    }

    fn all(&mut self, value: &[u8]) -> Option<()> {
        let octets = value.last_chunk().filter(|_| matches!(value.len(), 8 | 10))?;
        add(&mut self.policers_all, *octets);
        Some(())
    }

    fn total(&self) -> Option<u64> {
        match (self.queues, self.policers_all.max(self.policers_profile)) {
            (None, policers) => policers,
            (queues, None) => queues,
            (Some(queues), Some(policers)) => Some(queues.saturating_add(policers)),
        }
    }
}

fn add(sum: &mut Option<u64>, octets: [u8; 8]) {
    *sum = Some(sum.unwrap_or(0).saturating_add(u64::from_be_bytes(octets)));
}

fn before_colon(id: &[u8]) -> Option<&[u8]> {
    let colon = id.iter().position(|octet| *octet == b':')?;
    id.get(..colon)
}

const fn is_read(vendor: u32) -> bool {
    matches!(vendor, CISCO | HUAWEI | REDBACK | ADSL_FORUM | ERX | NOKIA | WISPR | MIKROTIK | H3C)
}

#[cfg(test)]
mod tests;
