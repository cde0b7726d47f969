//! Query parameters: each resource lists the names it knows; whatever is wrong is said by name and value.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use axum::extract::Query;
use axum::http::Uri;
use schema::UnixTime;
use usage::Calendar;

use crate::ApiError;

/// A request's parameters. Empty ones count as absent.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of `uri`, none of which may be outside `known` or occur twice.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn of(uri: &Uri, known: &[&'static str]) -> Result<Self, ApiError> {
        let Query(pairs): Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|_| ApiError::MalformedQuery)?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(ApiError::UnknownParameter { name: name.clone(), known });
            }
            if pairs.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(ApiError::RepeatedParameter(name.clone()));
            }
        }
        Ok(Self(pairs))
    }

    /// A text.
    #[must_use]
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.text(name).ok_or(ApiError::MissingParameter(name))
    }

    /// Whether the parameter is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &'static str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// A value read by `read`, whose error says what is expected.
    ///
    /// # Errors
    /// Names parameter and value.
    pub fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ApiError> {
        let read_named = |value: &str| read(value).map_err(|reason| bad(name, value, reason));
        self.text(name).map(read_named).transpose()
    }

    /// An instant: RFC 3339, or a date, which is the first instant of that day in the provider's time zone.
    ///
    /// # Errors
    /// It is neither.
    pub fn time(&self, name: &'static str, calendar: Calendar) -> Result<Option<UnixTime>, ApiError> {
        self.read(name, |text| {
            calendar.instant(&unspaced(text)).ok_or_else(|| {
                format!("\"{text}\" is no time: RFC 3339 (2026-01-31T00:00:00Z) or a date (2026-01-31) is expected")
            })
        })
    }

    /// An IPv4 or IPv6 address.
    ///
    /// # Errors
    /// It is neither.
    pub fn ip(&self, name: &'static str) -> Result<Option<IpAddr>, ApiError> {
        self.read(name, |text| {
            let ip = text.parse::<IpAddr>().map(|ip| ip.to_canonical());
            ip.map_err(|_| format!("\"{text}\" is no IPv4 or IPv6 address"))
        })
    }

    /// A MAC address in any usual spelling, as `aa:bb:cc:dd:ee:ff`.
    ///
    /// # Errors
    /// It is none.
    pub fn mac(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.read(name, |text| {
            let mac = collector::attributes::mac(text).map(collector::attributes::format_mac);
            mac.ok_or_else(|| format!("\"{text}\" is no MAC address: aa:bb:cc:dd:ee:ff is expected"))
        })
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// It is not.
    pub fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        self.read(name, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            let (least, most) = (range.start(), range.end());
            number.ok_or_else(|| format!("\"{text}\" is no whole number from {least} to {most}"))
        })
    }
}

/// A bad value of a parameter.
pub(crate) fn bad(name: &'static str, value: &str, reason: impl Into<String>) -> ApiError {
    ApiError::BadParameter { name, value: value.to_owned(), reason: reason.into() }
}

/// A time whose offset's "+" was not escaped and so arrived as a space.
fn unspaced(text: &str) -> Cow<'_, str> {
    match text.rsplit_once(' ') {
        Some((time, offset)) if time.len() > "2026-01-31T".len() => format!("{time}+{offset}").into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["login", "from", "ip", "mac", "limit"];

    fn params(query: &str) -> Result<Params, ApiError> {
        Params::of(&format!("/x?{query}").parse().unwrap(), &KNOWN)
    }

    fn calendar() -> Calendar {
        Calendar::new(chrono_tz::Africa::Lagos)
    }

    #[test]
    fn times_are_rfc_3339_with_any_offset_or_a_local_date() {
        for (text, expected) in [
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T23:13:20%2B01:00", 1_700_000_000),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000),
            ("2023-11-14%2022:13:20Z", 1_700_000_000),
            ("2023-11-14", 1_699_916_400),
        ] {
            let time = params(&format!("from={text}")).unwrap().time("from", calendar()).unwrap();
            assert_eq!(time, Some(UnixTime(expected)), "{text}");
        }
    }

    #[test]
    fn bad_values_are_named_with_their_parameter() {
        let bad = params("from=yesterday&ip=10.0.0&mac=aa:bb&limit=0").unwrap();
        let errors = [
            ("from", "yesterday", bad.time("from", calendar()).unwrap_err()),
            ("ip", "10.0.0", bad.ip("ip").unwrap_err()),
            ("mac", "aa:bb", bad.mac("mac").unwrap_err()),
            ("limit", "0", bad.number("limit", 1..=500).unwrap_err()),
        ];
        for (name, value, error) in errors {
            let ApiError::BadParameter { name: named, value: shown, reason } = error else {
                panic!("{error}")
            };
            assert_eq!((named, shown.as_str()), (name, value));
            assert!(reason.contains(value), "{reason}");
        }
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused_by_name() {
        let error = params("login=a&lgoin=b").unwrap_err();
        assert!(matches!(&error, ApiError::UnknownParameter { name, .. } if name == "lgoin"), "{error}");
        let error = params("login=a&login=b").unwrap_err();
        assert!(matches!(&error, ApiError::RepeatedParameter(name) if name == "login"), "{error}");
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_ipv4_address() {
        let ip = params("ip=::ffff:10.0.0.1").unwrap().ip("ip").unwrap();
        assert_eq!(ip, Some("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn empty_parameters_are_absent() {
        let params = params("login=&ip=").unwrap();
        assert_eq!(params.text("login"), None);
        assert_eq!(params.ip("ip").unwrap(), None);
        assert!(matches!(params.required("login"), Err(ApiError::MissingParameter("login"))));
    }
}
