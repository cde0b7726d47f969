//! `GET /sessions`: session history, and who had an address at a time; `GET /sessions/{id}`: one session.

mod address;
pub mod explain;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use clickhouse::Row;
use collector::OnlineFilter;
use schema::{BitsPerSecond, ClientName, Login, NasId, Octets, SessionKey, SessionKind, UnixTime};
use serde::{Deserialize, Serialize, Serializer};
use usage::Usage;

use crate::page::PageRequest;
use crate::params::Params;
use crate::query::{DRIFT, fetch, seconds};
use crate::reading::{self, Extent};
use crate::state::{Standing, Standings};
use crate::stored::{self, Match, StoredSession};
use crate::usage::{check_order, online_keys};
use crate::{ApiError, Deps, Page};

pub use crate::state::SessionState;
pub use crate::stored::{Sort, SortBy};

/// Which sessions; every given condition must hold.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// RADIUS User-Name.
    pub login: Option<String>,
    /// NAS identity, `client/identifier`.
    pub nas: Option<String>,
    /// An address the session has had, or one in a prefix it has had; with `at`, has had at that time.
    pub ip: Option<IpAddr>,
    /// MAC address as `aa:bb:cc:dd:ee:ff`.
    pub mac: Option<String>,
    /// On at this time.
    pub at: Option<UnixTime>,
    /// On at this time or later.
    pub from: Option<UnixTime>,
    /// On before this time.
    pub to: Option<UnixTime>,
}

/// Names a session: its key; and where the key has several, whose number it is, oldest first, after a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// Its key.
    pub key: SessionKey,
    /// Counted from 1; `None` for the newest.
    pub number: Option<usize>,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            None => self.key.fmt(f),
            Some(number) => write!(f, "{}.{number}", self.key),
        }
    }
}

impl FromStr for SessionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, number) = match text.split_once('.') {
            Some((key, number)) => {
                (key, Some(number.parse().map_err(|_| format!("\"{number}\" is no number"))?))
            }
            None => (text, None),
        };
        Ok(Self { key: key.parse::<SessionKey>().map_err(|error| error.to_string())?, number })
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A session in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// RADIUS User-Name; the newest where it changed.
    pub login: Login,
    /// Who reports it.
    pub nas: NasId,
    /// The client its packets come from.
    pub client: ClientName,
    /// Acct-Session-Id.
    pub acct_session_id: String,
    /// Acct-Multi-Session-Id.
    pub acct_multi_session_id: String,
    /// `session`; or `service` or `queue`, whose octets are part of their session's and never added to them.
    pub kind: String,
    /// When it began.
    pub started_at: UnixTime,
    /// When it ended; `null` while it is on.
    pub ended_at: Option<UnixTime>,
    /// Its newest report.
    pub last_seen_at: UnixTime,
    /// Seconds from start to the newest report.
    pub duration_seconds: u64,
    /// To the subscriber, in the whole session.
    pub download_octets: Octets,
    /// From the subscriber, in the whole session.
    pub upload_octets: Octets,
    /// What lies in `[from, to)`, where either is given.
    pub in_period: Option<PeriodUsage>,
    /// Addresses it has had.
    pub ips: Vec<IpAddr>,
    /// IPv6 prefixes it has had.
    pub prefixes: Vec<String>,
    /// MAC address from Calling-Station-Id; `null` where it holds none.
    pub mac: Option<String>,
    /// Calling-Station-Id.
    pub calling_station_id: String,
    /// Called-Station-Id.
    pub called_station_id: String,
    /// NAS-Port-Id.
    pub nas_port_id: String,
    /// Agent-Circuit-Id (RFC 4679 3.3.1): the subscriber's line.
    pub agent_circuit_id: String,
    /// Agent-Remote-Id (RFC 4679 3.3.2).
    pub agent_remote_id: String,
    /// Rate to the subscriber that the NAS says it allows, bit/s; `null` where it says none.
    pub download_limit_bps: Option<BitsPerSecond>,
    /// Rate from the subscriber that the NAS says it allows, bit/s; `null` where it says none.
    pub upload_limit_bps: Option<BitsPerSecond>,
    /// Why it ended, in the dictionaries' words; `null` where nobody told.
    pub terminate_cause: Option<String>,
    /// Whether it is on.
    pub state: SessionState,
}

/// The part of a session in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PeriodUsage {
    /// Seconds online.
    pub online_seconds: u64,
    /// To the subscriber.
    pub download_octets: Octets,
    /// From the subscriber.
    pub upload_octets: Octets,
    /// The part of both whose share is computed.
    pub estimated_octets: Octets,
}

/// One session and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionDetail {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// Records stored for its key, repetitions included.
    pub records: u64,
}

/// A page of the sessions that match.
///
/// # Errors
/// ClickHouse cannot be read.
pub async fn list(
    deps: &Deps,
    filter: &SessionFilter,
    sort: Sort,
    page: PageRequest,
) -> Result<Page<Session>, ApiError> {
    let now = UnixTime::now();
    let online = if filter.since().is_some() { online_keys(deps, &filter.online(), now) } else { Vec::new() };
    let wanted = filter.wanted(&online);
    let stored =
        stored::find(&deps.clickhouse, &wanted, sort, page.cursor, Some(page.limit.saturating_add(1)))
            .await?;
    let mut page = Page::cut(stored, page.limit, StoredSession::cursor);
    if let (Some(ip), Some(at)) = (filter.ip, filter.at) {
        let holders = address::holders(deps, &page.items, ip, at).await?;
        page.items.retain(|stored| holders.contains(&stored.key()));
    }
    let items = shown(deps, &page.items, filter, now).await?;
    Ok(Page { items, next: page.next })
}

/// One session, where there is one with this name.
///
/// # Errors
/// ClickHouse cannot be read.
pub async fn get(deps: &Deps, id: SessionId) -> Result<Option<SessionDetail>, ApiError> {
    match find_key(deps, id.key).await? {
        Some(stored) => detail(deps, &stored, id).await,
        None => Ok(None),
    }
}

/// What is stored of a key.
async fn find_key(deps: &Deps, key: SessionKey) -> Result<Option<StoredSession>, ApiError> {
    let wanted = Match { keys: Some(&[key]), ..Match::default() };
    let found = stored::find(&deps.clickhouse, &wanted, Sort::default(), None, Some(1)).await?;
    Ok(found.into_iter().next())
}

/// One session of a key.
async fn detail(
    deps: &Deps,
    stored: &StoredSession,
    id: SessionId,
) -> Result<Option<SessionDetail>, ApiError> {
    let filter = SessionFilter::default();
    let (sessions, records) = tokio::try_join!(
        shown(deps, std::slice::from_ref(stored), &filter, UnixTime::now()),
        count_records(deps, stored)
    )?;
    let numbered = |session: &Session| session.id.number.unwrap_or(1);
    let wanted = |session: &Session| id.number.is_none_or(|number| numbered(session) == number);
    Ok(sessions.into_iter().find(wanted).map(|session| SessionDetail { session, records }))
}

impl SessionFilter {
    fn since(&self) -> Option<UnixTime> {
        self.from.max(self.at)
    }

    fn until(&self) -> Option<UnixTime> {
        let at = self.at.map(|at| at.plus(1));
        self.to.into_iter().chain(at).min()
    }

    fn online(&self) -> OnlineFilter {
        OnlineFilter { login: self.login.clone(), nas: self.nas.clone(), ip: self.ip, mac: self.mac.clone() }
    }

    fn wanted<'a>(&'a self, online: &'a [SessionKey]) -> Match<'a> {
        Match {
            login: self.login.as_deref(),
            nas: self.nas.as_deref(),
            ip: self.ip,
            mac: self.mac.as_deref(),
            keys: None,
            from: self.since(),
            to: self.until(),
            online,
        }
    }

    /// The period that octets are counted in, where one is given.
    fn period(&self) -> Option<(UnixTime, UnixTime)> {
        let given = self.from.is_some() || self.to.is_some();
        given.then(|| (self.from.unwrap_or(UnixTime(0)), self.to.unwrap_or(UnixTime(i64::MAX))))
    }

    /// Of a key's several sessions, those that match; the rest the query has seen to.
    fn keeps(&self, session: &reading::Session, standing: &Standing, now: UnixTime) -> bool {
        let (from, to) = (self.since().unwrap_or(UnixTime(0)), self.until().unwrap_or(UnixTime(i64::MAX)));
        let login = self.login.as_deref();
        session.curves_of(login).next().is_some() && standing.overlaps(session, login, (from, to), now)
    }
}

/// The keys' sessions that match, key by key, newest first within a key.
async fn shown(
    deps: &Deps,
    stored: &[StoredSession],
    filter: &SessionFilter,
    now: UnixTime,
) -> Result<Vec<Session>, ApiError> {
    let period = filter.period();
    let boundaries: Vec<UnixTime> = period.into_iter().flat_map(|(from, to)| [from, to]).collect();
    let extent =
        Extent { period: period.unwrap_or((UnixTime(0), UnixTime(i64::MAX))), boundaries: &boundaries };
    let read = reading::sessions(deps, stored, extent).await?;
    let mut with_nas = Vec::with_capacity(stored.len());
    for stored in stored {
        let sessions = read.get(&stored.key()).into_iter().flatten();
        with_nas.extend(sessions.map(|session| (session, stored.nas.as_str())));
    }
    let standings = Standings::of(deps, &with_nas, now).await?;
    let mut shown = Vec::with_capacity(stored.len());
    for stored in stored {
        for session in read.get(&stored.key()).into_iter().flatten().rev() {
            let standing = standings.standing(session, &stored.nas);
            if filter.keeps(session, &standing, now) {
                shown.push(show(stored, session, standing, filter));
            }
        }
    }
    Ok(shown)
}

fn show(
    stored: &StoredSession,
    session: &reading::Session,
    standing: Standing,
    filter: &SessionFilter,
) -> Session {
    let all = (UnixTime(0), UnixTime(i64::MAX));
    let whole = usage_in(session, None, all);
    let in_period = filter.period().map(|period| usage_in(session, filter.login.as_deref(), period).into());
    let last_seen_at = session.last_at();
    Session {
        id: SessionId { key: session.key, number: (session.of > 1).then_some(session.number) },
        login: session.curves.last().map(|(login, _)| login.clone()).unwrap_or_default(),
        nas: stored.nas.as_str().into(),
        client: stored.client.as_str().into(),
        acct_session_id: stored.acct_session_id.clone(),
        acct_multi_session_id: stored.acct_multi_session_id.clone(),
        kind: SessionKind(stored.kind).to_string(),
        started_at: session.started_at,
        ended_at: standing.ended_at,
        last_seen_at,
        duration_seconds: u64::try_from(last_seen_at.since(session.started_at)).unwrap_or(0),
        download_octets: whole.download,
        upload_octets: whole.upload,
        in_period,
        ips: stored.addresses.iter().map(|address| IpAddr::V6(*address).to_canonical()).collect(),
        prefixes: stored.prefixes.clone(),
        mac: stored.macs.first().cloned(),
        calling_station_id: stored.calling_station_id.clone(),
        called_station_id: stored.called_station_id.clone(),
        nas_port_id: stored.nas_port_id.clone(),
        agent_circuit_id: stored.agent_circuit_id.clone(),
        agent_remote_id: stored.agent_remote_id.clone(),
        download_limit_bps: limit(stored.download_limit_bps),
        upload_limit_bps: limit(stored.upload_limit_bps),
        terminate_cause: standing.cause.map(|cause| cause.to_string()),
        state: standing.state,
    }
}

fn limit(rate: u64) -> Option<BitsPerSecond> {
    (rate > 0).then_some(BitsPerSecond(rate))
}

fn usage_in(session: &reading::Session, login: Option<&str>, (from, to): (UnixTime, UnixTime)) -> Usage {
    let mut usage = Usage::default();
    session.curves_of(login).for_each(|curve| usage += curve.usage(from, to));
    usage
}

impl From<Usage> for PeriodUsage {
    fn from(usage: Usage) -> Self {
        Self {
            online_seconds: usage.online_seconds,
            download_octets: usage.download,
            upload_octets: usage.upload,
            estimated_octets: usage.estimated,
        }
    }
}

#[derive(Row, Deserialize)]
struct Count {
    records: u64,
}

async fn count_records(deps: &Deps, stored: &StoredSession) -> Result<u64, ApiError> {
    let sql = "SELECT uniqExact(collector, lsn) AS records FROM accounting_records \
               WHERE session_key = ? AND arrived_at >= toDateTime(?)";
    let first = UnixTime(stored.first_event_at.into()).plus(-DRIFT);
    let query = deps.clickhouse.query(sql).bind(stored.session_key).bind(seconds(first));
    Ok(fetch::<Count>(query).await?.first().map_or(0, |count| count.records))
}

pub(crate) async fn get_list(State(deps): State<Deps>, uri: Uri) -> Result<Json<Page<Session>>, ApiError> {
    let known = ["login", "nas", "ip", "mac", "at", "from", "to", "sort", "limit", "cursor"];
    let params = Params::of(&uri, &known)?;
    let time = |name| params.time(name, deps.calendar);
    let filter = SessionFilter {
        login: params.text("login").map(Into::into),
        nas: params.text("nas").map(Into::into),
        ip: params.ip("ip")?,
        mac: params.mac("mac")?,
        at: time("at")?,
        from: time("from")?,
        to: time("to")?,
    };
    check_order(&params, filter.from, filter.to)?;
    let sort = params.read("sort", str::parse)?.unwrap_or_default();
    Ok(Json(list(&deps, &filter, sort, PageRequest::of(&params)?).await?))
}

pub(crate) async fn get_one(
    State(deps): State<Deps>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<SessionDetail>, ApiError> {
    Params::of(&uri, &[])?;
    let missing = || ApiError::NotFound { what: "session", name: id.clone() };
    let found = get(&deps, id.parse().map_err(|_| missing())?).await?;
    found.map(Json).ok_or_else(missing)
}
