//! Takes attributes apart: headers, what they hold, and what remains where a header does not fit.
//!
//! ```text
//! 26  length  vendor (4)  ┬ type  length  value ┬ …            recommended (RFC 2865 5.26)
//!                         └ header of the vendor's own         USR, Lucent, Starent, WiMAX
//! 241–244  length  type  value                                 extended (RFC 6929 2.1)
//! 245–246  length  type  flags  value                          long extended (RFC 6929 2.2): 0x80 says that more follows
//! type 26 of those: vendor (4)  type  value                    (RFC 6929 2.4)
//! a structured value: ┬ type  length  value ┬ …                (RFC 6929 2.3)
//! ```
//!
//! Every octet ends up in one leaf, or in the headers before it. A value split over several attributes stays split: its
//! parts are leaves of their own, marked as fragments.

use std::fmt;

use super::value::Kind;
use super::{Entry, extended, find, standard, vendors};

const VENDOR_SPECIFIC: u32 = 26;
/// "More" in a long extended attribute's flags (RFC 6929 2.2), and in WiMAX's continuation octet.
const MORE: u8 = 0x80;

/// The form of the header before a value. Lengths count the header, too.
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// Octets of the type: 1, 2 or 4.
    pub(super) kind: usize,
    /// Octets of the length: 0 (one value, to the end), 1 or 2.
    pub(super) length: usize,
    /// Whether an octet of flags follows, of which [`MORE`] says that the value goes on in the next attribute.
    pub(super) flags: bool,
}

/// One octet of type, one of length: attributes themselves, structured values, and most vendors.
pub(super) const PLAIN: Header = Header { kind: 1, length: 1, flags: false };
/// What follows the length of an extended attribute.
const EXTENDED: Header = Header { kind: 1, length: 0, flags: false };
const LONG_EXTENDED: Header = Header { kind: 1, length: 0, flags: true };

/// One value with its place.
pub(super) struct Leaf<'a> {
    pub(super) path: Path,
    pub(super) entry: Option<&'static Entry>,
    pub(super) vendor: Option<u32>,
    pub(super) octets: &'a [u8],
    pub(super) part: Part,
}

/// How much of an attribute a leaf is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// A part of a value that is split over several attributes.
    Fragment,
    /// What remains of the named attribute where nothing can be told apart.
    Remains,
}

/// Numbers from the outermost attribute to this one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Path {
    /// `241.26.9.1`, then structures: deeper ones than the tables know are not entered.
    numbers: [u32; 6],
    depth: usize,
    /// Where the vendor's own numbers begin; 0 where there is no vendor, or the vendor numbers below an extended attribute.
    vendor_from: usize,
}

impl Path {
    fn then(mut self, number: u32) -> Self {
        if let Some(next) = self.numbers.get_mut(self.depth) {
            *next = number;
            self.depth += 1;
        }
        self
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// The part that the vendor numbers: `7` of `26.4874.7`; all of an extended attribute's.
    pub(super) fn within_vendor(self) -> impl fmt::Display {
        Dotted { path: self, from: self.vendor_from }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Dotted { path: *self, from: 0 }.fmt(f)
    }
}

struct Dotted {
    path: Path,
    from: usize,
}

impl fmt::Display for Dotted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.path.numbers.iter().take(self.path.depth).skip(self.from).enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            number.fmt(f)?;
        }
        Ok(())
    }
}

/// All leaves, in the order of their octets.
pub(super) fn leaves(attributes: &[u8]) -> Vec<Leaf<'_>> {
    let mut walk = Walk::default();
    walk.attributes(attributes);
    walk.leaves
}

#[derive(Default)]
struct Walk<'a> {
    leaves: Vec<Leaf<'a>>,
    /// The attribute whose value goes on.
    open: Option<Path>,
}

/// Where a walk is.
#[derive(Clone, Copy)]
struct Place {
    path: Path,
    entry: Option<&'static Entry>,
    vendor: Option<u32>,
}

impl Place {
    const TOP: Self =
        Self { path: Path { numbers: [0; 6], depth: 0, vendor_from: 0 }, entry: None, vendor: None };

    fn inner(self, number: u32, table: &'static [Entry]) -> Self {
        Self { path: self.path.then(number), entry: find(table, number), ..self }
    }
}

impl<'a> Walk<'a> {
    fn attributes(&mut self, mut rest: &'a [u8]) {
        while !rest.is_empty() {
            let Some(item) = PLAIN.split(rest) else {
                self.push(Place::TOP, rest, Part::Remains);
                return;
            };
            let place = Place::TOP.inner(item.number, standard::TABLE);
            match item.number {
                VENDOR_SPECIFIC => self.vendor_specific(place, item.value),
                241..=244 => self.extended(place, EXTENDED, item.value),
                245..=246 => self.extended(place, LONG_EXTENDED, item.value),
                _ => self.value(place, item.value),
            }
            rest = item.rest;
        }
    }

    /// `value` begins with the vendor's number.
    fn vendor_specific(&mut self, place: Place, value: &'a [u8]) {
        let Some((number, inner)) = value.split_first_chunk::<4>() else {
            self.push(place, value, Part::Remains);
            return;
        };
        let number = u32::from_be_bytes(*number);
        let mut path = place.path.then(number);
        path.vendor_from = path.depth;
        let place = Place { path, vendor: Some(number), ..place };
        match vendors::find(number) {
            Some(vendor) => self.values(place, vendor.header, vendor.entries, inner),
            // A vendor that is not known may have a header that is not known.
            None if PLAIN.fits(inner) => self.values(place, PLAIN, &[], inner),
            None => self.push(place, inner, Part::Remains),
        }
    }

    /// `value` begins with the extended type.
    fn extended(&mut self, place: Place, header: Header, value: &'a [u8]) {
        let Some(item) = header.split(value) else {
            self.push(place, value, Part::Remains);
            return;
        };
        let inner = place.inner(item.number, extended::table(place.path.numbers[0]));
        if self.is_fragment(inner.path, item.more) {
            self.push(inner, item.value, Part::Fragment);
        } else if item.number == VENDOR_SPECIFIC {
            self.extended_vendor_specific(inner, item.value);
        } else {
            self.value(inner, item.value);
        }
    }

    /// A vendor numbers its extended attributes anew, so that none of them is in its table.
    fn extended_vendor_specific(&mut self, place: Place, value: &'a [u8]) {
        match value.split_first_chunk::<4>() {
            Some((vendor, [number, inner @ ..])) => {
                let vendor = u32::from_be_bytes(*vendor);
                let path = place.path.then(vendor).then((*number).into());
                self.push(Place { path, entry: None, vendor: Some(vendor) }, inner, Part::Whole);
            }
            _ => self.push(place, value, Part::Remains),
        }
    }

    /// One after the other; what does not fit remains under the name of what holds it.
    fn values(&mut self, place: Place, header: Header, table: &'static [Entry], mut rest: &'a [u8]) {
        if rest.is_empty() {
            self.push(place, rest, Part::Remains);
        }
        while !rest.is_empty() {
            let Some(item) = header.split(rest) else {
                self.push(place, rest, Part::Remains);
                return;
            };
            let inner = place.inner(item.number, table);
            if header.flags && self.is_fragment(inner.path, item.more) {
                self.push(inner, item.value, Part::Fragment);
            } else {
                self.value(inner, item.value);
            }
            rest = item.rest;
        }
    }

    fn value(&mut self, place: Place, value: &'a [u8]) {
        match place.entry {
            Some(Entry { kind: Kind::Structure(table), .. }) => self.values(place, PLAIN, table, value),
            _ => self.push(place, value, Part::Whole),
        }
    }

    fn push(&mut self, place: Place, octets: &'a [u8], part: Part) {
        let Place { path, entry, vendor } = place;
        self.leaves.push(Leaf { path, entry, vendor, octets, part });
    }

    /// Whether a value goes on after this part or began before it.
    fn is_fragment(&mut self, path: Path, more: bool) -> bool {
        let began_before = self.open == Some(path);
        self.open = more.then_some(path);
        more || began_before
    }
}

/// A header's content, its value, and what follows.
struct Item<'a> {
    number: u32,
    more: bool,
    value: &'a [u8],
    rest: &'a [u8],
}

impl Header {
    /// The first value of `octets`; `None` where the header does not fit.
    fn split(self, octets: &[u8]) -> Option<Item<'_>> {
        let (kind, after) = octets.split_at_checked(self.kind)?;
        let (length, after) = after.split_at_checked(self.length)?;
        let header = self.kind + self.length + usize::from(self.flags);
        let length = if self.length == 0 { octets.len() } else { usize::try_from(number(length)).ok()? };
        let value = octets.get(header..length)?;
        let more = self.flags && after.first()? & MORE != 0;
        Some(Item { number: number(kind), more, value, rest: octets.get(length..)? })
    }

    /// Whether `octets` are values with such headers and nothing else.
    fn fits(self, mut octets: &[u8]) -> bool {
        while let Some(item) = self.split(octets) {
            octets = item.rest;
            if octets.is_empty() {
                return true;
            }
        }
        false
    }
}

fn number(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |number, octet| (number << 8) | u32::from(*octet))
}
