//! Well-behaved sessions from the rollups alone.
//!
//! A rollup row holds the minimum and maximum of a bucket's records. For a session with one start and counters that never
//! fall, these are the bucket's first and last sample, and at a boundary between buckets they are the adjacent samples.
//! Where a boundary falls between the first and last sample *of one bucket*, that bucket's records are needed.

use schema::{Octets, RecordFlags, UnixTime};

use crate::curve::{Curve, Sample};
use crate::evaluate::START_TOLERANCE;
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
    /// Least and greatest download counter.
    pub download: (Octets, Octets),
    /// Least and greatest upload counter.
    pub upload: (Octets, Octets),
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
    /// There is nothing.
    #[error("it has no records")]
    Empty,
}

/// A clean session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    started_at: UnixTime,
    flags: RecordFlags,
    buckets: Vec<Bucket>,
    samples: Vec<Sample>,
}

impl SessionView {
    /// The session that `buckets` (all of one key, in any order, several per bucket allowed) describe.
    ///
    /// # Errors
    /// [`Dirty`]: it is not well-behaved.
    pub fn new(mut buckets: Vec<Bucket>) -> Result<Self, Dirty> {
        buckets.sort_unstable_by_key(|bucket| bucket.starts_at);
        buckets.dedup_by(|later, earlier| later.starts_at == earlier.starts_at && earlier.join(later));
        let started_at = buckets.iter().map(|bucket| bucket.started_at.0).min().ok_or(Dirty::Empty)?;
        let latest = buckets.iter().map(|bucket| bucket.started_at.1).max().ok_or(Dirty::Empty)?;
        let flags = buckets.iter().fold(RecordFlags::default(), |flags, bucket| flags | bucket.flags);
        let doubtful = [
            RecordFlags::OCTETS_MISSING,
            RecordFlags::SESSION_TIME_MISSING,
            RecordFlags::TIME_IN_FUTURE,
            RecordFlags::TIME_TOO_OLD,
        ];
        if doubtful.into_iter().any(|flag| flags.has(flag)) {
            return Err(Dirty::Flags);
        }
        if latest.since(started_at) > START_TOLERANCE {
            return Err(Dirty::Starts);
        }
        let rises = |pair: &[Bucket]| match pair {
            [before, after] => {
                before.session_time.1 <= after.session_time.0
                    && before.download.1 <= after.download.0
                    && before.upload.1 <= after.upload.0
            }
            _ => true,
        };
        if !buckets.windows(2).all(rises) {
            return Err(Dirty::Fall);
        }
        let mut view = Self { started_at, flags, buckets, samples: Vec::new() };
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

    /// The buckets whose records are needed before the curve is right at `boundaries`, as `[start, end)` of event time.
    #[must_use]
    pub fn needs_records(&self, boundaries: &[UnixTime]) -> Vec<(UnixTime, UnixTime)> {
        let needed = |bucket: &&Bucket| {
            let [first, last] = self.ends_of(bucket);
            boundaries.iter().any(|boundary| first.at < *boundary && *boundary < last.at)
        };
        self.buckets.iter().filter(needed).map(|bucket| (bucket.starts_at, bucket.ends_at)).collect()
    }

    /// Adds the samples of records.
    ///
    /// # Errors
    /// [`Dirty::Fall`]: between the bucket's ends a counter fell, which the rollup cannot show.
    pub fn refine(&mut self, records: &[Record]) -> Result<(), Dirty> {
        for record in records {
            if let (Some(elapsed), Some((download, upload))) = (record.elapsed(), record.octets) {
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
        let at = |time: u32| self.started_at.plus(time.into());
        [
            Sample { at: at(bucket.session_time.0), download: bucket.download.0, upload: bucket.upload.0 },
            Sample { at: at(bucket.session_time.1), download: bucket.download.1, upload: bucket.upload.1 },
        ]
    }
}

impl Bucket {
    /// Takes in another row of the same bucket.
    fn join(&mut self, other: &Self) -> bool {
        fn widen<T: Ord + Copy>(range: &mut (T, T), other: (T, T)) {
            *range = (range.0.min(other.0), range.1.max(other.1));
        }
        widen(&mut self.started_at, other.started_at);
        widen(&mut self.event_at, other.event_at);
        widen(&mut self.session_time, other.session_time);
        widen(&mut self.download, other.download);
        widen(&mut self.upload, other.upload);
        self.flags |= other.flags;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::record::RecordName;
    use proptest::prelude::*;
    use schema::{Lsn, StatusType, TerminateCause, UnixMicros};

    fn records() -> impl Strategy<Value = Vec<Record>> {
        proptest::collection::vec((1u32..400, 0u64..1 << 33, 0u64..1 << 20, 0i64..4), 1..30).prop_map(
            |steps| {
                let (mut time, mut down, mut up) = (0u32, 0u64, 0u64);
                let records = (1u64..).zip(steps).map(|(lsn, (seconds, more_down, more_up, delay))| {
                    time += seconds;
                    down += more_down;
                    up += more_up;
                    Record {
                        name: RecordName { collector: "c".into(), lsn: Lsn(lsn) },
                        at: UnixTime(1_000_000 + i64::from(time) + delay),
                        arrived_at: UnixMicros(i64::from(time)),
                        status: StatusType::INTERIM_UPDATE,
                        session_time: Some(time),
                        octets: Some((Octets(down), Octets(up))),
                        gigawords: true,
                        login: "anna".into(),
                        cause: TerminateCause(0),
                        digest: u128::from(lsn),
                    }
                });
                records.collect()
            },
        )
    }

    fn buckets(records: &[Record], length: i64) -> Vec<Bucket> {
        let one = |record: &Record| {
            let starts_at = UnixTime(record.at.0 - record.at.0.rem_euclid(length));
            let started_at = record.started_at().unwrap();
            let (download, upload) = record.octets.unwrap();
            let time = record.session_time.unwrap();
            Bucket {
                starts_at,
                ends_at: starts_at.plus(length),
                started_at: (started_at, started_at),
                event_at: (record.at, record.at),
                session_time: (time, time),
                download: (download, download),
                upload: (upload, upload),
                flags: RecordFlags::SESSION_TIME | RecordFlags::OCTETS,
            }
        };
        records.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn rollups_and_records_give_the_same_usage(records in records(), length in prop::sample::select(vec![300i64, 3_600, 86_400]), from in 999_000i64..1_012_000, span in 1i64..12_000) {
            let (from, to) = (UnixTime(from), UnixTime(from + span));
            let mut view = SessionView::new(buckets(&records, length)).unwrap();
            for (start, end) in view.needs_records(&[from, to]) {
                let inside: Vec<_> = records.iter().filter(|record| start <= record.at && record.at < end).cloned().collect();
                view.refine(&inside).unwrap();
            }
            let evaluation = evaluate(&records);
            let expected = evaluation.sessions[0].curves[0].1.usage(from, to);
            prop_assert_eq!(view.curve().usage(from, to), expected);
        }
    }

    #[test]
    fn a_fall_between_buckets_and_a_second_start_are_dirty() {
        let mut rows = buckets(&[], 300);
        let row = |bucket: i64, time: u32, octets: u64, start: i64| Bucket {
            starts_at: UnixTime(bucket),
            ends_at: UnixTime(bucket + 300),
            started_at: (UnixTime(start), UnixTime(start)),
            event_at: (UnixTime(bucket), UnixTime(bucket)),
            session_time: (time, time),
            download: (Octets(octets), Octets(octets)),
            upload: (Octets(0), Octets(0)),
            flags: RecordFlags::default(),
        };
        assert_eq!(SessionView::new(rows.clone()), Err(Dirty::Empty));
        rows.extend([row(0, 10, 100, 0), row(300, 310, 50, 0)]);
        assert_eq!(SessionView::new(rows), Err(Dirty::Fall));
        assert_eq!(SessionView::new(vec![row(0, 10, 1, 0), row(300, 5, 2, 295)]), Err(Dirty::Starts));
    }
}
