//! News of running pipelines. Only *that* something is new is told; what it is comes from the store, so that a slow follower
//! costs nothing and misses nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lock;

#[derive(Default)]
pub(super) struct Live {
    followed: Arc<Mutex<HashMap<u64, watch::Sender<u64>>>>,
}

impl Live {
    pub fn follow(&self, pipeline: u64) -> Follower {
        let mut followed = lock(&self.followed);
        let news = followed
            .entry(pipeline)
            .or_insert_with(|| watch::channel(0).0)
            .subscribe();
        Follower {
            news,
            pipeline,
            followed: self.followed.clone(),
        }
    }

    /// Wakes the followers of a pipeline.
    pub fn tell(&self, pipeline: u64) {
        if let Some(news) = lock(&self.followed).get(&pipeline) {
            news.send_modify(|count| *count += 1);
        }
    }
}

/// Follows one pipeline; forgotten when dropped.
pub struct Follower {
    news: watch::Receiver<u64>,
    pipeline: u64,
    followed: Arc<Mutex<HashMap<u64, watch::Sender<u64>>>>,
}

impl Follower {
    /// Completes when something was stored since the last call (or since following began).
    pub async fn news(&mut self) {
        // The sender lives as long as this follower is registered.
        let _ = self.news.changed().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut followed = lock(&self.followed);
        if followed
            .get(&self.pipeline)
            .is_some_and(|news| news.receiver_count() <= 1)
        {
            followed.remove(&self.pipeline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_are_woken_and_forgotten() {
        let live = Live::default();
        live.tell(1);
        let (mut first, second) = (live.follow(1), live.follow(1));
        live.tell(2);
        live.tell(1);
        first.news().await;
        drop(second);
        assert_eq!(lock(&live.followed).len(), 1);
        drop(first);
        assert_eq!(lock(&live.followed).len(), 0);
    }
}
