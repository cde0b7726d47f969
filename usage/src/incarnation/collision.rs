//! Sessions that began in one second under one identifier.
//!
//! A User-Name or address may change within a session, and a NAS may send one name in a Start and another in an
//! Interim-Update, so that difference alone proves nothing. It is a collision where the records, taken as one session, make
//! no sense (counters fall, or there are several Starts or Stops) and taken apart they do.

use schema::StatusType;

use super::Incarnation;
use crate::policy::RawCounters;
use crate::record::Record;

/// More sessions than this do not begin under one identifier in one second; so many names are one session's.
const MOST: usize = 8;

/// `one`, or the sessions in it.
pub(super) fn split(one: Incarnation<'_>) -> Vec<Incarnation<'_>> {
    let lines = join_successors(lines(&one).unwrap_or_default());
    if lines.len() < 2 || !collide(&one, &lines) {
        return vec![one];
    }
    let mut parts: Vec<_> = lines.into_iter().map(|line| part(&one, line)).collect();
    parts.iter_mut().for_each(Incarnation::sort);
    parts
}

fn part<'r>(one: &Incarnation<'r>, line: Vec<&'r Record>) -> Incarnation<'r> {
    if one.clock_stepped || line.iter().all(|record| record.elapsed().is_none()) {
        return Incarnation { records: line, ..one.clone() };
    }
    Incarnation::dated(line)
}

/// Records by who they speak of, each in order: a record joins the line that it agrees with most. `None`: too many.
fn lines<'r>(one: &Incarnation<'r>) -> Option<Vec<Vec<&'r Record>>> {
    let mut lines: Vec<(Traits, Vec<&Record>)> = Vec::new();
    for record in &one.records {
        let traits = Traits::of(record);
        let full = lines.len() == MOST;
        let best = lines
            .iter_mut()
            .filter_map(|line| line.0.agreement(&traits).map(|agreement| (agreement, line)))
            .max_by_key(|(agreement, _)| *agreement);
        match best {
            Some((_, (known, line))) => {
                known.learn(&traits);
                line.push(record);
            }
            None if full => return None,
            None => lines.push((traits, vec![record])),
        }
    }
    Some(lines.into_iter().map(|(_, line)| line).collect())
}

/// Puts a line after the one that it continues under another name or address.
fn join_successors(lines: Vec<Vec<&Record>>) -> Vec<Vec<&Record>> {
    let mut joined: Vec<Vec<&Record>> = Vec::new();
    for line in lines {
        match joined.iter_mut().find(|known| continues(known, &line)) {
            Some(known) => known.extend(line),
            None => joined.push(line),
        }
    }
    joined
}

fn continues(before: &[&Record], after: &[&Record]) -> bool {
    let (Some(last), Some(first)) = (before.last(), after.first()) else { return false };
    let ended = last.session_time.unwrap_or(0) <= first.session_time.unwrap_or(0);
    ended && !has(before, StatusType::STOP) && !has(after, StatusType::START)
}

fn collide(one: &Incarnation<'_>, lines: &[Vec<&Record>]) -> bool {
    let several = |status| lines.iter().filter(|line| has(line, status)).count() > 1;
    several(StatusType::START)
        || several(StatusType::STOP)
        || (!rises(&one.records) && lines.iter().all(|line| rises(line)))
}

fn has(records: &[&Record], status: StatusType) -> bool {
    records.iter().any(|record| record.status == status)
}

/// Whether no counter falls; a Stop with zeros falls nowhere.
fn rises(records: &[&Record]) -> bool {
    let counters: Vec<_> = records
        .iter()
        .filter_map(|record| record.counters)
        .filter(|now| *now != RawCounters::default())
        .collect();
    counters.is_sorted_by(|before, now| now.is_at_least(before))
}

/// What tells subscribers apart; absent in some records of some NASes.
struct Traits {
    login: Option<schema::Login>,
    nas_port: Option<u32>,
    address: Option<std::net::Ipv4Addr>,
}

impl Traits {
    fn of(record: &Record) -> Self {
        Self {
            login: Some(record.login.clone()).filter(|login| !login.as_str().is_empty()),
            nas_port: record.nas_port,
            address: record.address,
        }
    }

    /// How many traits agree; `None` where one differs.
    fn agreement(&self, other: &Self) -> Option<usize> {
        let traits = [
            agree(&self.login, &other.login),
            agree(&self.nas_port, &other.nas_port),
            agree(&self.address, &other.address),
        ];
        let agreeing = traits.iter().filter(|agrees| **agrees == Some(true)).count();
        (!traits.contains(&Some(false))).then_some(agreeing)
    }

    fn learn(&mut self, other: &Self) {
        self.login = self.login.take().or_else(|| other.login.clone());
        self.nas_port = self.nas_port.or(other.nas_port);
        self.address = self.address.or(other.address);
    }
}

fn agree<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> Option<bool> {
    Some(a.as_ref()? == b.as_ref()?)
}
