//! Which files of a folder belong to a local run.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Repository, StatusOptions};

use super::super::SourceError;
use super::super::listing::{Entry, Kind};
use super::folder::Folder;

/// 2020-01-01: files' time where there is no commit to take it from. Not 1970, which zip and some build tools refuse.
const MTIME_WITHOUT_COMMIT: u64 = 1_577_836_800;

/// Submodules of submodules are followed so deep.
const SUBMODULE_DEPTH_MAX: u32 = 5;

/// Every file and symlink, and the time for the tar stream (the checked out commit's).
pub(super) fn entries(root: &Path, folder: &Folder) -> Result<(Vec<Entry<()>>, u64), SourceError> {
    let mut paths = BTreeSet::new();
    let mut mtime = MTIME_WITHOUT_COMMIT;
    match repository(root)? {
        Some((repository, prefix)) => {
            mtime = commit_time(&repository).unwrap_or(mtime);
            from_git(&repository, &prefix, root, b"", SUBMODULE_DEPTH_MAX, &mut paths)
                .map_err(|error| unreadable(root, error.message()))?;
        }
        None => from_walk(root, &mut paths)?,
    }
    let mut entries = Vec::with_capacity(paths.len());
    for path in paths {
        let kind = folder
            .kind(&path)
            .map_err(|error| unreadable(&root.join(std::ffi::OsStr::from_bytes(&path)), &error.to_string()))?;
        // None: deleted from the work tree, or in its place something that git does not track either.
        if let Some(kind @ (Kind::File { .. } | Kind::Symlink)) = kind {
            entries.push(Entry { path, kind, handle: () });
        }
    }
    Ok((entries, mtime))
}

/// The repository that a folder belongs to and the folder's place in it (empty, or `a/b/`). None when there is no
/// repository, or when it ignores the folder (a project inside a home directory that is a repository itself).
pub(super) fn repository(root: &Path) -> Result<Option<(Repository, Vec<u8>)>, SourceError> {
    let repository = match Repository::discover(root) {
        Ok(repository) => repository,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(error) if error.code() == git2::ErrorCode::Owner => {
            let why = format!(
                "its git repository belongs to another user; say that you trust it with \
                 `git config --global --add safe.directory {}`",
                root.display()
            );
            return Err(unreadable(root, &why));
        }
        Err(error) => return Err(unreadable(root, error.message())),
    };
    let Some(work_tree) = repository.workdir().and_then(|path| path.canonicalize().ok()) else {
        return Err(unreadable(root, "it is a bare git repository, without a work tree"));
    };
    let Ok(below) = root.strip_prefix(&work_tree) else {
        return Ok(None);
    };
    if below.as_os_str().is_empty() {
        return Ok(Some((repository, Vec::new())));
    }
    let mut prefix = below.as_os_str().as_bytes().to_vec();
    prefix.push(b'/');
    let is_tracked = repository
        .index()
        .is_ok_and(|index| index.iter().any(|entry| entry.path.starts_with(&prefix)));
    let is_ignored = repository.status_should_ignore(below).unwrap_or(false);
    Ok((is_tracked || !is_ignored).then_some((repository, prefix)))
}

fn from_git(
    repository: &Repository,
    prefix: &[u8],
    root: &Path,
    under: &[u8],
    depth_left: u32,
    paths: &mut BTreeSet<Vec<u8>>,
) -> Result<(), git2::Error> {
    let mut submodules = Vec::new();
    for entry in repository.index()?.iter() {
        let Some(below) = entry.path.strip_prefix(prefix) else {
            continue;
        };
        let path = [under, below].concat();
        if entry.mode == u32::from(git2::FileMode::Commit) {
            submodules.push(path);
        } else {
            paths.insert(path);
        }
    }
    let mut options = StatusOptions::new();
    options
        .show(git2::StatusShow::Workdir)
        .include_untracked(true)
        .recurse_untracked_dirs(true);
    options.include_ignored(false).exclude_submodules(true).no_refresh(true);
    if !prefix.is_empty() {
        options
            .disable_pathspec_match(true)
            .pathspec(&prefix[..prefix.len() - 1]);
    }
    for status in repository.statuses(Some(&mut options))?.iter() {
        let Some(below) = status.path_bytes().strip_prefix(prefix) else {
            continue;
        };
        // A directory here is another repository inside this one, not known as a submodule: git leaves it alone.
        if status.status().contains(git2::Status::WT_NEW) && !below.ends_with(b"/") {
            paths.insert([under, below].concat());
        }
    }
    if depth_left == 0 {
        return Ok(());
    }
    for path in submodules {
        let place = root.join(std::ffi::OsStr::from_bytes(&path));
        // A link in a submodule's place leads who knows where; one that is not checked out has no files.
        let is_folder = std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir());
        let Some(inner) = is_folder.then(|| Repository::open(&place).ok()).flatten() else {
            continue;
        };
        let mut inside = path;
        inside.push(b'/');
        from_git(&inner, b"", root, &inside, depth_left - 1, paths)?;
    }
    Ok(())
}

/// Without git: everything that no `.gitignore` ignores. Symlinks are listed, never followed.
fn from_walk(root: &Path, paths: &mut BTreeSet<Vec<u8>>) -> Result<(), SourceError> {
    let mut walk = ignore::WalkBuilder::new(root);
    walk.hidden(false)
        .parents(false)
        .ignore(false)
        .follow_links(false)
        .require_git(false);
    walk.filter_entry(|entry| entry.file_name() != ".git");
    for entry in walk.build() {
        let entry = entry.map_err(|error| unreadable(root, &error.to_string()))?;
        let is_directory = entry.file_type().is_none_or(|kind| kind.is_dir());
        if let (false, Ok(below)) = (is_directory, entry.path().strip_prefix(root)) {
            paths.insert(below.as_os_str().as_bytes().to_vec());
        }
    }
    Ok(())
}

fn commit_time(repository: &Repository) -> Option<u64> {
    let commit = repository.head().ok()?.peel_to_commit().ok()?;
    u64::try_from(commit.time().seconds()).ok()
}

pub(super) fn unreadable(path: &Path, why: &str) -> SourceError {
    SourceError::Read {
        what: format!("`{}`", path.display()),
        why: why.to_owned(),
    }
}
