//! `GET /usage/series`: a login's usage step by step, with average, highest and last rate.
//!
//! Rates come from five-minute slots of the clock: `maximum` is the highest average over one whole slot of the step, `last`
//! that of its newest slot for which reports are complete.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use schema::{BitsPerSecond, Octets, UnixTime};
use serde::Serialize;
use usage::{Curve, Step, Usage};

use super::amended::Amended;
use super::{UsageQuery, sessions_in};
use crate::gaps::{self, KnownGap};
use crate::params::{Params, bad};
use crate::retention::Peaks;
use crate::state::Standing;
use crate::{ApiError, Deps};

const SLOT: i64 = 300;
/// Longest period of a series, in seconds: two years, for which there are 210,240 slots.
const LONGEST: i64 = 730 * 86_400;

/// A login's usage step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// RADIUS User-Name.
    pub login: String,
    /// The period's first instant.
    pub from: UnixTime,
    /// The first instant after the period.
    pub to: UnixTime,
    /// Length of a step: `5m`, `1h`, `1d`, `1w` or `1mo` of the local clock.
    pub step: &'static str,
    /// The provider's time zone.
    pub zone: &'static str,
    /// Records next to an end of a step are no longer kept: up to ten seconds of traffic may be on its wrong side.
    pub approximate: bool,
    /// The newest report among the sessions; `null` where there is none.
    pub as_of: Option<UnixTime>,
    /// Known gaps within the period that may touch these sessions, as in the summary.
    pub gaps: Vec<KnownGap>,
    /// The steps, oldest first; the first and last are clipped to the period.
    pub items: Vec<StepUsage>,
}

/// One step of a series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepUsage {
    /// Its first instant.
    pub from: UnixTime,
    /// The first instant after it.
    pub to: UnixTime,
    /// To the subscriber.
    pub download_octets: Octets,
    /// From the subscriber.
    pub upload_octets: Octets,
    /// The part of both whose share of this step is computed.
    pub estimated_octets: Octets,
    /// When late data last changed a local day of the step that was settled; `null` where none did.
    pub amended_at: Option<UnixTime>,
    /// By how many octets to the subscriber all such changes of these days moved their usage.
    pub amended_download_octets: i64,
    /// By how many octets from the subscriber they did.
    pub amended_upload_octets: i64,
    /// Over the step, or as much of it as has passed; `null` while it lies in the future.
    pub average: Option<Rates>,
    /// The highest average over a five-minute slot of the step, for each direction by itself; `null` where the step holds
    /// no whole slot with data.
    pub maximum: Option<Rates>,
    /// The average over the newest five-minute slot of the step that has complete data.
    pub last: Option<Rates>,
}

/// Rates in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// To the subscriber, bit/s.
    pub download_bps: BitsPerSecond,
    /// From the subscriber, bit/s.
    pub upload_bps: BitsPerSecond,
}

impl Rates {
    /// The higher of each direction.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            download_bps: self.download_bps.max(other.download_bps),
            upload_bps: self.upload_bps.max(other.upload_bps),
        }
    }

    fn average(download: Octets, upload: Octets, seconds: i64) -> Option<Self> {
        let seconds = u64::try_from(seconds).ok()?;
        Some(Self {
            download_bps: BitsPerSecond::average(download, seconds)?,
            upload_bps: BitsPerSecond::average(upload, seconds)?,
        })
    }
}

/// A login's usage step by step.
///
/// # Errors
/// The period has too many steps, or ClickHouse cannot be read.
pub async fn series(deps: &Deps, query: &UsageQuery, step: Step) -> Result<Series, ApiError> {
    let (from, to, now) = (query.from, query.to, UnixTime::now());
    if to.since(from) > LONGEST {
        let reason = format!("{to} is more than {} days after from ({from})", LONGEST / 86_400);
        return Err(bad("to", &to.to_string(), reason));
    }
    let steps =
        deps.calendar.steps(step, from, to).map_err(|error| bad("step", step.as_str(), error.to_string()))?;
    let kept = deps.rules.kept();
    let mut slots = Slots::of(from.max(kept.fine_since(deps.calendar)), to);
    let peaks = Peaks::of(deps, &query.login, (from, slots.from)).await?;
    let boundaries = boundaries(&steps, &slots);
    let sessions = sessions_in(deps, query, &boundaries, now);
    let gaps = gaps::within(&deps.clickhouse, from, to);
    let ((sessions, nases), gaps) = tokio::try_join!(sessions, gaps)?;
    let mut usage = vec![Usage::default(); steps.len()];
    for (session, standing) in &sessions {
        for curve in session.curves_of(Some(&query.login)) {
            add_steps(&mut usage, &steps, curve);
            slots.add(curve, standing);
        }
    }
    let item = |(period, usage): (&(UnixTime, UnixTime), &Usage)| {
        let (from, to) = *period;
        let of_step = Amended::of(deps, sessions.iter().map(|(session, _)| session), query, from, to);
        item(*period, usage, &of_step, &slots, now).with_peaks(&peaks)
    };
    let items = steps.iter().zip(&usage).map(item);
    Ok(Series {
        login: query.login.clone(),
        from,
        to,
        step: step.as_str(),
        zone: deps.calendar.zone().name(),
        approximate: sessions.iter().any(|(session, _)| session.approximate),
        as_of: sessions.iter().map(|(session, _)| session.last_at()).max(),
        gaps: gaps.into_iter().filter_map(|gap| gap.of_nases(&nases)).collect(),
        items: items.collect(),
    })
}

fn boundaries(steps: &[(UnixTime, UnixTime)], slots: &Slots) -> Vec<UnixTime> {
    let steps = steps.iter().flat_map(|(from, to)| [*from, *to]);
    let mut boundaries: Vec<UnixTime> = steps.chain(slots.edges()).collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

/// Adds a curve to the steps that it overlaps.
fn add_steps(usage: &mut [Usage], steps: &[(UnixTime, UnixTime)], curve: &Curve) {
    let first = steps.partition_point(|(_, to)| *to <= curve.starts_at());
    for (usage, (from, to)) in usage.iter_mut().zip(steps).skip(first) {
        if *from >= curve.ends_at() && *from > curve.starts_at() {
            break;
        }
        *usage += curve.usage(*from, *to);
    }
}

fn item(
    (from, to): (UnixTime, UnixTime),
    usage: &Usage,
    amended: &Amended,
    slots: &Slots,
    now: UnixTime,
) -> StepUsage {
    let (maximum, last) = slots.rates(from, to);
    StepUsage {
        from,
        to,
        download_octets: usage.download,
        upload_octets: usage.upload,
        estimated_octets: usage.estimated,
        amended_at: amended.at,
        amended_download_octets: amended.download,
        amended_upload_octets: amended.upload,
        average: Rates::average(usage.download, usage.upload, to.min(now.max(from)).since(from)),
        maximum,
        last,
    }
}

impl StepUsage {
    /// With the rates that were kept of days whose five-minute rows are gone.
    fn with_peaks(mut self, peaks: &Peaks) -> Self {
        let (maximum, last) = peaks.within(self.from, self.to);
        self.maximum = match (self.maximum, maximum) {
            (Some(slots), Some(days)) => Some(slots.max(days)),
            (slots, days) => slots.or(days),
        };
        self.last = self.last.or(last);
        self
    }
}

/// The whole five-minute slots of a period.
struct Slots {
    /// The first slot's first instant.
    from: UnixTime,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    download: Octets,
    upload: Octets,
    /// A session was on in it, and its reports reach to the slot's end.
    complete: bool,
}

impl Slots {
    fn of(from: UnixTime, to: UnixTime) -> Self {
        let first = from.plus(SLOT - 1).0.div_euclid(SLOT);
        let count = usize::try_from(to.0.div_euclid(SLOT) - first).unwrap_or(0);
        Self { from: UnixTime(first * SLOT), slots: vec![Slot::default(); count] }
    }

    fn at(&self, slot: usize) -> UnixTime {
        self.from.plus(i64::try_from(slot).unwrap_or(i64::MAX).saturating_mul(SLOT))
    }

    fn edges(&self) -> impl Iterator<Item = UnixTime> {
        (0..=self.slots.len()).map(|slot| self.at(slot))
    }

    /// The slot that holds `time`, or the first.
    fn holding(&self, time: UnixTime) -> usize {
        usize::try_from(time.since(self.from).div_euclid(SLOT)).unwrap_or(0)
    }

    fn add(&mut self, curve: &Curve, standing: &Standing) {
        let known_until = if standing.ended_at.is_some() { UnixTime(i64::MAX) } else { curve.ends_at() };
        let first = self.holding(curve.starts_at());
        let mut starts_at = self.at(first);
        let mut before = curve.value_at(starts_at);
        for slot in self.slots.iter_mut().skip(first) {
            if starts_at >= curve.ends_at() {
                break;
            }
            let ends_at = starts_at.plus(SLOT);
            let after = curve.value_at(ends_at);
            slot.download += after.download - before.download;
            slot.upload += after.upload - before.upload;
            slot.complete |= ends_at <= known_until;
            (starts_at, before) = (ends_at, after);
        }
    }

    /// Highest and newest rate of the slots within a step.
    fn rates(&self, from: UnixTime, to: UnixTime) -> (Option<Rates>, Option<Rates>) {
        let first = self.holding(from.plus(SLOT - 1));
        let count = usize::try_from(to.since(self.at(first)).div_euclid(SLOT)).unwrap_or(0);
        let complete = self.slots.iter().skip(first).take(count).filter(|slot| slot.complete);
        let mut rates = complete.filter_map(|slot| Rates::average(slot.download, slot.upload, SLOT));
        let Some(mut maximum) = rates.next() else { return (None, None) };
        let mut last = maximum;
        for rate in rates {
            maximum = maximum.max(rate);
            last = rate;
        }
        (Some(maximum), Some(last))
    }
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<Series>, ApiError> {
    let params = Params::of(&uri, &["login", "from", "to", "step"])?;
    let query = UsageQuery::of(&params, &deps)?;
    let step = params
        .read("step", |text| text.parse().map_err(|error: usage::period::UnknownStep| error.to_string()))?;
    Ok(Json(series(&deps, &query, step.unwrap_or(Step::Day)).await?))
}
