//! Random tokens and cookies: 256 bits each, of which only the SHA-256 is ever stored.
//!
//! A plain hash suffices where a slow one is needed for passwords: 256 random bits cannot be guessed.

use sha2::{Digest, Sha256};

use crate::DirectoryError;

/// How an API token begins, so that people and secret scanners recognise one.
pub const TOKEN_PREFIX: &str = "radtally_";

/// A fresh secret of 256 random bits as 64 hexadecimal digits.
pub fn random() -> Result<String, DirectoryError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// What is stored of a secret.
pub(crate) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// The value that forms of the session `cookie` carry. It follows from the cookie, but not the cookie from it.
pub(crate) fn csrf(cookie: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"radtally form\0");
    hash.update(cookie.as_bytes());
    hex::encode(hash.finalize())
}

/// Whether `text` can be a secret of [`random`]; anything else needs no look into the database.
pub(crate) fn well_formed(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_their_form_value_is_not_what_is_stored() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one, two);
        assert!(well_formed(&one) && well_formed(&digest(&one)));
        assert_ne!(csrf(&one), digest(&one));
    }
}
