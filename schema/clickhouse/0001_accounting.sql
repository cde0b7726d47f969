-- Every record as it was said, and three rollups that hold only joins (minimum, maximum, OR, union): inserting a row
-- twice, late or in another order changes nothing. No query may depend on merges having happened.
--
-- The placeholder before an engine is empty, or Replicated on a cluster; the one after a name is empty, or the cluster's.
--
-- Partitions are what retention drops. A record's event time lies at most a week before its arrival, so one batch touches
-- few of them.

-- Readers find a session's records by its key; the arrival bounds the partitions they look into.

CREATE TABLE IF NOT EXISTS accounting_records {on_cluster}
(
    collector             LowCardinality(String),
    lsn                   UInt64 CODEC(Delta, ZSTD),
    arrived_at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    source                IPv6,
    source_port           UInt16,
    client                LowCardinality(String),
    nas                   LowCardinality(String),
    session_key           UInt128,
    acct_session_id       String,
    acct_multi_session_id String,
    login                 String,
    status_type           UInt32,
    event_at              DateTime('UTC') CODEC(Delta, ZSTD),
    started_at            DateTime('UTC') CODEC(Delta, ZSTD),
    day_starts_at         DateTime('UTC') CODEC(Delta, ZSTD),
    local_day             Date CODEC(Delta, ZSTD),
    zone                  LowCardinality(String),
    session_time          UInt32,
    input_octets          UInt64,
    output_octets         UInt64,
    input_packets         UInt32,
    output_packets        UInt32,
    delay_time            UInt32,
    terminate_cause       UInt32,
    addresses             Array(IPv6),
    prefixes              Array(String),
    calling_station_id    String,
    mac                   String,
    called_station_id     String,
    nas_port              UInt32,
    nas_port_id           String,
    digest                UInt128,
    flags                 UInt32,
    attributes            String CODEC(ZSTD),
    INDEX by_lsn lsn TYPE minmax GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toMonday(arrived_at)
ORDER BY (session_key, lsn, collector)
{durable};

CREATE TABLE IF NOT EXISTS usage_5m {on_cluster}
(
    login            String,
    bucket           DateTime('UTC') CODEC(Delta, ZSTD),
    session_key      UInt128,
    nas              SimpleAggregateFunction(max, String),
    min_started_at   SimpleAggregateFunction(min, DateTime('UTC')),
    max_started_at   SimpleAggregateFunction(max, DateTime('UTC')),
    min_event_at     SimpleAggregateFunction(min, DateTime('UTC')),
    max_event_at     SimpleAggregateFunction(max, DateTime('UTC')),
    min_session_time SimpleAggregateFunction(min, UInt32),
    max_session_time SimpleAggregateFunction(max, UInt32),
    min_input        SimpleAggregateFunction(min, UInt64),
    max_input        SimpleAggregateFunction(max, UInt64),
    min_output       SimpleAggregateFunction(min, UInt64),
    max_output       SimpleAggregateFunction(max, UInt64),
    flags            SimpleAggregateFunction(groupBitOr, UInt32)
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (login, bucket, session_key)
{durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_5m_from_records {on_cluster} TO usage_5m AS
SELECT
    login,
    toStartOfFiveMinutes(event_at) AS bucket,
    session_key,
    max(nas) AS nas,
    min(if(r.started_at = toDateTime(0, 'UTC'), toDateTime(4294967295, 'UTC'), r.started_at)) AS min_started_at,
    max(r.started_at) AS max_started_at,
    min(event_at) AS min_event_at,
    max(event_at) AS max_event_at,
    min(session_time) AS min_session_time,
    max(session_time) AS max_session_time,
    min(input_octets) AS min_input,
    max(input_octets) AS max_input,
    min(output_octets) AS min_output,
    max(output_octets) AS max_output,
    groupBitOr(r.flags) AS flags
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0
GROUP BY login, bucket, session_key;

CREATE TABLE IF NOT EXISTS usage_1d {on_cluster}
(
    login            String,
    day_starts_at    DateTime('UTC') CODEC(Delta, ZSTD),
    session_key      UInt128,
    zone             LowCardinality(String),
    local_day        SimpleAggregateFunction(max, Date),
    nas              SimpleAggregateFunction(max, String),
    min_started_at   SimpleAggregateFunction(min, DateTime('UTC')),
    max_started_at   SimpleAggregateFunction(max, DateTime('UTC')),
    min_event_at     SimpleAggregateFunction(min, DateTime('UTC')),
    max_event_at     SimpleAggregateFunction(max, DateTime('UTC')),
    min_session_time SimpleAggregateFunction(min, UInt32),
    max_session_time SimpleAggregateFunction(max, UInt32),
    min_input        SimpleAggregateFunction(min, UInt64),
    max_input        SimpleAggregateFunction(max, UInt64),
    min_output       SimpleAggregateFunction(min, UInt64),
    max_output       SimpleAggregateFunction(max, UInt64),
    flags            SimpleAggregateFunction(groupBitOr, UInt32)
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day_starts_at)
ORDER BY (login, day_starts_at, session_key, zone)
{durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_1d_from_records {on_cluster} TO usage_1d AS
SELECT
    login,
    day_starts_at,
    session_key,
    zone,
    max(r.local_day) AS local_day,
    max(nas) AS nas,
    min(if(r.started_at = toDateTime(0, 'UTC'), toDateTime(4294967295, 'UTC'), r.started_at)) AS min_started_at,
    max(r.started_at) AS max_started_at,
    min(event_at) AS min_event_at,
    max(event_at) AS max_event_at,
    min(session_time) AS min_session_time,
    max(session_time) AS max_session_time,
    min(input_octets) AS min_input,
    max(input_octets) AS max_input,
    min(output_octets) AS min_output,
    max(output_octets) AS max_output,
    groupBitOr(r.flags) AS flags
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0
GROUP BY login, day_starts_at, session_key, zone;

-- A session has a row per login and month. Logins come first, because most questions name one; a session's other rows are
-- found by its key.
CREATE TABLE IF NOT EXISTS sessions {on_cluster}
(
    login                 String,
    session_key           UInt128,
    month                 Date,
    client                SimpleAggregateFunction(max, String),
    nas                   SimpleAggregateFunction(max, String),
    acct_session_id       SimpleAggregateFunction(max, String),
    acct_multi_session_id SimpleAggregateFunction(max, String),
    min_started_at        SimpleAggregateFunction(min, DateTime('UTC')),
    max_started_at        SimpleAggregateFunction(max, DateTime('UTC')),
    min_event_at          SimpleAggregateFunction(min, DateTime('UTC')),
    max_event_at          SimpleAggregateFunction(max, DateTime('UTC')),
    max_session_time      SimpleAggregateFunction(max, UInt32),
    max_input             SimpleAggregateFunction(max, UInt64),
    max_output            SimpleAggregateFunction(max, UInt64),
    stopped_at            SimpleAggregateFunction(max, DateTime('UTC')),
    terminate_cause       SimpleAggregateFunction(max, UInt32),
    addresses             SimpleAggregateFunction(groupUniqArrayArray, Array(IPv6)),
    prefixes              SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    macs                  SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    calling_station_id    SimpleAggregateFunction(max, String),
    called_station_id     SimpleAggregateFunction(max, String),
    nas_port_id           SimpleAggregateFunction(max, String),
    flags                 SimpleAggregateFunction(groupBitOr, UInt32),
    INDEX by_session_key session_key TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_address addresses TYPE bloom_filter GRANULARITY 1,
    INDEX by_mac macs TYPE bloom_filter GRANULARITY 1
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (login, session_key, month)
{durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS sessions_from_records {on_cluster} TO sessions AS
SELECT
    login,
    session_key,
    toStartOfMonth(event_at) AS month,
    max(r.client) AS client,
    max(r.nas) AS nas,
    max(r.acct_session_id) AS acct_session_id,
    max(r.acct_multi_session_id) AS acct_multi_session_id,
    min(if(r.started_at = toDateTime(0, 'UTC'), toDateTime(4294967295, 'UTC'), r.started_at)) AS min_started_at,
    max(r.started_at) AS max_started_at,
    min(event_at) AS min_event_at,
    max(event_at) AS max_event_at,
    max(session_time) AS max_session_time,
    max(input_octets) AS max_input,
    max(output_octets) AS max_output,
    max(if(status_type = 2, event_at, toDateTime(0, 'UTC'))) AS stopped_at,
    max(r.terminate_cause) AS terminate_cause,
    groupUniqArrayArray(r.addresses) AS addresses,
    groupUniqArrayArray(r.prefixes) AS prefixes,
    groupUniqArrayArray(if(mac = '', [], [mac])) AS macs,
    max(r.calling_station_id) AS calling_station_id,
    max(r.called_station_id) AS called_station_id,
    max(r.nas_port_id) AS nas_port_id,
    groupBitOr(r.flags) AS flags
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0
GROUP BY login, session_key, month;

-- What Accounting-On and -Off say of whole NASes.
CREATE TABLE IF NOT EXISTS nas_events {on_cluster}
(
    nas         LowCardinality(String),
    event_at    DateTime('UTC'),
    status_type UInt32,
    collector   LowCardinality(String),
    lsn         UInt64
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(event_at)
ORDER BY (nas, event_at, status_type, collector, lsn)
{durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS nas_events_from_records {on_cluster} TO nas_events AS
SELECT nas, event_at, status_type, collector, lsn
FROM accounting_records
WHERE status_type IN (7, 8);
