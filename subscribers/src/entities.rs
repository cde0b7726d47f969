//! The tables as SeaORM sees them. Times are whole seconds since 1970 UTC.

pub(crate) mod api_token;
pub(crate) mod lease;
pub(crate) mod staff;
pub(crate) mod staff_session;
