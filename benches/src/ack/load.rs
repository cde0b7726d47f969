//! The load: NASes on sockets of their own, each with a window of unanswered requests, as fast as they are answered or at a
//! given rate. Whoever is not answered sends again (the same packet) with back-off, as RFC 5080 2.2.1 has it.
//!
//! One thread does it all, because the machine is shared with who is measured.

use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use collector::socket::{Outgoing, Receiver, send_all};
use hdrhistogram::Histogram;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::packets::{Report, Requests, SIZE, answers};

/// First wait for an answer; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// After so long a request counts as lost.
const GIVE_UP: Duration = Duration::from_secs(30);
/// Time between two looks for requests that were not answered.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Identifiers of one socket.
const IDENTIFIERS: usize = 256;

/// How much, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Source sockets, each a NAS.
    pub sockets: u8,
    /// Most unanswered requests of one socket.
    pub window: usize,
    /// Sessions of all NASes together; those of one report in turn.
    pub sessions: u32,
    /// Requests a second of all together; as many as are answered where `None`.
    pub rate: Option<f64>,
    /// How long requests are sent. What is not answered by then is waited for.
    pub lasts: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests answered.
    pub acked: u64,
    /// Requests never answered.
    pub lost: u64,
    /// Requests sent again.
    pub again: u64,
    /// From the first request to the last answer.
    pub took: Duration,
    /// From a request's first sending, or from when it was due, to its answer; microseconds.
    pub latency: Histogram<u64>,
}

impl Outcome {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.acked as f64 / self.took.as_secs_f64()
    }
}

/// What others may watch, and how they end it early.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Requests answered so far.
    pub acked: Arc<AtomicU64>,
    /// Set to end early.
    pub stop: Arc<AtomicBool>,
}

struct Nas {
    socket: UdpSocket,
    requests: Requests,
    receiver: Receiver,
    packets: Box<[[u8; SIZE]; IDENTIFIERS]>,
    waiting: Box<[Option<Waiting>; IDENTIFIERS]>,
    free: Vec<u8>,
    /// Its sessions' numbers, and how many of their reports it has sent.
    sessions: Range<u32>,
    sent: u32,
}

#[derive(Clone, Copy)]
struct Waiting {
    due: Instant,
    again_at: Instant,
    wait: Duration,
}

/// Sends to `target`; blocks until all is over.
///
/// # Errors
/// A socket cannot be had.
pub fn run(load: &Load, target: SocketAddr, watch: &Watch) -> anyhow::Result<Outcome> {
    let mut nases =
        (0..load.sockets).map(|number| Nas::new(number, load, target)).collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let mut outcome =
        Outcome { acked: 0, lost: 0, again: 0, took: Duration::ZERO, latency: Histogram::new(3)? };
    let (mut sent, mut looked_at) = (0u64, started);
    let began = u32::try_from(schema::UnixTime::now().0)?.saturating_sub(3_600);
    loop {
        let now = Instant::now();
        let sending = now - started < load.lasts && !watch.stop.load(Ordering::Relaxed);
        let allowed = load.rate.map_or(u64::MAX, |rate| ((now - started).as_secs_f64() * rate) as u64);
        let mut did = 0;
        for nas in &mut nases {
            did += nas.take_answers(target, &mut outcome);
            if sending && sent < allowed {
                let room = usize::try_from(allowed - sent).unwrap_or(usize::MAX).min(nas.free.len());
                let due = |number: u64| match load.rate {
                    Some(rate) => started + Duration::from_secs_f64(number as f64 / rate),
                    None => now,
                };
                let seconds = 3_600 + u32::try_from((now - started).as_secs())?;
                did += nas.send(room, &mut sent, due, (began, seconds), target);
            }
        }
        watch.acked.store(outcome.acked, Ordering::Relaxed);
        if now - looked_at >= LOOK_EVERY {
            looked_at = now;
            nases.iter_mut().for_each(|nas| nas.look(now, target, &mut outcome));
        }
        if !sending && nases.iter().all(|nas| nas.free.len() == load.window) {
            outcome.took = started.elapsed();
            return Ok(outcome);
        }
        if did == 0 {
            wait(&nases, if load.rate.is_some() { 1 } else { 20 });
        }
    }
}

/// Until an answer comes, at most so many milliseconds.
fn wait(nases: &[Nas], milliseconds: u8) {
    let mut fds: Vec<PollFd> =
        nases.iter().map(|nas| PollFd::new(nas.socket.as_fd(), PollFlags::POLLIN)).collect();
    // Whatever it says, the sockets are looked at next.
    _ = poll(&mut fds, PollTimeout::from(milliseconds));
}

impl Nas {
    fn new(number: u8, load: &Load, target: SocketAddr) -> anyhow::Result<Self> {
        let each = (load.sessions / u32::from(load.sockets)).max(1);
        let socket = UdpSocket::bind(("127.0.0.1", 0)).context("opening a UDP socket")?;
        socket.connect(target).with_context(|| format!("connecting to {target}"))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            requests: Requests::of_nas(number),
            receiver: Receiver::default(),
            packets: Box::new([[0; SIZE]; IDENTIFIERS]),
            waiting: Box::new([None; IDENTIFIERS]),
            free: (0..=255).take(load.window).collect(),
            sessions: each * u32::from(number)..each * (u32::from(number) + 1),
            sent: 0,
        })
    }

    /// How many answers there were.
    fn take_answers(&mut self, target: SocketAddr, outcome: &mut Outcome) -> usize {
        let mut taken = 0;
        while let Ok(count @ 1..) = self.receiver.receive(&self.socket) {
            taken += count;
            let now = Instant::now();
            for reply in self.receiver.datagrams().filter(|reply| reply.peer == target) {
                let Some(identifier) = reply.bytes.get(1).copied() else { continue };
                let slot = &mut self.waiting[usize::from(identifier)];
                if !answers(reply.bytes, &self.packets[usize::from(identifier)]) {
                    continue;
                }
                let Some(waiting) = slot.take() else { continue };
                let micros = (now - waiting.due).as_micros();
                // The histogram grows; that microseconds of a minute do not fit cannot be.
                _ = outcome.latency.record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
                outcome.acked += 1;
                self.free.push(identifier);
            }
        }
        taken
    }

    /// Sends up to `room` requests; how many.
    fn send(
        &mut self,
        room: usize,
        sent: &mut u64,
        due: impl Fn(u64) -> Instant,
        (began, seconds): (u32, u32),
        target: SocketAddr,
    ) -> usize {
        let identifiers: Vec<u8> = self.free.drain(self.free.len() - room..).collect();
        let now = Instant::now();
        for identifier in &identifiers {
            let place = usize::from(*identifier);
            let session = self.sessions.start + self.sent % self.sessions.len() as u32;
            let report = Report { session, seconds, at: began + seconds };
            self.sent = self.sent.wrapping_add(1);
            self.requests.write(report, *identifier, &mut self.packets[place]);
            self.waiting[place] =
                Some(Waiting { due: due(*sent), again_at: now + FIRST_WAIT, wait: FIRST_WAIT });
            *sent += 1;
        }
        self.transmit(&identifiers, target);
        identifiers.len()
    }

    /// Sends again what was not answered in time, and gives up what never is.
    fn look(&mut self, now: Instant, target: SocketAddr, outcome: &mut Outcome) {
        let mut again = Vec::new();
        for (identifier, slot) in (0..=255u8).zip(self.waiting.iter_mut()) {
            match slot {
                Some(waiting) if now > waiting.due + GIVE_UP => {
                    outcome.lost += 1;
                    *slot = None;
                    self.free.push(identifier);
                }
                Some(waiting) if now >= waiting.again_at => {
                    waiting.wait *= 2;
                    waiting.again_at = now + waiting.wait;
                    again.push(identifier);
                }
                _ => {}
            }
        }
        outcome.again += again.len() as u64;
        self.transmit(&again, target);
    }

    /// What the kernel refuses is sent again later.
    fn transmit(&self, identifiers: &[u8], target: SocketAddr) {
        let packet = |identifier: &u8| &self.packets[usize::from(*identifier)][..];
        let datagram = |identifier| Outgoing { bytes: packet(identifier), peer: target, local: None };
        let datagrams: Vec<Outgoing<'_>> = identifiers.iter().map(datagram).collect();
        send_all(&self.socket, &datagrams);
    }
}
