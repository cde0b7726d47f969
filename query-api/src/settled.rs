//! What the settler evaluated: rows of `settled_sessions`, and the sessions they describe.

use std::collections::{BTreeMap, HashMap};

use clickhouse::{Client, Row};
use schema::{Login, Octets, SessionKey, TerminateCause, UnixMicros, UnixTime};
use serde::{Deserialize, Serialize};
use usage::{Amendment, Curve, Evaluation, Sample};

use crate::ApiError;
use crate::query::{fetch, numbers, seconds, time};
use crate::reading::Session;

/// One session of a key, as published. All sessions of a key are inserted at once under one revision.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub(crate) struct SettledRow {
    pub(crate) session_key: u128,
    pub(crate) generation: u32,
    pub(crate) revision: u64,
    /// Counted from 1, oldest first.
    pub(crate) number: u32,
    /// Of how many.
    pub(crate) sessions: u32,
    pub(crate) nas: String,
    pub(crate) kind: u8,
    pub(crate) started_at: u32,
    pub(crate) clock_stepped: u8,
    pub(crate) stopped: u8,
    pub(crate) stopped_at: u32,
    pub(crate) terminate_cause: u32,
    pub(crate) last_at: u32,
    /// Newest event time of the key's records: what is newer has not been evaluated.
    pub(crate) newest_event_at: u32,
    pub(crate) part_logins: Vec<String>,
    pub(crate) part_from: Vec<u32>,
    pub(crate) part_to: Vec<u32>,
    pub(crate) sample_at: Vec<u32>,
    pub(crate) sample_download: Vec<u64>,
    pub(crate) sample_upload: Vec<u64>,
    /// Of the whole key; with its first session.
    pub(crate) verdicts: Vec<String>,
    pub(crate) verdict_records: Vec<u64>,
    /// Of the whole key; with its first session.
    pub(crate) amended_day: Vec<u32>,
    pub(crate) amended_at: Vec<u32>,
    pub(crate) amended_login: Vec<String>,
    pub(crate) amended_download: Vec<i64>,
    pub(crate) amended_upload: Vec<i64>,
    /// Milliseconds.
    pub(crate) settled_at: i64,
}

/// A settled key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// The first with the amendments of all.
    pub(crate) sessions: Vec<Session>,
    /// Newest event time of the records they were evaluated from.
    pub(crate) newest_event_at: u32,
}

/// Those of `keys` that are settled in `generation`.
pub(crate) async fn settled(
    client: &Client,
    keys: &[SessionKey],
    generation: u32,
) -> Result<HashMap<SessionKey, Settled>, ApiError> {
    let rows = settled_rows(client, keys, generation).await?;
    Ok(rows.into_iter().map(|(key, rows)| (key, Settled::of(&rows))).collect())
}

/// The rows of the newest revision of each key. Older revisions go when ClickHouse merges, never part of the newest.
pub(crate) async fn settled_rows(
    client: &Client,
    keys: &[SessionKey],
    generation: u32,
) -> Result<HashMap<SessionKey, Vec<SettledRow>>, ApiError> {
    let sql = "SELECT ?fields FROM settled_sessions WHERE generation = ? AND session_key IN ?";
    let query = client.query(sql).bind(generation).bind(numbers(keys));
    let mut found: HashMap<SessionKey, Vec<SettledRow>> = HashMap::new();
    for row in fetch::<SettledRow>(query).await? {
        found.entry(SessionKey(row.session_key)).or_default().push(row);
    }
    Ok(found.into_iter().map(|(key, rows)| (key, newest(rows))).collect())
}

/// Of a key's rows, those of the newest revision, in their order.
pub(crate) fn newest(mut rows: Vec<SettledRow>) -> Vec<SettledRow> {
    let revision = rows.iter().map(|row| row.revision).max().unwrap_or(0);
    rows.retain(|row| row.revision == revision);
    rows.sort_unstable_by_key(|row| row.number);
    // What was inserted again because no answer came is there twice.
    rows.dedup_by_key(|row| row.number);
    rows
}

/// Inserts rows under a revision, at once.
pub(crate) async fn insert_settled(
    writer: &Client,
    mut rows: Vec<SettledRow>,
    revision: u64,
) -> Result<(), ApiError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = writer.insert::<SettledRow>("settled_sessions").await?;
    for row in &mut rows {
        row.revision = revision;
        row.settled_at = UnixMicros::now().0 / 1_000;
        insert.write(row).await?;
    }
    Ok(insert.end().await?)
}

impl Settled {
    fn of(rows: &[SettledRow]) -> Self {
        let mut sessions: Vec<Session> = rows.iter().map(SettledRow::session).collect();
        if let (Some(session), Some(row)) = (sessions.first_mut(), rows.first()) {
            session.amendments = row.amendments();
        }
        Self { sessions, newest_event_at: rows.first().map_or(0, |row| row.newest_event_at) }
    }
}

/// What is common to a key's rows.
pub(crate) struct Stamp<'a> {
    pub(crate) key: SessionKey,
    pub(crate) nas: &'a str,
    pub(crate) kind: u8,
    pub(crate) generation: u32,
    /// Newest event time of its records.
    pub(crate) newest_event_at: UnixTime,
}

/// The rows of an evaluated key, without revision and time.
pub(crate) fn rows(stamp: &Stamp<'_>, evaluation: &Evaluation, amendments: &[Amendment]) -> Vec<SettledRow> {
    let sessions = u32::try_from(evaluation.sessions.len()).unwrap_or(u32::MAX);
    let mut rows: Vec<SettledRow> = (1..)
        .zip(&evaluation.sessions)
        .map(|(number, session)| SettledRow { number, sessions, ..SettledRow::of(stamp, session) })
        .collect();
    if let Some(first) = rows.first_mut() {
        first.count(&evaluation.verdicts());
        first.amend(amendments);
    }
    rows
}

impl SettledRow {
    fn of(stamp: &Stamp<'_>, session: &usage::Session) -> Self {
        let samples = session.curves.first().map(|(_, curve)| curve.samples()).unwrap_or_default();
        let parts = &session.curves;
        let stopped = session.stopped.unwrap_or_default();
        Self {
            session_key: stamp.key.0,
            generation: stamp.generation,
            revision: 0,
            number: 0,
            sessions: 0,
            nas: stamp.nas.to_owned(),
            kind: stamp.kind,
            started_at: seconds(session.started_at),
            clock_stepped: session.clock_stepped.into(),
            stopped: session.stopped.is_some().into(),
            stopped_at: seconds(stopped.0),
            terminate_cause: stopped.1.0,
            last_at: seconds(session.last_at()),
            newest_event_at: seconds(stamp.newest_event_at),
            part_logins: parts.iter().map(|(login, _)| login.as_str().to_owned()).collect(),
            part_from: parts.iter().map(|(_, curve)| seconds(curve.starts_at())).collect(),
            part_to: parts.iter().map(|(_, curve)| seconds(curve.ends_at())).collect(),
            sample_at: samples.iter().map(|sample| seconds(sample.at)).collect(),
            sample_download: samples.iter().map(|sample| sample.download.0).collect(),
            sample_upload: samples.iter().map(|sample| sample.upload.0).collect(),
            verdicts: Vec::new(),
            verdict_records: Vec::new(),
            amended_day: Vec::new(),
            amended_at: Vec::new(),
            amended_login: Vec::new(),
            amended_download: Vec::new(),
            amended_upload: Vec::new(),
            settled_at: 0,
        }
    }

    fn count(&mut self, verdicts: &BTreeMap<usage::Verdict, u64>) {
        self.verdicts = verdicts.keys().map(|verdict| verdict.as_str().to_owned()).collect();
        self.verdict_records = verdicts.values().copied().collect();
    }

    fn amend(&mut self, amendments: &[Amendment]) {
        self.amended_day = amendments.iter().map(|one| seconds(one.day)).collect();
        self.amended_at = amendments.iter().map(|one| seconds(one.at)).collect();
        self.amended_login = amendments.iter().map(|one| one.login.as_str().to_owned()).collect();
        self.amended_download = amendments.iter().map(|one| one.download).collect();
        self.amended_upload = amendments.iter().map(|one| one.upload).collect();
    }

    /// Whether it says the same as another, whatever their revisions.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let alike = Self { revision: other.revision, settled_at: other.settled_at, ..self.clone() };
        alike == *other
    }

    pub(crate) fn session(&self) -> Session {
        let samples: Vec<Sample> = self
            .sample_at
            .iter()
            .zip(self.sample_download.iter().zip(&self.sample_upload))
            .map(|(at, (download, upload))| Sample {
                at: time(*at),
                download: Octets(*download),
                upload: Octets(*upload),
            })
            .collect();
        let whole = Curve::new(time(self.started_at), samples);
        let parts = self.part_logins.iter().zip(self.part_from.iter().zip(&self.part_to));
        let cause = TerminateCause(self.terminate_cause);
        Session {
            key: SessionKey(self.session_key),
            number: self.number as usize,
            of: self.sessions as usize,
            started_at: time(self.started_at),
            stopped: (self.stopped != 0).then(|| (time(self.stopped_at), cause)),
            curves: parts
                .map(|(login, (from, to))| {
                    (Login::from(login.as_str()), whole.clone().within(time(*from), time(*to)))
                })
                .collect(),
            approximate: false,
            amendments: Vec::new(),
        }
    }

    pub(crate) fn amendments(&self) -> Vec<Amendment> {
        let amendment = |place: usize| {
            Some(Amendment {
                day: time(*self.amended_day.get(place)?),
                at: time(*self.amended_at.get(place)?),
                login: self.amended_login.get(place)?.as_str().into(),
                download: *self.amended_download.get(place)?,
                upload: *self.amended_upload.get(place)?,
            })
        };
        (0..self.amended_day.len()).filter_map(amendment).collect()
    }
}
