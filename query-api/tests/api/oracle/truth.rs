//! What was truly used: linear between delivered samples, rounded down, from zero at the start.

use super::world::{End, Placed, Sample, Season};

/// What a login used in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub down: u64,
    pub up: u64,
    /// The part of both between two samples that enclose an end of the period.
    pub estimated: u64,
    /// Online.
    pub seconds: i64,
}

/// Octets of both directions between two times, which two adjacent samples enclose.
fn between(before: &Sample, after: &Sample, from: i64, to: i64) -> (u64, u64) {
    let part = |first: u64, last: u64| {
        let value = |at: i64| {
            u128::from(last - first) * u128::try_from(at - before.at).unwrap()
                / u128::try_from(after.at - before.at).unwrap()
        };
        u64::try_from(value(to) - value(from)).unwrap()
    };
    (part(before.down, after.down), part(before.up, after.up))
}

/// What `login` used in `[from, to)`: between two samples, who was named at the first.
pub fn used(placed: &[Placed], login: &str, from: i64, to: i64) -> Used {
    let mut used = Used::default();
    for session in placed {
        for pair in session.told.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let (first, last) = (from.max(before.at), to.min(after.at));
            if first < last && session.login(before.renamed) == login {
                let (down, up) = between(before, after, first, last);
                (used.down, used.up) = (used.down + down, used.up + up);
                used.seconds += last - first;
                if first > before.at || last < after.at {
                    used.estimated += down + up;
                }
            }
        }
    }
    used
}

/// What all sessions of a login counted by their last reports, whatever was lost before them.
pub fn last_counters(placed: &[Placed]) -> (u64, u64) {
    let last = placed.iter().filter_map(|session| session.told.last());
    last.fold((0, 0), |sum, last| (sum.0 + last.down, sum.1 + last.up))
}

/// Sessions of `login` in `[from, to)` and how many of them ended there by an error; `None` where that cannot be told.
pub fn sessions(
    placed: &[Placed],
    login: &str,
    (from, to): (i64, i64),
    season: Season,
) -> Option<(u64, u64)> {
    let (mut count, mut errors) = (0, 0);
    for session in placed {
        if session.twin || session.session.start_again.is_some_and(|later| later > 10) {
            return None;
        }
        let samples = &session.told;
        let named = |sample: &Sample| session.login(sample.renamed) == login;
        let Some(first) = samples.iter().position(named) else { continue };
        let last = samples.iter().rposition(named).unwrap();
        let ends_at = samples[samples.len().min(last + 2) - 1].at;
        let first = samples[first].at;
        if first < to && (ends_at > from || first >= from) {
            count += 1;
            let ended_here = last + 1 == samples.len() && ends_at <= to;
            errors += u64::from(ended_here && session.ended_by_error(ends_at, season));
        }
    }
    Some((count, errors))
}

impl Placed {
    fn ended_by_error(&self, last_at: i64, season: Season) -> bool {
        if self.stopped() {
            return self.session.end == End::ZeroStop;
        }
        !self.succeeded && self.session.manner.accounting_on(season) >= last_at
    }
}
