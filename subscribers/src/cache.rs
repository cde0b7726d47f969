//! Remembers for a few seconds who a token or cookie belongs to, so that a busy API does not ask the database each
//! time. A revocation in this process empties it at once; one in another process is seen when an entry expires.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Identity;

/// How long an entry is believed.
const LIFETIME: Duration = Duration::from_secs(5);
/// Entries kept; when full, all are forgotten, which costs one query each.
const CAPACITY: usize = 10_000;

/// Identities by the digest of their secret.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// Grows with each revocation: an answer that the database gave before it is not kept.
    generation: u64,
    by_digest: HashMap<String, (Identity, Instant)>,
}

impl Cache {
    /// The identity behind `digest`, or the generation to hand to [`Self::put`] after asking the database.
    pub(crate) fn get(&self, digest: &str) -> Result<Identity, u64> {
        let entries = self.0.lock();
        match entries.by_digest.get(digest) {
            Some((identity, until)) if *until > Instant::now() => Ok(identity.clone()),
            _ => Err(entries.generation),
        }
    }

    /// Keeps what the database said, unless something was revoked since `generation`.
    pub(crate) fn put(&self, digest: String, identity: Identity, generation: u64) {
        let mut entries = self.0.lock();
        if entries.generation != generation {
            return;
        }
        if entries.by_digest.len() >= CAPACITY {
            entries.by_digest.clear();
        }
        entries.by_digest.insert(digest, (identity, Instant::now() + LIFETIME));
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        let mut entries = self.0.lock();
        entries.generation += 1;
        entries.by_digest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credential, Role};

    #[test]
    fn an_answer_older_than_a_revocation_is_not_kept() {
        let cache = Cache::default();
        let ada =
            Identity { name: "ada".into(), role: Role::Admin, credential: Credential::Token(1), csrf: None };
        let generation = cache.get("x").unwrap_err();
        cache.put("x".into(), ada.clone(), generation);
        assert_eq!(cache.get("x"), Ok(ada.clone()));
        cache.forget();
        cache.put("x".into(), ada, generation);
        assert!(cache.get("x").is_err());
    }
}
