//! What became of a load's records: the set that was acknowledged against the set that is stored, and every login's usage
//! against what its records say.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::load::{Book, Used, without_delay};
use super::scene::Scene;
use crate::api::rfc3339;
use crate::service::Service;

/// How long everything may take to be where it belongs.
const PATIENCE: Duration = Duration::from_secs(240);
const EVERY: Duration = Duration::from_millis(300);
/// A session's clock may be set by an hour.
const PERIOD: i64 = 2 * 86_400;

/// The account of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records stored.
    pub stored: u64,
    /// Records acknowledged and not stored.
    pub lost: u64,
    /// Records stored that nobody sent so.
    pub strange: u64,
    /// Packets that were sent again as they were and got a second number.
    pub renumbered: u64,
    /// Logins with more usage or sessions than their records tell.
    pub counted_twice: u64,
    /// Logins with less.
    pub counted_short: u64,
}

impl Account {
    /// Waits until everything that `books` tell is stored and counted, and gives what is so in the end.
    pub async fn settle(scene: &Scene, prefix: &str, books: &[Book]) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let account = Self::take(scene, prefix, books).await;
            if account.is_some_and(|account| account.is_right()) || Instant::now() > deadline {
                return account.expect("the service answers again");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whether nothing is missing, and nothing is there twice.
    pub fn is_right(&self) -> bool {
        let Self { sent, acked, stored, .. } = *self;
        let wrong = self.lost + self.strange + self.renumbered + self.counted_twice + self.counted_short;
        sent == acked && acked == stored && wrong == 0
    }

    /// As it is now; `None` where the service or its engine does not answer.
    async fn take(scene: &Scene, prefix: &str, books: &[Book]) -> Option<Self> {
        let stored = stored(scene.store(), prefix).await?;
        let account = Self::of(books, &stored, &[]);
        if account.lost > 0 {
            return Some(account);
        }
        let used = join_all(books.iter().map(|book| used(&scene.service, &book.login))).await;
        Some(Self::of(books, &stored, &used.into_iter().collect::<Option<Vec<_>>>()?))
    }

    fn of(books: &[Book], stored: &BTreeMap<Vec<u8>, u64>, used: &[Used]) -> Self {
        let sent = || books.iter().flat_map(|book| &book.sent);
        let acked = || books.iter().flat_map(|book| &book.acked);
        let known: HashSet<_> = sent().collect();
        let same = books.iter().filter(|book| !book.anew).flat_map(|book| &book.sent);
        let renumbered = same.filter(|record| stored.get(*record).is_some_and(|numbers| *numbers > 1));
        let counted = |wrong: fn(u64, u64) -> bool| {
            let compared = books.iter().zip(used).map(|(book, used)| (used, book.used()));
            compared
                .filter(|(used, said)| used.iter().zip(said).any(|(used, said)| wrong(*used, *said)))
                .count()
        };
        Self {
            sent: sent().count() as u64,
            acked: acked().count() as u64,
            stored: stored.len() as u64,
            lost: acked().filter(|record| !stored.contains_key(*record)).count() as u64,
            strange: stored.keys().filter(|record| !known.contains(record)).count() as u64,
            renumbered: renumbered.count() as u64,
            counted_twice: counted(|used, said| used > said) as u64,
            counted_short: counted(|used, said| used < said) as u64,
        }
    }
}

/// Every stored record, with how many numbers it has.
async fn stored(service: &Service, prefix: &str) -> Option<BTreeMap<Vec<u8>, u64>> {
    let sql = format!(
        "SELECT hex(attributes), uniqExact(collector, lsn) FROM accounting_records WHERE startsWith(login, '{prefix}') \
         GROUP BY attributes FORMAT TSV"
    );
    let (status, rows) = service.try_sql(&sql).await?;
    let mut stored = BTreeMap::new();
    for (attributes, numbers) in
        rows.lines().filter(|_| status.is_success()).filter_map(|row| row.split_once('\t'))
    {
        let attributes = without_delay(&hex::decode(attributes).ok()?);
        *stored.entry(attributes).or_default() += numbers.parse::<u64>().ok()?;
    }
    Some(stored)
}

/// Sessions, download and upload of a login.
async fn used(service: &Service, login: &str) -> Option<Used> {
    let now = chrono::Utc::now().timestamp();
    let (from, to) = (rfc3339(now - PERIOD), rfc3339(now + PERIOD));
    let (_, summary) =
        service.try_get(&format!("/api/v1/usage/summary?login={login}&from={from}&to={to}")).await?;
    let field = |name: &str| summary[name].as_u64();
    Some([field("sessions")?, field("download_octets")?, field("upload_octets")?])
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.stored += other.stored;
        self.lost += other.lost;
        self.strange += other.strange;
        self.renumbered += other.renumbered;
        self.counted_twice += other.counted_twice;
        self.counted_short += other.counted_short;
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acked, stored, lost, counted_twice, .. } = self;
        write!(
            f,
            "{sent:>8} sent, {acked:>8} acked, {stored:>8} stored, {lost} lost, {counted_twice} counted twice"
        )?;
        for (what, records) in [
            ("stored that nobody sent", self.strange),
            ("numbered twice", self.renumbered),
            ("logins counted short", self.counted_short),
        ] {
            if records > 0 {
                write!(f, ", {records} {what}")?;
            }
        }
        Ok(())
    }
}

#[test]
fn a_record_that_is_lost_numbered_or_counted_twice_would_be_noticed() {
    let record = |n: u8| vec![n; 30];
    let book = Book {
        sent: (1..=3).map(record).collect(),
        acked: (1..=3).map(record).collect(),
        sessions: 1,
        download: 300,
        upload: 30,
        ..Book::default()
    };
    let books = [book];
    let stored = |records: &[(u8, u64)]| records.iter().map(|(n, numbers)| (record(*n), *numbers)).collect();
    let account = |records: &[(u8, u64)], used| Account::of(&books, &stored(records), &[used]);
    let right = [1, 300, 30];
    assert!(account(&[(1, 1), (2, 1), (3, 1)], right).is_right());
    for (records, used, wrong) in [
        (&[(1, 1), (3, 1)][..], right, "lost"),
        (&[(1, 1), (2, 2), (3, 1)], right, "a second number"),
        (&[(1, 1), (2, 1), (3, 1), (4, 1)], right, "strange"),
        (&[(1, 1), (2, 1), (3, 1)], [1, 400, 30], "octets twice"),
        (&[(1, 1), (2, 1), (3, 1)], [2, 300, 30], "a session twice"),
        (&[(1, 1), (2, 1), (3, 1)], [1, 300, 20], "octets missing"),
    ] {
        assert!(!account(records, used).is_right(), "{wrong}");
    }
}
