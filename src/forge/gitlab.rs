//! GitLab. What a delivery is, its body says (`object_kind`, in system hooks `event_name`); the header only repeats it.
//!
//! Source: GitLab documentation, "Webhook events", "System hooks", "Commits API: set commit pipeline status".

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::decide::{Protected, changed_by, trust_of};
use super::hub::{Ref, cut_message, labels, nothing_starts_on, start_by_action, start_unless_skipped};
use super::read::Place;
use super::status::{Connection, StatusUpdate};
use super::{Forge, ForgeError, Kind, Start, Understood, WebhookError, headers, read, signature, status};
use crate::event::{Changed, Event, ForgeKind, PullRequest, Trigger};
use crate::secret::Secret;

/// `POST /hooks/gitlab`, and `POST {base}/api/v4/projects/{path}/statuses/{sha}`.
pub struct GitLab {
    connection: Connection,
}

impl GitLab {
    pub fn new(connection: Connection) -> Self {
        GitLab { connection }
    }
}

#[async_trait]
impl Forge for GitLab {
    fn kind(&self) -> ForgeKind {
        ForgeKind::GitLab
    }

    /// A signing token (a secret that begins with `whsec_`) proves by `webhook-signature`, any other secret by
    /// `X-Gitlab-Token`. A signature that is there and can be checked decides alone.
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&Secret],
        now: Timestamp,
    ) -> Result<usize, WebhookError> {
        signature::require_secret(ForgeKind::GitLab, secrets)?;
        let (signed, token) = (
            headers::one(headers, "webhook-signature")?,
            headers::one(headers, "X-Gitlab-Token")?,
        );
        let can_check = secrets
            .iter()
            .any(|secret| signature::signing_key(secret.reveal()).is_some());
        match (signed, token) {
            (Some(signatures), _) if can_check => {
                let id = headers::one(headers, "webhook-id")?.ok_or(WebhookError::Unsigned { wanted: "webhook-id" })?;
                let timestamp = headers::one(headers, "webhook-timestamp")?.ok_or(WebhookError::Unsigned {
                    wanted: "webhook-timestamp",
                })?;
                signature::check_standard_webhook(signatures, id, timestamp, body, secrets, now)
            }
            (_, Some(token)) => signature::check_token("X-Gitlab-Token", token, secrets),
            (Some(_), None) => Err(WebhookError::WrongSignature {
                name: "webhook-signature",
            }),
            (None, None) if can_check => Err(WebhookError::Unsigned {
                wanted: "webhook-signature",
            }),
            (None, None) => Err(WebhookError::Unsigned {
                wanted: "X-Gitlab-Token",
            }),
        }
    }

    fn parse(&self, headers: &HeaderMap, body: &[u8]) -> Result<Understood, WebhookError> {
        // `webhook-id` is covered by the signature, the others are not.
        let delivery = headers::delivery(headers, &["webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID"])?;
        let header = headers::first(headers, &["X-Gitlab-Event"])?;
        let payload = Arc::new(read::json(headers, body)?);
        understand(header, delivery, payload)
    }

    async fn set_status(&self, update: &StatusUpdate) -> Result<(), ForgeError> {
        status::to_gitlab(&self.connection, update).await
    }
}

fn understand(header: Option<&str>, delivery: Option<String>, payload: Arc<Value>) -> Result<Understood, WebhookError> {
    let root = Place::root(&payload);
    let kind = match root.get("object_kind")?.text()? {
        Some(kind) => Some(kind),
        None => root.get("event_name")?.text()?,
    };
    match kind {
        Some("push" | "tag_push") => push(&root, delivery, &payload),
        Some("merge_request") => merge_request(&root, delivery, &payload),
        Some(other) => Ok(idle(&root, delivery, Kind::Other, nothing_starts_on(other))),
        None => match header {
            Some(header) => Ok(idle(&root, delivery, Kind::Other, nothing_starts_on(header))),
            None => Err(WebhookError::NoEvent {
                wanted: "X-Gitlab-Event",
            }),
        },
    }
}

/// An answer about no commit; the project is told if it can be read.
fn idle(root: &Place<'_>, delivery: Option<String>, kind: Kind, reason: impl Into<String>) -> Understood {
    Understood {
        kind,
        repo: root
            .way(&["project", "path_with_namespace"])
            .and_then(|place| place.repo())
            .ok()
            .flatten(),
        sha: None,
        git_ref: None,
        base: None,
        fork: false,
        reason: reason.into(),
        delivery,
        start: Start::Nothing,
    }
}

fn push(root: &Place<'_>, delivery: Option<String>, payload: &Arc<Value>) -> Result<Understood, WebhookError> {
    let repo = required_repo(&root.way(&["project", "path_with_namespace"])?)?;
    let git_ref_at = root.get("ref")?;
    let git_ref = git_ref_at.ref_name()?.ok_or_else(|| git_ref_at.wrong("a ref"))?;
    let mut understood = idle(root, delivery.clone(), Kind::Other, "");
    understood.git_ref = Some(git_ref.to_owned());
    let pushed = match Ref::of(git_ref) {
        Some(pushed) => pushed,
        None if git_ref.starts_with("refs/") => {
            understood.reason = format!("`{git_ref}` is neither a branch nor a tag");
            return Ok(understood);
        }
        None => return Err(git_ref_at.wrong("a full ref: refs/heads/… or refs/tags/…")),
    };
    let after = root.get("after")?;
    if after.is_stated() && after.sha()?.is_none() {
        understood.kind = Kind::Delete;
        understood.reason = format!("{pushed} was deleted: there is nothing to run on");
        return Ok(understood);
    }

    // For an annotated tag `after` is the tag's object and `checkout_sha` the commit under it.
    let commit = match root.get("checkout_sha")?.sha()? {
        Some(commit) => commit,
        None => after.sha()?.ok_or_else(|| after.wrong("a commit id"))?,
    };
    let before = root.get("before")?.sha()?;
    let created = before.is_none();
    let commits = root.get("commits")?;
    let (event, changed) = match &pushed {
        Ref::Tag(tag) => (Event::Tag { tag: tag.clone() }, Changed::Unknown),
        Ref::Branch(branch) => {
            let changed = match created {
                true => Changed::Unknown,
                // GitLab lists 20 commits and counts all.
                false => changed_by(&commits, root.get("total_commits_count")?.number()?, usize::MAX)?,
            };
            (
                Event::Push {
                    branch: branch.clone(),
                    before,
                    forced: false,
                },
                changed,
            )
        }
    };
    let mut message = "";
    for listed in commits.list()?.unwrap_or_default() {
        if listed.get("id")?.text()? == Some(commit.as_str()) {
            message = listed.get("message")?.text()?.unwrap_or_default();
        }
    }
    let default_branch = root.way(&["project", "default_branch"])?.ref_name()?.map(str::to_owned);
    let trigger = Trigger {
        forge: Some(ForgeKind::GitLab),
        clone_url: root.way(&["project", "git_http_url"])?.text()?.map(str::to_owned),
        commit: commit.clone(),
        git_ref: git_ref.to_owned(),
        changed,
        message: cut_message(message),
        actor: actor(root)?,
        delivery,
        trust: trust_of(&repo, &event, default_branch.as_deref(), &Protected::default()),
        default_branch,
        payload: payload.clone(),
        repo,
        event,
    };
    understood.kind = pushed.kind();
    understood.sha = Some(commit);
    (understood.start, understood.reason) = if push_option_skips(root)? {
        let reason = format!("{}, with `git push -o ci.skip`", pushed.pushed(created));
        (Start::SkippedByAuthor(Box::new(trigger)), reason)
    } else {
        start_unless_skipped(trigger, message, pushed.pushed(created))
    };
    Ok(understood)
}

/// `git push -o ci.skip`, which the payload carries as `"push_options": {"ci": {"skip": true}}`.
fn push_option_skips(root: &Place<'_>) -> Result<bool, WebhookError> {
    let options = root.get("push_options")?;
    if let Ok(Some(listed)) = options.list() {
        return Ok(listed.iter().any(|option| matches!(option.text(), Ok(Some("ci.skip")))));
    }
    let skip = options.way(&["ci", "skip"])?;
    Ok(skip.is_stated() && skip.flag().unwrap_or(true))
}

fn merge_request(root: &Place<'_>, delivery: Option<String>, payload: &Arc<Value>) -> Result<Understood, WebhookError> {
    let request = root.get("object_attributes")?;
    let (source, target) = (request.get("source")?, request.get("target")?);
    let project = root.way(&["project", "path_with_namespace"])?;
    let repo = match project.repo()? {
        Some(repo) => repo,
        None => required_repo(&target.get("path_with_namespace")?)?,
    };
    let number = request.get("iid")?.number()?;
    let commit = request.way(&["last_commit", "id"])?.sha()?;
    let target_branch = request.get("target_branch")?.ref_name()?;
    let fork = !same_project(&request, &source, &target)?;

    let mut understood = idle(root, delivery.clone(), Kind::PullRequest, "");
    understood.repo = Some(repo.clone());
    understood.sha = commit.clone();
    understood.git_ref = number.map(|number| format!("refs/merge-requests/{number}/head"));
    understood.base = target_branch.map(str::to_owned);
    understood.fork = fork;
    let known = match (number, commit, target_branch) {
        (Some(number), Some(commit), Some(target)) => Ok((number, commit, target.to_owned())),
        (None, _, _) => Err("iid"),
        (_, None, _) => Err("last commit"),
        (_, _, None) => Err("target branch"),
    };
    let (number, commit, target_branch) = match known {
        Ok(known) => known,
        Err(what) => {
            understood.reason = format!("the payload does not tell the merge request's {what}, so nothing can be run");
            return Ok(understood);
        }
    };

    let Some(word) = request.get("action")?.text()? else {
        understood.reason = format!("the payload does not tell what happened to merge request !{number}");
        return Ok(understood);
    };
    let action = match word {
        "open" => "opened",
        "reopen" => "reopened",
        "close" | "merge" => "closed",
        // GitLab tells the former head only where commits were pushed.
        "update" if request.get("oldrev")?.is_stated() => "synchronize",
        "update" => "edited",
        other => other,
    };
    let source_repo = match fork {
        false => repo.clone(),
        true => {
            let name = source.get("path_with_namespace")?.repo()?;
            name.filter(|name| !name.eq_ignore_ascii_case(&repo))
                .unwrap_or_default()
        }
    };
    let label_list = match root.get("labels")? {
        top if top.is_stated() => top,
        _ => request.get("labels")?,
    };
    let event = Event::PullRequest(PullRequest {
        number,
        action: action.to_owned(),
        title: request.get("title")?.text()?.unwrap_or_default().to_owned(),
        source_branch: request.get("source_branch")?.ref_name()?.unwrap_or_default().to_owned(),
        source_repo,
        target_branch,
        base: None,
        draft: request.get("draft")?.flag()? || request.get("work_in_progress")?.flag()?,
        labels: labels(&label_list, "title")?,
    });
    let default_branch = root.way(&["project", "default_branch"])?.ref_name()?.map(str::to_owned);
    let message = request.way(&["last_commit", "message"])?.text()?.unwrap_or_default();
    let trigger = Trigger {
        forge: Some(ForgeKind::GitLab),
        clone_url: root.way(&["project", "git_http_url"])?.text()?.map(str::to_owned),
        commit,
        git_ref: format!("refs/merge-requests/{number}/head"),
        changed: Changed::Unknown,
        message: cut_message(message),
        actor: actor(root)?,
        delivery,
        trust: trust_of(&repo, &event, default_branch.as_deref(), &Protected::default()),
        default_branch,
        payload: payload.clone(),
        repo,
        event,
    };
    (understood.start, understood.reason) = match start_by_action(trigger, &format!("merge request !{number}"), action)
    {
        (Start::Pipeline(trigger), reason) => start_unless_skipped(*trigger, message, reason),
        other => other,
    };
    Ok(understood)
}

/// Whether a merge request's source is certainly the project that it asks: ids and paths must both agree, where told.
fn same_project(request: &Place<'_>, source: &Place<'_>, target: &Place<'_>) -> Result<bool, WebhookError> {
    let ids = (
        request.get("source_project_id")?.number()?,
        request.get("target_project_id")?.number()?,
    );
    let paths = (
        source.get("path_with_namespace")?.repo()?,
        target.get("path_with_namespace")?.repo()?,
    );
    Ok(match (ids, paths) {
        ((Some(from), Some(to)), (Some(from_path), Some(to_path))) => from == to && from_path == to_path,
        ((Some(from), Some(to)), (None, _) | (_, None)) => from == to,
        ((None, _) | (_, None), (Some(from_path), Some(to_path))) => from_path == to_path,
        ((None, _) | (_, None), (None, _) | (_, None)) => false,
    })
}

fn required_repo(place: &Place<'_>) -> Result<String, WebhookError> {
    place.repo()?.ok_or_else(|| place.wrong("a project as `group/name`"))
}

fn actor(root: &Place<'_>) -> Result<String, WebhookError> {
    for way in [
        &["user_username"][..],
        &["user", "username"],
        &["user_name"],
        &["user", "name"],
    ] {
        if let Some(name) = root.way(way)?.text()? {
            return Ok(name.to_owned());
        }
    }
    Ok(String::new())
}
