//! Names that people give: printable, without surrounding blanks, of bounded length.

use crate::DirectoryError;

/// Longest name in characters.
const MAX: usize = 100;

/// Checks a name of staff or a token.
pub(crate) fn check(name: &str) -> Result<(), DirectoryError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.trim() != name {
        "it begins or ends with a blank"
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else if name.chars().count() > MAX {
        "it is longer than 100 characters"
    } else {
        return Ok(());
    };
    Err(DirectoryError::BadName { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_repeats_the_name() {
        assert!(check("Ada Lovelace").is_ok());
        for bad in ["", " ada", "a\nb", &"x".repeat(101)] {
            assert!(check(bad).is_err_and(|error| error.to_string().contains(bad)), "{bad:?}");
        }
    }
}
