//! What late data changed of a period's days after they were settled.

use schema::UnixTime;

use super::UsageQuery;
use crate::Deps;
use crate::reading::Session;

/// The amendments of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amended {
    /// The newest.
    pub(super) at: Option<UnixTime>,
    pub(super) download: i64,
    pub(super) upload: i64,
}

impl Amended {
    /// Of the local days that `[from, to)` touches.
    pub(super) fn of<'a>(
        deps: &Deps,
        sessions: impl Iterator<Item = &'a Session>,
        query: &UsageQuery,
        from: UnixTime,
        to: UnixTime,
    ) -> Self {
        let touched = |day: UnixTime| day < to && (day >= from || deps.calendar.day_of(day).ends_at > from);
        let mut sum = Self::default();
        let of_login = sessions.flat_map(|session| &session.amendments);
        for one in of_login.filter(|one| one.login.as_str() == query.login && touched(one.day)) {
            sum.at = sum.at.max(Some(one.at));
            sum.download = sum.download.saturating_add(one.download);
            sum.upload = sum.upload.saturating_add(one.upload);
        }
        sum
    }
}
