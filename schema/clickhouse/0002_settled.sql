-- What vendors say besides the standard counters, and sessions that were evaluated from their records.
--
-- Views are changed in place: a record that arrives meanwhile is taken by the old query or by the new one.

ALTER TABLE accounting_records {on_cluster}
    ADD COLUMN IF NOT EXISTS kind                  UInt8 AFTER status_type,
    ADD COLUMN IF NOT EXISTS input_ipv6_octets     UInt64 AFTER output_octets,
    ADD COLUMN IF NOT EXISTS output_ipv6_octets    UInt64 AFTER input_ipv6_octets,
    ADD COLUMN IF NOT EXISTS agent_circuit_id      String AFTER nas_port_id,
    ADD COLUMN IF NOT EXISTS agent_remote_id       String AFTER agent_circuit_id,
    ADD COLUMN IF NOT EXISTS download_limit_bps    UInt64 AFTER agent_remote_id,
    ADD COLUMN IF NOT EXISTS upload_limit_bps      UInt64 AFTER download_limit_bps,
    ADD INDEX IF NOT EXISTS by_arrival arrived_at TYPE minmax GRANULARITY 1;

ALTER TABLE usage_5m {on_cluster}
    ADD COLUMN IF NOT EXISTS min_input_ipv6  SimpleAggregateFunction(min, UInt64) AFTER max_output,
    ADD COLUMN IF NOT EXISTS max_input_ipv6  SimpleAggregateFunction(max, UInt64) AFTER min_input_ipv6,
    ADD COLUMN IF NOT EXISTS min_output_ipv6 SimpleAggregateFunction(min, UInt64) AFTER max_input_ipv6,
    ADD COLUMN IF NOT EXISTS max_output_ipv6 SimpleAggregateFunction(max, UInt64) AFTER min_output_ipv6;

ALTER TABLE usage_1d {on_cluster}
    ADD COLUMN IF NOT EXISTS min_input_ipv6  SimpleAggregateFunction(min, UInt64) AFTER max_output,
    ADD COLUMN IF NOT EXISTS max_input_ipv6  SimpleAggregateFunction(max, UInt64) AFTER min_input_ipv6,
    ADD COLUMN IF NOT EXISTS min_output_ipv6 SimpleAggregateFunction(min, UInt64) AFTER max_input_ipv6,
    ADD COLUMN IF NOT EXISTS max_output_ipv6 SimpleAggregateFunction(max, UInt64) AFTER min_output_ipv6;

ALTER TABLE sessions {on_cluster}
    ADD COLUMN IF NOT EXISTS kind               SimpleAggregateFunction(max, UInt8) AFTER acct_multi_session_id,
    ADD COLUMN IF NOT EXISTS collectors         SimpleAggregateFunction(groupUniqArrayArray, Array(String)) AFTER client,
    ADD COLUMN IF NOT EXISTS agent_circuit_id   SimpleAggregateFunction(max, String) AFTER nas_port_id,
    ADD COLUMN IF NOT EXISTS agent_remote_id    SimpleAggregateFunction(max, String) AFTER agent_circuit_id,
    ADD COLUMN IF NOT EXISTS download_limit_bps SimpleAggregateFunction(max, UInt64) AFTER agent_remote_id,
    ADD COLUMN IF NOT EXISTS upload_limit_bps   SimpleAggregateFunction(max, UInt64) AFTER download_limit_bps;

-- Sessions of kind 0 are the subscribers'; services and queues (1, 2) repeat their octets and are listed only.
ALTER TABLE usage_5m_from_records {on_cluster} MODIFY QUERY
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
    min(input_ipv6_octets) AS min_input_ipv6,
    max(input_ipv6_octets) AS max_input_ipv6,
    min(output_ipv6_octets) AS min_output_ipv6,
    max(output_ipv6_octets) AS max_output_ipv6,
    groupBitOr(r.flags) AS flags
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0 AND kind = 0
GROUP BY login, bucket, session_key;

ALTER TABLE usage_1d_from_records {on_cluster} MODIFY QUERY
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
    min(input_ipv6_octets) AS min_input_ipv6,
    max(input_ipv6_octets) AS max_input_ipv6,
    min(output_ipv6_octets) AS min_output_ipv6,
    max(output_ipv6_octets) AS max_output_ipv6,
    groupBitOr(r.flags) AS flags
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0 AND kind = 0
GROUP BY login, day_starts_at, session_key, zone;

ALTER TABLE sessions_from_records {on_cluster} MODIFY QUERY
SELECT
    login,
    session_key,
    toStartOfMonth(event_at) AS month,
    max(r.client) AS client,
    groupUniqArray(toString(r.collector)) AS collectors,
    max(r.nas) AS nas,
    max(r.acct_session_id) AS acct_session_id,
    max(r.acct_multi_session_id) AS acct_multi_session_id,
    max(r.kind) AS kind,
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
    max(r.agent_circuit_id) AS agent_circuit_id,
    max(r.agent_remote_id) AS agent_remote_id,
    max(r.download_limit_bps) AS download_limit_bps,
    max(r.upload_limit_bps) AS upload_limit_bps,
    groupBitOr(r.flags) AS flags
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0
GROUP BY login, session_key, month;

-- Which collectors reported the sessions that are there already.
INSERT INTO sessions (login, session_key, month, collectors, min_started_at, min_event_at)
SELECT
    login,
    session_key,
    toStartOfMonth(event_at) AS month,
    groupUniqArray(toString(r.collector)) AS collectors,
    min(if(r.started_at = toDateTime(0, 'UTC'), toDateTime(4294967295, 'UTC'), r.started_at)) AS min_started_at,
    min(event_at) AS min_event_at
FROM accounting_records AS r
WHERE status_type IN (1, 2, 3) AND session_key != 0
GROUP BY login, session_key, month;

-- Sessions that the settler evaluated from their records. The sessions of a key share a revision and are inserted at once;
-- of a key's revisions within a generation the greatest holds. A generation is visible once `rules` publishes it.
CREATE TABLE IF NOT EXISTS settled_sessions {on_cluster}
(
    session_key       UInt128,
    generation        UInt32,
    revision          UInt64,
    number            UInt32,
    sessions          UInt32,
    nas               LowCardinality(String),
    kind              UInt8,
    started_at        DateTime('UTC'),
    clock_stepped     UInt8,
    stopped           UInt8,
    stopped_at        DateTime('UTC'),
    terminate_cause   UInt32,
    last_at           DateTime('UTC'),
    -- Newest event time of the key's records.
    newest_event_at   DateTime('UTC'),
    -- Whose it was, and when: more than one where User-Name changed.
    part_logins       Array(String),
    part_from         Array(UInt32),
    part_to           Array(UInt32),
    -- Counters over time, monotone.
    sample_at         Array(UInt32) CODEC(Delta, ZSTD),
    sample_download   Array(UInt64) CODEC(Delta, ZSTD),
    sample_upload     Array(UInt64) CODEC(Delta, ZSTD),
    -- How often each verdict was given.
    verdicts          Array(String),
    verdict_records   Array(UInt64),
    -- Changes of local days that were settled before: which day, since when, by how much.
    amended_day       Array(UInt32),
    amended_at        Array(UInt32),
    amended_login     Array(String),
    amended_download  Array(Int64),
    amended_upload    Array(Int64),
    settled_at        DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(revision)
PARTITION BY generation
ORDER BY (session_key, number)
{durable};

-- The rules by which usage is computed: each NAS's policy over time. The greatest version holds.
CREATE TABLE IF NOT EXISTS rules {on_cluster}
(
    version      UInt64,
    generation   UInt32,
    policies     String,
    published_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY version
{durable};

-- How far the settler has read each collector's records.
CREATE TABLE IF NOT EXISTS settler_cursors {on_cluster}
(
    collector  LowCardinality(String),
    lsn        UInt64,
    settled_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(lsn)
ORDER BY collector
{durable};

-- Settling everything again by today's rules, into a generation of its own. Of a generation the newest state holds.
CREATE TABLE IF NOT EXISTS replays {on_cluster}
(
    generation  UInt32,
    state       LowCardinality(String),
    policies    String,
    ranges      UInt32,
    -- How far each collector's records had been followed when it began.
    collectors  Array(String),
    lsns        Array(UInt64),
    at          DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (generation, at)
{durable};

-- Keys are settled again a range at a time: those whose number leaves this remainder.
CREATE TABLE IF NOT EXISTS replay_ranges {on_cluster}
(
    generation  UInt32,
    range       UInt32,
    keys        UInt64,
    irregular   UInt64,
    incomplete  UInt64,
    records     UInt64,
    done_at     DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(done_at)
ORDER BY (generation, range)
{durable};

-- By how much usage differs from what is published.
CREATE TABLE IF NOT EXISTS replay_differences {on_cluster}
(
    generation      UInt32,
    range           UInt32,
    login           String,
    month_starts_at DateTime('UTC'),
    was_download    UInt64,
    was_upload      UInt64,
    is_download     UInt64,
    is_upload       UInt64,
    done_at         DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(done_at)
ORDER BY (generation, range, login, month_starts_at)
{durable};

-- What retention has dropped: records or rollup rows of times before `upto` are gone.
CREATE TABLE IF NOT EXISTS retention {on_cluster}
(
    rows       LowCardinality(String),
    upto       DateTime('UTC'),
    dropped_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (rows, upto)
{durable};

-- The highest five-minute rates of each login's days, kept when the five-minute rows go.
CREATE TABLE IF NOT EXISTS usage_peaks {on_cluster}
(
    login              String,
    day_starts_at      DateTime('UTC') CODEC(Delta, ZSTD),
    maximum_download   UInt64,
    maximum_upload     UInt64,
    last_download      UInt64,
    last_upload        UInt64
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYear(day_starts_at)
ORDER BY (login, day_starts_at)
{durable};
