//! An HTTP request as ClickHouse reads it: query, parameters and settings in the URL, a key in headers or URL.

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use subtle::ConstantTimeEq;

use crate::statement::is_outside;

/// What a URL asks for besides the query itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `query`; empty when it stands in the body.
    pub query: String,
    /// `database`.
    database: Option<String>,
    /// `default_format`.
    default_format: Option<String>,
    /// `query_id`.
    pub query_id: Option<String>,
    /// `param_NAME`.
    pub parameters: Vec<(String, String)>,
    /// Every other name that can be a setting.
    settings: Vec<(String, String)>,
    /// `user` and `password`.
    password: Option<String>,
}

/// Names that are neither settings nor anything this host acts on.
const IGNORED: [&str; 12] = [
    "user",
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "wait_end_of_query",
    "buffer_size",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "http_write_exception_in_output_format",
    "quota_key",
    "stacktrace",
];

/// Why a request is refused before its query is looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// The key is wrong or missing.
    #[error("Code: 516. DB::Exception: Authentication failed: the key is wrong (AUTHENTICATION_FAILED)")]
    Key,
    /// A browser asks on behalf of a page.
    #[error("Code: 497. DB::Exception: requests with an Origin header are refused (ACCESS_DENIED)")]
    Origin,
    /// Somebody else's name resolves to this host.
    #[error("Code: 497. DB::Exception: Host \"{0}\" is not a loopback name (ACCESS_DENIED)")]
    Host(String),
    /// A URL parameter that cannot be a setting.
    #[error("Code: 115. DB::Exception: \"{0}\" is not a setting's name (UNKNOWN_SETTING)")]
    Setting(String),
    /// A setting that holds text to run.
    #[error("Code: 497. DB::Exception: the setting {0} is not allowed here (ACCESS_DENIED)")]
    Outside(String),
    /// Compressed bodies.
    #[error("Code: 48. DB::Exception: {0}=1 is not supported by the embedded engine (NOT_IMPLEMENTED)")]
    Compression(String),
}

impl Options {
    /// Reads a URL's query part.
    ///
    /// # Errors
    /// [`BadRequest`] names the parameter.
    pub fn parse(url_query: &str) -> Result<Self, BadRequest> {
        let mut options = Self::default();
        for (name, value) in form_urlencoded::parse(url_query.as_bytes()) {
            options.take(name.into_owned(), value.into_owned())?;
        }
        Ok(options)
    }

    /// Takes one parameter of a URL or a form.
    ///
    /// # Errors
    /// [`BadRequest`] names it.
    pub fn take(&mut self, name: String, value: String) -> Result<(), BadRequest> {
        match name.as_str() {
            "query" => self.query = value,
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = Some(value),
            "password" => self.password = Some(value),
            "compress" | "decompress" if value == "0" => {}
            "compress" | "decompress" => return Err(BadRequest::Compression(name)),
            ignored if IGNORED.contains(&ignored) => {}
            _ => self.take_named(name, value)?,
        }
        Ok(())
    }

    fn take_named(&mut self, name: String, value: String) -> Result<(), BadRequest> {
        if let Some(parameter) = name.strip_prefix("param_") {
            self.parameters.push((parameter.to_owned(), value));
            return Ok(());
        }
        if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
            return Err(BadRequest::Setting(name));
        }
        if is_outside(&name) {
            return Err(BadRequest::Outside(name));
        }
        self.settings.push((name, value));
        Ok(())
    }

    /// The format asked for, or else this one.
    #[must_use]
    pub fn format_or<'o>(&'o self, otherwise: &'o str) -> &'o str {
        self.default_format.as_deref().unwrap_or(otherwise)
    }

    /// What to run before the query on its connection: the database and the settings.
    pub fn preparations(&self) -> impl Iterator<Item = String> {
        let database = self.database.as_ref().map(|database| format!("USE `{}`", escape(database, '`')));
        let settings =
            self.settings.iter().map(|(name, value)| format!("{name} = '{}'", escape(value, '\'')));
        let settings = settings.collect::<Vec<_>>().join(", ");
        database.into_iter().chain((!settings.is_empty()).then(|| format!("SET {settings}")))
    }

    /// Whether the request shows the key.
    ///
    /// # Errors
    /// [`BadRequest::Key`].
    pub fn authorise(&self, headers: &HeaderMap, key: &str) -> Result<(), BadRequest> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let given =
            header("x-clickhouse-key").or_else(|| basic_password(headers)).or_else(|| self.password.clone());
        let right: bool = given.unwrap_or_default().as_bytes().ct_eq(key.as_bytes()).into();
        right.then_some(()).ok_or(BadRequest::Key)
    }
}

/// Whether the request comes from a program on this machine rather than from a page in a browser, which may know names
/// that resolve to this host (DNS rebinding).
///
/// # Errors
/// [`BadRequest`] says why not.
pub fn is_local(headers: &HeaderMap) -> Result<(), BadRequest> {
    if headers.contains_key(ORIGIN) {
        return Err(BadRequest::Origin);
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_loopback(host) {
        return Err(BadRequest::Host(host.to_owned()));
    }
    Ok(())
}

fn escape(text: &str, quote: char) -> String {
    text.chars().flat_map(|c| (c == quote || c == '\\').then_some('\\').into_iter().chain([c])).collect()
}

fn is_loopback(host: &str) -> bool {
    let (name, v6, rest) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((v6, rest)) => (v6, true, rest),
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            (name, false, rest)
        }
    };
    let ends = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let loopback = |ip: IpAddr| ip.is_loopback() && ip.is_ipv6() == v6;
    ends && (!v6 && name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(loopback))
}

/// The password of `Authorization: Basic` (RFC 7617).
fn basic_password(headers: &HeaderMap) -> Option<String> {
    let credentials = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_taken_apart() {
        let options = Options::parse(
            "query=SELECT+%7Ba%3AInt8%7D&param_a=1&database=d%60&max_threads='1&session_id=x&compress=0",
        )
        .unwrap();
        assert_eq!(options.query, "SELECT {a:Int8}");
        assert_eq!(options.parameters, [("a".into(), "1".into())]);
        assert_eq!(options.preparations().collect::<Vec<_>>(), ["USE `d\\``", "SET max_threads = '\\'1'"]);
        assert_eq!(Options::parse("a%20b=1").unwrap_err(), BadRequest::Setting("a b".into()));
        assert_eq!(Options::parse("compress=1").unwrap_err(), BadRequest::Compression("compress".into()));
        let name = "additional_result_filter";
        assert_eq!(Options::parse(&format!("{name}=1")).unwrap_err(), BadRequest::Outside(name.into()));
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (hyper::header::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn the_key_may_stand_in_a_header_in_basic_authentication_or_in_the_url() {
        let check = |url: &str, pairs: &[(&'static str, &str)]| {
            Options::parse(url).unwrap().authorise(&headers(pairs), "k")
        };
        assert_eq!(check("", &[("x-clickhouse-key", "k")]), Ok(()));
        assert_eq!(check("", &[("authorization", "Basic dTpr")]), Ok(()));
        assert_eq!(check("password=k", &[]), Ok(()));
        assert_eq!(check("", &[]), Err(BadRequest::Key));
        assert_eq!(check("password=k", &[("x-clickhouse-key", "K")]), Err(BadRequest::Key));
    }

    #[test]
    fn only_loopback_names_without_origin_are_local() {
        for host in ["127.0.0.1:8123", "[::1]:8123", "localhost"] {
            assert_eq!(is_local(&headers(&[("host", host)])), Ok(()));
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8123",
            "[::1].evil.example",
            "localhost:80.evil.example",
            "[127.0.0.1]",
            "[::1]8123",
            "",
        ] {
            assert_eq!(is_local(&headers(&[("host", host)])), Err(BadRequest::Host(host.into())));
        }
        let origin = headers(&[("host", "localhost"), ("origin", "http://x")]);
        assert_eq!(is_local(&origin), Err(BadRequest::Origin));
    }
}
