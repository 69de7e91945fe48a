//! Groups: at most one pipeline of a group runs at a time; a newer one waits for the older, or takes its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;

use super::lock;
use crate::engine::Why;
use crate::stop::Stop;

/// A group's name within one repository.
pub(super) type Key = (u64, String);

#[derive(Default)]
pub(super) struct Groups {
    members: Arc<Mutex<HashMap<Key, Vec<Member>>>>,
    left: Arc<Notify>,
}

struct Member {
    pipeline: u64,
    stop: Stop,
    stop_why: Arc<OnceLock<Why>>,
}

/// A pipeline that wants into its groups.
pub(super) struct Entrant<'a> {
    pub pipeline: u64,
    /// Each with whether it cancels older ones.
    pub groups: &'a [(Key, bool)],
    pub stop: &'a Stop,
    pub stop_why: &'a Arc<OnceLock<Why>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Its groups are its own now.
    In,
    /// A newer pipeline is there already, and says that older ones are to give way.
    SupersededBy(u64),
}

impl Groups {
    /// Registers a pipeline, cancels those it takes the place of, and waits until the older ones have left. Pipelines wait
    /// only for older ones, so nobody waits in a circle. Whoever is stopped meanwhile does not wait on.
    pub async fn enter(&self, entrant: Entrant<'_>) -> (Entry, Membership) {
        let Entrant {
            pipeline,
            groups,
            stop,
            stop_why,
        } = entrant;
        let keys: Vec<Key> = groups.iter().map(|(key, _)| key.clone()).collect();
        let membership = Membership {
            keys,
            pipeline,
            members: self.members.clone(),
            left: self.left.clone(),
        };
        {
            let mut members = lock(&self.members);
            for (key, cancel_older) in groups {
                let newer = members
                    .get(key)
                    .and_then(|group| group.iter().map(|m| m.pipeline).find(|other| *other > pipeline));
                if let (Some(newer), true) = (newer, cancel_older) {
                    drop(members);
                    return (Entry::SupersededBy(newer), membership);
                }
            }
            for (key, cancel_older) in groups {
                let group = members.entry(key.clone()).or_default();
                for older in group.iter().filter(|other| *cancel_older && other.pipeline < pipeline) {
                    let _ = older.stop_why.set(Why::Superseded);
                    older.stop.ask();
                }
                group.push(Member {
                    pipeline,
                    stop: stop.clone(),
                    stop_why: stop_why.clone(),
                });
            }
        }
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if !self.has_older(pipeline, groups) {
                return (Entry::In, membership);
            }
            tokio::select! {
                () = left => {}
                () = stop.asked() => return (Entry::In, membership),
            }
        }
    }

    fn has_older(&self, pipeline: u64, groups: &[(Key, bool)]) -> bool {
        let members = lock(&self.members);
        let older = |(key, _): &(Key, bool)| {
            members
                .get(key)
                .is_some_and(|group| group.iter().any(|other| other.pipeline < pipeline))
        };
        groups.iter().any(older)
    }
}

/// A pipeline's place in its groups; left when dropped.
pub(super) struct Membership {
    keys: Vec<Key>,
    pipeline: u64,
    members: Arc<Mutex<HashMap<Key, Vec<Member>>>>,
    left: Arc<Notify>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = lock(&self.members);
        for key in &self.keys {
            if let Some(group) = members.get_mut(key) {
                group.retain(|member| member.pipeline != self.pipeline);
                if group.is_empty() {
                    members.remove(key);
                }
            }
        }
        self.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Candidate {
        stop: Stop,
        why: Arc<OnceLock<Why>>,
    }

    impl Candidate {
        fn new() -> Self {
            Candidate {
                stop: Stop::new(),
                why: Arc::default(),
            }
        }

        async fn enter(&self, groups: &Groups, pipeline: u64, names: &[(&str, bool)]) -> (Entry, Membership) {
            let keys: Vec<(Key, bool)> = names
                .iter()
                .map(|(name, cancel)| ((1, name.to_string()), *cancel))
                .collect();
            groups
                .enter(Entrant {
                    pipeline,
                    groups: &keys,
                    stop: &self.stop,
                    stop_why: &self.why,
                })
                .await
        }
    }

    #[tokio::test]
    async fn a_newer_pipeline_cancels_the_older_and_waits_for_its_end() {
        let groups = Groups::default();
        let (old, new) = (Candidate::new(), Candidate::new());
        let (entry, place) = old.enter(&groups, 1, &[("deploy", true)]).await;
        assert_eq!(entry, Entry::In);
        let ended = async {
            old.stop.asked().await;
            assert_eq!(old.why.get(), Some(&Why::Superseded));
            drop(place);
        };
        let ((entry, _place), ()) = tokio::join!(new.enter(&groups, 2, &[("deploy", true)]), ended);
        assert_eq!(entry, Entry::In);
        assert!(!new.stop.is_asked());
    }

    #[tokio::test]
    async fn an_older_pipeline_that_comes_late_gives_way() {
        let groups = Groups::default();
        let (entry, _place) = Candidate::new().enter(&groups, 5, &[("deploy", true)]).await;
        assert_eq!(entry, Entry::In);
        let (entry, _) = Candidate::new()
            .enter(&groups, 4, &[("other", true), ("deploy", true)])
            .await;
        assert_eq!(entry, Entry::SupersededBy(5));
        // Another repository's group of that name, or no group at all, is nobody's business.
        let (entry, _) = Candidate::new().enter(&groups, 3, &[("other", true)]).await;
        assert_eq!(entry, Entry::In);
    }

    #[tokio::test]
    async fn without_cancelling_pipelines_take_turns() {
        let groups = Arc::new(Groups::default());
        let (_, first) = Candidate::new().enter(&groups, 1, &[("deploy", false)]).await;
        let waiting = tokio::spawn({
            let groups = groups.clone();
            async move { Candidate::new().enter(&groups, 2, &[("deploy", false)]).await.0 }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.ok(), Some(Entry::In));
        assert!(lock(&groups.members).is_empty());
    }

    #[tokio::test]
    async fn whoever_is_cancelled_while_waiting_waits_no_longer() {
        let groups = Groups::default();
        let (_, _first) = Candidate::new().enter(&groups, 1, &[("deploy", false)]).await;
        let second = Candidate::new();
        second.stop.ask();
        assert_eq!(second.enter(&groups, 2, &[("deploy", false)]).await.0, Entry::In);
    }
}
