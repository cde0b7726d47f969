//! The way of one NAS's packets to the collector: a window of unanswered packets, checked answers, and retransmission
//! with back-off (RFC 5080 2.2.1). A retransmission is the same packet under the same identifier (RFC 2865 2.5).

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use radius::core::code::Code;
use radius::core::packet::Packet;
use rand::Rng as _;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::progress::Progress;

/// First wait for an answer (IRT).
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Longest wait (MRT).
const LONGEST_WAIT: Duration = Duration::from_secs(16);
/// After this long a packet is given up (MRD).
const GIVE_UP: Duration = Duration::from_secs(120);
/// Largest RADIUS packet.
const LARGEST: usize = 4_096;

/// A socket to the collector and what it has not answered.
pub struct Link {
    socket: UdpSocket,
    secret: Vec<u8>,
    waiting: Vec<Option<Waiting>>,
    /// Identifiers not in use; the one that rested longest comes first.
    free: VecDeque<u8>,
    progress: Arc<Progress>,
}

struct Waiting {
    packet: Vec<u8>,
    first_sent: Instant,
    due: Instant,
    wait: Duration,
}

impl Link {
    /// Opens a socket to `target` with at most `window` unanswered packets.
    ///
    /// # Errors
    /// No socket can be had.
    pub async fn new(
        target: SocketAddr,
        secret: &[u8],
        window: u16,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        let any = match target {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await.context("opening a UDP socket")?;
        socket.connect(target).await.with_context(|| format!("connecting to {target}"))?;
        let free: VecDeque<u8> = (0..window).filter_map(|identifier| u8::try_from(identifier).ok()).collect();
        let waiting = free.iter().map(|_| None).collect();
        Ok(Self { socket, secret: secret.to_vec(), waiting, free, progress })
    }

    /// Sends what `encode` makes of the secret and an identifier, waiting for a free one first.
    ///
    /// # Errors
    /// The packet cannot be made or the socket not be used.
    pub async fn send(
        &mut self,
        encode: impl FnOnce(&[u8], u8) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<()> {
        self.take_answers();
        let identifier = loop {
            match self.free.pop_front() {
                Some(identifier) => break identifier,
                None => self.attend(Instant::now() + LONGEST_WAIT).await?,
            }
        };
        let packet = encode(&self.secret, identifier)?;
        self.put(&packet).await?;
        let now = Instant::now();
        let waiting = Waiting { packet, first_sent: now, due: now + jitter(FIRST_WAIT), wait: FIRST_WAIT };
        if let Some(slot) = self.waiting.get_mut(usize::from(identifier)) {
            *slot = Some(waiting);
        }
        self.progress.sent();
        Ok(())
    }

    /// Takes answers and sends again what is due, until `until`.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub async fn rest(&mut self, until: Instant) -> anyhow::Result<()> {
        while Instant::now() < until {
            self.attend(until).await?;
        }
        Ok(())
    }

    /// Waits until everything is answered or given up, at most until `deadline`; the rest is lost.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub async fn settle(&mut self, deadline: Instant) -> anyhow::Result<()> {
        while self.waiting.iter().any(Option::is_some) && Instant::now() < deadline {
            self.attend(deadline).await?;
        }
        for _ in self.waiting.iter_mut().filter_map(Option::take) {
            self.progress.lost();
        }
        Ok(())
    }

    /// Waits for one thing: answers, a retransmission that is due, or `until`.
    async fn attend(&mut self, until: Instant) -> anyhow::Result<()> {
        let due = self.waiting.iter().flatten().map(|waiting| waiting.due).min();
        let wake = due.map_or(until, |due| due.min(until));
        if tokio::time::timeout_at(wake, self.socket.readable()).await.is_ok() {
            self.take_answers();
            return Ok(());
        }
        self.send_again().await
    }

    /// Takes all answers that have come. A refused connection shows here as an error; the packets are sent again.
    fn take_answers(&mut self) {
        let mut buffer = [0; LARGEST];
        loop {
            match self.socket.try_recv(&mut buffer) {
                Ok(length) => self.answered(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    }

    fn answered(&mut self, reply: &[u8]) {
        let slot = reply
            .get(1)
            .and_then(|&identifier| Some((identifier, self.waiting.get_mut(usize::from(identifier))?)));
        let Some((identifier, slot)) = slot else { return self.progress.strange() };
        let fits = slot.as_ref().is_some_and(|waiting| {
            reply.first() == Some(&(Code::AccountingResponse as u8))
                && Packet::is_authentic_response(reply, &waiting.packet, &self.secret)
        });
        if !fits {
            return self.progress.strange();
        }
        if let Some(waiting) = slot.take() {
            self.progress.acknowledged(waiting.first_sent.elapsed());
            self.free.push_back(identifier);
        }
    }

    async fn send_again(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut again = Vec::new();
        for (identifier, slot) in (0u8..=255).zip(&mut self.waiting) {
            let Some(waiting) = slot.as_mut().filter(|waiting| waiting.due <= now) else { continue };
            if now - waiting.first_sent >= GIVE_UP {
                *slot = None;
                self.free.push_back(identifier);
                self.progress.lost();
                continue;
            }
            waiting.wait = (waiting.wait * 2).min(LONGEST_WAIT);
            waiting.due = now + jitter(waiting.wait);
            again.push(waiting.packet.clone());
        }
        for packet in again {
            self.put(&packet).await?;
            self.progress.sent_again();
        }
        Ok(())
    }

    /// Sends octets. Where nobody listens the packet is as good as lost on its way.
    async fn put(&self, packet: &[u8]) -> anyhow::Result<()> {
        match self.socket.send(packet).await {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionRefused => {
                Err(error).context("sending a packet")
            }
            _ => Ok(()),
        }
    }
}

/// A tenth more or less, so that NASes do not speak in chorus (RFC 5080 2.2.1).
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.9..1.1))
}
