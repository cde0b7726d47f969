//! A burst: everybody reports at once, after a power failure in town, many times faster than the service can take it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::load::{Book, without_delay};
use crate::client::{Said, is_answer};

/// Sockets that send, each with a subscriber's login.
const SOCKETS: u64 = 32;
/// Packets of each.
const PACKETS: u8 = 250;
const HEADER: usize = 20;
/// How long nothing may come before what was not answered is sent again.
const QUIET: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(90);

struct Gun {
    socket: UdpSocket,
    book: Book,
    unanswered: Vec<Vec<u8>>,
}

/// What came of a burst.
pub struct Volley {
    /// What its NASes know.
    pub books: Vec<Book>,
    /// Packets per second that were sent.
    pub sent_rate: f64,
    /// Packets per second that were answered until all were.
    pub answered_rate: f64,
}

/// Sends to `target` until everything is answered.
pub fn volley(target: SocketAddr, prefix: &str) -> Volley {
    let mut guns: Vec<Gun> =
        (0..SOCKETS).map(|number| Gun::load(&format!("{prefix}burst{number}"))).collect();
    let began = Instant::now();
    guns.iter().for_each(|gun| gun.fire(target));
    let fired = began.elapsed();
    while guns.iter().any(|gun| !gun.unanswered.is_empty()) && began.elapsed() < PATIENCE {
        let mut heard = Instant::now();
        while heard.elapsed() < QUIET && guns.iter().any(|gun| !gun.unanswered.is_empty()) {
            if guns.iter_mut().map(Gun::collect).sum::<usize>() > 0 {
                heard = Instant::now();
            } else {
                std::thread::yield_now();
            }
        }
        guns.iter().for_each(|gun| gun.fire(target));
    }
    let packets = (SOCKETS * u64::from(PACKETS)) as f64;
    Volley {
        sent_rate: packets / fired.as_secs_f64(),
        answered_rate: packets / began.elapsed().as_secs_f64(),
        books: guns.into_iter().map(|gun| gun.book).collect(),
    }
}

impl Gun {
    fn load(login: &str) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let now = chrono::Utc::now().timestamp();
        let request = |identifier: u8| {
            let session = format!("{login}-{identifier}");
            let said = Said { session, ..Said::interim(login, 60, 1_000, 10).status(2).at(now) };
            said.request(identifier)
        };
        let unanswered: Vec<_> = (0..PACKETS).map(request).collect();
        let book = Book {
            login: login.to_owned(),
            sent: unanswered.iter().map(|request| without_delay(&request[HEADER..])).collect(),
            sessions: u64::from(PACKETS),
            download: 1_000 * u64::from(PACKETS),
            upload: 10 * u64::from(PACKETS),
            ..Book::default()
        };
        Self { socket, book, unanswered }
    }

    fn fire(&self, target: SocketAddr) {
        // What the kernel does not take is lost, like so much else.
        self.unanswered.iter().for_each(|request| _ = self.socket.send_to(request, target));
    }

    /// Takes the answers that have come; how many.
    fn collect(&mut self) -> usize {
        let (mut buffer, before) = ([0; 4_096], self.unanswered.len());
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let reply = &buffer[..length];
                    let known = |request: &Vec<u8>| reply[1] == request[1] && is_answer(reply, request);
                    if let Some(at) = self.unanswered.iter().position(known) {
                        let request = self.unanswered.swap_remove(at);
                        self.book.acked.insert(without_delay(&request[HEADER..]));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return before - self.unanswered.len(),
                Err(_) => {}
            }
        }
    }
}
