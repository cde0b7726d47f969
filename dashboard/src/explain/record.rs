//! A record as two rows: what it says and adds, and all its attributes.

use query_api::sessions::explain::ExplainedRecord;
use schema::dictionary::Decoded;
use usage::{Calendar, Verdict};

use super::rows::{Badge, badge};
use crate::{format, next};

/// A record.
pub(crate) struct RecordRow {
    pub(crate) anchor: String,
    pub(crate) name: String,
    pub(crate) at: String,
    pub(crate) arrived_at: String,
    pub(crate) status: String,
    pub(crate) badge: Badge,
    pub(crate) why: String,
    /// The anchor of the record that it repeats.
    pub(crate) repeats: Option<String>,
    pub(crate) duplicate: bool,
    pub(crate) added_download: String,
    pub(crate) added_upload: String,
    pub(crate) adds: bool,
    pub(crate) total_download: String,
    pub(crate) total_upload: String,
    pub(crate) source: String,
    pub(crate) client: String,
    pub(crate) reported: Vec<(&'static str, String)>,
    pub(crate) flags: Vec<&'static str>,
    pub(crate) attributes: Vec<Decoded>,
}

impl RecordRow {
    pub(crate) fn of(record: &ExplainedRecord, calendar: &Calendar) -> Self {
        let (added, total) = (record.added, record.total_after);
        let grouped = |octets: schema::Octets| format::grouped(octets.0);
        Self {
            anchor: anchor(&record.name),
            name: format!("{} of {}", record.name.lsn, record.name.collector),
            at: format::local(record.sample_at, calendar.zone()),
            arrived_at: format::local(record.arrived_at, calendar.zone()),
            status: record.status.clone(),
            badge: badge(record.verdict),
            why: sentence(&record.why),
            repeats: record.repeats.as_ref().map(anchor),
            duplicate: record.verdict == Verdict::Duplicate,
            added_download: format!("+{}", grouped(added.download_octets)),
            added_upload: format!("+{}", grouped(added.upload_octets)),
            adds: added.download_octets.0 > 0 || added.upload_octets.0 > 0,
            total_download: grouped(total.download_octets),
            total_upload: grouped(total.upload_octets),
            source: record.source.to_string(),
            client: record.client.to_string(),
            reported: reported(record),
            flags: record.flags.clone(),
            attributes: record.attributes.clone(),
        }
    }
}

fn anchor(name: &query_api::sessions::explain::Name) -> String {
    format!("r{}.{}", name.lsn, next::encoded(name.collector.as_str()))
}

fn reported(record: &ExplainedRecord) -> Vec<(&'static str, String)> {
    let said = &record.reported;
    let octets = |octets: Option<schema::Octets>| octets.map(format::exact);
    let ipv6 = |octets: Option<schema::Octets>| octets.filter(|octets| octets.0 > 0).map(format::exact);
    let gigawords = said.input_octets.map(|_| if said.gigawords { "yes" } else { "no: 32-bit counters" });
    let all = [
        ("Session time", said.session_time.map(|seconds| format!("{} s", format::grouped(seconds.into())))),
        ("Input", octets(said.input_octets)),
        ("Output", octets(said.output_octets)),
        ("IPv6 input", ipv6(said.input_ipv6_octets)),
        ("IPv6 output", ipv6(said.output_ipv6_octets)),
        ("Gigawords", gigawords.map(str::to_owned)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// With a capital.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
