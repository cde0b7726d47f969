//! Usage of a login: [`summary()`](summary::summary) of a period, and a [`series()`](series::series) of steps.

mod amended;
pub mod explain;
pub mod quality;
pub mod series;
pub mod summary;
pub mod totals;

use std::collections::BTreeSet;
use std::sync::Arc;

use collector::OnlineFilter;
use schema::{NasId, SessionKey, SessionKind, UnixTime};

use crate::params::{Params, bad};
use crate::reading::{self, Extent, Session};
use crate::state::{Standing, Standings};
use crate::stored::{self, Match, Sort, StoredSession};
use crate::{ApiError, Deps};

pub use quality::quality;
pub use series::series;
pub use summary::summary;
pub use totals::totals;

/// Most sessions that are on though their newest record lies before a period; further ones are on, too, but only their
/// records tell.
pub(crate) const MOST_ONLINE: usize = 2_000;

/// Whose usage, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// RADIUS User-Name.
    pub login: String,
    /// The period's first instant.
    pub from: UnixTime,
    /// The first instant after the period; it may lie in the future.
    pub to: UnixTime,
}

impl UsageQuery {
    /// From the parameters `login`, `from` and `to`.
    ///
    /// # Errors
    /// Names the one that is absent or not usable.
    pub fn of(params: &Params, deps: &Deps) -> Result<Self, ApiError> {
        let login = params.required("login")?.to_owned();
        let time = |name| params.time(name, deps.calendar)?.ok_or(ApiError::MissingParameter(name));
        let (from, to) = (time("from")?, time("to")?);
        check_order(params, Some(from), Some(to))?;
        Ok(Self { login, from, to })
    }
}

/// A period must not end before it begins.
///
/// # Errors
/// It does: `to` is named.
pub fn check_order(params: &Params, from: Option<UnixTime>, to: Option<UnixTime>) -> Result<(), ApiError> {
    match (from, to) {
        (Some(from), Some(to)) if to <= from => {
            let text = params.text("to").unwrap_or_default();
            Err(bad("to", text, format!("\"{text}\" ({to}) is not after from ({from})")))
        }
        _ => Ok(()),
    }
}

/// The sessions of a login that a period may touch, each with how it stands, and the NASes that report them. Services and
/// queues are not among them: they repeat the octets of their session.
pub(crate) async fn sessions_in(
    deps: &Deps,
    query: &UsageQuery,
    boundaries: &[UnixTime],
    now: UnixTime,
) -> Result<(Vec<(Session, Standing)>, BTreeSet<NasId>), ApiError> {
    let own = |stored: &StoredSession| stored.kind == SessionKind::SESSION.0;
    let found = found_in(deps, query, boundaries, now, own).await?;
    let nases = found.iter().map(|found| found.stored.nas.as_str().into()).collect();
    Ok((found.into_iter().map(|found| (found.session, found.standing)).collect(), nases))
}

/// A session of a login that a period may touch.
pub(crate) struct Found {
    /// What is stored of its key.
    pub(crate) stored: Arc<StoredSession>,
    pub(crate) session: Session,
    pub(crate) standing: Standing,
}

/// The sessions of a login that a period may touch, newest first, of keys that `keeps` keeps.
pub(crate) async fn found_in(
    deps: &Deps,
    query: &UsageQuery,
    boundaries: &[UnixTime],
    now: UnixTime,
    keeps: impl Fn(&StoredSession) -> bool,
) -> Result<Vec<Found>, ApiError> {
    let filter = OnlineFilter { login: Some(query.login.clone()), ..OnlineFilter::default() };
    let online = online_keys(deps, &filter, now);
    let wanted = Match {
        login: Some(&query.login),
        from: Some(query.from),
        to: Some(query.to),
        online: &online,
        ..Match::default()
    };
    let mut stored = stored::find(&deps.clickhouse, &wanted, Sort::default(), None, None).await?;
    stored.retain(keeps);
    let extent = Extent { period: (query.from, query.to), boundaries };
    let mut read = reading::sessions(deps, &stored, extent).await?;
    let mut sessions = Vec::with_capacity(stored.len());
    for stored in stored.into_iter().map(Arc::new) {
        let of_key = read.remove(&stored.key()).into_iter().flatten().rev();
        let of_login = of_key.filter(|session| session.curves_of(Some(&query.login)).next().is_some());
        sessions.extend(of_login.map(|session| (session, Arc::clone(&stored))));
    }
    let with_nas: Vec<(&Session, &str)> =
        sessions.iter().map(|(session, stored)| (session, stored.nas.as_str())).collect();
    let standings = Standings::of(deps, &with_nas, now).await?;
    let found = sessions.into_iter().map(|(session, stored)| {
        let standing = standings.standing(&session, &stored.nas);
        Found { stored, session, standing }
    });
    Ok(found.collect())
}

pub(crate) fn online_keys(deps: &Deps, filter: &OnlineFilter, now: UnixTime) -> Vec<SessionKey> {
    deps.online.find(filter, None, MOST_ONLINE, now).into_iter().map(|session| session.id).collect()
}
