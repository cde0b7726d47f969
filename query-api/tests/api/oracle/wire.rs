//! What the model's NASes put on the wire, written by hand, and decoded by the collector.

use collector::NasSettings;
use collector::journal::Entry;
use schema::{Lsn, RecordRow, UnixMicros};
use usage::Calendar;

pub const START: u32 = 1;
pub const STOP: u32 = 2;
pub const INTERIM: u32 = 3;
pub const ACCOUNTING_ON: u32 = 7;

/// One datagram as it arrived.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub arrived_at: i64,
    /// The collector that it came to.
    pub collector: usize,
    /// It came from the NAS's other address.
    pub moved: bool,
    pub attributes: Attributes,
}

/// Attributes of a request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn text(mut self, kind: u8, value: &str) -> Self {
        self.put(kind, value.as_bytes());
        self
    }

    pub fn bytes(mut self, kind: u8, value: &[u8]) -> Self {
        self.put(kind, value);
        self
    }

    pub fn number(mut self, kind: u8, value: u64) -> Self {
        self.put(kind, &u32::try_from(value).unwrap().to_be_bytes());
        self
    }

    /// A 64-bit counter in its two attributes.
    pub fn counter(self, octets: u8, gigawords: Option<u8>, value: u64) -> Self {
        let low = self.number(octets, value & 0xffff_ffff);
        match gigawords {
            Some(kind) => low.number(kind, value >> 32),
            None => low,
        }
    }

    /// ERX-IPv6-Acct-Input-Octets, -Output-Octets and their Gigawords.
    pub fn erx_ipv6(mut self, input: u64, output: u64) -> Self {
        let mut value = 4874u32.to_be_bytes().to_vec();
        for (kind, number) in [
            (151u8, input & 0xffff_ffff),
            (152, output & 0xffff_ffff),
            (155, input >> 32),
            (156, output >> 32),
        ] {
            value.extend([kind, 6]);
            value.extend(u32::try_from(number).unwrap().to_be_bytes());
        }
        self.put(26, &value);
        self
    }

    /// ERX-Service-Session.
    pub fn erx_service(mut self, name: &str) -> Self {
        let mut value = 4874u32.to_be_bytes().to_vec();
        value.extend([83, u8::try_from(name.len() + 2).unwrap()]);
        value.extend(name.as_bytes());
        self.put(26, &value);
        self
    }

    fn put(&mut self, kind: u8, value: &[u8]) {
        self.0.extend([kind, u8::try_from(value.len() + 2).unwrap()]);
        self.0.extend(value);
    }
}

impl Datagram {
    pub fn row(&self, collector: &str, lsn: u64, nases: &NasSettings, calendar: &Calendar) -> RecordRow {
        let mut packet = vec![0; 20];
        packet.extend(&self.attributes.0);
        let entry = Entry {
            arrived_at: UnixMicros(self.arrived_at * 1_000_000),
            peer: if self.moved { "192.0.2.99:40001" } else { "192.0.2.1:1646" }.parse().unwrap(),
            client: "oracle",
            local: 0,
            packet: &packet,
        };
        nases.decode(Lsn(lsn), &entry).to_row(collector, calendar)
    }
}
