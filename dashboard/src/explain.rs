//! How numbers come about, for staff on the phone: a login's total session by session, and a session record by record.

mod login;
mod record;
pub(crate) mod rows;
mod session;

use query_api::ApiError;
use query_api::sessions::SessionId;
use schema::UnixTime;

use crate::error::PageError;
use crate::{format, next};

pub(crate) use login::show as login;
pub(crate) use session::show as session;

/// Where a login's total in a period is explained.
pub(crate) fn login_address(login: &str, from: UnixTime, to: UnixTime) -> String {
    format!("/logins/{}/explain?from={from}&to={to}", next::encoded(login))
}

/// Where a session is explained; in a period, or by days.
pub(crate) fn session_address(id: SessionId, period: Option<(UnixTime, UnixTime)>) -> String {
    let period = period.map_or_else(String::new, |(from, to)| format!("?from={from}&to={to}"));
    format!("/sessions/{id}/explain{period}")
}

/// An address that cannot be read, in words.
fn told(error: ApiError) -> PageError {
    PageError::BadAddress(error.detail())
}

/// What late data changed, in a sentence.
fn amended(at: String, download: i64, upload: i64) -> String {
    let signed = |octets: i64| {
        let sign = if octets < 0 { "−" } else { "+" };
        format!("{sign}{}", format::grouped(octets.unsigned_abs()))
    };
    format!(
        "Data that came late changed days that were settled, last at {at}: ↓ {}, ↑ {} octets.",
        signed(download),
        signed(upload)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_any_login_and_a_period_that_the_api_reads() {
        let address = login_address("ada/1 &x", UnixTime(0), UnixTime(86_400));
        let expected = "/logins/ada%2F1%20%26x/explain?from=1970-01-01T00:00:00Z&to=1970-01-02T00:00:00Z";
        assert_eq!(address, expected);
    }

    #[test]
    fn amendments_carry_their_sign() {
        let text = amended("noon".to_owned(), -1_234, 5);
        assert!(text.ends_with("last at noon: ↓ −1,234, ↑ +5 octets."), "{text}");
    }
}
