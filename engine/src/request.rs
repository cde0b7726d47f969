//! An HTTP request as ClickHouse reads it: query, parameters and settings in the URL, a key in headers or URL.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use subtle::ConstantTimeEq;

/// What a URL asks for besides the query itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `query`.
    pub query: Option<String>,
    /// `database`.
    pub database: Option<String>,
    /// `default_format`.
    pub default_format: Option<String>,
    /// `query_id`.
    pub query_id: Option<String>,
    /// `param_NAME`.
    pub parameters: Vec<(String, String)>,
    /// Every other name that can be a setting.
    pub settings: Vec<(String, String)>,
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
            let (name, value) = (name.into_owned(), value.into_owned());
            match name.as_str() {
                "query" => options.query = Some(value),
                "database" => options.database = Some(value),
                "default_format" => options.default_format = Some(value),
                "query_id" => options.query_id = Some(value),
                "password" => options.password = Some(value),
                "compress" | "decompress" if value == "0" => {}
                "compress" | "decompress" => return Err(BadRequest::Compression(name)),
                ignored if IGNORED.contains(&ignored) => {}
                _ => options.take(name, value)?,
            }
        }
        Ok(options)
    }

    fn take(&mut self, name: String, value: String) -> Result<(), BadRequest> {
        if let Some(parameter) = name.strip_prefix("param_") {
            self.parameters.push((parameter.to_owned(), value));
            return Ok(());
        }
        if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
            return Err(BadRequest::Setting(name));
        }
        self.settings.push((name, value));
        Ok(())
    }

    /// Whether the request may ask anything at all.
    ///
    /// # Errors
    /// [`BadRequest`] says why not.
    pub fn authorise(&self, headers: &HeaderMap, key: &str) -> Result<(), BadRequest> {
        if headers.contains_key(ORIGIN) {
            return Err(BadRequest::Origin);
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !is_loopback(host) {
            return Err(BadRequest::Host(host.to_owned()));
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let given =
            header("x-clickhouse-key").or_else(|| basic_password(headers)).or_else(|| self.password.clone());
        let right: bool = given.unwrap_or_default().as_bytes().ct_eq(key.as_bytes()).into();
        right.then_some(()).ok_or(BadRequest::Key)
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
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
            "query=SELECT+%7Ba%3AInt8%7D&param_a=1&database=d&max_threads=1&session_id=x&compress=0",
        )
        .unwrap();
        assert_eq!(options.query.as_deref(), Some("SELECT {a:Int8}"));
        assert_eq!(options.parameters, [("a".into(), "1".into())]);
        assert_eq!(options.settings, [("max_threads".into(), "1".into())]);
        assert_eq!(Options::parse("a%20b=1").unwrap_err(), BadRequest::Setting("a b".into()));
        assert_eq!(Options::parse("compress=1").unwrap_err(), BadRequest::Compression("compress".into()));
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_loopback_names_with_the_key_and_without_origin_are_let_in() {
        let check = |pairs: &[(&'static str, &str)]| Options::default().authorise(&headers(pairs), "k");
        assert_eq!(check(&[("host", "127.0.0.1:8123"), ("x-clickhouse-key", "k")]), Ok(()));
        assert_eq!(check(&[("host", "[::1]:8123"), ("authorization", "Basic dTpr")]), Ok(()));
        assert_eq!(check(&[("host", "localhost")]), Err(BadRequest::Key));
        assert_eq!(
            check(&[("host", "evil.example"), ("x-clickhouse-key", "k")]),
            Err(BadRequest::Host("evil.example".into()))
        );
        assert_eq!(
            check(&[("host", "localhost"), ("origin", "http://x"), ("x-clickhouse-key", "k")]),
            Err(BadRequest::Origin)
        );
    }
}
