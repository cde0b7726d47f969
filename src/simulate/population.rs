//! Who the subscribers are: their line, plan, addresses and appetite.

use std::net::{Ipv4Addr, Ipv6Addr};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// What a line is like, which decides how long its sessions last and how they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// PPPoE over fibre: up for days.
    Fibre,
    /// PPPoE over a bad copper pair or a radio link: reconnects several times a day.
    Flaky,
    /// A hotspot: an hour here and there, mostly in the evening.
    Hotspot,
}

/// One subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscriber {
    /// RADIUS User-Name.
    pub login: String,
    /// MAC address of their router or device.
    pub mac: [u8; 6],
    /// What their line is like.
    pub line: Line,
    /// Highest rate to them, bit/s.
    pub download_bps: f64,
    /// Highest rate from them, bit/s.
    pub upload_bps: f64,
    /// How much they use, 1 being the average.
    pub appetite: f64,
    /// Port on the NAS.
    pub port: u32,
    /// Delegated /56; hotspots have IPv4 only.
    pub prefix: Option<Ipv6Addr>,
}

const GIVEN: [&str; 24] = [
    "ada", "amina", "bola", "chidi", "daniel", "efe", "emeka", "fatima", "grace", "halima", "ibrahim", "ife",
    "john", "kemi", "lami", "mary", "musa", "ngozi", "ola", "peter", "sani", "tunde", "uche", "zainab",
];
const FAMILY: [&str; 20] = [
    "abiola", "adeyemi", "bello", "chukwu", "danjuma", "eze", "garba", "hassan", "igwe", "johnson", "kalu",
    "lawal", "musa", "nwosu", "obi", "okafor", "okoro", "sule", "udo", "yusuf",
];
/// Mbit/s to and from the subscriber.
const PLANS: [(f64, f64); 5] = [(10.0, 3.0), (20.0, 5.0), (50.0, 20.0), (100.0, 50.0), (300.0, 100.0)];

impl Subscriber {
    /// The subscriber at `port` of the NAS numbered `nas`.
    pub fn new(nas: u32, port: u32, rng: &mut StdRng) -> Self {
        let line = match rng.random_range(0..100) {
            0..65 => Line::Fibre,
            65..78 => Line::Flaky,
            _ => Line::Hotspot,
        };
        let plans = if line == Line::Fibre { &PLANS[..] } else { &PLANS[..3] };
        let (down, up) = plans.choose(rng).copied().unwrap_or((10.0, 3.0));
        let given = GIVEN.choose(rng).copied().unwrap_or("ada");
        let family = FAMILY.choose(rng).copied().unwrap_or("obi");
        // The port keeps logins apart; half of the appetites lie between 0.6 and 1.6.
        let login = format!("{given}.{family}{}", nas * 10_000 + port + 1);
        let spread: f64 = (0..4).map(|_| rng.random_range(-0.5..0.5)).sum();
        Self {
            login,
            mac: mac(rng),
            line,
            download_bps: down * 1e6,
            upload_bps: up * 1e6,
            appetite: (spread * 1.2).exp(),
            port,
            prefix: (line != Line::Hotspot).then(|| prefix(nas, port)),
        }
    }
}

/// The addresses that the NAS numbered `nas` gives out; twice as many as it has subscribers, so that a new session
/// usually gets another one.
pub fn address_pool(nas: u32, subscribers: u32) -> impl Iterator<Item = Ipv4Addr> {
    let base = u32::from(Ipv4Addr::new(100, 64, 0, 0)) + (nas << 16) % (64 << 16);
    (2..(subscribers * 2 + 2).min(65_000)).map(move |host| Ipv4Addr::from(base + host))
}

fn mac(rng: &mut StdRng) -> [u8; 6] {
    let mut mac: [u8; 6] = rng.random();
    // A unicast address out of the locally administered range: nobody's real device.
    mac[0] = mac[0] & 0xfc | 0x02;
    mac
}

fn prefix(nas: u32, port: u32) -> Ipv6Addr {
    let base = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));
    Ipv6Addr::from(base | u128::from(nas & 0xff) << 88 | u128::from(port & 0xffff) << 72)
}
