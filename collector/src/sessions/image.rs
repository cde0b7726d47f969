//! The state in a checkpoint: a version, then everything but the indexes, which follow from it.
//!
//! The encoding does not describe itself, so that an image of another version must not be decoded: it might succeed. The
//! version changes with whatever an image holds, [`usage::Tracker`] included; the state is then rebuilt from the journal.

use schema::{Lsn, SessionKey, UnixTime};
use serde::{Deserialize, Serialize};

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

#[derive(Debug, Serialize, Deserialize)]
struct Image {
    now: UnixTime,
    nases: Vec<Nas>,
    sessions: Vec<(SessionKey, Session)>,
    stopped: Vec<(UnixTime, SessionKey)>,
}

impl Sessions {
    /// The state for a checkpoint.
    ///
    /// # Errors
    /// Never for a state that fits memory.
    pub fn save(&self) -> Result<Vec<u8>, ImageError> {
        let sessions = self.sessions.iter().map(|(key, session)| (*key, session.clone())).collect();
        let stopped = self.stopped.iter().copied().collect();
        let image = Image { now: self.now, nases: self.nases.clone(), sessions, stopped };
        Ok(postcard::to_stdvec(&(VERSION, image))?)
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
            state.sessions.insert(key, session);
        }
        Ok(state)
    }
}
