//! The words that radtally's parts share: identifiers, units, record rows, live messages, and ClickHouse's SQL.

pub mod clickhouse;
pub mod dictionary;
pub mod gap;
pub mod health;
pub mod ids;
pub mod live;
pub mod record;
pub mod time;
pub mod units;

pub use gap::GapRow;
pub use ids::{ClientName, CollectorId, Login, Lsn, NasId, SessionKey};
pub use record::{CountedRow, RecordFlags, RecordRow, SessionKind, StatusType, TerminateCause};
pub use time::{UnixMicros, UnixTime};
pub use units::{BitsPerSecond, Octets};
