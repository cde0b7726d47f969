//! The collector: from a UDP datagram to a durable, acknowledged record, live session state, and ClickHouse.

