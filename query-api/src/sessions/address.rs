//! Which sessions had an address at a time, by their records: addresses change within a session, and often come after its
//! Start.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use clickhouse::Row;
use schema::{SessionKey, UnixTime};
use serde::Deserialize;

use crate::query::{self, DRIFT, fetch, seconds, time};
use crate::stored::StoredSession;
use crate::{ApiError, Deps};

/// What one record says of addresses.
#[derive(Row, Deserialize)]
struct Said {
    session_key: u128,
    at: u32,
    addresses: Vec<Ipv6Addr>,
    names_prefixes: u8,
    in_prefix: u8,
}

/// Of the sessions `stored`, which have all had `ip`, the keys of those that had it at the time `at`.
pub(super) async fn holders(
    deps: &Deps,
    stored: &[StoredSession],
    ip: IpAddr,
    at: UnixTime,
) -> Result<HashSet<SessionKey>, ApiError> {
    let keys: Vec<SessionKey> = stored.iter().map(StoredSession::key).collect();
    let Some(first) = stored.iter().map(|session| session.first_event_at).min() else {
        return Ok(HashSet::new());
    };
    let sql = "SELECT r.session_key AS session_key, toUInt32(r.event_at) AS at, r.addresses AS addresses, \
               notEmpty(r.prefixes) AS names_prefixes, \
               arrayExists(prefix -> isIPAddressInRange(?, prefix), r.prefixes) AS in_prefix \
               FROM accounting_records AS r WHERE r.session_key IN ? AND r.arrived_at >= toDateTime(?) \
               AND (notEmpty(r.addresses) OR notEmpty(r.prefixes))";
    let query = deps.clickhouse.query(sql).bind(ip.to_string()).bind(query::numbers(&keys));
    let mut histories: HashMap<SessionKey, History> = HashMap::new();
    for said in fetch::<Said>(query.bind(seconds(time(first).plus(-DRIFT)))).await? {
        histories.entry(SessionKey(said.session_key)).or_default().add(&said, ip);
    }
    let held = histories.into_iter().filter(|(_, history)| history.held(at));
    Ok(held.map(|(key, _)| key).collect())
}

/// When a session's records name addresses of the family in question or prefixes, and whether the address is among them.
#[derive(Default)]
struct History {
    addresses: BTreeMap<UnixTime, bool>,
    prefixes: BTreeMap<UnixTime, bool>,
}

impl History {
    fn add(&mut self, said: &Said, ip: IpAddr) {
        let addresses = said.addresses.iter().map(|address| IpAddr::V6(*address).to_canonical());
        let of_family: Vec<IpAddr> = addresses.filter(|address| address.is_ipv4() == ip.is_ipv4()).collect();
        if !of_family.is_empty() {
            *self.addresses.entry(time(said.at)).or_default() |= of_family.contains(&ip);
        }
        if said.names_prefixes != 0 {
            *self.prefixes.entry(time(said.at)).or_default() |= said.in_prefix != 0;
        }
    }

    /// What was said last before `at` holds; before anything was said, what is said first.
    fn held(&self, at: UnixTime) -> bool {
        [&self.addresses, &self.prefixes].into_iter().any(|said| {
            let before = said.range(..=at).next_back().or_else(|| said.first_key_value());
            before.is_some_and(|(_, held)| *held)
        })
    }
}
