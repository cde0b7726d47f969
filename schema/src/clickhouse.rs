//! ClickHouse: how to reach it, and the migrations that bring it to this version's schema.
