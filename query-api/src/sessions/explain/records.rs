//! The records of a session in the order of its clock: what each says, what it adds, and all its attributes.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use clickhouse::Client;
use schema::dictionary::{Decoded, decode};
use schema::{
    ClientName, CollectorId, Lsn, Octets, RecordFlags, RecordRow, SessionKey, StatusType, UnixMicros,
    UnixTime,
};
use serde::Serialize;
use usage::{Finding, NasPolicy, Record, RecordName, Verdict};

use super::why::{Counted, Place, noticed};
use crate::ApiError;
use crate::evidence::Evidence;
use crate::params::bad;
use crate::query::{fetch, seconds};

/// A record and what it was found to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedRecord {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Arrival.
    pub arrived_at: UnixTime,
    /// Address and port that it came from.
    pub source: SocketAddr,
    /// The client that the address picked.
    pub client: ClientName,
    /// Acct-Status-Type.
    pub status: String,
    /// Event time: Event-Timestamp, else arrival − Acct-Delay-Time.
    pub event_at: UnixTime,
    /// When it speaks by its session's clock: start + Acct-Session-Time.
    pub sample_at: UnixTime,
    /// Its session's number among those of the key.
    pub session: usize,
    /// What it was found to be.
    pub verdict: Verdict,
    /// Why, in plain words.
    pub why: String,
    /// The record that it repeats.
    pub repeats: Option<Name>,
    /// What the NAS says.
    pub reported: Reported,
    /// What it adds to usage.
    pub added: Traffic,
    /// The session's counters after it.
    pub total_after: Traffic,
    /// What was noticed about it, in words.
    pub flags: Vec<&'static str>,
    /// All its attributes by name.
    pub attributes: Vec<Decoded>,
}

/// What names a record for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// Who recorded it.
    pub collector: CollectorId,
    /// Its place in that collector's journal.
    pub lsn: Lsn,
}

/// Counters as reported; `null` where absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// Acct-Session-Time, seconds.
    pub session_time: Option<u32>,
    /// Acct-Input-Octets with Gigawords.
    pub input_octets: Option<Octets>,
    /// Acct-Output-Octets with Gigawords.
    pub output_octets: Option<Octets>,
    /// The vendor's input octets of IPv6; 0 where it counts none apart.
    pub input_ipv6_octets: Option<Octets>,
    /// The vendor's output octets of IPv6; 0 where it counts none apart.
    pub output_ipv6_octets: Option<Octets>,
    /// Whether Gigawords (RFC 2869 5.1, 5.2) or 64-bit counters are in it.
    pub gigawords: bool,
}

/// Traffic both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// To the subscriber.
    pub download_octets: Octets,
    /// From the subscriber.
    pub upload_octets: Octets,
}

/// A session's records in the order of its clock.
pub(super) struct Timeline<'a> {
    key: SessionKey,
    policy: NasPolicy,
    entries: Vec<(&'a Record, &'a Finding)>,
}

impl<'a> Timeline<'a> {
    /// Of session `number`, counted from 1, of a key.
    pub(super) fn of(key: SessionKey, number: usize, policy: NasPolicy, evidence: &'a Evidence) -> Self {
        let findings = &evidence.evaluation.findings;
        let by_name: HashMap<&RecordName, &Record> =
            evidence.records.iter().map(|record| (&record.name, record)).collect();
        let own = findings.iter().filter(|(_, finding)| finding.session + 1 == number);
        let mut entries: Vec<_> =
            own.filter_map(|(name, finding)| Some((*by_name.get(name)?, finding))).collect();
        entries.sort_by_cached_key(|(record, finding)| place(record, finding));
        Self { key, policy, entries }
    }

    /// How many records there are of each verdict.
    pub(super) fn verdicts(&self) -> BTreeMap<Verdict, u64> {
        let mut counts = BTreeMap::new();
        for (_, finding) in &self.entries {
            *counts.entry(finding.verdict).or_default() += 1;
        }
        counts
    }

    /// At most `limit` records after the one that `cursor` names, and the cursor of the next page.
    pub(super) async fn page(
        &self,
        client: &Client,
        limit: usize,
        cursor: Option<&RecordName>,
    ) -> Result<(Vec<ExplainedRecord>, Option<String>), ApiError> {
        let begin = match cursor {
            None => 0,
            Some(name) => {
                let at = self.entries.iter().position(|(record, _)| record.name == *name);
                let text = write_cursor(name);
                let lost = || bad("cursor", &text, format!("no record \"{text}\" is in this session"));
                at.ok_or_else(lost)? + 1
            }
        };
        let places: Vec<Place<'_>> = self.places().skip(begin).take(limit).collect();
        let mut rows = rows(client, self.key, &places).await?;
        let more = begin.saturating_add(limit) < self.entries.len();
        let next = places.last().filter(|_| more).map(|place| write_cursor(&place.record.name));
        let explained = places.iter().filter_map(|place| {
            let row = rows.remove(&place.record.name)?;
            Some(explain(place, &row))
        });
        Ok((explained.collect(), next))
    }

    /// Each record with what comes before it.
    fn places(&self) -> impl Iterator<Item = Place<'a>> {
        let policy = self.policy;
        let mut before: Option<Counted> = None;
        let mut first = true;
        self.entries.iter().map(move |(record, finding)| {
            let now = record.counters.map(|counters| policy.octets(counters));
            let place = Place { record, finding, now, before, first };
            let repeated = finding.verdict == Verdict::Duplicate;
            first &= repeated;
            let believed = !matches!(
                finding.verdict,
                Verdict::Duplicate
                    | Verdict::StopWithoutOctets
                    | Verdict::WithoutOctets
                    | Verdict::Implausible
            );
            if believed {
                before = now.or(before);
            }
            place
        })
    }
}

/// Where a record stands among those of its session: as the engine takes them, a repetition after what it repeats.
fn place(record: &Record, finding: &Finding) -> impl Ord + use<> {
    let rank = match record.status {
        StatusType::START => 0,
        StatusType::STOP => 2,
        _ => 1,
    };
    (finding.at, rank, finding.total, finding.repeats.is_some(), record.name.clone())
}

pub(super) fn write_cursor(name: &RecordName) -> String {
    format!("{}.{}", name.lsn, name.collector)
}

pub(super) fn read_cursor(text: &str) -> Result<RecordName, String> {
    let parts = text.split_once('.').and_then(|(lsn, collector)| Some((lsn.parse().ok()?, collector)));
    let (lsn, collector) =
        parts.ok_or_else(|| format!("\"{text}\" is no cursor: take it from a page's \"next\""))?;
    Ok(RecordName { collector: collector.into(), lsn: Lsn(lsn) })
}

/// The rows of records of one key, with their attributes.
async fn rows(
    client: &Client,
    key: SessionKey,
    places: &[Place<'_>],
) -> Result<HashMap<RecordName, RecordRow>, ApiError> {
    let arrivals = || places.iter().map(|place| place.record.arrived_at.seconds());
    let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) else { return Ok(HashMap::new()) };
    // Compared with a DateTime, the index would take "before 12:00:05" for "up to 12:00:04.000000".
    let sql = "SELECT ?fields FROM accounting_records WHERE session_key = ? AND lsn IN ? \
               AND arrived_at >= toDateTime64(?, 6, 'UTC') AND arrived_at < toDateTime64(?, 6, 'UTC')";
    let lsns: Vec<u64> = places.iter().map(|place| place.record.name.lsn.0).collect();
    let query = client.query(sql).bind(key.0).bind(lsns).bind(seconds(first)).bind(seconds(last.plus(1)));
    let named =
        |row: RecordRow| (RecordName { collector: row.collector.as_str().into(), lsn: Lsn(row.lsn) }, row);
    Ok(fetch::<RecordRow>(query).await?.into_iter().map(named).collect())
}

fn explain(place: &Place<'_>, row: &RecordRow) -> ExplainedRecord {
    let Place { record, finding, .. } = place;
    let counters = record.counters;
    let traffic = |(download_octets, upload_octets)| Traffic { download_octets, upload_octets };
    ExplainedRecord {
        name: (&record.name).into(),
        arrived_at: UnixMicros(row.arrived_at).seconds(),
        source: SocketAddr::new(IpAddr::V6(row.source).to_canonical(), row.source_port),
        client: row.client.as_str().into(),
        status: record.status.to_string(),
        event_at: record.at,
        sample_at: finding.at,
        session: finding.session + 1,
        verdict: finding.verdict,
        why: place.why(),
        repeats: finding.repeats.as_ref().map(Name::from),
        reported: Reported {
            session_time: record.session_time,
            input_octets: counters.map(|counters| counters.input),
            output_octets: counters.map(|counters| counters.output),
            input_ipv6_octets: counters.map(|counters| counters.input_ipv6),
            output_ipv6_octets: counters.map(|counters| counters.output_ipv6),
            gigawords: record.gigawords,
        },
        added: traffic(finding.added),
        total_after: traffic(finding.total),
        flags: noticed(RecordFlags(row.flags)),
        attributes: decode(&row.attributes),
    }
}

impl From<&RecordName> for Name {
    fn from(name: &RecordName) -> Self {
        Self { collector: name.collector.clone(), lsn: name.lsn }
    }
}
