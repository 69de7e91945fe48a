//! What every store promises, as functions that a test of each implementation runs.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::engine::{EVENT_VERSION, EventKind, PipelineEvent, Status, Stream};
use crate::event::{Changed, CommitSha, Event, PullRequest, Trigger, Trust};

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub fn new() -> Arc<Self> {
        Arc::new(HandClock(AtomicI64::new(1_800_000_000_000)))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

const LEASE: Duration = Duration::from_secs(120);

pub(crate) fn sha(digit: char) -> CommitSha {
    CommitSha::try_from(digit.to_string().repeat(40)).unwrap()
}

pub(crate) fn push(repo: &str, digit: char) -> Trigger {
    Trigger {
        forge: Some(ForgeKind::GitHub),
        repo: repo.to_owned(),
        clone_url: Some(format!("https://github.com/{repo}.git")),
        event: Event::Push {
            branch: "main".into(),
            before: None,
            forced: false,
        },
        commit: sha(digit),
        git_ref: "refs/heads/main".into(),
        default_branch: Some("main".into()),
        changed: Changed::Unknown,
        message: "a title\n\nand a body".into(),
        actor: "ann".into(),
        delivery: None,
        trust: Trust::Protected,
        payload: Arc::new(json!({"pusher": {"name": "ann"}})),
    }
}

fn fork(repo: &str, digit: char) -> Trigger {
    let request = PullRequest {
        number: 7,
        action: "opened".into(),
        title: "from outside".into(),
        source_branch: "patch".into(),
        source_repo: "mallory/web".into(),
        target_branch: "main".into(),
        base: None,
        draft: false,
        labels: vec![],
    };
    Trigger {
        event: Event::PullRequest(request),
        trust: Trust::Fork,
        ..push(repo, digit)
    }
}

async fn a_repo(store: &dyn Store, name: &str) -> Repo {
    let repo = NewRepo {
        forge: ForgeKind::GitHub,
        name: name.to_owned(),
        clone_url: None,
        default_branch: None,
        webhook_secret: None,
        dialect: None,
        added_by: AddedBy::Person,
    };
    store.put_repo(&repo).await.unwrap()
}

fn arrival(repo: &Repo, trigger: Trigger, delivery: Option<&str>) -> NewPipeline {
    NewPipeline {
        repo: repo.id,
        trigger: Arc::new(trigger),
        delivery: delivery.map(str::to_owned),
        begin: Begin::Queued,
        rerun_of: None,
        status: Some(note(Status::Queued)),
    }
}

fn note(status: Status) -> StatusNote {
    StatusNote {
        context: "drydock/push".into(),
        status,
        description: format!("it is {status}"),
    }
}

fn numbered(claim: &Claim, from: u64, kinds: Vec<EventKind>) -> Vec<PipelineEvent> {
    let at = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
    let event = |(nth, kind)| PipelineEvent {
        v: EVENT_VERSION,
        seq: from + nth as u64,
        at,
        pipeline: claim.pipeline,
        kind,
    };
    kinds.into_iter().enumerate().map(event).collect()
}

fn finished(status: Status) -> EventKind {
    EventKind::PipelineFinished {
        status,
        duration_ms: 5,
        why: Some("because".into()),
    }
}

fn line(job: &str, text: &str) -> EventKind {
    EventKind::Log {
        job: job.into(),
        attempt: 1,
        step: 2,
        stream: Stream::Stdout,
        line: text.to_owned(),
        continues: false,
    }
}

fn queued(job: &str) -> EventKind {
    EventKind::JobQueued {
        job: job.into(),
        workflow: "w".into(),
        needs: vec![],
        of: None,
    }
}

/// Runs every promise; `fresh` gives an empty store each time.
pub(crate) async fn every_promise<F, S>(fresh: impl Fn(Arc<HandClock>) -> F)
where
    F: Future<Output = S>,
    S: Store + Clone + 'static,
{
    macro_rules! promise {
        ($($name:ident),* $(,)?) => {$({
            let clock = HandClock::new();
            let store = fresh(clock.clone()).await;
            eprintln!("store: {}", stringify!($name));
            $name(Arc::new(store), &clock).await;
        })*};
    }
    promise!(
        one_delivery_starts_one_pipeline,
        what_was_accepted_is_read_back,
        the_oldest_is_claimed_first_and_once,
        an_old_fence_writes_nothing,
        events_have_no_gap_and_lines_stay_in_order,
        the_end_is_final_and_told,
        a_cancel_reaches_whoever_runs_it,
        an_approval_holds_for_one_commit_and_one_content,
        the_newest_status_wins,
        secrets_of_a_repository_overrule_those_for_all,
        tokens_expire_and_go,
        lists_are_paged_and_filtered,
        what_is_old_goes,
    );
}

async fn one_delivery_starts_one_pipeline<S: Store + 'static>(store: Arc<S>, _: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    let mut runs = tokio::task::JoinSet::new();
    for nth in 0..200 {
        let (store, new) = (
            store.clone(),
            arrival(&repo, push("o/web", 'a'), Some(&format!("id-{}", nth % 10))),
        );
        runs.spawn(async move { store.enqueue(&new).await.unwrap() });
    }
    let answers = runs.join_all().await;
    let fresh = answers
        .iter()
        .filter(|answer| matches!(answer, Enqueued::New(_)))
        .count();
    let mut numbers: Vec<u64> = answers.iter().map(|answer| answer.pipeline()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((fresh, numbers), (10, (1..=10).collect()));
    // Another repository's delivery may have the same id; what a person starts has none.
    let other = a_repo(&*store, "o/other").await;
    assert_eq!(
        store
            .enqueue(&arrival(&other, push("o/other", 'a'), Some("id-1")))
            .await
            .unwrap(),
        Enqueued::New(11)
    );
    assert_eq!(
        store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap(),
        Enqueued::New(12)
    );
    assert_eq!(
        store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap(),
        Enqueued::New(13)
    );
}

async fn what_was_accepted_is_read_back<S: Store>(store: Arc<S>, clock: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    // As deep as the reader of payloads allows.
    let mut deep = json!(1);
    for _ in 0..126 {
        deep = json!([deep]);
    }
    let trigger = Trigger {
        payload: Arc::new(deep),
        ..fork("o/web", 'b')
    };
    let new = NewPipeline {
        begin: Begin::Waiting {
            why: "for approval".into(),
        },
        rerun_of: Some(3),
        ..arrival(&repo, trigger.clone(), Some("d"))
    };
    let id = store.enqueue(&new).await.unwrap().pipeline();
    assert_eq!(store.trigger(id).await.unwrap(), Some(trigger));
    let row = store.pipeline(id).await.unwrap().unwrap();
    assert_eq!(
        (row.number, row.repo.as_str(), row.event.as_str()),
        (id, "o/web", "pull_request")
    );
    assert_eq!(
        (row.status, row.why.as_deref()),
        (Status::Waiting, Some("for approval"))
    );
    assert_eq!(
        (row.pull_request, row.title.as_str(), row.trust),
        (Some(7), "from outside", Trust::Fork)
    );
    assert_eq!(
        (row.created_at, row.rerun_of, row.branch.as_deref()),
        (clock.now(), Some(3), Some("main"))
    );
    assert_eq!(store.pipeline(99).await.unwrap(), None);
    assert_eq!(store.repo_named(ForgeKind::GitHub, "O/WEB").await.unwrap(), Some(repo));
    assert_eq!(store.repo_named(ForgeKind::GitLab, "o/web").await.unwrap(), None);
}

async fn the_oldest_is_claimed_first_and_once<S: Store + 'static>(store: Arc<S>, clock: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    for digit in ['a', 'b', 'c'] {
        store
            .enqueue(&arrival(&repo, push("o/web", digit), None))
            .await
            .unwrap();
    }
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        claims.spawn(async move { store.claim("r1", LEASE).await.unwrap().map(|claim| claim.pipeline) });
    }
    let mut claimed: Vec<u64> = claims.join_all().await.into_iter().flatten().collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [1, 2, 3]);
    // While leases hold, nobody else's work is taken.
    assert!(
        store
            .reclaim("r2", LEASE, LeftBy::MeAndExpired)
            .await
            .unwrap()
            .is_empty()
    );
    clock.advance(LEASE + Duration::from_secs(1));
    let taken = store.reclaim("r2", LEASE, LeftBy::Expired).await.unwrap();
    assert_eq!(
        taken
            .iter()
            .map(|claim| (claim.pipeline, claim.fence, claim.tries))
            .collect::<Vec<_>>(),
        [(1, 2, 1), (2, 2, 1), (3, 2, 1)]
    );
    // A runner that starts anew takes its own, whatever their lease.
    assert_eq!(store.reclaim("r2", LEASE, LeftBy::MeAndExpired).await.unwrap().len(), 3);
    assert!(store.reclaim("r2", LEASE, LeftBy::Expired).await.unwrap().is_empty());
}

async fn an_old_fence_writes_nothing<S: Store>(store: Arc<S>, clock: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap();
    let old = store.claim("r1", LEASE).await.unwrap().unwrap();
    store
        .append(&old, &numbered(&old, 1, vec![queued("unit")]), None)
        .await
        .unwrap();
    clock.advance(LEASE * 2);
    let new = store.reclaim("r2", LEASE, LeftBy::Expired).await.unwrap().remove(0);
    assert_eq!(new.last_seq, 1);
    let refused = store
        .append(
            &old,
            &numbered(&old, 2, vec![finished(Status::Failed)]),
            Some(&note(Status::Failed)),
        )
        .await;
    assert!(
        matches!(refused, Err(StoreError::Stale { pipeline: 1, fence: 1 })),
        "{refused:?}"
    );
    assert!(matches!(store.renew(&old, LEASE).await, Err(StoreError::Stale { .. })));
    assert!(matches!(
        store.release(&old, Release::Queue { counted: true }, None).await,
        Err(StoreError::Stale { .. })
    ));
    assert_eq!(store.pipeline(1).await.unwrap().unwrap().status, Status::Running);
    assert_eq!(store.events(1, 0, 10).await.unwrap().len(), 1);
    // Given back, it is claimed again as a second try; a shutdown's interruption does not count.
    store
        .release(&new, Release::Queue { counted: true }, None)
        .await
        .unwrap();
    let second = store.claim("r2", LEASE).await.unwrap().unwrap();
    assert_eq!((second.fence, second.tries), (3, 2));
    store
        .release(&second, Release::Queue { counted: false }, None)
        .await
        .unwrap();
    assert_eq!(store.claim("r2", LEASE).await.unwrap().unwrap().tries, 2);
}

async fn events_have_no_gap_and_lines_stay_in_order<S: Store>(store: Arc<S>, _: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap();
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    let kinds = vec![
        queued("a"),
        line("a", "a0"),
        line("b", "b0 \u{1F6A2}\r\t\0"),
        line("a", "a1"),
        queued("b"),
        line("b", "b1"),
        line("a", ""),
    ];
    let all = numbered(&claim, 1, kinds);
    store.append(&claim, &all[..4], None).await.unwrap();
    store.append(&claim, &all[4..], None).await.unwrap();
    store.append(&claim, &[], None).await.unwrap();
    for (after, limit) in [(0, 100), (0, 3), (2, 2), (4, 1), (6, 5), (7, 5)] {
        let expected: Vec<PipelineEvent> = all.iter().skip(after).take(limit).cloned().collect();
        assert_eq!(
            store.events(1, after as u64, limit as u32).await.unwrap(),
            expected,
            "after {after}, {limit}"
        );
    }
    assert_eq!(store.outline(1).await.unwrap(), [all[0].clone(), all[4].clone()]);
    let of = LinesOf {
        pipeline: 1,
        job: "a",
        attempt: None,
    };
    assert_eq!(
        store.lines(&of, 0, 10).await.unwrap(),
        [all[1].clone(), all[3].clone(), all[6].clone()]
    );
    assert_eq!(store.lines(&of, 1, 1).await.unwrap(), [all[3].clone()]);
    assert_eq!(
        store.lines(&LinesOf { attempt: Some(2), ..of }, 0, 10).await.unwrap(),
        []
    );
    assert_eq!(store.line_count(&of).await.unwrap(), 3);
    assert_eq!(store.line_count(&LinesOf { job: "c", ..of }).await.unwrap(), 0);
    let again = store.append(&claim, &all[6..], None).await;
    assert!(
        matches!(
            again,
            Err(StoreError::OutOfOrder {
                stored: 7,
                offered: 7,
                ..
            })
        ),
        "{again:?}"
    );
    let gap = store
        .append(&claim, &numbered(&claim, 9, vec![queued("c")]), None)
        .await;
    assert!(
        matches!(
            gap,
            Err(StoreError::OutOfOrder {
                stored: 7,
                offered: 9,
                ..
            })
        ),
        "{gap:?}"
    );
}

async fn the_end_is_final_and_told<S: Store>(store: Arc<S>, _: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap();
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    let end = numbered(&claim, 1, vec![finished(Status::Failed)]);
    store.append(&claim, &end, Some(&note(Status::Failed))).await.unwrap();
    let row = store.pipeline(1).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.why.as_deref(), row.finished_at.is_some()),
        (Status::Failed, Some("because"), true)
    );
    let after = store
        .append(&claim, &numbered(&claim, 2, vec![finished(Status::Passed)]), None)
        .await;
    assert!(matches!(after, Err(StoreError::Stale { .. })));
    assert_eq!(
        store.cancel(1, "ann", None).await.unwrap(),
        Cancelled::AlreadyOver(Status::Failed)
    );
    assert_eq!(
        store.approve(1, "ann").await.unwrap(),
        Approved::NotWaiting(Status::Failed)
    );
    assert!(store.claim("r1", LEASE).await.unwrap().is_none());
    assert!(
        store
            .reclaim("r1", LEASE, LeftBy::MeAndExpired)
            .await
            .unwrap()
            .is_empty()
    );
    let due = store.due_statuses(10).await.unwrap();
    assert_eq!(
        due.iter().map(|due| (due.version, due.note.status)).collect::<Vec<_>>(),
        [(2, Status::Failed)]
    );
}

async fn a_cancel_reaches_whoever_runs_it<S: Store>(store: Arc<S>, _: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    for _ in 0..2 {
        store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap();
    }
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    assert_eq!(store.renew(&claim, LEASE).await.unwrap(), Wanted::GoOn);
    for _ in 0..2 {
        assert_eq!(store.cancel(1, "ann", None).await.unwrap(), Cancelled::Asked);
        assert_eq!(store.renew(&claim, LEASE).await.unwrap(), Wanted::Cancel);
    }
    assert_eq!(
        store.cancel(2, "ann", Some(&note(Status::Cancelled))).await.unwrap(),
        Cancelled::AtOnce
    );
    assert_eq!(
        store.cancel(2, "ann", None).await.unwrap(),
        Cancelled::AlreadyOver(Status::Cancelled)
    );
    assert_eq!(store.cancel(3, "ann", None).await.unwrap(), Cancelled::Unknown);
    assert!(store.claim("r1", LEASE).await.unwrap().is_none());
    let why = store.pipeline(2).await.unwrap().unwrap().why;
    assert_eq!(why.as_deref(), Some("cancelled by ann before it began"));
}

async fn an_approval_holds_for_one_commit_and_one_content<S: Store>(store: Arc<S>, _: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    let waiting = |digit| NewPipeline {
        begin: Begin::Waiting {
            why: "for approval".into(),
        },
        ..arrival(&repo, fork("o/web", digit), None)
    };
    store.enqueue(&waiting('a')).await.unwrap();
    store.enqueue(&waiting('b')).await.unwrap();
    assert!(store.claim("r1", LEASE).await.unwrap().is_none());
    assert_eq!(store.approve(1, "ann").await.unwrap(), Approved::Queued);
    assert_eq!(
        store.approve(1, "ann").await.unwrap(),
        Approved::NotWaiting(Status::Queued)
    );
    assert_eq!(store.approve(9, "ann").await.unwrap(), Approved::Unknown);
    let approval = store.approval(repo.id, sha('a').as_str()).await.unwrap().unwrap();
    assert_eq!((approval.by.as_str(), approval.config_hash), ("ann", None));
    assert_eq!(store.approval(repo.id, sha('b').as_str()).await.unwrap(), None);
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    assert_eq!((claim.pipeline, claim.trigger.trust), (1, Trust::Fork));
    assert_eq!(store.note_config(&claim, "h1").await.unwrap(), ConfigNoted::Fine);
    assert_eq!(store.note_config(&claim, "h1").await.unwrap(), ConfigNoted::Fine);
    assert_eq!(
        store.note_config(&claim, "h2").await.unwrap(),
        ConfigNoted::ApprovedForOther
    );
    store
        .release(&claim, Release::Wait { why: "changed".into() }, None)
        .await
        .unwrap();
    assert_eq!(store.pipeline(1).await.unwrap().unwrap().status, Status::Waiting);
    // Approved anew, it is bound anew.
    assert_eq!(store.approve(1, "bob").await.unwrap(), Approved::Queued);
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    assert_eq!(store.note_config(&claim, "h2").await.unwrap(), ConfigNoted::Fine);
    assert_eq!(
        store.pipeline(1).await.unwrap().unwrap().approved_by.as_deref(),
        Some("bob")
    );
}

async fn the_newest_status_wins<S: Store>(store: Arc<S>, clock: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap();
    let first = store.due_statuses(10).await.unwrap().remove(0);
    assert_eq!(
        (first.repo.as_str(), first.git_name.as_deref(), first.note.clone()),
        ("o/web", Some("main"), note(Status::Queued))
    );
    // A newer one arrives while the first is on its way.
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    store
        .append(
            &claim,
            &numbered(&claim, 1, vec![queued("a")]),
            Some(&note(Status::Running)),
        )
        .await
        .unwrap();
    store.status_delivered(first.id, first.version).await.unwrap();
    let second = store.due_statuses(10).await.unwrap().remove(0);
    assert_eq!(
        (second.id, second.version, second.note.status),
        (first.id, 2, Status::Running)
    );
    store
        .status_failed(second.id, second.version, "503", Some(Duration::from_secs(60)))
        .await
        .unwrap();
    assert!(store.due_statuses(10).await.unwrap().is_empty());
    clock.advance(Duration::from_secs(61));
    assert_eq!(store.due_statuses(10).await.unwrap()[0].tries, 1);
    // A newer pipeline of the same commit takes the place; the older one's news comes too late.
    store.enqueue(&arrival(&repo, push("o/web", 'a'), None)).await.unwrap();
    store
        .append(
            &claim,
            &numbered(&claim, 2, vec![finished(Status::Failed)]),
            Some(&note(Status::Failed)),
        )
        .await
        .unwrap();
    let third = store.due_statuses(10).await.unwrap();
    assert_eq!(
        third
            .iter()
            .map(|due| (due.pipeline, due.note.status, due.tries))
            .collect::<Vec<_>>(),
        [(2, Status::Queued, 0)]
    );
    store
        .status_failed(third[0].id, third[0].version, "422", None)
        .await
        .unwrap();
    assert!(store.due_statuses(10).await.unwrap().is_empty());
}

async fn secrets_of_a_repository_overrule_those_for_all<S: Store>(store: Arc<S>, clock: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    let secret = |repo, name: &str, value: &str| SealedSecret {
        repo,
        name: name.to_owned(),
        sealed: value.as_bytes().to_vec(),
        protected_only: false,
        updated_at: clock.now(),
    };
    for new in [
        secret(None, "A", "all"),
        secret(None, "B", "all"),
        secret(Some(repo.id), "B", "own"),
        secret(Some(77), "C", "other"),
    ] {
        store.put_secret(&new).await.unwrap();
    }
    assert_eq!(
        store.secrets_for(repo.id).await.unwrap(),
        [secret(None, "A", "all"), secret(Some(repo.id), "B", "own")]
    );
    assert_eq!(store.secrets_of(Some(repo.id)).await.unwrap().len(), 1);
    assert!(store.remove_secret(None, "A").await.unwrap());
    assert!(!store.remove_secret(None, "A").await.unwrap());
    assert!(store.remove_repo(repo.id).await.unwrap());
    assert!(!store.remove_repo(repo.id).await.unwrap());
    assert_eq!(store.secrets_of(Some(repo.id)).await.unwrap(), []);
    // A repository of that name that comes later is another one.
    assert_ne!(a_repo(&*store, "o/web").await.id, repo.id);
}

async fn tokens_expire_and_go<S: Store>(store: Arc<S>, clock: &HandClock) {
    let token = |name: &str, byte, expires_at| NewToken {
        name: name.into(),
        hash: [byte; 32],
        scope: Scope::Run,
        expires_at,
    };
    let soon = clock.now() + Duration::from_secs(60);
    let kept = store.add_token(&token("kept", 1, None)).await.unwrap();
    store.add_token(&token("brief", 2, Some(soon))).await.unwrap();
    assert_eq!(store.token(&[1; 32]).await.unwrap(), Some(kept.clone()));
    assert!(store.token(&[2; 32]).await.unwrap().is_some());
    assert!(store.token(&[3; 32]).await.unwrap().is_none());
    clock.advance(Duration::from_secs(61));
    assert!(store.token(&[2; 32]).await.unwrap().is_none());
    assert_eq!(store.tokens().await.unwrap().len(), 2);
    assert!(store.remove_token(kept.id).await.unwrap());
    assert!(store.token(&[1; 32]).await.unwrap().is_none());
}

async fn lists_are_paged_and_filtered<S: Store>(store: Arc<S>, _: &HandClock) {
    let (web, api) = (a_repo(&*store, "o/web").await, a_repo(&*store, "o/api").await);
    for nth in 0..5 {
        let (repo, name) = if nth % 2 == 0 { (&web, "o/web") } else { (&api, "o/api") };
        store.enqueue(&arrival(repo, push(name, 'a'), None)).await.unwrap();
    }
    let numbers = async |filter: Filter| -> Vec<u64> {
        store
            .pipelines(&filter)
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.number)
            .collect()
    };
    let all = Filter {
        limit: 2,
        ..Filter::default()
    };
    assert_eq!(numbers(all.clone()).await, [5, 4]);
    assert_eq!(
        numbers(Filter {
            before: Some(4),
            ..all.clone()
        })
        .await,
        [3, 2]
    );
    assert_eq!(
        numbers(Filter {
            repo: Some("O/Web".into()),
            limit: 9,
            ..all.clone()
        })
        .await,
        [5, 3, 1]
    );
    assert_eq!(
        numbers(Filter {
            status: Some(Status::Running),
            ..all.clone()
        })
        .await,
        [0; 0]
    );
    assert_eq!(
        numbers(Filter {
            branch: Some("main".into()),
            event: Some("push".into()),
            ..all.clone()
        })
        .await,
        [5, 4]
    );
    assert_eq!(
        numbers(Filter {
            sha: Some(sha('b').to_string()),
            ..all
        })
        .await,
        [0; 0]
    );
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.running, counts.statuses_waiting), (5, 0, 2));
}

async fn what_is_old_goes<S: Store>(store: Arc<S>, clock: &HandClock) {
    let repo = a_repo(&*store, "o/web").await;
    let day = Duration::from_secs(24 * 3600);
    store
        .enqueue(&arrival(&repo, push("o/web", 'a'), Some("d1")))
        .await
        .unwrap();
    let claim = store.claim("r1", LEASE).await.unwrap().unwrap();
    store
        .append(
            &claim,
            &numbered(&claim, 1, vec![line("a", "x"), finished(Status::Passed)]),
            None,
        )
        .await
        .unwrap();
    store
        .enqueue(&arrival(&repo, push("o/web", 'b'), Some("d2")))
        .await
        .unwrap();
    clock.advance(day * 8);
    assert_eq!(store.prune(day * 90, day * 7).await.unwrap(), (0, 2));
    assert_eq!(store.prune(day * 7, day * 7).await.unwrap(), (1, 0));
    assert_eq!(store.pipeline(1).await.unwrap(), None);
    assert!(store.events(1, 0, 10).await.unwrap().is_empty());
    // What has not ended never goes.
    assert_eq!(store.pipeline(2).await.unwrap().unwrap().status, Status::Queued);
}
