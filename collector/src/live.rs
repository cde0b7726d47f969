//! The live feed: who watches which login, NAS or total, and what they are sent.
//!
//! Each frame is encoded once for all its viewers. A viewer that does not keep up loses frames for itself alone and then
//! gets a fresh snapshot.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use schema::live::LiveFrame;
use schema::{Login, NasId};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::online::Online;

/// Frames kept for a viewer that is behind. Full: the viewer loses the oldest and gets a new snapshot.
const BEHIND: usize = 64;

/// What a viewer watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LiveTopic {
    /// The sessions of one login.
    Login(Login),
    /// The sessions of one NAS, and their sum each second.
    Nas(NasId),
    /// The sum of all sessions, each second.
    Total,
}

/// The viewers, by topic.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    topics: Mutex<HashMap<LiveTopic, broadcast::Sender<Arc<str>>>>,
    /// Number of topics, so that a record which nobody watches costs one load.
    watched: AtomicUsize,
}

impl Hub {
    /// Whether anybody watches anything.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn subscribe(&self, topic: &LiveTopic) -> broadcast::Receiver<Arc<str>> {
        let mut topics = self.topics.lock();
        let receiver =
            topics.entry(topic.clone()).or_insert_with(|| broadcast::channel(BEHIND).0).subscribe();
        self.watched.store(topics.len(), Ordering::Relaxed);
        receiver
    }

    /// Sends one frame to the viewers of all `topics`; it is made and encoded only if there are any.
    pub(crate) fn publish(&self, topics: &[LiveTopic], frame: impl FnOnce() -> Option<LiveFrame>) {
        let senders: Vec<_> = {
            let known = self.topics.lock();
            topics.iter().filter_map(|topic| known.get(topic).cloned()).collect()
        };
        if senders.is_empty() {
            return;
        }
        if let Some(text) = frame().and_then(|frame| encode(&frame)) {
            // An error means that the last viewer has left; `sweep` removes the topic.
            senders.iter().for_each(|sender| _ = sender.send(Arc::clone(&text)));
        }
    }

    /// Topics that have viewers; those without are removed.
    pub(crate) fn sweep(&self) -> Vec<LiveTopic> {
        let mut topics = self.topics.lock();
        topics.retain(|_, sender| sender.receiver_count() > 0);
        self.watched.store(topics.len(), Ordering::Relaxed);
        topics.keys().cloned().collect()
    }
}

/// One viewer's feed.
#[derive(Debug)]
pub struct LiveFeed {
    online: Online,
    topic: LiveTopic,
    snapshot: Option<Arc<str>>,
    frames: broadcast::Receiver<Arc<str>>,
}

impl LiveFeed {
    pub(crate) const fn new(
        online: Online,
        topic: LiveTopic,
        snapshot: Option<Arc<str>>,
        frames: broadcast::Receiver<Arc<str>>,
    ) -> Self {
        Self { online, topic, snapshot, frames }
    }

    /// The next frame, encoded: first the snapshot, then changes. `None` when the collector has ended.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        if let Some(snapshot) = self.snapshot.take() {
            return Some(snapshot);
        }
        match self.frames.recv().await {
            Ok(frame) => Some(frame),
            Err(RecvError::Closed) => None,
            Err(RecvError::Lagged(_)) => {
                *self = self.online.subscribe(self.topic.clone());
                self.snapshot.take()
            }
        }
    }
}

pub(crate) fn encode(frame: &LiveFrame) -> Option<Arc<str>> {
    serde_json::to_string(frame).ok().map(Arc::from)
}
