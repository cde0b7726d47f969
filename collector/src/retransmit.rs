//! The retransmission window: has this very packet been seen, and was it answered?
//!
//! Same source address and port, identifier and authenticator: the same packet again (RFC 2866 2). While it is not yet
//! durable it will be answered, so its copy is dropped; once it is, the copy gets the same reply, computed anew from the
//! copy itself. A packet that reuses an identifier with another authenticator is a new one.
//!
//! Each listener owns a window, so there is no lock. Memory is bounded: two generations of at most [`GENERATION`]
//! packets; the older one is forgotten when the younger is full or a window old. Forgetting early costs nothing but a
//! second record of the same digest, which usage ignores.

use std::net::SocketAddr;

use foldhash::{HashMap, HashMapExt as _};
use schema::{Lsn, UnixMicros};

/// Most packets in one generation.
const GENERATION: usize = 500_000;

/// What names a packet on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketName {
    /// Who sent it.
    pub peer: SocketAddr,
    /// Its identifier.
    pub identifier: u8,
}

/// What is known of an arriving packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it is new.
    New,
    /// It is in the journal under this number, durable or soon to be.
    Before(Lsn),
}

/// The packets of the last moments.
#[derive(Debug)]
pub struct Window {
    span: i64,
    turned_at: UnixMicros,
    young: HashMap<PacketName, Slot>,
    old: HashMap<PacketName, Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    authenticator: [u8; 16],
    lsn: Lsn,
}

impl Window {
    /// An empty window that remembers packets for at least `seconds`.
    #[must_use]
    pub fn new(seconds: u32) -> Self {
        Self {
            span: i64::from(seconds) * 1_000_000,
            turned_at: UnixMicros(0),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// Whether the packet was seen before.
    #[must_use]
    pub fn check(&self, name: PacketName, authenticator: [u8; 16]) -> Seen {
        let known = self.young.get(&name).or_else(|| self.old.get(&name));
        known
            .filter(|slot| slot.authenticator == authenticator)
            .map_or(Seen::New, |slot| Seen::Before(slot.lsn))
    }

    /// Remembers a packet that the journal took.
    pub fn remember(&mut self, name: PacketName, authenticator: [u8; 16], lsn: Lsn, now: UnixMicros) {
        if self.young.len() >= GENERATION || now.0 - self.turned_at.0 > self.span {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.turned_at = now;
        }
        self.young.insert(name, Slot { authenticator, lsn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(identifier: u8) -> PacketName {
        PacketName { peer: "192.0.2.1:1024".parse().unwrap(), identifier }
    }

    #[test]
    fn the_same_packet_is_seen_and_a_reused_identifier_is_new() {
        let mut window = Window::new(30);
        assert_eq!(window.check(name(1), [1; 16]), Seen::New);
        window.remember(name(1), [1; 16], Lsn(5), UnixMicros(1));
        assert_eq!(window.check(name(1), [1; 16]), Seen::Before(Lsn(5)));
        assert_eq!(window.check(name(1), [2; 16]), Seen::New);
        assert_eq!(window.check(name(2), [1; 16]), Seen::New);
    }

    #[test]
    fn packets_are_remembered_for_the_window_and_then_forgotten() {
        let mut window = Window::new(30);
        let second = |s: i64| UnixMicros(1_000_000_000 + s * 1_000_000);
        window.remember(name(1), [1; 16], Lsn(1), second(0));
        window.remember(name(2), [2; 16], Lsn(2), second(31));
        assert_eq!(window.check(name(1), [1; 16]), Seen::Before(Lsn(1)));
        window.remember(name(3), [3; 16], Lsn(3), second(62));
        assert_eq!(window.check(name(1), [1; 16]), Seen::New);
        assert_eq!(window.check(name(2), [2; 16]), Seen::Before(Lsn(2)));
    }
}
