//! Decisions that hold for every forge: is a pipeline asked not to start, how far is an event trusted, what did it change.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::error::WebhookError;
use super::read::Place;
use crate::event::{Changed, Event, Trust};

/// More changed paths than this are not listed; the event then counts as changing anything.
const CHANGED_PATHS_MAX: usize = 20_000;

/// The marker by which a commit's message asks that no pipeline start; none when it does not.
///
/// GitHub: `[skip ci]`, `[ci skip]`, `[no ci]`, `[skip actions]`, `[actions skip]` anywhere, or a trailer
/// `skip-checks: true`. GitLab: `[skip ci]` and `[ci skip]`, also with `-` or `_`. In any letter case.
pub fn asked_to_skip(message: &str) -> Option<&'static str> {
    const MARKERS: [&str; 9] = [
        "[skip ci]",
        "[ci skip]",
        "[no ci]",
        "[skip actions]",
        "[actions skip]",
        "[skip-ci]",
        "[ci-skip]",
        "[skip_ci]",
        "[ci_skip]",
    ];
    let message = message.to_ascii_lowercase();
    if let Some(marker) = MARKERS.into_iter().find(|marker| message.contains(marker)) {
        return Some(marker);
    }
    // A trailer: a line of the message's last paragraph, which is not its first.
    let (_, trailers) = message.trim_end().rsplit_once("\n\n")?;
    let is_trailer = |line: &str| {
        line.split_once(':')
            .is_some_and(|(name, value)| name.trim() == "skip-checks" && value.trim() == "true")
    };
    trailers.lines().any(is_trailer).then_some("skip-checks: true")
}

/// Which branches and tags only trusted people can move, as the server's configuration or the forge says.
#[derive(Debug, Clone)]
pub struct Protected {
    /// None: the repository's default branch.
    branches: Option<GlobSet>,
    tags: GlobSet,
}

impl Default for Protected {
    /// The default branch and all tags.
    fn default() -> Self {
        let all = Glob::new("**").map(|glob| GlobSet::new([glob]));
        Protected {
            branches: None,
            tags: all.ok().and_then(Result::ok).unwrap_or_else(GlobSet::empty),
        }
    }
}

impl Protected {
    /// Globs as in pipeline files: `*` stays within one part of the name, `**` does not.
    pub fn new(branches: &[String], tags: &[String]) -> Result<Self, globset::Error> {
        Ok(Protected {
            branches: Some(globs(branches)?),
            tags: globs(tags)?,
        })
    }

    fn has_branch(&self, branch: &str, default_branch: Option<&str>) -> bool {
        match &self.branches {
            Some(globs) => globs.is_match(branch),
            None => default_branch == Some(branch),
        }
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(globset::GlobBuilder::new(pattern).literal_separator(true).build()?);
    }
    set.build()
}

/// How far an event of `repo` is trusted. Names in commits (author, committer) play no part: anybody can write them.
pub fn trust_of(repo: &str, event: &Event, default_branch: Option<&str>, protected: &Protected) -> Trust {
    let on_branch = |branch: &str| {
        if protected.has_branch(branch, default_branch) {
            Trust::Protected
        } else {
            Trust::Member
        }
    };
    match event {
        Event::Push { branch, .. } | Event::Schedule { branch, .. } | Event::Manual { branch, .. } => on_branch(branch),
        Event::Tag { tag } => {
            if protected.tags.is_match(tag) {
                Trust::Protected
            } else {
                Trust::Member
            }
        }
        Event::PullRequest(request) => {
            if request.source_repo.eq_ignore_ascii_case(repo) {
                Trust::Member
            } else {
                Trust::Fork
            }
        }
    }
}

/// The paths that a push's list of commits names; unknown as soon as anything is left out.
/// * `commits_total`: how many commits the forge says there are.
/// * `listed_max`: a list of this many may have been cut.
pub(super) fn changed_by(
    commits: &Place<'_>,
    commits_total: Option<u64>,
    listed_max: usize,
) -> Result<Changed, WebhookError> {
    let Some(commits) = commits.list()? else {
        return Ok(Changed::Unknown);
    };
    let cut = commits_total.is_none_or(|total| total > commits.len() as u64) || commits.len() >= listed_max;
    if commits.is_empty() || cut {
        return Ok(Changed::Unknown);
    }
    let mut paths = BTreeSet::new();
    for commit in &commits {
        for key in ["added", "modified", "removed"] {
            let Some(files) = commit.get(key)?.list()? else {
                return Ok(Changed::Unknown);
            };
            for file in files {
                if let Some(path) = file.text()? {
                    paths.insert(path.to_owned());
                }
            }
            if paths.len() > CHANGED_PATHS_MAX {
                return Ok(Changed::Unknown);
            }
        }
    }
    Ok(Changed::Paths(paths.into_iter().collect()))
}
