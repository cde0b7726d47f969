//! Vendors by number (IANA's private enterprise numbers): their names, their headers, their attributes.

mod access;
mod cisco;
mod erx;
mod huawei;
mod mobile;
mod nokia;
mod redback;
mod starent;
mod wireless;

use super::Entry;
use super::walk::{Header, PLAIN};

/// A vendor whose attributes can be told apart.
pub(super) struct Vendor {
    pub(super) number: u32,
    pub(super) name: &'static str,
    /// What defines attributes that name no other source.
    pub(super) source: &'static str,
    pub(super) header: Header,
    pub(super) entries: &'static [Entry],
}

/// The vendor with this number.
pub(super) fn find(number: u32) -> Option<&'static Vendor> {
    let at = VENDORS.binary_search_by_key(&number, |vendor| vendor.number).ok()?;
    VENDORS.get(at)
}

const fn vendor(number: u32, name: &'static str, entries: &'static [Entry]) -> Vendor {
    Vendor { number, name, source: name, header: PLAIN, entries }
}

impl Vendor {
    const fn header(mut self, kind: usize, length: usize, flags: bool) -> Self {
        self.header = Header { kind, length, flags };
        self
    }

    const fn source(mut self, source: &'static str) -> Self {
        self.source = source;
        self
    }
}

/// Sorted by number.
pub(super) const VENDORS: &[Vendor] = &[
    vendor(9, "Cisco", cisco::CISCO),
    vendor(311, "Microsoft", access::MICROSOFT).source("Microsoft (RFC 2548)"),
    vendor(429, "USR", &[]).header(4, 0, false),
    vendor(2011, "Huawei", huawei::HUAWEI),
    vendor(2352, "Redback", redback::REDBACK),
    vendor(2636, "Juniper", erx::JUNIPER),
    vendor(3561, "ADSL-Forum", access::ADSL_FORUM),
    vendor(4846, "Lucent", &[]).header(2, 1, false),
    vendor(4874, "ERX", erx::ERX),
    vendor(6527, "Nokia", nokia::NOKIA),
    vendor(8164, "Starent", starent::STARENT).header(2, 2, false),
    vendor(10415, "3GPP", mobile::THREE_GPP),
    vendor(14122, "WISPr", wireless::WISPR),
    vendor(14823, "Aruba", wireless::ARUBA),
    vendor(14988, "MikroTik", wireless::MIKROTIK),
    vendor(17713, "Cambium", wireless::CAMBIUM),
    vendor(24757, "WiMAX", mobile::WIMAX).header(1, 1, true),
    vendor(25506, "H3C", huawei::H3C),
    vendor(41112, "Ubiquiti", &[]),
];
