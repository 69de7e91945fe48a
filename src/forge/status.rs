//! Telling a commit what became of it: one request, one answer, judged.
//!
//! Source: GitHub REST "Create a commit status"; GitLab API "Commits: set commit pipeline status"; Gitea API
//! `repoCreateStatus`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::error::ForgeError;
use crate::event::{CommitSha, Event, ForgeKind, Trigger};
use crate::secret::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// As much of a forge's answer as is read; errors are told in less.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// As much of a forge's error as is told.
const SAID_CHARS_MAX: usize = 300;

/// How one forge is reached.
/// * `base`: where the API is: for GitHub `https://api.github.com` or `https://HOST/api/v3`, for GitLab and Gitea the
///   forge's own address. May have a path.
/// * `token`: may set statuses (GitHub: commit statuses write; GitLab: scope `api`; Gitea: `write:repository`).
#[derive(Clone)]
pub struct Connection {
    base: Url,
    token: Option<Secret>,
    client: Arc<OnceLock<Client>>,
}

impl Connection {
    /// Checks the address; nothing is sent.
    pub fn new(base: &str, token: Option<Secret>) -> Result<Self, ForgeError> {
        // What cannot be read may hide credentials, so it is not repeated.
        let wrong = |why: String| ForgeError::Address {
            at: "the configured address".to_owned(),
            why,
        };
        let url = Url::parse(base).map_err(|cause| wrong(format!("the forge's address cannot be read: {cause}")))?;
        if !["http", "https"].contains(&url.scheme()) || url.cannot_be_a_base() {
            return Err(wrong("the forge's address must be http or https".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let at = shown(&url);
            return Err(ForgeError::Address {
                at,
                why: "the forge's address may carry no credentials".to_owned(),
            });
        }
        Ok(Connection {
            base: url,
            token,
            client: Arc::default(),
        })
    }

    /// Made when first needed: reading the machine's root certificates takes time and memory. No redirect is followed, so
    /// that a token goes where it was meant to go and nowhere else.
    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Where a forge's API is when nothing else is configured; Gitea has no such place.
    pub fn public(kind: ForgeKind) -> Option<&'static str> {
        match kind {
            ForgeKind::GitHub => Some("https://api.github.com"),
            ForgeKind::GitLab => Some("https://gitlab.com"),
            ForgeKind::Gitea => None,
        }
    }
}

/// What a commit's status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusState {
    Queued,
    /// For an approval or a gate.
    Waiting,
    Running,
    Passed,
    Failed,
    Cancelled,
    Skipped,
    /// The machine's fault, not the commit's.
    Lost,
}

/// One status of one commit.
/// * `repo`: `owner/name` at the forge.
/// * `branch`: branch or tag without `refs/…`; GitLab files the status under it.
/// * `context`: which status of the commit this is; a newer one with the same context replaces it.
/// * `description`: one line; cut to what the forge takes.
/// * `target_url`: the page that a click leads to, `http(s)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    pub repo: String,
    pub sha: CommitSha,
    pub branch: Option<String>,
    pub state: StatusState,
    pub context: String,
    pub description: String,
    pub target_url: Option<String>,
}

impl StatusUpdate {
    /// The status of the commit that a trigger is about.
    pub fn of(
        trigger: &Trigger,
        state: StatusState,
        context: impl Into<String>,
        description: impl Into<String>,
        target_url: Option<String>,
    ) -> Self {
        let branch = match &trigger.event {
            Event::Push { branch, .. } | Event::Schedule { branch, .. } | Event::Manual { branch, .. } => branch,
            Event::Tag { tag } => tag,
            Event::PullRequest(request) => &request.source_branch,
        };
        StatusUpdate {
            repo: trigger.repo.clone(),
            sha: trigger.commit.clone(),
            branch: Some(branch.clone()).filter(|branch| !branch.is_empty()),
            state,
            context: context.into(),
            description: description.into(),
            target_url,
        }
    }
}

/// GitHub knows four states; the description says the rest.
pub(super) async fn to_github(connection: &Connection, update: &StatusUpdate) -> Result<(), ForgeError> {
    let state = match update.state {
        StatusState::Queued | StatusState::Waiting | StatusState::Running => "pending",
        StatusState::Passed | StatusState::Skipped => "success",
        StatusState::Failed => "failure",
        StatusState::Cancelled | StatusState::Lost => "error",
    };
    let body = json!({
        "state": state,
        "context": cut(&update.context, 255),
        "description": cut(&update.description, 140),
        "target_url": update.target_url,
    });
    let at = address(connection, &[], &repo_path(update))?;
    let headers = [
        (ACCEPT, "application/vnd.github+json".to_owned()),
        (HeaderName::from_static("x-github-api-version"), "2022-11-28".to_owned()),
        (
            AUTHORIZATION,
            format!("Bearer {}", token(connection, &at, ForgeKind::GitHub)?),
        ),
    ];
    post(connection, at, headers, &body).await.map_err(Failure::into_error)
}

/// Gitea, Forgejo and Gogs.
pub(super) async fn to_gitea(connection: &Connection, update: &StatusUpdate) -> Result<(), ForgeError> {
    let state = match update.state {
        StatusState::Queued | StatusState::Waiting | StatusState::Running => "pending",
        StatusState::Passed | StatusState::Skipped => "success",
        StatusState::Failed => "failure",
        StatusState::Cancelled | StatusState::Lost => "error",
    };
    let body = json!({
        "state": state,
        "context": cut(&update.context, 255),
        "description": cut(&update.description, 255),
        "target_url": update.target_url.as_deref().unwrap_or_default(),
    });
    let at = address(connection, &["api", "v1"], &repo_path(update))?;
    let headers = [(
        AUTHORIZATION,
        format!("token {}", token(connection, &at, ForgeKind::Gitea)?),
    )];
    post(connection, at, headers, &body).await.map_err(Failure::into_error)
}

/// GitLab keeps a little state machine for each context: it refuses a step that leads nowhere new.
pub(super) async fn to_gitlab(connection: &Connection, update: &StatusUpdate) -> Result<(), ForgeError> {
    match gitlab_status(connection, update, gitlab_state(update.state)).await {
        Err(failure) if failure.is_bad_request() && failure.said.contains("Cannot transition status via") => {
            let word = gitlab_state(update.state);
            let is_there = failure.said.contains(&format!("from :{word}"));
            match update.state {
                // The same state twice, or one that a later state has overtaken: the forge has what matters.
                StatusState::Queued | StatusState::Waiting | StatusState::Running => Ok(()),
                StatusState::Passed
                | StatusState::Failed
                | StatusState::Cancelled
                | StatusState::Skipped
                | StatusState::Lost
                    if is_there =>
                {
                    Ok(())
                }
                StatusState::Passed
                | StatusState::Failed
                | StatusState::Cancelled
                | StatusState::Skipped
                | StatusState::Lost => Err(failure.into_error()),
            }
        }
        Err(failure) if update.state == StatusState::Skipped && failure.is_bad_request() => {
            // Older versions have no `skipped`.
            gitlab_status(connection, update, "success")
                .await
                .map_err(Failure::into_error)
        }
        other => other.map_err(Failure::into_error),
    }
}

fn gitlab_state(state: StatusState) -> &'static str {
    match state {
        StatusState::Queued | StatusState::Waiting => "pending",
        StatusState::Running => "running",
        StatusState::Passed => "success",
        StatusState::Failed | StatusState::Lost => "failed",
        StatusState::Cancelled => "canceled",
        StatusState::Skipped => "skipped",
    }
}

async fn gitlab_status(connection: &Connection, update: &StatusUpdate, state: &str) -> Result<(), Failure> {
    let mut body = json!({
        "state": state,
        "name": cut(&update.context, 255),
        "description": cut(&update.description, 255),
    });
    if let Some(branch) = &update.branch {
        body["ref"] = json!(branch);
    }
    // Longer addresses are refused, and a status without a link is better than none.
    if let Some(url) = update.target_url.as_ref().filter(|url| url.chars().count() <= 255) {
        body["target_url"] = json!(url);
    }
    let path = ["projects", &update.repo, "statuses", update.sha.as_str()];
    let at = address(connection, &["api", "v4"], &path)?;
    let headers = [(
        HeaderName::from_static("private-token"),
        token(connection, &at, ForgeKind::GitLab)?.to_owned(),
    )];
    post(connection, at, headers, &body).await
}

fn repo_path(update: &StatusUpdate) -> Vec<&str> {
    let mut path = vec!["repos"];
    path.extend(update.repo.split('/'));
    path.extend(["statuses", update.sha.as_str()]);
    path
}

/// The base with the API's prefix and the path's segments, each percent-encoded: a `/` within one stays one segment.
fn address(connection: &Connection, api: &[&str], path: &[&str]) -> Result<Url, ForgeError> {
    let mut at = connection.base.clone();
    let wrong = |why: &str| ForgeError::Address {
        at: shown(&connection.base),
        why: why.to_owned(),
    };
    if path.iter().any(|part| part.is_empty() || *part == "." || *part == "..") {
        return Err(wrong("the repository's name cannot be part of an address"));
    }
    at.set_query(None);
    at.set_fragment(None);
    // Some configure the forge's address, some that of its API.
    let has_prefix = connection
        .base
        .path()
        .trim_end_matches('/')
        .ends_with(&format!("/{}", api.join("/")));
    let prefix = if has_prefix { &[] } else { api };
    at.path_segments_mut()
        .map_err(|()| wrong("the forge's address has no path"))?
        .pop_if_empty()
        .extend(prefix)
        .extend(path);
    Ok(at)
}

fn token<'a>(connection: &'a Connection, at: &Url, forge: ForgeKind) -> Result<&'a str, ForgeError> {
    match connection
        .token
        .as_ref()
        .map(Secret::reveal)
        .filter(|token| !token.is_empty())
    {
        Some(token) => Ok(token),
        None => Err(ForgeError::NoToken { forge, at: shown(at) }),
    }
}

/// An address without credentials, for people.
fn shown(at: &Url) -> String {
    let mut at = at.clone();
    // Neither fails on http addresses.
    let _ = at.set_username("");
    let _ = at.set_password(None);
    at.to_string()
}

/// A failed request before its hint is chosen.
struct Failure {
    error: ForgeError,
    status: Option<StatusCode>,
    said: String,
}

impl Failure {
    fn is_bad_request(&self) -> bool {
        self.status == Some(StatusCode::BAD_REQUEST)
    }

    fn into_error(self) -> ForgeError {
        self.error
    }
}

impl From<ForgeError> for Failure {
    fn from(error: ForgeError) -> Self {
        Failure {
            error,
            status: None,
            said: String::new(),
        }
    }
}

async fn post(
    connection: &Connection,
    at: Url,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
    body: &Value,
) -> Result<(), Failure> {
    let shown = shown(&at);
    let unreachable = |cause: reqwest::Error| ForgeError::Unreachable {
        at: shown.clone(),
        cause: cause.without_url(),
    };
    let mut request = connection.client().map_err(unreachable)?.post(at).json(body);
    request = request.header(USER_AGENT, concat!("drydock/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(&value).map_err(|_| ForgeError::Address {
            at: shown.clone(),
            why: "the configured token has characters that a header cannot carry".to_owned(),
        })?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(unreachable)?;
    if response.status().is_success() {
        return Ok(());
    }
    let (status, wait) = (response.status(), asked_to_wait(response.headers()));
    let said = said(response).await;
    Err(Failure {
        error: judge(shown, status, said.clone(), wait),
        status: Some(status),
        said,
    })
}

/// Whose fault an answer is, and what to do about it.
fn judge(at: String, status: StatusCode, said: String, retry_after: Option<Duration>) -> ForgeError {
    let code = status.as_u16();
    let limited = code == 403 && (retry_after.is_some() || said.to_ascii_lowercase().contains("rate limit"));
    if status.is_server_error() || [408, 425, 429].contains(&code) || limited {
        return ForgeError::Busy {
            at,
            status: code,
            said,
            retry_after,
        };
    }
    let denied = |hint| ForgeError::Denied {
        at: at.clone(),
        status: code,
        said: said.clone(),
        hint,
    };
    let refused = |hint| ForgeError::Refused {
        at: at.clone(),
        status: code,
        said: said.clone(),
        hint,
    };
    match code {
        401 => denied("the token is wrong, expired or revoked"),
        403 => denied("the token may not set statuses on this repository"),
        404 => denied("the forge knows no such repository or commit, or the token may not see it"),
        300..=399 => denied("the forge's address leads elsewhere; configure the address it leads to"),
        409 | 422 => refused("the forge will not take this status; it may have too many for this commit"),
        _ => refused("the forge will not take this status"),
    }
}

/// `Retry-After` in seconds or as a date, or GitHub's `x-ratelimit-reset` when nothing remains. Dates are measured against the
/// forge's own `Date`.
fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let until = |then: Timestamp| {
        let seconds = then
            .as_second()
            .saturating_sub(text("date").and_then(date)?.as_second());
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    };
    if let Some(asked) = text(RETRY_AFTER.as_str()) {
        return match asked.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => until(date(asked)?),
        };
    }
    if text("x-ratelimit-remaining")? != "0" {
        return None;
    }
    until(Timestamp::from_second(text("x-ratelimit-reset")?.parse().ok()?).ok()?)
}

/// The forge's own words, on one line and not too many.
async fn said(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let message =
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(answer)) => ["message", "error", "error_description"]
                .iter()
                .find_map(|key| match answer.get(*key)? {
                    Value::String(message) => Some(message.clone()),
                    other => Some(other.to_string()),
                }),
            Ok(_) | Err(_) => None,
        };
    let message = message.unwrap_or_else(|| text.into_owned());
    let line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.is_empty() {
        true => "(nothing)".to_owned(),
        false => cut(&line, SAID_CHARS_MAX),
    }
}

/// At most `chars_max` characters on one line; what is cut ends in `…`.
fn cut(text: &str, chars_max: usize) -> String {
    let line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let line = line.trim();
    if line.chars().count() <= chars_max {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
