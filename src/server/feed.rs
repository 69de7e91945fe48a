//! A pipeline's events as a stream: from any place on, until its end, without holding more than a page of them.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;

use super::App;
use super::problem::Problem;
use crate::config::LIVE_PING_SECONDS;
use crate::engine::{EventKind, PipelineEvent};
use crate::pipelines::Follower;
use crate::store::StoreError;

/// Events read at once; a line may have 64 KiB.
const PAGE: u32 = 256;

/// Which events.
/// * `after`: only those with a greater `seq`. * `job`: only of this job. * `follow`: go on until the pipeline ends.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub after: u64,
    pub job: Option<String>,
    pub kinds: Kinds,
    pub follow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    All,
    OnlyLines,
    NoLines,
}

impl Wanted {
    fn takes(&self, event: &PipelineEvent) -> bool {
        let is_line = matches!(event.kind, EventKind::Log { .. });
        let of_job = self
            .job
            .as_ref()
            .is_none_or(|job| event.kind.job() == Some(job.as_str()));
        let of_kind = match self.kinds {
            Kinds::All => true,
            Kinds::OnlyLines => is_line,
            Kinds::NoLines => !is_line,
        };
        of_job && of_kind
    }
}

struct Feed {
    app: App,
    pipeline: u64,
    wanted: Wanted,
    page: VecDeque<PipelineEvent>,
    follower: Option<Follower>,
}

/// Errors before the first event; what goes wrong later ends the stream, and its client goes on from where it was.
pub(super) async fn events(
    app: &App,
    pipeline: u64,
    wanted: Wanted,
) -> Result<impl Stream<Item = PipelineEvent> + Send + use<>, Problem> {
    if app.pipelines.store().pipeline(pipeline).await?.is_none() {
        return Err(Problem::missing(format!("there is no pipeline {pipeline}")));
    }
    let follower = wanted.follow.then(|| app.pipelines.follow(pipeline));
    let feed = Feed {
        app: app.clone(),
        pipeline,
        wanted,
        page: VecDeque::new(),
        follower,
    };
    Ok(unfold(feed, |mut feed| async move {
        match feed.next().await {
            Ok(event) => event.map(|event| (event, feed)),
            Err(error) => {
                tracing::warn!(pipeline = feed.pipeline, "a follower is cut off: {}", error.chain());
                None
            }
        }
    }))
}

impl Feed {
    async fn next(&mut self) -> Result<Option<PipelineEvent>, StoreError> {
        loop {
            while let Some(event) = self.page.pop_front() {
                self.wanted.after = event.seq;
                if self.wanted.takes(&event) {
                    return Ok(Some(event));
                }
            }
            // Asked before the events: an end that is stored meanwhile is seen the next time.
            let store = self.app.pipelines.store();
            let is_over = store
                .pipeline(self.pipeline)
                .await?
                .is_none_or(|row| row.status.is_final());
            self.page = store.events(self.pipeline, self.wanted.after, PAGE).await?.into();
            if !self.page.is_empty() {
                continue;
            }
            let Some(follower) = self.follower.as_mut().filter(|_| !is_over) else {
                return Ok(None);
            };
            tokio::select! {
                () = follower.news() => {}
                () = tokio::time::sleep(Duration::from_secs(LIVE_PING_SECONDS)) => {}
                () = self.app.stop.asked() => return Ok(None),
            }
        }
    }
}
