//! Whether a session is still on, and how it ended: by its Stop, by a restart of its NAS, or by silence.

use std::collections::{HashMap, HashSet};

use clickhouse::Row;
use schema::live::Confidence;
use schema::{TerminateCause, UnixTime};
use serde::{Deserialize, Serialize};

use crate::query::{fetch, time};
use crate::reading::Session;
use crate::{ApiError, Deps};

/// The cause of a session that Accounting-On or -Off ended (RFC 2866 5.10).
const NAS_REBOOT: TerminateCause = TerminateCause(11);

/// Whether a session is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It is, and reports come as expected.
    Live,
    /// It is, but reports are late.
    Overdue,
    /// No word for so long that it is taken for over, at its last evidence.
    PresumedDead,
    /// It is over.
    Closed,
}

/// How a session stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) state: SessionState,
    /// `None` while it is on.
    pub(crate) ended_at: Option<UnixTime>,
    /// `None` where nobody told.
    pub(crate) cause: Option<TerminateCause>,
}

impl Standing {
    /// Whether the session was on for `login`, or for anyone, at some time in `[from, to)`. Its end belongs to the period
    /// before it.
    pub(crate) fn overlaps(
        &self,
        session: &Session,
        login: Option<&str>,
        (from, to): (UnixTime, UnixTime),
        now: UnixTime,
    ) -> bool {
        let (started_at, handed_on) = session.part_of(login);
        let ended_at = handed_on.or(self.ended_at).unwrap_or_else(|| session.last_at().max(now));
        started_at < to && (ended_at > from || started_at >= from)
    }

    /// Whether the session ended for `login` by an error within `[from, to)`.
    pub(crate) fn is_error_in(
        &self,
        session: &Session,
        login: &str,
        (from, to): (UnixTime, UnixTime),
        now: UnixTime,
    ) -> bool {
        self.cause.is_some_and(TerminateCause::is_error)
            && session.part_of(Some(login)).1.is_none()
            && self.ended_at.is_some_and(|ended_at| ended_at <= to)
            && self.overlaps(session, Some(login), (from, to), now)
    }
}

/// What tells how sessions stand.
pub(crate) struct Standings<'a> {
    deps: &'a Deps,
    now: UnixTime,
    /// The newest Accounting-On or -Off of NASes.
    restarts: HashMap<String, UnixTime>,
}

#[derive(Row, Deserialize)]
struct Restart {
    nas: String,
    newest: u32,
}

impl<'a> Standings<'a> {
    /// For `sessions`, each with its NAS.
    pub(crate) async fn of(
        deps: &'a Deps,
        sessions: &[(&Session, &str)],
        now: UnixTime,
    ) -> Result<Self, ApiError> {
        let mut this = Self { deps, now, restarts: HashMap::new() };
        let mut nases = HashSet::new();
        for (session, nas) in sessions {
            if session.stopped.is_none() && this.online(session).is_none() {
                nases.insert(*nas);
            }
        }
        if !nases.is_empty() {
            let sql = "SELECT e.nas AS nas, toUInt32(max(e.event_at)) AS newest FROM nas_events AS e \
                       WHERE e.nas IN ? GROUP BY nas";
            let nases: Vec<&str> = nases.into_iter().collect();
            let restarts = fetch::<Restart>(deps.clickhouse.query(sql).bind(nases)).await?;
            this.restarts = restarts.into_iter().map(|row| (row.nas, time(row.newest))).collect();
        }
        Ok(this)
    }

    /// How `session` of `nas` stands.
    pub(crate) fn standing(&self, session: &Session, nas: &str) -> Standing {
        let closed =
            |ended_at, cause| Standing { state: SessionState::Closed, ended_at: Some(ended_at), cause };
        if let Some((stopped_at, cause)) = session.stopped {
            return closed(stopped_at, Some(cause));
        }
        if let Some(state) = self.online(session) {
            return Standing { state, ended_at: None, cause: None };
        }
        let last_at = session.last_at();
        // The collector knows of an end before ClickHouse does.
        if let Some((ended_at, cause)) = self.ended(session).filter(|(ended_at, _)| *ended_at >= last_at) {
            return closed(ended_at, Some(cause));
        }
        if session.number < session.of {
            // A later session has its identifier.
            return closed(last_at, None);
        }
        if self.restarts.get(nas).is_some_and(|restart| *restart >= last_at) {
            return closed(last_at, Some(NAS_REBOOT));
        }
        Standing { state: SessionState::PresumedDead, ended_at: Some(last_at), cause: None }
    }

    fn ended(&self, session: &Session) -> Option<(UnixTime, TerminateCause)> {
        let newest = session.number == session.of;
        newest.then(|| self.deps.online.ended(session.key)).flatten()
    }

    fn online(&self, session: &Session) -> Option<SessionState> {
        let newest = session.number == session.of;
        let online = newest.then(|| self.deps.online.get(session.key, self.now)).flatten()?;
        match online.confidence {
            Confidence::Live => Some(SessionState::Live),
            Confidence::Overdue => Some(SessionState::Overdue),
            Confidence::PresumedDead => None,
        }
    }
}
