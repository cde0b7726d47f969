//! A RADIUS client made with a codec nobody here wrote: builds Accounting-Requests, sends them again until they are
//! answered, and checks the answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use radius::core::code::Code;
use radius::core::packet::Packet;
use radius::core::{rfc2865, rfc2866, rfc2869};
use tokio::net::UdpSocket;

use crate::service::SECRET;

/// Time between two sendings of one packet.
const AGAIN: Duration = Duration::from_millis(500);

/// One NAS on a socket of its own, which sends one packet at a time.
pub struct Nas {
    socket: UdpSocket,
    target: SocketAddr,
    next: u8,
}

/// A request that was answered.
pub struct Answered {
    /// The request.
    pub request: Vec<u8>,
    /// Its answer.
    pub reply: Vec<u8>,
    /// How long it took, from the first sending.
    pub took: Duration,
}

/// What is said about a session.
#[derive(Clone)]
pub struct Said {
    /// NAS-Identifier.
    pub nas: String,
    /// User-Name.
    pub login: String,
    /// Acct-Session-Id.
    pub session: String,
    /// Acct-Status-Type.
    pub status: u32,
    /// Acct-Session-Time.
    pub seconds: u32,
    /// Octets to the subscriber.
    pub download: u64,
    /// Octets from the subscriber.
    pub upload: u64,
    /// Event-Timestamp; none where it is left out.
    pub at: Option<i64>,
}

impl Nas {
    /// A NAS at 127.0.0.1 that sends to `target`.
    pub async fn new(target: SocketAddr) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, target).await
    }

    /// A NAS at another loopback address.
    pub async fn from(address: Ipv4Addr, target: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind((address, 0)).await.unwrap(), target, next: 0 }
    }

    /// Another identifier than last time.
    pub fn identifier(&mut self) -> u8 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Says something and waits for the acknowledgement.
    pub async fn say(&mut self, said: &Said) -> Answered {
        let identifier = self.identifier();
        self.deliver(said.request(identifier)).await
    }

    /// Sends `request` until it is answered.
    pub async fn deliver(&self, request: Vec<u8>) -> Answered {
        let reply = tokio::time::timeout(Duration::from_secs(120), self.insist(&request)).await;
        let (reply, took) = reply.expect("a valid request is answered at last");
        Answered { request, reply, took }
    }

    /// Sends octets once and gives what comes back within `wait`.
    pub async fn shout(&self, octets: &[u8], wait: Duration) -> Option<Vec<u8>> {
        self.socket.send_to(octets, self.target).await.unwrap();
        let mut buffer = vec![0; 4_096];
        let length = tokio::time::timeout(wait, self.socket.recv(&mut buffer)).await.ok()?.unwrap();
        buffer.truncate(length);
        Some(buffer)
    }

    /// Sends `request` again and again, without end, until it is answered.
    pub async fn insist(&self, request: &[u8]) -> (Vec<u8>, Duration) {
        let started = Instant::now();
        loop {
            if let Some(reply) = self.ask(&[request]).await {
                return (reply, started.elapsed());
            }
        }
    }

    /// As hostapd and accel-ppp do: each sending is a new packet, made of its identifier and its Acct-Delay-Time. An answer
    /// to any of them will do.
    pub async fn insist_anew(&mut self, request: impl Fn(u8, u32) -> Vec<u8>) {
        let started = Instant::now();
        let mut sent = Vec::new();
        loop {
            let delay = u32::try_from(started.elapsed().as_secs()).unwrap();
            sent.push(request(self.identifier(), delay));
            let newest: Vec<&[u8]> = sent.iter().rev().take(200).map(Vec::as_slice).collect();
            if self.ask(&newest).await.is_some() {
                return;
            }
        }
    }

    /// Sends the first of `requests`, and takes an answer to any of them for as long as NASes wait.
    async fn ask(&self, requests: &[&[u8]]) -> Option<Vec<u8>> {
        // Nobody may be listening just now: that is what sending again is for.
        _ = self.socket.send_to(requests[0], self.target).await;
        let asked = tokio::time::Instant::now();
        let mut buffer = vec![0; 4_096];
        loop {
            let received = tokio::time::timeout_at(asked + AGAIN, self.socket.recv(&mut buffer)).await;
            let Ok(length) = received.ok()? else { continue };
            let reply = &buffer[..length];
            // Late answers to earlier sendings of earlier requests are passed over.
            if requests.iter().any(|request| reply[1] == request[1] && is_answer(reply, request)) {
                return Some(reply.to_vec());
            }
        }
    }
}

impl Said {
    /// An interim update about `login`, whose session is named like the login.
    pub fn interim(login: &str, seconds: u32, download: u64, upload: u64) -> Self {
        let (nas, login, session) = ("nas-it".into(), login.into(), login.into());
        Self { nas, login, session, status: 3, seconds, download, upload, at: None }
    }

    /// The same as another kind of record.
    pub fn status(mut self, status: u32) -> Self {
        self.status = status;
        self
    }

    /// The same said by another NAS.
    pub fn by(mut self, nas: &str) -> Self {
        self.nas = nas.into();
        self
    }

    /// The same with an Event-Timestamp.
    pub fn at(mut self, at: i64) -> Self {
        self.at = Some(at);
        self
    }

    /// As an Accounting-Request.
    pub fn request(&self, identifier: u8) -> Vec<u8> {
        self.packet(identifier).encode().unwrap()
    }

    /// As a packet that can be added to.
    pub fn packet(&self, identifier: u8) -> Packet {
        let mut packet = Packet::new_with_identifier(Code::AccountingRequest, SECRET.as_bytes(), identifier);
        rfc2866::add_acct_status_type(&mut packet, self.status);
        rfc2866::add_acct_session_id(&mut packet, &self.session);
        rfc2865::add_user_name(&mut packet, &self.login);
        rfc2865::add_nas_identifier(&mut packet, &self.nas);
        if let Some(at) = self.at {
            rfc2869::add_event_timestamp(&mut packet, &chrono::DateTime::from_timestamp(at, 0).unwrap());
        }
        if self.status != 1 {
            rfc2866::add_acct_session_time(&mut packet, self.seconds);
            rfc2866::add_acct_input_octets(&mut packet, self.upload as u32);
            rfc2869::add_acct_input_gigawords(&mut packet, (self.upload >> 32) as u32);
            rfc2866::add_acct_output_octets(&mut packet, self.download as u32);
            rfc2869::add_acct_output_gigawords(&mut packet, (self.download >> 32) as u32);
        }
        packet
    }
}

/// Whether `reply` is an Accounting-Response to `request`, made by someone who knows the secret.
pub fn is_answer(reply: &[u8], request: &[u8]) -> bool {
    reply[0] == Code::AccountingResponse as u8
        && Packet::is_authentic_response(reply, request, SECRET.as_bytes())
}
