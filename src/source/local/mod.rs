//! The work tree of a local run: what is tracked or would be (untracked, not ignored), as it stands on the disk now.
//!
//! `.git` is left out: a job sees files, not history, here as on the server (where a clone has no `.git` either).
//! Steps that ask git get what they need from the environment (commit, branch, tag).

mod facts;
mod folder;
mod list;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::SourceError;
use super::listing::Listing;
use crate::tree::Tree;

pub use facts::{Facts, changed, facts};
use folder::Folder;

/// A folder's files as a [`Tree`]. In a git repository: tracked files that are still there, and untracked ones that
/// neither a `.gitignore` at any level, `.git/info/exclude` nor `core.excludesFile` ignores; files of checked out
/// submodules by the same rule. Elsewhere: everything that no `.gitignore` ignores.
/// The list is taken once, when it is opened; contents are read when they are asked for.
pub struct LocalTree {
    root: PathBuf,
    listing: Listing<Folder>,
}

impl std::fmt::Debug for LocalTree {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LocalTree").field("root", &self.root).finish()
    }
}

impl LocalTree {
    /// Blocks; reads the index and the folder.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let unreadable = |why: String| SourceError::Read {
            what: format!("`{}`", root.display()),
            why,
        };
        let root = root.canonicalize().map_err(|error| unreadable(error.to_string()))?;
        let folder = Folder::open(&root).map_err(|error| unreadable(error.to_string()))?;
        let (entries, mtime) = list::entries(&root, &folder)?;
        Ok(LocalTree {
            listing: Listing::new(folder, entries, mtime),
            root,
        })
    }

    /// The folder, symlinks resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Tree for LocalTree {
    fn paths(&self) -> io::Result<Vec<String>> {
        self.listing.paths()
    }

    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        self.listing.open(path)
    }

    fn write_tar(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        self.listing.write_tar(wanted, out)
    }

    fn write_tar_of(&self, folder: &str, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        self.listing.write_tar_of(folder, wanted, out)
    }
}

#[cfg(test)]
mod tests;
