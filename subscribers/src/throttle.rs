//! Limits password guessing: per name and address five attempts at once, then one a minute. A success clears it.
//!
//! IPv6 addresses count by their /64, which is what one customer has. The state lives in memory and is bounded: when
//! it is full, the entry closest to being forgotten makes room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Attempts at once.
const BURST: u32 = 5;
/// Time until one more attempt.
const REFILL: Duration = Duration::from_secs(60);
/// Entries kept.
const CAPACITY: usize = 10_000;

/// Counts attempts. An entry holds when the key's attempts are all back.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<(String, IpAddr), Instant>>);

impl Throttle {
    /// Takes an attempt, or says how long to wait for one.
    pub(crate) fn attempt(&self, name: &str, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut entries = self.0.lock();
        let key = (name.to_owned(), network(address));
        let restored = entries.get(&key).copied().unwrap_or(now).max(now) + REFILL;
        if let Some(wait) =
            restored.checked_duration_since(now + REFILL * BURST).filter(|wait| !wait.is_zero())
        {
            return Err(wait);
        }
        if entries.len() >= CAPACITY && !entries.contains_key(&key) {
            make_room(&mut entries, now);
        }
        entries.insert(key, restored);
        Ok(())
    }

    /// Forgets the attempts after a success.
    pub(crate) fn clear(&self, name: &str, address: IpAddr) {
        self.0.lock().remove(&(name.to_owned(), network(address)));
    }
}

fn make_room(entries: &mut HashMap<(String, IpAddr), Instant>, now: Instant) {
    entries.retain(|_, restored| *restored > now);
    if entries.len() < CAPACITY {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, restored)| **restored).map(|(key, _)| key.clone());
    if let Some(key) = oldest {
        entries.remove(&key);
    }
}

/// What counts as one place.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_attempt_waits_a_minute_and_other_places_do_not() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let here: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..BURST {
            assert_eq!(throttle.attempt("ada", here, now), Ok(()));
        }
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!(throttle.attempt("ada", neighbour, now), Err(REFILL));
        assert_eq!(throttle.attempt("ada", "192.0.2.1".parse().unwrap(), now), Ok(()));
        assert_eq!(throttle.attempt("bob", here, now), Ok(()));
        assert_eq!(throttle.attempt("ada", here, now + REFILL), Ok(()));
        assert_eq!(throttle.attempt("ada", here, now + REFILL), Err(REFILL));
        throttle.clear("ada", here);
        assert_eq!(throttle.attempt("ada", here, now + REFILL), Ok(()));
    }

    #[test]
    fn the_state_stays_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        for n in 0..CAPACITY + 10 {
            assert!(throttle.attempt(&n.to_string(), here, now).is_ok());
        }
        assert_eq!(throttle.0.lock().len(), CAPACITY);
    }
}
