//! One walk over a record's attributes: what each says, before it is interpreted.

use std::net::IpAddr;

use schema::{Octets, RecordFlags, StatusType};
use usage::RawCounters;

use crate::attributes::{self as attr, integer};
use crate::packet::Attribute;
use crate::vendor::VendorFacts;

/// The attributes that are read, as they stand.
#[derive(Default)]
pub(super) struct Scan<'a> {
    pub(super) status: Option<u32>,
    pub(super) nas_identifier: Option<&'a [u8]>,
    pub(super) nas_address: Option<IpAddr>,
    pub(super) acct_session_id: Option<&'a [u8]>,
    pub(super) acct_multi_session_id: Option<&'a [u8]>,
    pub(super) login: Option<&'a [u8]>,
    pub(super) session_time: Option<u32>,
    input: Option<u32>,
    output: Option<u32>,
    input_gigawords: Option<u32>,
    output_gigawords: Option<u32>,
    pub(super) input_packets: Option<u32>,
    pub(super) output_packets: Option<u32>,
    pub(super) delay_time: Option<u32>,
    pub(super) event_timestamp: Option<u32>,
    pub(super) terminate_cause: Option<u32>,
    pub(super) calling_station_id: Option<&'a [u8]>,
    pub(super) called_station_id: Option<&'a [u8]>,
    pub(super) nas_port: Option<u32>,
    pub(super) nas_port_id: Option<&'a [u8]>,
    pub(super) vendor: VendorFacts<'a>,
    bad_attribute: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn read(&mut self, attribute: &Attribute<'a>) {
        let value = attribute.value;
        match attribute.kind {
            attr::USER_NAME => first(&mut self.login, value),
            attr::NAS_IDENTIFIER => first(&mut self.nas_identifier, value),
            attr::ACCT_SESSION_ID => first(&mut self.acct_session_id, value),
            attr::ACCT_MULTI_SESSION_ID => first(&mut self.acct_multi_session_id, value),
            attr::CALLING_STATION_ID => first(&mut self.calling_station_id, value),
            attr::CALLED_STATION_ID => first(&mut self.called_station_id, value),
            attr::NAS_PORT_ID => first(&mut self.nas_port_id, value),
            attr::NAS_IP_ADDRESS | attr::NAS_IPV6_ADDRESS => self.address(attr::nas_address(attribute)),
            attr::FRAMED_IP_ADDRESS => self.bad_attribute |= value.len() != 4,
            attr::FRAMED_IPV6_ADDRESS => self.bad_attribute |= value.len() != 16,
            attr::FRAMED_IPV6_PREFIX | attr::DELEGATED_IPV6_PREFIX => {
                self.bad_attribute |= attr::ipv6_prefix(value).is_none()
            }
            attr::FILTER_ID => self.vendor.rates.filter_id(value),
            attr::VENDOR_SPECIFIC => self.vendor.read(value),
            kind => self.read_number(kind, value),
        }
    }

    fn read_number(&mut self, kind: u8, value: &[u8]) {
        let field = match kind {
            attr::ACCT_STATUS_TYPE => &mut self.status,
            attr::ACCT_SESSION_TIME => &mut self.session_time,
            attr::ACCT_INPUT_OCTETS => &mut self.input,
            attr::ACCT_OUTPUT_OCTETS => &mut self.output,
            attr::ACCT_INPUT_GIGAWORDS => &mut self.input_gigawords,
            attr::ACCT_OUTPUT_GIGAWORDS => &mut self.output_gigawords,
            attr::ACCT_INPUT_PACKETS => &mut self.input_packets,
            attr::ACCT_OUTPUT_PACKETS => &mut self.output_packets,
            attr::ACCT_DELAY_TIME => &mut self.delay_time,
            attr::EVENT_TIMESTAMP => &mut self.event_timestamp,
            attr::ACCT_TERMINATE_CAUSE => &mut self.terminate_cause,
            attr::NAS_PORT => &mut self.nas_port,
            _ => return,
        };
        match integer(value) {
            Some(number) => first(field, number),
            None => self.bad_attribute = true,
        }
    }

    fn address(&mut self, address: Option<IpAddr>) {
        match address {
            Some(address) => first(&mut self.nas_address, address),
            None => self.bad_attribute = true,
        }
    }

    fn input(&self) -> Counter {
        Counter::new(self.input, self.input_gigawords, self.vendor.wide_input())
    }

    fn output(&self) -> Counter {
        Counter::new(self.output, self.output_gigawords, self.vendor.wide_output())
    }

    pub(super) fn counters(&self) -> Option<RawCounters> {
        let (input, output) = (self.input().octets, self.output().octets);
        (input.is_some() || output.is_some()).then(|| RawCounters {
            input: input.unwrap_or_default(),
            output: output.unwrap_or_default(),
            input_ipv6: self.vendor.input_ipv6(),
            output_ipv6: self.vendor.output_ipv6(),
        })
    }

    pub(super) fn flags(&self, status: StatusType) -> RecordFlags {
        let octets = self.input().octets.is_some() || self.output().octets.is_some();
        let gigawords = self.input().whole || self.output().whole;
        let nothing = self.counters() == Some(RawCounters::default());
        let reports = matches!(status, StatusType::INTERIM_UPDATE | StatusType::STOP);
        [
            (self.session_time.is_some(), RecordFlags::SESSION_TIME),
            (octets, RecordFlags::OCTETS),
            (gigawords, RecordFlags::GIGAWORDS),
            (self.acct_session_id.is_some_and(|id| !id.is_empty()), RecordFlags::SESSION_ID),
            (status == StatusType::START, RecordFlags::START),
            (status == StatusType::STOP, RecordFlags::STOP),
            (status == StatusType::STOP && nothing, RecordFlags::ZERO_STOP),
            (reports && !octets, RecordFlags::OCTETS_MISSING),
            (reports && self.session_time.is_none(), RecordFlags::SESSION_TIME_MISSING),
            (self.bad_attribute || self.vendor.bad, RecordFlags::BAD_ATTRIBUTE),
        ]
        .into_iter()
        .filter(|(holds, _)| *holds)
        .fold(RecordFlags::default(), |flags, (_, flag)| flags | flag)
    }
}

/// One direction's octets.
struct Counter {
    octets: Option<Octets>,
    /// Whether its upper half is known.
    whole: bool,
}

impl Counter {
    fn new(octets: Option<u32>, gigawords: Option<u32>, wide: Option<u64>) -> Self {
        const LOWER: u64 = u32::MAX as u64;
        let agrees = |wide: &u64| octets.is_none_or(|octets| wide & LOWER == u64::from(octets));
        match wide.filter(|wide| gigawords.is_none() && agrees(wide)) {
            Some(wide) => Self { octets: Some(Octets(wide)), whole: true },
            None => Self {
                octets: octets.map(|octets| Octets::from_gigawords(gigawords.unwrap_or(0), octets)),
                whole: gigawords.is_some(),
            },
        }
    }
}

fn first<T>(field: &mut Option<T>, value: T) {
    field.get_or_insert(value);
}
