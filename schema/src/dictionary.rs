//! The dictionary of attributes: what each attribute of an accounting record is called, and what its value says.
//!
//! [`decode`] takes attributes as they were sent (RFC 2865 5) and names all of them: standard ones, extended ones
//! (RFC 6929), and those inside Vendor-Specific with their vendor's header. It loses nothing and never fails: a value that
//! does not fit its attribute's type, and octets that are no attribute, are shown in hexadecimal under the name of what
//! holds them.
//!
//! Numbers and names are facts from RFCs, IANA's registry and vendors' dictionaries; tables are sorted by number, so that
//! a name is found by binary search.

mod extended;
mod standard;
mod value;
mod vendors;
mod walk;
mod words;

use std::borrow::Cow;

use serde::Serialize;

use value::Kind;
use walk::{Leaf, Part};

/// Where a name comes from that no table has.
const UNKNOWN: &str = "not in the dictionary";

/// One attribute, readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decoded {
    /// Its number, with those of what holds it before it: `46`, `26.4874.151` (vendor 4874), `241.5.3` (RFC 6929 2.4).
    pub number: String,
    /// Its name: `Acct-Session-Time`; where the dictionary has none, `Attr-200` or `Vendor-4874-Attr-7`.
    pub name: Cow<'static, str>,
    /// What it says. Enumerated values carry their word, `Interim-Update (3)`; a tag (RFC 2868) comes first, `tag 1: `;
    /// dates are in RFC 3339; what is unprintable in a text is escaped; octets are hexadecimal, `0x00ff`; of a secret only
    /// the length is told.
    pub value: String,
    /// The vendor whose attribute it is.
    pub vendor: Option<&'static str>,
    /// What defines it: an RFC's section, or the vendor.
    pub source: &'static str,
}

/// What a table says of one attribute.
struct Entry {
    number: u32,
    name: &'static str,
    kind: Kind,
    /// Empty: the table's vendor.
    source: &'static str,
}

/// An entry of a standard table.
const fn rfc(number: u32, name: &'static str, kind: Kind, source: &'static str) -> Entry {
    Entry { number, name, kind, source }
}

/// An entry of a vendor's table.
const fn sub(number: u32, name: &'static str, kind: Kind) -> Entry {
    Entry { number, name, kind, source: "" }
}

/// The entry with this number in a table sorted by number.
fn find(entries: &'static [Entry], number: u32) -> Option<&'static Entry> {
    let at = entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
    entries.get(at)
}

/// Every attribute among `attributes`, in the order in which they were sent.
#[must_use]
pub fn decode(attributes: &[u8]) -> Vec<Decoded> {
    walk::leaves(attributes).iter().map(describe).collect()
}

fn describe(leaf: &Leaf<'_>) -> Decoded {
    let vendor = leaf.vendor.and_then(vendors::find);
    let source = leaf.entry.map_or(UNKNOWN, |entry| entry.source);
    Decoded {
        number: leaf.path.to_string(),
        name: leaf.entry.map_or_else(|| unknown_name(leaf), |entry| Cow::Borrowed(entry.name)),
        value: match (leaf.part, leaf.entry) {
            (Part::Whole, Some(entry)) => entry.kind.render(leaf.octets),
            (Part::Fragment, Some(Entry { kind: Kind::Secret, .. })) => Kind::Secret.render(leaf.octets),
            _ => value::hex(leaf.octets),
        },
        vendor: vendor.map(|vendor| vendor.name),
        source: vendor.filter(|_| source.is_empty()).map_or(source, |vendor| vendor.source),
    }
}

/// `Attr-200`, `Attr-241.9`, `Vendor-4874-Attr-7`, and `Malformed` for what is not even an attribute.
fn unknown_name(leaf: &Leaf<'_>) -> Cow<'static, str> {
    let path = leaf.path;
    match leaf.vendor {
        Some(vendor) => Cow::Owned(format!("Vendor-{vendor}-Attr-{}", path.within_vendor())),
        None if path.is_empty() => Cow::Borrowed("Malformed"),
        None => Cow::Owned(format!("Attr-{path}")),
    }
}

#[cfg(test)]
mod tests;
