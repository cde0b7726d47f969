//! The journal's octets: batches and the entries in them. All integers are little-endian.
//!
//! ```text
//! batch  = magic u32 | header crc u32 | payload crc u32 | payload length u32 | entries u32
//!          | first LSN u64 | durable LSN u64 | written at i64 | payload
//! entry  = length u32 | arrived at i64 | listening socket u16 | peer (16 octets IPv6, port u16) | client length u8 | client | packet
//! ```
//!
//! `header crc` covers the header after itself and starts from the segment's salt, which stands in the file's name only:
//! no packet can hold octets that pass for a header. Header and payload are checked apart, so that a batch whose payload
//! is damaged still tells its length, its numbers, and in `durable LSN` what was known durable when it was written.
//! IPv4 peers are IPv4-mapped.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use schema::{Lsn, UnixMicros};

/// First octets of each batch.
pub const MAGIC: u32 = u32::from_le_bytes(*b"RTJ2");
/// Octets of a batch's header.
pub const HEADER: usize = 44;
/// Octets of an entry before its client and packet, without its length field.
const ENTRY: usize = 8 + 2 + 16 + 2 + 1;
/// Longest client name kept; configuration allows no longer one.
const CLIENT: usize = 255;

/// What a packet left behind, to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was taken from the kernel.
    pub arrived_at: UnixMicros,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The client's name.
    pub client: &'a str,
    /// Index of the listening socket.
    pub local: u16,
    /// RADIUS header and attributes, without secrets.
    pub packet: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Appends the entry's octets to `to`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let mut end = self.client.len().min(CLIENT);
        while !self.client.is_char_boundary(end) {
            end -= 1;
        }
        let client = self.client.get(..end).unwrap_or_default();
        let length = ENTRY + client.len() + self.packet.len();
        to.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        to.extend(self.arrived_at.0.to_le_bytes());
        to.extend(self.local.to_le_bytes());
        let ip = match self.peer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        to.extend(ip.octets());
        to.extend(self.peer.port().to_le_bytes());
        to.push(u8::try_from(client.len()).unwrap_or(u8::MAX));
        to.extend(client.as_bytes());
        to.extend(self.packet);
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (arrived_at, rest) = bytes.split_first_chunk()?;
        let (local, rest) = rest.split_first_chunk()?;
        let (ip, rest) = rest.split_first_chunk::<16>()?;
        let (port, rest) = rest.split_first_chunk()?;
        let (client_length, rest) = rest.split_first()?;
        let (client, packet) = rest.split_at_checked(usize::from(*client_length))?;
        Some(Self {
            arrived_at: UnixMicros(i64::from_le_bytes(*arrived_at)),
            peer: SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), u16::from_le_bytes(*port)),
            client: std::str::from_utf8(client).ok()?,
            local: u16::from_le_bytes(*local),
            packet,
        })
    }
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// CRC-32 of the payload.
    pub crc: u32,
    /// Octets of payload.
    pub length: u32,
    /// Number of entries; at least one.
    pub entries: u32,
    /// LSN of the first entry.
    pub first: Lsn,
    /// LSN known durable when this was written.
    pub durable: Lsn,
    /// When it was written.
    pub written_at: UnixMicros,
}

impl Header {
    /// The header of a payload.
    pub fn of(payload: &[u8], entries: u32, first: Lsn, durable: Lsn, written_at: UnixMicros) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Self { crc: crc32fast::hash(payload), length, entries, first, durable, written_at }
    }

    /// Its octets in the segment with this salt.
    pub fn encode(&self, salt: u32) -> Vec<u8> {
        let mut fields = Vec::with_capacity(HEADER);
        fields.extend(self.crc.to_le_bytes());
        fields.extend(self.length.to_le_bytes());
        fields.extend(self.entries.to_le_bytes());
        fields.extend(self.first.0.to_le_bytes());
        fields.extend(self.durable.0.to_le_bytes());
        fields.extend(self.written_at.0.to_le_bytes());
        [&MAGIC.to_le_bytes()[..], &salted(&fields, salt).to_le_bytes(), &fields].concat()
    }

    /// Reads a header; `None` where there is none of the segment with this salt.
    pub fn decode(bytes: &[u8; HEADER], salt: u32) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (crc, fields) = rest.split_first_chunk()?;
        if u32::from_le_bytes(*magic) != MAGIC || u32::from_le_bytes(*crc) != salted(fields, salt) {
            return None;
        }
        let (crc, rest) = fields.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (entries, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (durable, rest) = rest.split_first_chunk()?;
        let (written_at, _) = rest.split_first_chunk()?;
        let header = Self {
            crc: u32::from_le_bytes(*crc),
            length: u32::from_le_bytes(*length),
            entries: u32::from_le_bytes(*entries),
            first: Lsn(u64::from_le_bytes(*first)),
            durable: Lsn(u64::from_le_bytes(*durable)),
            written_at: UnixMicros(i64::from_le_bytes(*written_at)),
        };
        header.is_possible().then_some(header)
    }

    /// Whether a writer can have meant it: there are entries, they have room and numbers, and what was durable came before
    /// them. So all arithmetic with its numbers holds.
    const fn is_possible(&self) -> bool {
        let room = self.length as usize / (4 + ENTRY);
        let numbered = self.first.0 <= Lsn::LAST.0 - self.entries as u64;
        self.entries > 0 && self.entries as usize <= room && numbered && self.durable.0 < self.first.0
    }

    /// LSN of the last entry.
    pub const fn last(&self) -> Lsn {
        Lsn(self.first.0 + self.entries as u64 - 1)
    }

    /// Octets of the whole batch.
    pub const fn batch_size(&self) -> u64 {
        HEADER as u64 + self.length as u64
    }
}

fn salted(fields: &[u8], salt: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(fields);
    hasher.finalize()
}

/// A whole, checked batch.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    header: Header,
    from: Lsn,
}

impl Batch {
    /// Checks the octets of a batch, header included, against its header.
    pub fn check(header: Header, bytes: Vec<u8>) -> Option<Self> {
        let payload = bytes.get(HEADER..)?;
        let sound = payload.len() == header.length as usize && crc32fast::hash(payload) == header.crc;
        (sound && Entries(payload).count() == header.entries as usize).then(|| Self::own(header, bytes))
    }

    /// A batch that this process has just written; its checksum is not computed again.
    pub const fn own(header: Header, bytes: Vec<u8>) -> Self {
        Self { bytes, header, from: Lsn::ZERO }
    }

    /// Its octets.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same batch, of which only records from `from` are shown.
    #[must_use]
    pub const fn starting_at(mut self, from: Lsn) -> Self {
        self.from = from;
        self
    }

    /// LSN of its last entry.
    #[must_use]
    pub const fn last(&self) -> Lsn {
        self.header.last()
    }

    /// Its header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The entries with their LSNs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Lsn, Entry<'_>)> {
        let entries = Entries(self.bytes.get(HEADER..).unwrap_or_default());
        (self.header.first.0..).map(Lsn).zip(entries).filter(|(lsn, _)| *lsn >= self.from)
    }
}

/// The entries of a payload, to its end or to what is none.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (length, after) = self.0.split_first_chunk()?;
        let (entry, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = after;
        Entry::decode(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: u32 = 0x5eed_1234;

    fn batch(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        for (n, packet) in packets.iter().enumerate() {
            let peer = if n % 2 == 0 { "192.0.2.1:1024" } else { "[2001:db8::1]:1024" };
            let entry = Entry {
                arrived_at: UnixMicros(7),
                peer: peer.parse().unwrap(),
                client: "bng-1",
                local: 3,
                packet,
            };
            entry.encode(&mut bytes);
        }
        let entries = u32::try_from(packets.len()).unwrap();
        let header = Header::of(&bytes[HEADER..], entries, Lsn(10), Lsn(9), UnixMicros(8));
        bytes[..HEADER].copy_from_slice(&header.encode(SALT));
        bytes
    }

    fn check(bytes: Vec<u8>, salt: u32) -> Option<Batch> {
        Batch::check(Header::decode(bytes.first_chunk()?, salt)?, bytes)
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_what_it_holds(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..10)) {
            let batch = check(batch(&packets), SALT).unwrap();
            let read: Vec<_> = batch.iter().map(|(lsn, entry)| (lsn.0, entry.packet.to_vec())).collect();
            prop_assert_eq!(read, (10u64..).zip(packets.clone()).collect::<Vec<_>>());
            prop_assert_eq!(batch.last(), Lsn(9 + packets.len() as u64));
            prop_assert!(batch.iter().all(|(_, entry)| entry.client == "bng-1" && entry.local == 3));
        }

        #[test]
        fn any_flipped_bit_is_noticed(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..4), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = batch(&packets);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(check(bytes, SALT).is_none());
        }

        #[test]
        fn a_batch_of_another_segment_is_none(salt in any::<u32>()) {
            prop_assert_eq!(check(batch(&[vec![1]]), salt).is_some(), salt == SALT);
        }
    }
}
