//! Typed identifiers that cross module borders.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::Xxh3;

/// Log sequence number: the position of a record in one collector's journal, counted from 1 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
    /// No record is numbered higher: a million a second take 290,000 years to get there.
    pub const LAST: Self = Self(i64::MAX as u64);

    /// The LSN that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id! {
    /// One collector process; with an [`Lsn`] it names a record for ever.
    CollectorId
}
text_id! {
    /// The configured name of a client: a NAS or proxy that may send accounting.
    ClientName
}
text_id! {
    /// Who reports: NAS-Identifier, else NAS-IP(v6)-Address, else the source address, as `client/identity`.
    NasId
}
text_id! {
    /// RADIUS User-Name. Empty where a packet carries none.
    Login
}

/// One NAS's Acct-Session-Id, hashed to 128 bits; written as 32 hexadecimal digits.
///
/// Not unique in practice: session identifiers restart after a reboot. The usage engine splits a key's records into
/// incarnations.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u128);

impl SessionKey {
    /// The key of `acct_session_id` (raw octets) as reported by `nas`.
    #[must_use]
    pub fn new(nas: &str, acct_session_id: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(nas.as_bytes());
        hash.update(&[0]);
        hash.update(acct_session_id);
        Self(hash.digest128())
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no session key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("\"{0}\" is not a session id: 32 hexadecimal digits are expected")]
pub struct BadSessionKey(pub String);

impl FromStr for SessionKey {
    type Err = BadSessionKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        value.map(Self).ok_or_else(|| BadSessionKey(text.to_owned()))
    }
}

impl Serialize for SessionKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for SessionKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(from).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_key_reads_back_what_it_writes() {
        let key = SessionKey::new("bng-1/10.0.0.1", b"0000002A");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(serde_json::from_str::<SessionKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
    }

    #[test]
    fn session_key_keeps_nas_and_id_apart() {
        assert_ne!(SessionKey::new("a", b"bc"), SessionKey::new("ab", b"c"));
    }

    #[test]
    fn bad_session_key_is_named() {
        assert_eq!(
            "xyz".parse::<SessionKey>().unwrap_err().to_string(),
            "\"xyz\" is not a session id: 32 hexadecimal digits are expected"
        );
        assert!("+0000000000000000000000000000000".parse::<SessionKey>().is_err());
    }
}
