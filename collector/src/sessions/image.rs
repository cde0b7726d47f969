//! The state in a checkpoint: a version, then everything but the indexes, which follow from it.
//!
//! The encoding does not describe itself, so that an image of another version must not be decoded: it might succeed. The
//! version changes with whatever an image holds, [`usage::Tracker`] included; the state is then rebuilt from the journal.

use std::collections::VecDeque;

use foldhash::HashMap;
use schema::{Lsn, SessionKey, UnixTime};
use serde::{Deserialize, Serialize, Serializer};

use super::{Session, Sessions};
use crate::nas::{Nas, NasSettings};

/// The version that is written, and the only one that is read.
const VERSION: u32 = 2;

/// Why an image is refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Another version of radtally wrote it.
    #[error("it is of version {0}, not of {VERSION}")]
    Version(u32),
    /// It cannot be encoded or decoded.
    #[error(transparent)]
    Encoding(#[from] postcard::Error),
}

#[derive(Debug, Deserialize)]
struct Image {
    now: UnixTime,
    nases: Vec<Nas>,
    sessions: Vec<(SessionKey, Session)>,
    stopped: Vec<(UnixTime, SessionKey)>,
}

/// The same, of a state that stays as it is.
#[derive(Serialize)]
struct Picture<'s> {
    now: UnixTime,
    nases: &'s [Nas],
    #[serde(serialize_with = "as_pairs")]
    sessions: &'s HashMap<SessionKey, Box<Session>>,
    stopped: &'s VecDeque<(UnixTime, SessionKey)>,
}

fn as_pairs<S: Serializer>(sessions: &HashMap<SessionKey, Box<Session>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(sessions)
}

impl Sessions {
    /// The state for a checkpoint.
    ///
    /// # Errors
    /// Never for a state that fits memory.
    pub fn save(&self) -> Result<Vec<u8>, ImageError> {
        let Self { now, nases, sessions, stopped, .. } = self;
        Ok(postcard::to_stdvec(&(VERSION, Picture { now: *now, nases, sessions, stopped }))?)
    }

    /// The state that [`Self::save`] wrote when record `applied` was the last. Sessions that are on keep the policy that
    /// they were opened with; `settings` hold from now on.
    ///
    /// # Errors
    /// The octets are of another version.
    pub fn load(applied: Lsn, image: &[u8], settings: NasSettings) -> Result<Self, ImageError> {
        let (version, image) = postcard::take_from_bytes(image)?;
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        let Image { now, nases, sessions, stopped } = postcard::from_bytes(image)?;
        let mut state = Self { applied, now, stopped: stopped.into(), ..Self::new(settings) };
        state.nas_numbers = (0u32..).zip(&nases).map(|(number, nas)| (nas.id.clone(), number)).collect();
        state.nases = nases;
        for (key, session) in sessions {
            if session.stopped.is_none() {
                state.index(key, &session);
            }
            state.sessions.insert(key, Box::new(session));
        }
        Ok(state)
    }
}
