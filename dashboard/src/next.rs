//! Where to go after logging in: a path on this site, nothing else.

use std::fmt::Write;

/// `next` where it is a path on this site, else the home page.
///
/// Browsers read `//host` and `/\host` as another site, and drop tabs and line ends before they look.
pub(crate) fn safe(next: Option<&str>) -> &str {
    let next = next.unwrap_or_default();
    let path = next.starts_with('/') && !next.starts_with("//");
    let odd = next.contains('\\') || next.chars().any(char::is_control);
    let loops = next.starts_with("/login") && !next.starts_with("/logins/");
    if path && !odd && !loops { next } else { "/" }
}

/// `text` for use in a query string or as one segment of a path.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_on_this_site_is_followed() {
        for good in ["/", "/logins/ada?period=7d", "/nas"] {
            assert_eq!(safe(Some(good)), good);
        }
        for bad in [
            "",
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "/\t/evil.example/",
            "evil",
            "javascript:alert(1)",
            "/login?next=/login",
        ] {
            assert_eq!(safe(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(safe(None), "/");
    }

    #[test]
    fn a_login_with_a_slash_stays_one_segment() {
        assert_eq!(encoded("ada@net/1 ü"), "ada%40net%2F1%20%C3%BC");
    }
}
