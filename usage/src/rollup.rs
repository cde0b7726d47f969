//! Well-behaved sessions from the rollups alone.
//!
//! A rollup row holds the minimum and maximum of a bucket's records. For a session with one start and counters that never
//! fall, these are the bucket's first and last sample, and at a boundary between buckets they are the adjacent samples.
//! Where a boundary falls between the first and last sample *of one bucket*, that bucket's records are needed.
//!
//! A fall between buckets shows, and that to zero in a Stop. Other falls within one bucket do not; where counters may have
//! wrapped there unseen, the session is not taken for clean. Not seen is a reset within one bucket after which more is
//! counted than before it, or nothing more is told, all in that bucket.

use schema::{Octets, RecordFlags, UnixTime};

use crate::counters::Port;
use crate::curve::{Curve, Sample};
use crate::incarnation::START_TOLERANCE;
use crate::policy::{NasPolicy, PolicyHistory, RawCounters};
use crate::record::Record;

/// One row of a rollup: what is known of a session's records in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's first instant.
    pub starts_at: UnixTime,
    /// The next bucket's first instant.
    pub ends_at: UnixTime,
    /// Least and greatest start that a record tells.
    pub started_at: (UnixTime, UnixTime),
    /// Least and greatest event time.
    pub event_at: (UnixTime, UnixTime),
    /// Least and greatest Acct-Session-Time.
    pub session_time: (u32, u32),
    /// Least and greatest of each counter.
    pub counters: (RawCounters, RawCounters),
    /// All records' flags.
    pub flags: RecordFlags,
}

/// Why a session must be evaluated from its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dirty {
    /// Records tell different starts: the identifier was reused, or a clock stepped.
    #[error("its records tell starts more than {START_TOLERANCE} s apart")]
    Starts,
    /// A counter fell.
    #[error("a counter fell")]
    Fall,
    /// Records lack what a rollup needs, or their times are not believed.
    #[error("records lack session time or counters, or have impossible times")]
    Flags,
    /// Without Gigawords, a counter reached so much that it may have wrapped between two samples of one bucket.
    #[error("a 32-bit counter may have wrapped")]
    Wrap,
    /// A counter grew faster than a port carries, or so much within one bucket that it might have.
    #[error("a counter grew implausibly fast")]
    Implausible,
    /// There is nothing.
    #[error("it has no records")]
    Empty,
}

/// A clean session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    started_at: UnixTime,
    policy: NasPolicy,
    flags: RecordFlags,
    buckets: Vec<Bucket>,
    samples: Vec<Sample>,
}

impl SessionView {
    /// The session that `buckets` (all of one key, in any order, several per bucket allowed) describe, by its NAS's
    /// policies.
    ///
    /// # Errors
    /// [`Dirty`]: it is not well-behaved.
    pub fn new(mut buckets: Vec<Bucket>, policies: &PolicyHistory) -> Result<Self, Dirty> {
        buckets.sort_unstable_by_key(|bucket| bucket.starts_at);
        buckets.dedup_by(|later, earlier| later.starts_at == earlier.starts_at && earlier.join(later));
        let started_at = buckets.iter().map(|bucket| bucket.started_at.0).min().ok_or(Dirty::Empty)?;
        let latest = buckets.iter().map(|bucket| bucket.started_at.1).max().ok_or(Dirty::Empty)?;
        let flags = buckets.iter().fold(RecordFlags::default(), |flags, bucket| flags | bucket.flags);
        if flags.is_doubtful() {
            return Err(Dirty::Flags);
        }
        if latest.since(started_at) > START_TOLERANCE {
            return Err(Dirty::Starts);
        }
        let counted = |bucket: &Bucket| bucket.counters.1 != RawCounters::default();
        if flags.has(RecordFlags::ZERO_STOP) && buckets.iter().any(counted) {
            return Err(Dirty::Fall);
        }
        let policy = policies.at(started_at);
        check_steps(&buckets, policy)?;
        if !flags.has(RecordFlags::GIGAWORDS) && buckets.iter().any(|bucket| bucket.may_hide_a_wrap(policy)) {
            return Err(Dirty::Wrap);
        }
        let mut view = Self { started_at, policy, flags, buckets, samples: Vec::new() };
        view.samples = view.buckets.iter().flat_map(|bucket| view.ends_of(bucket)).collect();
        Ok(view)
    }

    /// When the session began.
    #[must_use]
    pub const fn started_at(&self) -> UnixTime {
        self.started_at
    }

    /// Whether a Stop is among the records.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.flags.has(RecordFlags::STOP)
    }

    /// The buckets whose records are needed before the curve is right at `boundaries` (ascending), as `[start, end)` of
    /// event time. A boundary within `near` seconds of a sample that is known does not count.
    #[must_use]
    pub fn needs_records(&self, boundaries: &[UnixTime], near: i64) -> Vec<(UnixTime, UnixTime)> {
        let needed = |bucket: &&Bucket| {
            let [first, last] = self.ends_of(bucket);
            let next = boundaries.partition_point(|boundary| *boundary <= first.at.plus(near));
            boundaries.get(next).is_some_and(|boundary| *boundary < last.at.plus(-near))
        };
        self.buckets.iter().filter(needed).map(|bucket| (bucket.starts_at, bucket.ends_at)).collect()
    }

    /// Adds the samples of records.
    ///
    /// # Errors
    /// [`Dirty::Fall`]: between the bucket's ends a counter fell, which the rollup cannot show.
    pub fn refine(&mut self, records: &[Record]) -> Result<(), Dirty> {
        for record in records {
            if let (Some(elapsed), Some(counters)) = (record.elapsed(), record.counters) {
                let (download, upload) = self.policy.octets(counters);
                self.samples.push(Sample { at: self.started_at.plus(elapsed), download, upload });
            }
        }
        self.samples.sort_unstable();
        let rises = |pair: &[Sample]| match pair {
            [before, after] => before.download <= after.download && before.upload <= after.upload,
            _ => true,
        };
        if self.samples.windows(2).all(rises) { Ok(()) } else { Err(Dirty::Fall) }
    }

    /// The session's curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        Curve::new(self.started_at, self.samples.clone())
    }

    fn ends_of(&self, bucket: &Bucket) -> [Sample; 2] {
        [bucket.first(self.policy), bucket.last(self.policy)].map(|(time, download, upload)| Sample {
            at: self.started_at.plus(time.into()),
            download,
            upload,
        })
    }
}

/// Checks the steps between and within buckets; the first step is from zero at the start.
fn check_steps(buckets: &[Bucket], policy: NasPolicy) -> Result<(), Dirty> {
    let port = Port::of(policy.port_speed);
    let mut before = (0, Octets(0), Octets(0));
    for bucket in buckets {
        let (first, last) = (bucket.first(policy), bucket.last(policy));
        if before.0 > first.0 || before.1 > first.1 || before.2 > first.2 {
            return Err(Dirty::Fall);
        }
        let between = (first.1 - before.1).max(first.2 - before.2);
        let within = (last.1 - first.1).max(last.2 - first.2);
        if !port.is_plausible(between, i64::from(first.0 - before.0)) || within > port.always_plausible() {
            return Err(Dirty::Implausible);
        }
        before = last;
    }
    Ok(())
}

impl Bucket {
    /// Least session time and counters.
    fn first(&self, policy: NasPolicy) -> (u32, Octets, Octets) {
        let (download, upload) = policy.octets(self.counters.0);
        (self.session_time.0, download, upload)
    }

    /// Greatest session time and counters.
    fn last(&self, policy: NasPolicy) -> (u32, Octets, Octets) {
        let (download, upload) = policy.octets(self.counters.1);
        (self.session_time.1, download, upload)
    }

    /// Whether a 32-bit counter may have wrapped between two samples within: before a wrap it is reported in its upper half,
    /// unless 2 GiB pass between two samples.
    fn may_hide_a_wrap(&self, policy: NasPolicy) -> bool {
        let (_, download, upload) = self.last(policy);
        self.session_time.0 < self.session_time.1 && download.max(upload) >= Octets(1 << 31)
    }

    /// Takes in another row of the same bucket.
    fn join(&mut self, other: &Self) -> bool {
        fn widen<T: Ord + Copy>(range: &mut (T, T), other: (T, T)) {
            *range = (range.0.min(other.0), range.1.max(other.1));
        }
        widen(&mut self.started_at, other.started_at);
        widen(&mut self.event_at, other.event_at);
        widen(&mut self.session_time, other.session_time);
        self.counters =
            (self.counters.0.least(&other.counters.0), self.counters.1.greatest(&other.counters.1));
        self.flags |= other.flags;
        true
    }
}

#[cfg(test)]
pub(crate) mod tests;
