//! The usage engine: what records mean. Pure: records in, values out; no clock, no files, no network.
//!
//! [`evaluate`] turns the *set* of records of one session key into sessions with a verdict for each record; order and
//! repetition never matter. A [`Curve`] is one session's counters over time. [`SessionView`] makes the same curve from the
//! rollups of a well-behaved session, without its records. [`Tracker`] follows a session record by record as they arrive.

pub mod amend;
mod counters;
pub mod curve;
pub mod evaluate;
mod incarnation;
pub mod period;
pub mod policy;
pub mod record;
pub mod rollup;
pub mod tail;
pub mod tracker;

pub use amend::{Amendment, Watch, amendments};
pub use counters::Verdict;
pub use curve::{Curve, Sample, Usage};
pub use evaluate::{Evaluation, Finding, Session, evaluate};
pub use incarnation::START_TOLERANCE;
pub use period::{Calendar, Step};
pub use policy::{NasPolicy, PolicyBook, PolicyHistory, RawCounters};
pub use record::{Record, RecordName};
pub use rollup::{Bucket, Dirty, SessionView};
pub use tail::Tail;
pub use tracker::{Tracker, TrackerInput};
