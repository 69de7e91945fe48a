//! What a work tree's repository says about itself: the makings of a local trigger.

use std::path::Path;

use git2::{DiffOptions, Repository};

use super::super::{SourceError, address};
use super::list;
use crate::event::{Changed, CommitSha};

/// * `repo`: `owner/name` by its remote, else the folder's name. * `sha`: all zeros without a commit.
/// * `branch`: none on a detached HEAD. * `tag`: a tag on exactly this commit.
/// * `remote`: where it was cloned from (`origin`, else the only remote), without credentials.
/// * `dirty`: whether a file differs from the commit, untracked ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub repo: String,
    pub branch: Option<String>,
    pub sha: CommitSha,
    pub tag: Option<String>,
    pub remote: Option<String>,
    pub default_branch: Option<String>,
    pub message: String,
    pub author: String,
    pub dirty: bool,
}

impl Facts {
    /// The full ref that a push of what is checked out would name; a detached HEAD without a tag is `HEAD`.
    pub fn git_ref(&self) -> String {
        match (&self.branch, &self.tag) {
            (Some(branch), _) => format!("refs/heads/{branch}"),
            (None, Some(tag)) => format!("refs/tags/{tag}"),
            (None, None) => "HEAD".to_owned(),
        }
    }
}

/// The facts of a folder, whether it is a git repository, a part of one, or neither. Blocks.
pub fn facts(root: &Path) -> Result<Facts, SourceError> {
    let root = root
        .canonicalize()
        .map_err(|error| list::unreadable(root, &error.to_string()))?;
    let name = root.file_name().map_or("local".into(), |name| name.to_string_lossy());
    let mut facts = Facts {
        repo: name.into_owned(),
        branch: None,
        sha: CommitSha::zero(),
        tag: None,
        remote: None,
        default_branch: None,
        message: String::new(),
        author: String::new(),
        dirty: true,
    };
    let Some((repository, _)) = list::repository(&root)? else {
        return Ok(facts);
    };
    facts.remote = remote(&repository);
    if let Some(repo) = facts.remote.as_deref().and_then(address::repo_name) {
        facts.repo = repo;
    }
    facts.default_branch = default_branch(&repository);
    facts.dirty = is_dirty(&repository).map_err(|error| list::unreadable(&root, error.message()))?;
    // An unborn branch has a name but no commit.
    if let Ok(head) = repository.find_reference("HEAD") {
        let target = head
            .symbolic_target()
            .ok()
            .flatten()
            .and_then(|name| name.strip_prefix("refs/heads/"));
        facts.branch = target.map(str::to_owned);
    }
    let Some(commit) = repository.head().ok().and_then(|head| head.peel_to_commit().ok()) else {
        return Ok(facts);
    };
    facts.sha = CommitSha::try_from(commit.id().to_string()).unwrap_or_else(|_| CommitSha::zero());
    facts.message = String::from_utf8_lossy(commit.message_bytes()).trim_end().to_owned();
    facts.author = String::from_utf8_lossy(commit.author().name_bytes()).into_owned();
    facts.tag = tag_of(&repository, commit.id());
    Ok(facts)
}

/// The paths (relative to `root`) in which the work tree differs from where `base` (a branch, tag or commit) and HEAD parted.
/// Unknown where that cannot be said: no repository, no such base. Blocks.
pub fn changed(root: &Path, base: &str) -> Result<Changed, SourceError> {
    let root = root
        .canonicalize()
        .map_err(|error| list::unreadable(root, &error.to_string()))?;
    let Some((repository, prefix)) = list::repository(&root)? else {
        return Ok(Changed::Unknown);
    };
    let Some(base) = repository
        .revparse_single(base)
        .ok()
        .and_then(|object| object.peel_to_commit().ok())
    else {
        return Ok(Changed::Unknown);
    };
    let head = repository.head().ok().and_then(|head| head.target());
    let parted = head
        .and_then(|head| repository.merge_base(base.id(), head).ok())
        .unwrap_or(base.id());
    let read = || -> Result<Vec<String>, git2::Error> {
        let tree = repository.find_commit(parted)?.tree()?;
        let mut options = DiffOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .ignore_submodules(true);
        let diff = repository.diff_tree_to_workdir_with_index(Some(&tree), Some(&mut options))?;
        let mut paths = Vec::new();
        for delta in diff.deltas() {
            for bytes in [delta.old_file().path_bytes(), delta.new_file().path_bytes()]
                .into_iter()
                .flatten()
            {
                if let Some(below) = bytes.strip_prefix(prefix.as_slice()) {
                    paths.push(String::from_utf8_lossy(below).into_owned());
                }
            }
        }
        paths.sort();
        paths.dedup();
        Ok(paths)
    };
    read()
        .map(Changed::Paths)
        .map_err(|error| list::unreadable(&root, error.message()))
}

fn remote(repository: &Repository) -> Option<String> {
    let names = repository.remotes().ok()?;
    let only = (names.len() == 1).then(|| names.get(0).ok().flatten()).flatten();
    let remote = ["origin"]
        .into_iter()
        .chain(only)
        .find_map(|name| repository.find_remote(name).ok())?;
    remote.url().ok().map(address::without_credentials)
}

fn default_branch(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("refs/remotes/origin/HEAD").ok()?;
    let target = head.symbolic_target().ok().flatten()?;
    target.strip_prefix("refs/remotes/origin/").map(str::to_owned)
}

fn is_dirty(repository: &Repository) -> Result<bool, git2::Error> {
    let mut options = git2::StatusOptions::new();
    options
        .include_untracked(true)
        .exclude_submodules(true)
        .no_refresh(true);
    Ok(!repository.statuses(Some(&mut options))?.is_empty())
}

/// The tag on a commit; of several always the same one, the last by name.
fn tag_of(repository: &Repository, commit: git2::Oid) -> Option<String> {
    let mut found = None;
    for reference in repository.references_glob("refs/tags/*").ok()?.flatten() {
        let points_here = reference.peel_to_commit().is_ok_and(|target| target.id() == commit);
        let name = reference.shorthand().ok().map(str::to_owned);
        if let (true, Some(name)) = (points_here, name) {
            found = found.max(Some(name));
        }
    }
    found
}
