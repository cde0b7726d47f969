//! What NASes say of sessions, and when it arrives.

use super::wire::{ACCOUNTING_ON, Attributes, Datagram, INTERIM, START, STOP};
use super::world::{End, Fate, Key, MANNERS, Manner, Oddity, Placed, Season};

const FRAMED_IP_ADDRESS: [u8; 4] = [100, 64, 0, 7];

/// All that arrives, in the order of arrival.
pub fn datagrams(keys: &[Key], season: Season) -> Vec<Datagram> {
    let mut said: Vec<Datagram> = MANNERS.map(|manner| accounting_on(manner, season)).into();
    for (number, key) in keys.iter().enumerate() {
        let id = format!("id{number}");
        for placed in key.place(number, season) {
            said.extend(placed.datagrams(&id));
            if key.service {
                said.extend(placed.service(&id));
            }
        }
    }
    said.sort_by_key(|datagram| datagram.arrived_at);
    said
}

fn accounting_on(manner: Manner, season: Season) -> Datagram {
    let attributes = Attributes::default().number(40, ACCOUNTING_ON.into()).text(32, &manner.nas());
    Datagram { arrived_at: manner.accounting_on(season), collector: 0, moved: false, attributes }
}

impl Placed {
    fn datagrams(&self, id: &str) -> Vec<Datagram> {
        let session = &self.session;
        let start = self.head(START, id, false, &session.start_fate);
        let mut sent = self.send(0, &session.start_fate, &start, 0);
        if let Some(later) = session.start_again {
            let fate = Fate { lost: false, held: 0, delay: 0, again: None, ..session.start_fate };
            sent.extend(self.send(later, &fate, &start.clone().bytes(8, &FRAMED_IP_ADDRESS), 0));
        }
        let truth = session.truth();
        for (number, report) in session.reports.iter().enumerate() {
            let clock = match session.oddity {
                Oddity::ClockSet(set, by) if number >= set => by,
                _ => 0,
            };
            sent.extend(self.send(truth[number + 1].0, &report.fate, &self.report(number, id), clock));
        }
        sent
    }

    fn head(&self, status: u32, id: &str, renamed: bool, fate: &Fate) -> Attributes {
        let (head, manner) = (Attributes::default().number(40, status.into()), self.session.manner);
        let head = if fate.moved { head.bytes(4, &manner.address()) } else { head.text(32, &manner.nas()) };
        let head = head.text(44, id).text(1, &self.login(renamed));
        if fate.without_port { head } else { head.number(5, self.port) }
    }

    fn report(&self, number: usize, id: &str) -> Attributes {
        let (session, truth) = (&self.session, self.session.truth());
        let (seconds, down, up) = truth[number + 1];
        let (down, up) = match session.oddity {
            _ if session.is_zero_stop(number) => (0, 0),
            Oddity::Reset(reset) if number >= reset => (down - truth[reset].1, up - truth[reset].2),
            _ => (down, up),
        };
        let is_last = number + 1 == session.reports.len();
        let status = if is_last && session.end != End::Open { STOP } else { INTERIM };
        let rest = self.head(status, id, session.is_renamed(number), &session.reports[number].fate);
        let rest = rest.number(46, u64::try_from(seconds).unwrap());
        let cause = if session.end == End::ZeroStop { 2 } else { 1 };
        let rest = if status == STOP { rest.number(49, cause) } else { rest };
        session.manner.count(rest, down, up)
    }

    /// All that arrives of what is said so many seconds after the start, by a clock that is off by `clock`.
    fn send(&self, after: i64, fate: &Fate, said: &Attributes, clock: i64) -> Vec<Datagram> {
        if fate.lost {
            return Vec::new();
        }
        let told_at = self.start + after + fate.held;
        let collector = usize::from(fate.failed_over);
        let one = |delay: i64, collector: usize, late: i64| {
            let mut attributes = said.clone();
            match self.session.manner {
                Manner::Timestamps => {
                    attributes = attributes.number(55, u64::try_from(told_at + clock).unwrap());
                }
                Manner::Clock1970 => attributes = attributes.number(55, 4_000),
                _ => {}
            }
            if delay > 0 {
                attributes = attributes.number(41, u64::try_from(delay).unwrap());
            }
            Datagram { arrived_at: told_at + delay + late, collector, moved: fate.moved, attributes }
        };
        let mut sent = vec![one(fate.delay, collector, 0)];
        sent.extend(fate.again.map(|later| one(fate.delay + later, collector, 0)));
        if fate.replayed {
            sent.push(one(fate.delay, 1 - collector, 3_600));
        }
        sent
    }

    /// A service of the session, whose octets are never added to it.
    fn service(&self, id: &str) -> Vec<Datagram> {
        let report = |seconds: u64, octets: u64| {
            let attributes = Attributes::default()
                .number(40, INTERIM.into())
                .text(32, &self.session.manner.nas())
                .text(44, &format!("{id}:1"))
                .text(50, id)
                .text(1, &self.login)
                .erx_service("video")
                .number(46, seconds)
                .counter(42, Some(52), octets / 9)
                .counter(43, Some(53), octets);
            let arrived_at = self.start + i64::try_from(seconds).unwrap();
            Datagram { arrived_at, collector: 0, moved: false, attributes }
        };
        vec![report(600, 5_000_000), report(1_200, 7_000_000)]
    }
}

impl Manner {
    /// Appends counters as such a NAS tells them.
    fn count(self, attributes: Attributes, down: u64, up: u64) -> Attributes {
        let standard = |attributes: Attributes, input, output| {
            attributes.counter(42, Some(52), input).counter(43, Some(53), output)
        };
        match self {
            Self::NoGigawords => attributes.counter(42, None, up).counter(43, None, down),
            Self::Reversed => standard(attributes, down, up),
            Self::SeparateIpv6 => {
                standard(attributes, up - up / 3, down - down / 3).erx_ipv6(up / 3, down / 3)
            }
            Self::IncludedIpv6 => standard(attributes, up, down).erx_ipv6(up / 3, down / 3),
            _ => standard(attributes, up, down),
        }
    }
}
