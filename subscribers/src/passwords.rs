//! Staff passwords: argon2id with the OWASP parameters (19 MiB, 2 passes), off the async threads.
//!
//! An unknown name costs the same work as a wrong password, so that the time of an answer does not tell who exists.
//! At most two hashes run at once; more log-ins wait, so that they can take neither all memory nor all processors.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::DirectoryError;

/// Shortest password in characters (NIST SP 800-63B 5.1.1.1).
pub(crate) const MIN: usize = 8;
/// Longest password in characters.
pub(crate) const MAX: usize = 256;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    /// The hash that stands in for unknown names.
    nobody: Arc<str>,
}

impl Passwords {
    /// Prepares the hash that stands in for unknown names.
    pub(crate) async fn new() -> Result<Self, DirectoryError> {
        let unknown = crate::secrets::random()?;
        let nobody = blocking(move || hash(&unknown)).await?;
        Ok(Self { slots: Arc::new(Semaphore::new(2)), nobody: nobody.into() })
    }

    /// The text to store for `password`.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, DirectoryError> {
        let length = password.chars().count();
        if !(MIN..=MAX).contains(&length) {
            return Err(DirectoryError::BadPassword { length });
        }
        let password = password.to_owned();
        let _slot = self.slot().await?;
        blocking(move || hash(&password)).await
    }

    /// Whether `password` is the one behind `stored`; with `None` the same work and always false.
    pub(crate) async fn verify(&self, stored: Option<&str>, password: &str) -> Result<bool, DirectoryError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        let password = password.to_owned();
        let _slot = self.slot().await?;
        let matches = blocking(move || verify(&stored, &password)).await?;
        Ok(known && matches)
    }

    async fn slot(&self) -> Result<tokio::sync::SemaphorePermit<'_>, DirectoryError> {
        self.slots.acquire().await.map_err(|closed| DirectoryError::Hash(closed.to_string()))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, DirectoryError> {
    tokio::task::spawn_blocking(work).await.map_err(|panicked| DirectoryError::Hash(panicked.to_string()))?
}

fn hash(password: &str) -> Result<String, DirectoryError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    let salt = SaltString::encode_b64(&bytes).map_err(unusable)?;
    Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(unusable)?.to_string())
}

fn verify(stored: &str, password: &str) -> Result<bool, DirectoryError> {
    let stored = PasswordHash::new(stored).map_err(unusable)?;
    match argon2().verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(error) => Err(unusable(error)),
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn unusable(error: argon2::password_hash::Error) -> DirectoryError {
    DirectoryError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_name_passes() {
        let passwords = Passwords::new().await.unwrap();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(Some(&stored), "correct horse").await.unwrap());
        assert!(!passwords.verify(Some(&stored), "correct horsf").await.unwrap());
        assert!(!passwords.verify(None, "correct horse").await.unwrap());
    }

    #[tokio::test]
    async fn a_short_password_is_refused_by_its_length_without_repeating_it() {
        let error = Passwords::new().await.unwrap().hash("hunter2").await.unwrap_err().to_string();
        assert!(error.contains("7 characters") && !error.contains("hunter2"), "{error}");
    }
}
