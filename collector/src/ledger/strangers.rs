//! Who sends without being known: a bounded list of addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use schema::UnixTime;
use serde::Serialize;

/// Most addresses kept in each list of strangers; packets of further ones are still counted.
const STRANGERS: usize = 1_000;

/// Packets from one address that were refused for who sent them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// The source address.
    pub source: IpAddr,
    /// Packets seen.
    pub packets: u64,
    /// When the first came.
    pub since: UnixTime,
    /// When the newest came.
    pub last_at: UnixTime,
}

/// A bounded list of strangers.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<HashMap<IpAddr, (u64, UnixTime, UnixTime)>>);

impl Strangers {
    /// Notes a packet from `source`.
    pub fn note(&self, source: IpAddr, now: UnixTime) {
        let mut list = self.0.lock();
        if list.len() >= STRANGERS && !list.contains_key(&source) {
            return;
        }
        let (packets, _, last) = list.entry(source).or_insert((0, now, now));
        *packets += 1;
        *last = now;
    }

    pub(super) fn report(&self) -> Vec<Stranger> {
        let list = self.0.lock();
        let mut strangers: Vec<_> = list
            .iter()
            .map(|(&source, &(packets, since, last_at))| Stranger { source, packets, since, last_at })
            .collect();
        strangers.sort_by_key(|stranger| (std::cmp::Reverse(stranger.packets), stranger.source));
        strangers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_strangers_is_bounded() {
        let strangers = Strangers::default();
        for n in 0..5_000u32 {
            strangers.note(IpAddr::from(n.to_be_bytes()), UnixTime(1));
        }
        assert_eq!(strangers.report().len(), STRANGERS);
    }
}
