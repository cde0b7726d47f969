//! Accounting-Requests as a BNG sends them: an Interim-Update of 240 octets with 24 attributes.

use collector::packet::{ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE, HEADER};
use fast_md5::Md5;

/// Octets of a request.
pub const SIZE: usize = 240;
/// What clients and servers share.
pub const SECRET: &str = "bench";

/// Where in a request stands what differs from one to the next.
struct Places {
    user: usize,
    session: usize,
    address: usize,
    station: usize,
    seconds: usize,
    input: usize,
    output: usize,
    at: usize,
}

/// Makes the requests of one NAS.
pub struct Requests {
    template: [u8; SIZE],
    places: Places,
}

/// What a request says.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Number of the session.
    pub session: u32,
    /// Seconds since it began.
    pub seconds: u32,
    /// When it is said; seconds since 1970.
    pub at: u32,
}

impl Requests {
    /// Those of the NAS with this number.
    #[must_use]
    pub fn of_nas(nas: u8) -> Self {
        let mut bytes = vec![ACCOUNTING_REQUEST, 0];
        bytes.extend((SIZE as u16).to_be_bytes());
        bytes.extend([0; 16]);
        let mut add = |kind: u8, value: &[u8]| {
            let at = bytes.len() + 2;
            bytes.extend([kind, (value.len() + 2) as u8]);
            bytes.extend(value);
            at
        };
        add(40, &[0, 0, 0, 3]);
        add(32, format!("bng-{nas}").as_bytes());
        add(4, &[10, 255, 0, nas]);
        add(5, &[0, 0, 0, 7]);
        add(61, &[0, 0, 0, 5]);
        let user = add(1, b"user0000000");
        let session = add(44, b"0000000000000000");
        let address = add(8, &[100, 64, 0, 0]);
        let station = add(31, b"02:00:00:00:00:00");
        add(30, b"pppoe.example.net");
        add(6, &[0, 0, 0, 2]);
        add(7, &[0, 0, 0, 1]);
        let seconds = add(46, &[0; 4]);
        let input = add(42, &[0; 4]);
        let output = add(43, &[0; 4]);
        add(52, &[0; 4]);
        add(53, &[0; 4]);
        add(47, &[0, 1, 2, 3]);
        add(48, &[0, 1, 2, 3]);
        add(45, &[0, 0, 0, 1]);
        let at = add(55, &[0; 4]);
        add(41, &[0; 4]);
        add(87, b"ge-1/0/1.1234:567");
        add(25, &[7; 21]);
        let template = bytes.try_into().expect("the attributes above have 220 octets");
        Self { template, places: Places { user, session, address, station, seconds, input, output, at } }
    }

    /// Writes the request that says `report`.
    pub fn write(&self, report: Report, identifier: u8, to: &mut [u8; SIZE]) {
        *to = self.template;
        to[1] = identifier;
        let Report { session, seconds, at } = report;
        let Places { user, session: id, address, station, .. } = self.places;
        digits(&mut to[user + 4..user + 11], session, b"0123456789");
        digits(&mut to[id + 8..id + 16], session, b"0123456789abcdef");
        to[address + 1..address + 4].copy_from_slice(&(session | 0x40_0000).to_be_bytes()[1..]);
        for (place, octet) in session.to_be_bytes().into_iter().enumerate() {
            let place = station + 6 + 3 * place;
            digits(&mut to[place..place + 2], u32::from(octet), b"0123456789abcdef");
        }
        let mut number =
            |place: usize, value: u32| to[place..place + 4].copy_from_slice(&value.to_be_bytes());
        number(self.places.seconds, seconds);
        number(self.places.input, seconds.wrapping_mul(11_000));
        number(self.places.output, seconds.wrapping_mul(123_000));
        number(self.places.at, at);
        let mut md5 = Md5::new();
        md5.update(&to[..]);
        md5.update(SECRET.as_bytes());
        let authenticator = md5.finalize();
        to[4..HEADER].copy_from_slice(&authenticator);
    }
}

/// Writes `value` right-aligned in the base that `alphabet` has.
fn digits(to: &mut [u8], mut value: u32, alphabet: &[u8]) {
    let base = alphabet.len() as u32;
    for place in to.iter_mut().rev() {
        *place = alphabet[(value % base) as usize];
        value /= base;
    }
}

/// Whether `reply` answers `request`.
#[must_use]
pub fn answers(reply: &[u8], request: &[u8; SIZE]) -> bool {
    let Some((header, attributes)) = reply.split_at_checked(HEADER) else { return false };
    let mut md5 = Md5::new();
    md5.update(&header[..4]);
    md5.update(&request[4..HEADER]);
    md5.update(attributes);
    md5.update(SECRET.as_bytes());
    header[0] == ACCOUNTING_RESPONSE && md5.finalize() == header[4..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_it_says() {
        let mut bytes = [0; SIZE];
        Requests::of_nas(3).write(
            Report { session: 123_456, seconds: 600, at: 1_800_000_000 },
            9,
            &mut bytes,
        );
        let packet = collector::packet::Packet::parse(&bytes).unwrap();
        assert_eq!(packet.attributes().count(), 24);
        let text = |kind: u8| {
            let value = packet.attributes().find(|attribute| attribute.kind == kind).unwrap().value;
            String::from_utf8_lossy(value).into_owned()
        };
        assert_eq!((text(1), text(44)), ("user0123456".into(), "000000000001e240".into()));
        assert_eq!(text(31), "02:00:00:01:e2:40");
    }
}
