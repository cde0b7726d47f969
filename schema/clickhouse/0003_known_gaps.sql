-- When packets came that could not be taken, or acknowledged records were lost to damage, and whom that touches. A gap is
-- inserted again when it has grown; of its rows that with the greatest version holds.
CREATE TABLE IF NOT EXISTS known_gaps {on_cluster}
(
    collector LowCardinality(String),
    id        UInt64,
    version   UInt64,
    kind      LowCardinality(String),
    from_at   DateTime('UTC'),
    to_at     DateTime('UTC'),
    packets   UInt64,
    -- Whom it touches; nobody where that is not known. An empty NAS stands for any of the client's.
    clients   Array(String),
    nases     Array(String),
    counts    Array(UInt64)
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (collector, id)
{durable};
