//! A secondary index: from an attribute of sessions to their keys. Most values have one session.

use std::borrow::Borrow;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};
use schema::SessionKey;

/// Session keys by `K`.
#[derive(Debug)]
pub struct Index<K>(HashMap<K, Keys>);

#[derive(Debug)]
enum Keys {
    One(SessionKey),
    Many(Vec<SessionKey>),
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Index<K> {
    /// Adds `key` under `value`.
    pub fn insert(&mut self, value: K, key: SessionKey) {
        match self.0.get_mut(&value) {
            None => _ = self.0.insert(value, Keys::One(key)),
            Some(keys) if keys.as_slice().contains(&key) => {}
            Some(Keys::Many(keys)) => keys.push(key),
            Some(keys) => *keys = Keys::Many([keys.as_slice(), &[key]].concat()),
        }
    }

    /// Removes `key` from under `value`.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, value: &Q, key: SessionKey)
    where
        K: Borrow<Q>,
    {
        let empty = match self.0.get_mut(value) {
            Some(Keys::One(first)) => *first == key,
            Some(Keys::Many(keys)) => {
                keys.retain(|known| *known != key);
                keys.is_empty()
            }
            None => false,
        };
        if empty {
            self.0.remove(value);
        }
    }

    /// The keys under `value`.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, value: &Q) -> &[SessionKey]
    where
        K: Borrow<Q>,
    {
        self.0.get(value).map(Keys::as_slice).unwrap_or_default()
    }
}

impl Keys {
    fn as_slice(&self) -> &[SessionKey] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_and_go() {
        let mut index = Index::default();
        for n in [1, 2, 2, 3] {
            index.insert("a", SessionKey(n));
        }
        index.remove("a", SessionKey(2));
        assert_eq!(index.get("a"), [SessionKey(1), SessionKey(3)]);
        index.remove("a", SessionKey(1));
        index.remove("a", SessionKey(3));
        assert_eq!(index.get("a"), []);
        assert!(index.0.is_empty());
    }
}
