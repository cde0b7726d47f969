//! A period's part of a session: the counters at its two ends, and between which reports they were computed.

use schema::{Login, Octets, UnixTime};
use serde::Serialize;
use usage::{Curve, Sample};

use crate::sessions::PeriodUsage;

/// What a session, as far as it is one login's, used in `[from, to)`: the counters at `to` less those at `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// RADIUS User-Name.
    pub login: Login,
    /// The period's first instant.
    pub from: UnixTime,
    /// The first instant after the period.
    pub to: UnixTime,
    /// What it comes to.
    #[serde(flatten)]
    pub usage: PeriodUsage,
    /// The counters at `from`.
    pub at_from: Reading,
    /// The counters at `to`.
    pub at_to: Reading,
}

/// A session's counters at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The instant, or the nearest at which the session was on.
    pub at: UnixTime,
    /// To the subscriber since the session's start.
    pub download_octets: Octets,
    /// From the subscriber since the session's start.
    pub upload_octets: Octets,
    /// The report before, where these counters were not reported but computed.
    pub before: Option<Report>,
    /// The report after it: between both, traffic is taken to have flowed evenly.
    pub after: Option<Report>,
}

/// Counters that a NAS reported, or the session's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When.
    pub at: UnixTime,
    /// To the subscriber since the session's start.
    pub download_octets: Octets,
    /// From the subscriber since the session's start.
    pub upload_octets: Octets,
}

impl Share {
    pub(crate) fn of(login: &Login, curve: &Curve, from: UnixTime, to: UnixTime) -> Self {
        Self {
            login: login.clone(),
            from,
            to,
            usage: curve.usage(from, to).into(),
            at_from: Reading::of(curve, from),
            at_to: Reading::of(curve, to),
        }
    }
}

impl Reading {
    fn of(curve: &Curve, time: UnixTime) -> Self {
        let Sample { at, download, upload } = curve.value_at(time);
        let enclosing = curve.enclosing(at);
        Self {
            at: at.max(curve.starts_at()),
            download_octets: download,
            upload_octets: upload,
            before: enclosing.map(|(before, _)| before.into()),
            after: enclosing.map(|(_, after)| after.into()),
        }
    }
}

impl From<Sample> for Report {
    fn from(sample: Sample) -> Self {
        Self { at: sample.at, download_octets: sample.download, upload_octets: sample.upload }
    }
}
