//! Fields of a `multipart/form-data` body (RFC 7578), in which the official client sends a query with its parameters.

/// The boundary named by a Content-Type, when it is a form's.
#[must_use]
pub fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

/// Names and values of a form's fields; `None` when it is broken or carries a file, which is how ClickHouse is sent a
/// temporary table.
#[must_use]
pub fn fields(body: &str, boundary: &str) -> Option<Vec<(String, String)>> {
    let delimiter = format!("--{boundary}");
    let mut parts = body.split(delimiter.as_str());
    // What precedes the first delimiter is no field.
    parts.next()?;
    let mut fields = Vec::new();
    loop {
        let part = parts.next()?;
        if part.starts_with("--") {
            return Some(fields);
        }
        let (head, value) = part.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
        fields.push((name(head)?, value.strip_suffix("\r\n")?.to_owned()));
    }
}

/// The field's name in `Content-Disposition: form-data; name="…"`.
fn name(head: &str) -> Option<String> {
    let disposition = head.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    if disposition.contains("filename") {
        return None;
    }
    let name = disposition.split(';').find_map(|parameter| parameter.trim().strip_prefix("name="))?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n\r\n1\r\n\
                        --b\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n\r\n--b--\r\n";

    #[test]
    fn fields_come_out_with_their_line_ends() {
        let expected = [("query", "SELECT\r\n\r\n1"), ("param_a", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields(FORM, "b").unwrap(), expected);
        assert_eq!(boundary("multipart/form-data; boundary=b"), Some("b"));
        assert_eq!(boundary("multipart/form-data; charset=utf-8; boundary=\"b\""), Some("b"));
        assert_eq!(boundary("text/plain; boundary=b"), None);
    }

    #[test]
    fn a_form_cut_short_or_with_a_file_is_refused() {
        for end in 0..FORM.len() - 4 {
            assert_eq!(fields(&FORM[..end], "b"), None, "{end}");
        }
        assert_eq!(fields(&FORM.replace("name=\"param_a\"", "name=\"a\"; filename=\"a\""), "b"), None);
    }
}
