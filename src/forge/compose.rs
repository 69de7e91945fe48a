//! Deliveries made here, as a forge would make and sign them: for `drydock trigger`, for the demo, and for trying a server
//! without a forge.

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde_json::{Value, json};

use super::signature;
use crate::event::{Changed, CommitSha, ForgeKind};
use crate::secret::Secret;

/// Git's "no commit", which forges send as what was there before a new branch.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// What is told to have happened.
/// * `repo`: `owner/name`.
/// * `commit`: the head of the branch or pull request, or the tag's commit.
/// * `changed`: what the commit changed; it ends up in the payload's one commit, and unknown stays unknown.
#[derive(Debug, Clone)]
pub struct Happened {
    pub repo: String,
    pub clone_url: String,
    pub default_branch: String,
    pub commit: CommitSha,
    pub message: String,
    pub actor: String,
    pub changed: Changed,
    pub what: What,
}

/// * `before`: the branch's former head; none for a new branch.
/// * `source_repo`: where the head of a pull request is; another repository for a fork.
#[derive(Debug, Clone)]
pub enum What {
    Push {
        branch: String,
        before: Option<CommitSha>,
    },
    Tag {
        tag: String,
    },
    PullRequest {
        number: u64,
        title: String,
        source_repo: String,
        source_branch: String,
        target_branch: String,
    },
}

/// The kinds of deliveries that can be made; names their header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Push,
    Tag,
    PullRequest,
}

impl Hook {
    /// The event's name in the forge's header.
    pub fn event_name(self, forge: ForgeKind) -> &'static str {
        match (forge, self) {
            (ForgeKind::GitHub | ForgeKind::Gitea, Hook::Push | Hook::Tag) => "push",
            (ForgeKind::GitHub | ForgeKind::Gitea, Hook::PullRequest) => "pull_request",
            (ForgeKind::GitLab, Hook::Push) => "Push Hook",
            (ForgeKind::GitLab, Hook::Tag) => "Tag Push Hook",
            (ForgeKind::GitLab, Hook::PullRequest) => "Merge Request Hook",
        }
    }
}

impl Happened {
    pub fn hook(&self) -> Hook {
        match self.what {
            What::Push { .. } => Hook::Push,
            What::Tag { .. } => Hook::Tag,
            What::PullRequest { .. } => Hook::PullRequest,
        }
    }

    /// The JSON body that the forge would send.
    pub fn payload(&self, forge: ForgeKind) -> Value {
        match (forge, &self.what) {
            (ForgeKind::GitHub | ForgeKind::Gitea, What::Push { branch, before }) => {
                self.hub_push(&format!("refs/heads/{branch}"), before.as_ref())
            }
            (ForgeKind::GitHub | ForgeKind::Gitea, What::Tag { tag }) => {
                self.hub_push(&format!("refs/tags/{tag}"), None)
            }
            (
                ForgeKind::GitHub | ForgeKind::Gitea,
                What::PullRequest {
                    number,
                    title,
                    source_repo,
                    source_branch,
                    target_branch,
                },
            ) => json!({
                "action": "opened",
                "number": number,
                "pull_request": {
                    "number": number,
                    "state": "open",
                    "title": title,
                    "draft": false,
                    "labels": [],
                    "user": { "login": self.actor },
                    "head": { "ref": source_branch, "sha": self.commit, "repo": self.hub_repository(source_repo) },
                    "base": { "ref": target_branch, "repo": self.hub_repository(&self.repo) },
                },
                "repository": self.hub_repository(&self.repo),
                "sender": { "login": self.actor },
            }),
            (ForgeKind::GitLab, What::Push { branch, before }) => {
                self.gitlab_push("push", &format!("refs/heads/{branch}"), before.as_ref())
            }
            (ForgeKind::GitLab, What::Tag { tag }) => self.gitlab_push("tag_push", &format!("refs/tags/{tag}"), None),
            (
                ForgeKind::GitLab,
                What::PullRequest {
                    number,
                    title,
                    source_repo,
                    source_branch,
                    target_branch,
                },
            ) => json!({
                "object_kind": "merge_request",
                "event_type": "merge_request",
                "user": { "username": self.actor },
                "project": self.gitlab_project(&self.repo),
                "object_attributes": {
                    "iid": number,
                    "action": "open",
                    "state": "opened",
                    "title": title,
                    "draft": false,
                    "source_branch": source_branch,
                    "target_branch": target_branch,
                    "source": self.gitlab_project(source_repo),
                    "target": self.gitlab_project(&self.repo),
                    "last_commit": { "id": self.commit, "message": self.message },
                },
                "labels": [],
            }),
        }
    }

    fn commit(&self) -> Value {
        let mut commit = json!({
            "id": self.commit,
            "message": self.message,
            "author": { "name": self.actor, "username": self.actor },
        });
        if let Changed::Paths(paths) = &self.changed {
            (commit["added"], commit["removed"], commit["modified"]) = (json!([]), json!([]), json!(paths));
        }
        commit
    }

    fn hub_push(&self, git_ref: &str, before: Option<&CommitSha>) -> Value {
        json!({
            "ref": git_ref,
            "before": before.map_or(NO_COMMIT, CommitSha::as_str),
            "after": self.commit,
            "created": before.is_none(),
            "deleted": false,
            "forced": false,
            "commits": [self.commit()],
            "total_commits": 1,
            "head_commit": self.commit(),
            "repository": self.hub_repository(&self.repo),
            "pusher": { "name": self.actor },
            "sender": { "login": self.actor },
        })
    }

    fn hub_repository(&self, name: &str) -> Value {
        let (owner, short) = name.rsplit_once('/').unwrap_or(("", name));
        json!({
            "name": short,
            "full_name": name,
            "owner": { "login": owner },
            "clone_url": self.clone_url,
            "default_branch": self.default_branch,
        })
    }

    fn gitlab_push(&self, kind: &str, git_ref: &str, before: Option<&CommitSha>) -> Value {
        json!({
            "object_kind": kind,
            "event_name": kind,
            "ref": git_ref,
            "before": before.map_or(NO_COMMIT, CommitSha::as_str),
            "after": self.commit,
            "checkout_sha": self.commit,
            "user_username": self.actor,
            "project": self.gitlab_project(&self.repo),
            "commits": [self.commit()],
            "total_commits_count": 1,
        })
    }

    fn gitlab_project(&self, path: &str) -> Value {
        json!({
            "name": path.rsplit('/').next().unwrap_or(path),
            "path_with_namespace": path,
            "git_http_url": self.clone_url,
            "default_branch": self.default_branch,
        })
    }
}

/// The headers of a delivery, signed as the forge signs. A GitLab secret that begins with `whsec_` is a signing token, any
/// other is sent as `X-Gitlab-Token`.
/// * `delivery`: the delivery's id, visible ASCII; the same id twice is a repeated delivery.
///
/// Errors: the secret or the id cannot stand in a header; says which.
pub fn signed_headers(
    forge: ForgeKind,
    hook: Hook,
    body: &[u8],
    secret: &Secret,
    delivery: &str,
    now: Timestamp,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("drydock-trigger/", env!("CARGO_PKG_VERSION"))),
    );
    let mut put = |name: &'static str, value: &str, what: &str| match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        }
        Err(_) => Err(format!("the {what} has characters that an HTTP header cannot carry")),
    };
    let event = hook.event_name(forge);
    let digest = || hex::encode(signature::hmac_sha256(secret.reveal().as_bytes(), &[body]));
    match forge {
        ForgeKind::GitHub => {
            put("x-github-event", event, "event")?;
            put("x-github-delivery", delivery, "delivery id")?;
            put("x-hub-signature-256", &format!("sha256={}", digest()), "signature")?;
        }
        ForgeKind::Gitea => {
            put("x-gitea-event", event, "event")?;
            put("x-github-event", event, "event")?;
            put("x-gitea-delivery", delivery, "delivery id")?;
            put("x-gitea-signature", &digest(), "signature")?;
            put("x-hub-signature-256", &format!("sha256={}", digest()), "signature")?;
        }
        ForgeKind::GitLab => {
            put("x-gitlab-event", event, "event")?;
            put("idempotency-key", delivery, "delivery id")?;
            match signature::signing_key(secret.reveal()) {
                Some(key) => {
                    let seconds = now.as_second().to_string();
                    put("webhook-id", delivery, "delivery id")?;
                    put("webhook-timestamp", &seconds, "time")?;
                    put(
                        "webhook-signature",
                        &signature::standard_webhook(&key, delivery, &seconds, body),
                        "signature",
                    )?;
                }
                None => put("x-gitlab-token", secret.reveal(), "secret")?,
            }
        }
    }
    Ok(headers)
}
