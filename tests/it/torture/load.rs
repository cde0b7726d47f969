//! NASes that report sessions without end, each at most a hundred times a second, and note what was acknowledged.
//!
//! They differ as real ones do: with and without Event-Timestamp; sending the same packet again (RFC 2866 2), or a new one
//! with a larger Acct-Delay-Time (hostapd, accel-ppp).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use radius::core::{rfc2865, rfc2866};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::SOON;
use crate::client::{Nas, Said};
use crate::until::until;

/// NASes that send at once.
const NASES: u64 = 24;
/// Interim-Updates between a session's Start and its Stop.
const INTERIMS: u32 = 40;
const HEADER: usize = 20;
/// Acct-Delay-Time, which differs between two packets that say the same.
const DELAY: u8 = 41;
/// Time between an answer and the next record.
const PAUSE: Duration = Duration::from_millis(10);
/// Seconds for which old sessions have been on when they are first reported.
const OLD: u32 = 20_000;
/// How long the last records of a load may take to be acknowledged, once nothing is in their way.
const DRAIN: Duration = Duration::from_secs(90);

/// A load on a service.
pub struct Load {
    nases: JoinSet<Book>,
    acked: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// What one login's NAS has sent and what it knows of it.
#[derive(Default)]
pub struct Book {
    /// Whose sessions they are.
    pub login: String,
    /// All records, by their attributes but Acct-Delay-Time.
    pub sent: BTreeSet<Vec<u8>>,
    /// Those that were acknowledged.
    pub acked: BTreeSet<Vec<u8>>,
    /// Whether it sends a new packet where the last one was not answered.
    pub anew: bool,
    /// Sessions of which a record was sent.
    pub sessions: u64,
    /// Octets to the subscriber by all records, over all sessions.
    pub download: u64,
    /// Octets from the subscriber.
    pub upload: u64,
}

/// Sessions, download and upload of a login.
pub type Used = [u64; 3];

impl Book {
    /// What all records say that its login used.
    pub const fn used(&self) -> Used {
        [self.sessions, self.download, self.upload]
    }
}

/// How a load's records look.
#[derive(Clone)]
pub struct Shape {
    /// What begins every login.
    pub prefix: String,
    /// Whether records are as long as they may be.
    pub long: bool,
    /// Whether sessions have been on for hours when they are first reported.
    pub old: bool,
}

impl Load {
    /// Starts sending to `target`.
    pub fn start(target: SocketAddr, shape: &Shape) -> Self {
        let (acked, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let mut nases = JoinSet::new();
        for number in 0..NASES {
            nases.spawn(report(number, target, shape.clone(), Arc::clone(&acked), stop.clone()));
        }
        Self { nases, acked, stop }
    }

    /// Waits until so many more records are acknowledged.
    pub async fn more(&self, records: u64) {
        let goal = self.acked() + records;
        until(&format!("{records} more acknowledgements"), 4 * SOON, async || {
            (self.acked() >= goal).then_some(())
        })
        .await;
    }

    /// Records acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Begins nothing more, waits for the answers to what was sent, and gives what every NAS knows.
    pub async fn end(mut self) -> Vec<Book> {
        self.stop.cancel();
        let mut books = Vec::new();
        while let Some(book) = self.nases.join_next().await {
            books.push(book.unwrap());
        }
        books
    }
}

async fn report(
    number: u64,
    target: SocketAddr,
    shape: Shape,
    acked: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Book {
    let mut nas = Nas::new(target).await;
    let login = format!("{}{number}", shape.prefix);
    let mut book = Book { login, anew: number % 3 == 2, ..Book::default() };
    let timestamps = number.is_multiple_of(3);
    let age = if shape.old { OLD } else { 0 };
    loop {
        book.sessions += 1;
        let started = (Instant::now(), chrono::Utc::now().timestamp());
        let (mut download, mut upload) = (0, 0);
        for turn in 0..=INTERIMS + 1 {
            if turn > 0 {
                download += 1_000_000 * (number + 1) + u64::from(turn);
                upload += 1_000 * (number + 1);
            }
            let seconds = u32::try_from(started.0.elapsed().as_secs()).unwrap();
            let status = match turn {
                0 if !shape.old => 1,
                turn if turn <= INTERIMS => 3,
                _ => 2,
            };
            let session = format!("{}-{}", book.login, book.sessions);
            let said = Said {
                session,
                at: timestamps.then(|| started.1 + i64::from(seconds)),
                ..Said::interim(&book.login, age + seconds, download, upload).status(status)
            };
            let request = |identifier, delay| request(&said, &shape, identifier, delay);
            let name = without_delay(&request(0, 0)[HEADER..]);
            book.sent.insert(name.clone());
            if !deliver(&mut nas, book.anew, request, &stop).await {
                return book;
            }
            book.acked.insert(name);
            acked.fetch_add(1, Ordering::Relaxed);
            if turn > 0 {
                book.download += 1_000_000 * (number + 1) + u64::from(turn);
                book.upload += 1_000 * (number + 1);
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return book;
            }
        }
    }
}

/// Sends until it is answered; `false` where it is not, long after the load was to end.
async fn deliver(
    nas: &mut Nas,
    anew: bool,
    request: impl Fn(u8, u32) -> Vec<u8>,
    stop: &CancellationToken,
) -> bool {
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let answered = async {
        if anew {
            nas.insist_anew(request).await;
        } else {
            let request = request(nas.identifier(), 0);
            nas.insist(&request).await;
        }
    };
    tokio::select! {
        () = answered => true,
        () = patience => false,
    }
}

fn request(said: &Said, shape: &Shape, identifier: u8, delay: u32) -> Vec<u8> {
    let mut packet = said.packet(identifier);
    if delay > 0 {
        rfc2866::add_acct_delay_time(&mut packet, delay);
    }
    for number in 0..if shape.long { 14 } else { 0 } {
        rfc2865::add_class(&mut packet, &[number; 250]);
    }
    packet.encode().unwrap()
}

/// Attributes by which two packets that say the same are the same.
pub fn without_delay(attributes: &[u8]) -> Vec<u8> {
    let mut rest = attributes;
    let mut kept = Vec::new();
    while let [kind, length, ..] = *rest {
        let (attribute, after) = rest.split_at(usize::from(length));
        if kind != DELAY {
            kept.extend_from_slice(attribute);
        }
        rest = after;
    }
    kept
}
