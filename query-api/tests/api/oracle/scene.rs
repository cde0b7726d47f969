//! Sessions in the world and all records of them.

use schema::{RecordRow, UnixTime};

use super::said::datagrams;
use super::store::nases;
use super::world::{Key, Placed, Season};
use crate::fixture::Fixture;

pub const DAY: i64 = 86_400;

/// Sessions in the world and all records of them.
pub struct Scene {
    pub season: Season,
    pub placed: Vec<Placed>,
    pub rows: Vec<RecordRow>,
}

impl Scene {
    /// Each collector numbers what comes to it.
    pub fn of(keys: &[Key], season: Season, fixture: &Fixture) -> Self {
        let placed = keys.iter().enumerate().flat_map(|(number, key)| key.place(number, season)).collect();
        let (mut lsns, nases) = ([0, 0], nases());
        let row = |datagram: &super::wire::Datagram| {
            lsns[datagram.collector] += 1;
            let collector = format!("c{}", datagram.collector);
            datagram.row(&collector, lsns[datagram.collector], &nases, &fixture.deps.calendar)
        };
        let rows = datagrams(keys, season).iter().map(row).collect();
        Self { season, placed, rows }
    }

    /// A period that holds everything.
    pub fn whole(&self) -> (UnixTime, UnixTime) {
        (self.at(-DAY), self.at(12 * DAY))
    }

    /// So many seconds after the first day's beginning.
    pub fn at(&self, seconds: i64) -> UnixTime {
        UnixTime(self.season.first() + seconds)
    }

    pub fn logins(&self) -> Vec<String> {
        let mut logins: Vec<String> = self.placed.iter().flat_map(Placed::logins).collect();
        logins.sort();
        logins.dedup();
        logins
    }

    /// Those whose login this may be.
    pub fn of_login(&self, login: &str) -> Vec<Placed> {
        let named = |session: &&Placed| session.logins().iter().any(|name| name == login);
        self.placed.iter().filter(named).cloned().collect()
    }
}
