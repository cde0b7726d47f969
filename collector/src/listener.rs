//! A listening socket's thread: takes batches of datagrams from the kernel and puts each through the [`Pipeline`].

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use schema::UnixMicros;
use schema::health::{HealthBoard, LISTENER};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::client::Client;
use crate::ledger::{Dropped, Ledger};
use crate::pipeline::Pipeline;
use crate::reply::Route;
use crate::socket::Receiver;
use crate::verify::{Datagram, Rejected};

/// One socket and what its packets go through.
pub struct Listener {
    pub(crate) index: u16,
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) pipeline: Pipeline,
    pub(crate) ledger: Ledger,
    pub(crate) health: HealthBoard,
}

impl Listener {
    /// Receives until `shutdown`; what the kernel holds by then is left to the NAS's retransmission.
    pub fn run(mut self, shutdown: &CancellationToken) {
        let mut receiver = Receiver::default();
        let mut kernel_drops = 0u32;
        let mut failing = false;
        while !shutdown.is_cancelled() {
            match receiver.receive(&self.socket) {
                Ok(datagrams) => {
                    self.ledger.received(datagrams);
                    if std::mem::take(&mut failing) {
                        self.health.up(LISTENER);
                    }
                }
                Err(error) => {
                    failing = true;
                    self.health.down(LISTENER, format!("receiving failed: {error}"));
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    continue;
                }
            }
            let arrived_at = UnixMicros::now();
            for received in receiver.datagrams() {
                let datagram =
                    Datagram { bytes: received.bytes, peer: received.peer, arrived_at, cut: received.cut };
                let route = Route { socket: self.index, peer: received.peer, local: received.local };
                self.pipeline.accept(&datagram, route);
            }
            self.pipeline.flush();
            let drops = receiver.kernel_drops();
            self.ledger.kernel_drops(u64::from(drops.wrapping_sub(kernel_drops)));
            kernel_drops = drops;
        }
    }
}

/// Writes about bad packets at a limited rate: one line per kind of trouble and client in ten seconds, with the number
/// of lines left out.
#[derive(Debug, Default)]
pub struct Log(HashMap<(&'static str, Option<schema::ClientName>), Quiet>);

#[derive(Debug, Default)]
struct Quiet {
    until: UnixMicros,
    left_out: u64,
}

impl Log {
    const EVERY: i64 = 10_000_000;

    /// A packet whose source no client has.
    pub fn unknown_client(&mut self, peer: SocketAddr, now: UnixMicros) {
        if let Some(left_out) = self.due("unknown_client", None, now) {
            warn!(%peer, left_out, "a packet came from an address that no client has; it is not answered");
        }
    }

    /// A packet that must not be answered.
    pub fn rejected(&mut self, client: &Client, peer: SocketAddr, why: &Rejected, now: UnixMicros) {
        if let Some(left_out) = self.due(why.reason(), Some(client), now) {
            warn!(client = %client.name, %peer, %why, left_out, "a packet is refused");
        }
    }

    /// A packet that could not be recorded.
    pub fn dropped(&mut self, client: &Client, why: Dropped, now: UnixMicros) {
        if let Some(left_out) = self.due(why.reason(), Some(client), now) {
            warn!(client = %client.name, why = why.reason(), left_out, "a packet could not be recorded and is not acknowledged");
        }
    }

    fn due(&mut self, kind: &'static str, client: Option<&Client>, now: UnixMicros) -> Option<u64> {
        let quiet = self.0.entry((kind, client.map(|client| client.name.clone()))).or_default();
        if now < quiet.until {
            quiet.left_out += 1;
            return None;
        }
        quiet.until = UnixMicros(now.0 + Self::EVERY);
        Some(std::mem::take(&mut quiet.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_speaks_once_in_ten_seconds_and_tells_what_it_left_out() {
        let mut log = Log::default();
        assert_eq!(log.due("x", None, UnixMicros(1)), Some(0));
        assert_eq!(log.due("x", None, UnixMicros(2)), None);
        assert_eq!(log.due("y", None, UnixMicros(2)), Some(0));
        assert_eq!(log.due("x", None, UnixMicros(10_000_002)), Some(1));
    }
}
