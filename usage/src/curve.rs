//! One session's counters over time, and what of them lies in a period.
//!
//! V(t) is right-continuous, linear between adjacent samples, in 128-bit integers rounded down, from 0 at the session's
//! start. Usage in `[a, b)` is V(b) − V(a): any split of a period adds up to the whole, to the octet. Nothing is added
//! after the last sample.

use std::ops::AddAssign;
use std::sync::Arc;

use schema::{Octets, UnixTime};
use serde::Serialize;

/// Counters at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sample {
    /// When.
    pub at: UnixTime,
    /// To the subscriber since the session's start.
    pub download: Octets,
    /// From the subscriber since the session's start.
    pub upload: Octets,
}

/// What a period holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// To the subscriber.
    pub download: Octets,
    /// From the subscriber.
    pub upload: Octets,
    /// The part of both that lies between two samples which enclose a boundary of the period, so that its share is
    /// computed, not reported.
    pub estimated: Octets,
    /// Seconds online.
    pub online_seconds: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.download += other.download;
        self.upload += other.upload;
        self.estimated += other.estimated;
        self.online_seconds += other.online_seconds;
    }
}

/// V(t) of one session, or of the part of it that belongs to one login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Curve {
    /// Ascending in time and in both counters; the first is the start. Shared by the parts of a session.
    samples: Arc<[Sample]>,
    /// Where the part that counts begins, if not at the start.
    cut_from: Option<UnixTime>,
    /// Where it ends: times are clamped to it.
    to: UnixTime,
    /// What lies before is not counted, though the session was on.
    counted_since: UnixTime,
}

impl Curve {
    /// The curve through `samples`, from zero at `start`. Samples may come in any order; counters must not fall. Of
    /// samples at one second the highest counts.
    #[must_use]
    pub fn new(start: UnixTime, mut samples: Vec<Sample>) -> Self {
        samples.push(Sample { at: start, ..Sample::default() });
        samples.sort_unstable();
        samples.dedup_by(|later, earlier| {
            let same = later.at == earlier.at;
            if same {
                *earlier = *later;
            }
            same
        });
        let to = samples.last().map_or(start, |last| last.at);
        Self { samples: samples.into(), cut_from: None, to, counted_since: UnixTime(0) }
    }

    /// The same curve, of which only `[from, to)` counts.
    #[must_use]
    pub fn within(mut self, from: UnixTime, to: UnixTime) -> Self {
        let start = self.starts_at();
        // Whatever is counted at the start's own second belongs to a part that reaches back before it.
        if from > start {
            self.cut_from = Some(from);
        }
        self.to = self.to.min(to).max(self.starts_at());
        self
    }

    /// The same curve, which does not count what was used before `time`.
    #[must_use]
    pub fn counted_since(self, time: UnixTime) -> Self {
        Self { counted_since: time, ..self }
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// When it begins to count.
    #[must_use]
    pub fn starts_at(&self) -> UnixTime {
        self.cut_from.or_else(|| self.samples.first().map(|first| first.at)).unwrap_or(self.to)
    }

    /// When it ends to count: the last sample.
    #[must_use]
    pub const fn ends_at(&self) -> UnixTime {
        self.to
    }

    /// V(t).
    #[must_use]
    pub fn value_at(&self, time: UnixTime) -> Sample {
        let time = self.cut_from.map_or(time, |from| time.max(from)).max(self.counted_since).min(self.to);
        let after = self.samples.partition_point(|sample| sample.at <= time);
        match (after.checked_sub(1).and_then(|before| self.samples.get(before)), self.samples.get(after)) {
            (None, _) => Sample { at: time, ..Sample::default() },
            (Some(before), None) => Sample { at: time, ..*before },
            (Some(before), Some(after)) => interpolate(before, after, time),
        }
    }

    /// What lies in `[from, to)`.
    #[must_use]
    pub fn usage(&self, from: UnixTime, to: UnixTime) -> Usage {
        let from = from.max(self.counted_since);
        if to <= from {
            return Usage::default();
        }
        let (first, last) = (self.value_at(from), self.value_at(to));
        Usage {
            download: last.download - first.download,
            upload: last.upload - first.upload,
            estimated: self.estimated(from, to),
            online_seconds: u64::try_from(self.to.min(to).since(self.starts_at().max(from))).unwrap_or(0),
        }
    }

    fn estimated(&self, from: UnixTime, to: UnixTime) -> Octets {
        let between = |a: UnixTime, b: UnixTime| {
            let (first, last) = (self.value_at(a), self.value_at(b));
            (last.download - first.download) + (last.upload - first.upload)
        };
        match (self.enclosing(from), self.enclosing(to)) {
            (Some(first), Some(last)) if first == last => between(from, to),
            (first, last) => {
                let at_start = first.map_or(Octets(0), |(_, end)| between(from, end.at.min(to)));
                let at_end = last.map_or(Octets(0), |(start, _)| between(start.at.max(from), to));
                at_start + at_end
            }
        }
    }

    /// The adjacent samples between which V(`boundary`) is computed; `None` where it is reported, or the part that counts
    /// has not begun or is over.
    #[must_use]
    pub fn enclosing(&self, boundary: UnixTime) -> Option<(Sample, Sample)> {
        if boundary <= self.starts_at() || boundary >= self.to {
            return None;
        }
        let after = self.samples.partition_point(|sample| sample.at < boundary);
        let (before, after) = (self.samples.get(after.checked_sub(1)?)?, self.samples.get(after)?);
        (after.at > boundary).then_some((*before, *after))
    }
}

fn interpolate(before: &Sample, after: &Sample, time: UnixTime) -> Sample {
    let span = u128::try_from(after.at.since(before.at)).unwrap_or(1).max(1);
    let passed = u128::try_from(time.since(before.at)).unwrap_or(0);
    let part = |from: Octets, to: Octets| {
        let share = u128::from((to - from).0) * passed / span;
        from + Octets(u64::try_from(share).unwrap_or(u64::MAX))
    };
    Sample {
        at: time,
        download: part(before.download, after.download),
        upload: part(before.upload, after.upload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(at: i64, download: u64, upload: u64) -> Sample {
        Sample { at: UnixTime(at), download: Octets(download), upload: Octets(upload) }
    }

    #[test]
    fn usage_between_samples_is_a_share_rounded_down() {
        let curve = Curve::new(UnixTime(0), vec![sample(300, 100, 10)]);
        let usage = curve.usage(UnixTime(0), UnixTime(100));
        assert_eq!(
            (usage.download.0, usage.upload.0, usage.estimated.0, usage.online_seconds),
            (33, 3, 36, 100)
        );
        assert_eq!(curve.usage(UnixTime(300), UnixTime(900)), Usage::default());
    }

    #[test]
    fn a_period_that_ends_on_a_sample_is_not_estimated() {
        let curve = Curve::new(UnixTime(0), vec![sample(300, 100, 0), sample(600, 300, 0)]);
        assert_eq!(curve.usage(UnixTime(0), UnixTime(300)).estimated, Octets(0));
        assert_eq!(curve.usage(UnixTime(150), UnixTime(600)).estimated, Octets(50));
        assert_eq!(
            curve.usage(UnixTime(310), UnixTime(320)).estimated,
            curve.usage(UnixTime(310), UnixTime(320)).download
        );
    }

    #[test]
    fn a_boundary_is_enclosed_only_where_its_value_is_computed() {
        let (one, two) = (sample(300, 100, 0), sample(600, 300, 0));
        let curve = Curve::new(UnixTime(0), vec![one, two]);
        assert_eq!(curve.enclosing(UnixTime(450)), Some((one, two)));
        assert_eq!(curve.enclosing(UnixTime(299)), Some((sample(0, 0, 0), one)));
        for at in [-5, 0, 300, 600, 700] {
            assert_eq!(curve.enclosing(UnixTime(at)), None, "{at}");
        }
    }

    #[test]
    fn what_is_counted_at_the_first_second_is_not_lost() {
        let curve = Curve::new(UnixTime(100), vec![sample(100, 7, 0)]);
        assert_eq!(curve.usage(UnixTime(0), UnixTime(200)).download, Octets(7));
        assert_eq!(curve.usage(UnixTime(101), UnixTime(200)).download, Octets(0));
    }

    #[test]
    fn what_lies_before_usage_counts_is_nobodys() {
        let whole = Curve::new(UnixTime(0), vec![sample(300, 100, 0), sample(600, 300, 0)]);
        let curve = whole.clone().counted_since(UnixTime(150));
        assert_eq!(curve.usage(UnixTime(0), UnixTime(150)), Usage::default());
        assert_eq!(curve.usage(UnixTime(0), UnixTime(900)), whole.usage(UnixTime(150), UnixTime(900)));
        assert_eq!(curve.value_at(UnixTime(0)), sample(150, 50, 0));
        assert_eq!((curve.starts_at(), curve.ends_at()), (UnixTime(0), UnixTime(600)));
        let gone = whole.counted_since(UnixTime(700));
        assert_eq!(gone.usage(UnixTime(0), UnixTime(900)), Usage::default());
    }

    fn curves() -> impl Strategy<Value = Curve> {
        proptest::collection::vec((1i64..500, 0u64..1 << 50, 0u64..1 << 40), 0..12).prop_map(|steps| {
            let mut at = sample(1_000, 0, 0);
            let samples = steps.into_iter().map(|(seconds, down, up)| {
                at = sample(at.at.0 + seconds, at.download.0 + down, at.upload.0 + up);
                at
            });
            Curve::new(UnixTime(1_000), samples.collect())
        })
    }

    proptest! {
        #[test]
        fn any_split_of_a_period_adds_up(curve in curves(), mut cuts in proptest::collection::vec(0i64..8_000, 2..10)) {
            cuts.sort_unstable();
            let mut sum = Usage::default();
            for pair in cuts.windows(2) {
                sum += curve.usage(UnixTime(pair[0]), UnixTime(pair[1]));
            }
            let whole = curve.usage(UnixTime(cuts[0]), UnixTime(*cuts.last().unwrap()));
            prop_assert_eq!((sum.download, sum.upload, sum.online_seconds), (whole.download, whole.upload, whole.online_seconds));
            prop_assert!(whole.estimated.0 <= whole.download.0 + whole.upload.0);
        }

        #[test]
        fn parts_of_a_curve_add_up_to_it(curve in curves(), cut in 0i64..8_000) {
            let (a, b) = (UnixTime(0), UnixTime(10_000));
            let mut sum = curve.clone().within(a, UnixTime(cut)).usage(a, b);
            sum += curve.clone().within(UnixTime(cut), b).usage(a, b);
            let whole = curve.usage(a, b);
            prop_assert_eq!((sum.download, sum.upload, sum.online_seconds), (whole.download, whole.upload, whole.online_seconds));
        }
    }
}
