//! The payloads that GitHub invented and Gitea, Forgejo and Gogs took over: push, pull_request, delete, ping.
//!
//! Source: the webhook documentation of GitHub ("Webhook events and payloads"), Gitea and Gogs.

use std::sync::Arc;

use serde_json::Value;

use super::decide::{Protected, asked_to_skip, changed_by, trust_of};
use super::error::WebhookError;
use super::read::Place;
use super::{Kind, Start, Understood};
use crate::event::{Changed, Event, ForgeKind, PullRequest, Trigger};

/// Longest message that a trigger carries.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What differs between the forges that speak this dialect.
pub(super) struct Flavour {
    pub(super) forge: ForgeKind,
    /// The forge's word for what happened to a pull request, in Drydock's words (which are GitHub's).
    pub(super) action: fn(&str) -> &str,
    /// A push's list of commits that is this long may have been cut.
    pub(super) commits_listed_max: usize,
    /// Where the forge says how many commits there were; none: the list is whole.
    pub(super) commits_total: Option<&'static str>,
}

/// One delivery, read: its event's name, its id, its JSON.
pub(super) struct Delivery {
    pub(super) event: String,
    pub(super) id: Option<String>,
    pub(super) payload: Arc<Value>,
}

pub(super) fn understand(flavour: &Flavour, delivery: Delivery) -> Result<Understood, WebhookError> {
    match delivery.event.as_str() {
        "push" => push(flavour, &delivery),
        "pull_request" => pull_request(flavour, &delivery),
        "ping" => Ok(idle(&delivery, Kind::Ping, "the webhook works")),
        "delete" => {
            let root = Place::root(&delivery.payload);
            let what = in_few_words(root.get("ref_type")?.text()?.unwrap_or("branch or tag"));
            let name = root.get("ref")?.ref_name()?.unwrap_or("(unnamed)");
            Ok(idle(
                &delivery,
                Kind::Delete,
                format!("the {what} `{name}` was deleted: there is nothing to run on"),
            ))
        }
        "create" => Ok(idle(
            &delivery,
            Kind::Other,
            "a branch or tag was created: the push that comes with it says the rest",
        )),
        other => Ok(idle(&delivery, Kind::Other, nothing_starts_on(other))),
    }
}

pub(super) fn nothing_starts_on(event: &str) -> String {
    let event = in_few_words(event);
    format!("`{event}` starts no pipeline: pushes, tags and pull requests do")
}

/// A word of the sender's, fit to stand in a sentence: short, and nothing in it that moves a terminal's cursor.
fn in_few_words(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(60).collect()
}

/// An answer about no commit; the repository is told if it can be read.
fn idle(delivery: &Delivery, kind: Kind, reason: impl Into<String>) -> Understood {
    let root = Place::root(&delivery.payload);
    Understood {
        kind,
        repo: root
            .get("repository")
            .and_then(|place| full_name(&place))
            .ok()
            .flatten(),
        sha: None,
        git_ref: None,
        base: None,
        fork: false,
        reason: reason.into(),
        delivery: delivery.id.clone(),
        start: Start::Nothing,
    }
}

fn push(flavour: &Flavour, delivery: &Delivery) -> Result<Understood, WebhookError> {
    let root = Place::root(&delivery.payload);
    let repo = required_repo(&root)?;
    let git_ref = root.get("ref")?;
    let git_ref = git_ref.ref_name()?.ok_or_else(|| git_ref.wrong("a ref"))?;
    let after = root.get("after")?;
    let deleted = root.get("deleted")?.flag()? || (after.is_stated() && after.sha()?.is_none());

    let mut understood = idle(delivery, Kind::Other, "");
    understood.repo = Some(repo.clone());
    understood.git_ref = Some(git_ref.to_owned());
    let pushed = match Ref::of(git_ref) {
        Some(pushed) => pushed,
        None if git_ref.starts_with("refs/") => {
            understood.reason = format!("`{git_ref}` is neither a branch nor a tag");
            return Ok(understood);
        }
        None => return Err(root.get("ref")?.wrong("a full ref: refs/heads/… or refs/tags/…")),
    };
    if deleted {
        understood.kind = Kind::Delete;
        understood.reason = format!("{pushed} was deleted: there is nothing to run on");
        return Ok(understood);
    }

    let head = root.get("head_commit")?;
    let after = after.sha()?.ok_or_else(|| after.wrong("a commit id"))?;
    let before = root.get("before")?.sha()?;
    let forced = root.get("forced")?.flag()?;
    let created = before.is_none();
    let (event, commit, changed) = match &pushed {
        // An annotated tag is an object of its own; the commit under it is the head commit.
        Ref::Tag(tag) => (
            Event::Tag { tag: tag.clone() },
            head.get("id")?.sha()?.unwrap_or(after),
            Changed::Unknown,
        ),
        Ref::Branch(branch) => {
            let changed = if created || forced {
                Changed::Unknown
            } else {
                changed_paths(flavour, &root)?
            };
            (
                Event::Push {
                    branch: branch.clone(),
                    before,
                    forced,
                },
                after,
                changed,
            )
        }
    };
    understood.kind = pushed.kind();
    understood.sha = Some(commit.clone());
    let message = head.get("message")?.text()?.unwrap_or_default();
    let trigger = Trigger {
        forge: Some(flavour.forge),
        clone_url: clone_url(&root)?,
        default_branch: default_branch(&root)?,
        commit,
        git_ref: git_ref.to_owned(),
        changed,
        message: cut_message(message),
        actor: actor(&root)?,
        delivery: delivery.id.clone(),
        trust: trust_of(&repo, &event, default_branch(&root)?.as_deref(), &Protected::default()),
        payload: delivery.payload.clone(),
        repo,
        event,
    };
    (understood.start, understood.reason) = start_unless_skipped(trigger, message, pushed.pushed(created));
    Ok(understood)
}

/// As much of a commit's message as a trigger keeps; the payload has the rest.
pub(super) fn cut_message(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// A pipeline, with the reason why; or none, where the commit's message asks for none.
pub(super) fn start_unless_skipped(trigger: Trigger, message: &str, reason: String) -> (Start, String) {
    match asked_to_skip(message) {
        None => (Start::Pipeline(Box::new(trigger)), reason),
        Some(marker) => {
            let reason = format!(
                "{reason}, but the message of {} says `{marker}`",
                trigger.commit.short()
            );
            (Start::SkippedByAuthor(Box::new(trigger)), reason)
        }
    }
}

fn changed_paths(flavour: &Flavour, root: &Place<'_>) -> Result<Changed, WebhookError> {
    let commits = root.get("commits")?;
    let total = match flavour.commits_total {
        Some(key) => root.get(key)?.number()?,
        None => commits.list()?.map(|commits| commits.len() as u64),
    };
    changed_by(&commits, total, flavour.commits_listed_max)
}

fn pull_request(flavour: &Flavour, delivery: &Delivery) -> Result<Understood, WebhookError> {
    let root = Place::root(&delivery.payload);
    let request = root.get("pull_request")?;
    let repo = required_repo(&root)?;
    let number = match root.get("number")?.number()? {
        Some(number) => Some(number),
        None => request.get("number")?.number()?,
    };
    let (head, base) = (request.get("head")?, request.get("base")?);
    // Gogs has flat names and tells no commit.
    let source_branch = either(head.get("ref")?.ref_name()?, request.get("head_branch")?.ref_name()?);
    let target_branch = either(base.get("ref")?.ref_name()?, request.get("base_branch")?.ref_name()?);
    let head_repo = if head.is_stated() {
        head.get("repo")?
    } else {
        request.get("head_repo")?
    };
    let base_repo = if base.is_stated() {
        base.get("repo")?
    } else {
        request.get("base_repo")?
    };
    let fork = !same_repo(&head_repo, &base_repo, &repo)?;
    let commit = head.get("sha")?.sha()?;

    let mut understood = idle(delivery, Kind::PullRequest, "");
    understood.repo = Some(repo.clone());
    understood.sha = commit.clone();
    understood.git_ref = number.map(|number| format!("refs/pull/{number}/merge"));
    understood.base = target_branch.map(str::to_owned);
    understood.fork = fork;
    let missing = match (number, &commit, target_branch) {
        (Some(number), Some(commit), Some(target)) => Ok((number, commit.clone(), target.to_owned())),
        (None, _, _) => Err("number"),
        (_, None, _) => Err("head commit"),
        (_, _, None) => Err("target branch"),
    };
    let (number, commit, target_branch) = match missing {
        Ok(known) => known,
        Err(what) => {
            understood.reason = format!("the payload does not tell the pull request's {what}, so nothing can be run");
            return Ok(understood);
        }
    };

    let Some(action) = root.get("action")?.text()? else {
        understood.reason = format!("the payload does not tell what happened to pull request #{number}");
        return Ok(understood);
    };
    let action = (flavour.action)(action).to_owned();
    let title = request.get("title")?.text()?.unwrap_or_default();
    let event = Event::PullRequest(PullRequest {
        number,
        action: action.clone(),
        title: title.to_owned(),
        source_branch: source_branch.unwrap_or_default().to_owned(),
        source_repo: if fork {
            foreign_name(&head_repo, &repo)?
        } else {
            repo.clone()
        },
        target_branch,
        base: base.get("sha")?.sha()?,
        draft: request.get("draft")?.flag()? || marked_as_draft(title),
        labels: labels(&request.get("labels")?, "name")?,
    });
    let trigger = Trigger {
        forge: Some(flavour.forge),
        clone_url: clone_url(&root)?,
        default_branch: default_branch(&root)?,
        commit,
        git_ref: format!("refs/pull/{number}/head"),
        changed: Changed::Unknown,
        message: title.to_owned(),
        actor: actor(&root)?,
        delivery: delivery.id.clone(),
        trust: trust_of(&repo, &event, default_branch(&root)?.as_deref(), &Protected::default()),
        payload: delivery.payload.clone(),
        repo,
        event,
    };
    (understood.start, understood.reason) = start_by_action(trigger, &format!("pull request #{number}"), &action);
    Ok(understood)
}

/// Opened, reopened and new commits start a pipeline; whatever else happens to a pull request does so only for workflows
/// that name it.
pub(super) fn start_by_action(trigger: Trigger, what: &str, action: &str) -> (Start, String) {
    let happened = match action {
        "opened" => "was opened",
        "reopened" => "was reopened",
        "synchronize" => "has new commits",
        other => {
            let other = in_few_words(other);
            let reason = format!("{what}: `{other}` changes no commit, so only workflows that name it would run");
            return (Start::OnlyIfNamed(Box::new(trigger)), reason);
        }
    };
    (Start::Pipeline(Box::new(trigger)), format!("{what} {happened}"))
}

/// A branch or a tag, from a full ref.
pub(super) enum Ref {
    Branch(String),
    Tag(String),
}

impl Ref {
    pub(super) fn of(git_ref: &str) -> Option<Ref> {
        let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        match git_ref.strip_prefix("refs/heads/") {
            Some(branch) => named(branch).map(Ref::Branch),
            None => git_ref.strip_prefix("refs/tags/").and_then(named).map(Ref::Tag),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Ref::Branch(_) => Kind::Push,
            Ref::Tag(_) => Kind::Tag,
        }
    }

    pub(super) fn pushed(&self, created: bool) -> String {
        match (self, created) {
            (Ref::Branch(branch), true) => format!("the new branch `{branch}` was pushed"),
            (Ref::Branch(branch), false) => format!("commits were pushed to `{branch}`"),
            (Ref::Tag(tag), true) => format!("the tag `{tag}` was pushed"),
            (Ref::Tag(tag), false) => format!("the tag `{tag}` was moved"),
        }
    }
}

impl std::fmt::Display for Ref {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ref::Branch(name) => write!(out, "the branch `{name}`"),
            Ref::Tag(name) => write!(out, "the tag `{name}`"),
        }
    }
}

/// Whether a pull request's head is certainly in the repository that it asks. Ids and names must both agree, where told;
/// a repository that is not told (a deleted fork) is not certain.
fn same_repo(head: &Place<'_>, base: &Place<'_>, repo: &str) -> Result<bool, WebhookError> {
    let Some(head_name) = full_name(head)? else {
        return Ok(false);
    };
    let base_name = full_name(base)?.unwrap_or_else(|| repo.to_owned());
    let ids_agree = match (head.get("id")?.number()?, base.get("id")?.number()?) {
        (Some(head), Some(base)) => head == base,
        (None, _) | (_, None) => true,
    };
    Ok(ids_agree && head_name.eq_ignore_ascii_case(&base_name))
}

/// The name of a fork; empty where it is not told or claims to be the repository itself.
pub(super) fn foreign_name(head_repo: &Place<'_>, repo: &str) -> Result<String, WebhookError> {
    Ok(full_name(head_repo)?
        .filter(|name| !name.eq_ignore_ascii_case(repo))
        .unwrap_or_default())
}

/// `full_name`, or what it is made of.
fn full_name(repository: &Place<'_>) -> Result<Option<String>, WebhookError> {
    if let Some(name) = repository.get("full_name")?.repo()? {
        return Ok(Some(name));
    }
    let owner = repository.get("owner")?;
    if !owner.is_stated() {
        return Ok(None);
    }
    let owner = either(
        owner.get("login")?.text()?,
        either(owner.get("username")?.text()?, owner.get("name")?.text()?),
    );
    match (owner, repository.get("name")?.text()?) {
        (Some(owner), Some(name)) => {
            let name = Value::String(format!("{owner}/{name}"));
            Place::root(&name).repo()
        }
        (None, _) | (_, None) => Ok(None),
    }
}

fn required_repo(root: &Place<'_>) -> Result<String, WebhookError> {
    let repository = root.get("repository")?;
    full_name(&repository)?.ok_or_else(|| match repository.get("full_name") {
        Ok(place) => place.wrong("a repository as `owner/name`"),
        Err(error) => error,
    })
}

fn clone_url(root: &Place<'_>) -> Result<Option<String>, WebhookError> {
    Ok(root.way(&["repository", "clone_url"])?.text()?.map(str::to_owned))
}

fn default_branch(root: &Place<'_>) -> Result<Option<String>, WebhookError> {
    Ok(root
        .way(&["repository", "default_branch"])?
        .ref_name()?
        .map(str::to_owned))
}

/// The account that did it, as the forge says: not the commit's author, whom anybody can name.
fn actor(root: &Place<'_>) -> Result<String, WebhookError> {
    for way in [
        ["sender", "login"],
        ["sender", "username"],
        ["pusher", "login"],
        ["pusher", "username"],
        ["pusher", "name"],
    ] {
        if let Some(name) = root.way(&way)?.text()? {
            return Ok(name.to_owned());
        }
    }
    Ok(String::new())
}

pub(super) fn labels(labels: &Place<'_>, key: &str) -> Result<Vec<String>, WebhookError> {
    let mut names = Vec::new();
    for label in labels.list()?.unwrap_or_default() {
        if let Some(name) = label.get(key)?.text()? {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Titles that forges without a draft flag take for one.
fn marked_as_draft(title: &str) -> bool {
    let title = title.to_ascii_lowercase();
    ["wip:", "[wip]", "draft:"].iter().any(|mark| title.starts_with(mark))
}

fn either<'a>(one: Option<&'a str>, other: Option<&'a str>) -> Option<&'a str> {
    one.or(other)
}
