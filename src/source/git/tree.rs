//! A commit's files straight from the object database: nothing is checked out, no filter, hook or attribute runs.
//! Files are what the commit holds, byte for byte (no line-end conversion, no LFS).

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use git2::{ObjectType, Oid, Repository};

use super::{GitLimits, Slot, mirror};
use crate::event::CommitSha;
use crate::source::SourceError;
use crate::source::listing::{Content, Entry, Kind, Listing};
use crate::tree::Tree;

const PATH_BYTES_MAX: usize = 4096;
const DEPTH_MAX: usize = 256;
const LINK_BYTES_MAX: usize = 4096;

/// Where an entry's bytes are: which mirror of the checkout, and which object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    mirror: usize,
    object: Oid,
}

/// A commit inside a commit.
#[derive(Debug, Clone)]
pub(super) struct Gitlink {
    pub path: Vec<u8>,
    pub commit: CommitSha,
}

/// What a walk has found so far, across submodules, and how far it may go on.
pub(super) struct Found {
    pub entries: Vec<Entry<Place>>,
    pub gitlinks: Vec<Gitlink>,
    directories: u64,
    bytes: u64,
    limits: GitLimits,
    url: String,
}

impl Found {
    pub(super) fn new(limits: GitLimits, url: String) -> Self {
        Found {
            entries: vec![],
            gitlinks: vec![],
            directories: 0,
            bytes: 0,
            limits,
            url,
        }
    }

    /// Adds what a commit's tree holds, under `prefix` (empty, or ending in `/`). The error is the mirror's when an
    /// object cannot be read.
    pub(super) fn add(
        &mut self,
        repository: &Repository,
        mirror: usize,
        commit: Oid,
        prefix: &[u8],
    ) -> Result<(), WalkError> {
        let root = repository.find_commit(commit)?.tree_id();
        let odb = repository.odb()?;
        let mut ahead = vec![(root, prefix.to_vec(), 0)];
        while let Some((id, directory, depth)) = ahead.pop() {
            let tree = repository.find_tree(id)?;
            let mut names = HashSet::new();
            for item in &tree {
                let name = item.name_bytes();
                let path = [directory.as_slice(), name].concat();
                if let Some(why) = refused(name) {
                    return Err(self.unreadable(&path, why));
                }
                if !names.insert(name.to_vec()) {
                    return Err(self.unreadable(&path, "it stands twice in its directory"));
                }
                if path.len() > PATH_BYTES_MAX || depth > DEPTH_MAX {
                    return Err(self.too_large(format!(
                        "a path is longer than {PATH_BYTES_MAX} bytes or {DEPTH_MAX} levels"
                    )));
                }
                let kind = match item.kind() {
                    Some(ObjectType::Tree) => {
                        ahead.push((item.id(), [path.as_slice(), b"/"].concat(), depth + 1));
                        // Directories that hold only themselves, over and over, are a bomb, too.
                        self.directories += 1;
                        if self.directories > self.limits.files {
                            return Err(self.too_large(format!("it has more than {} directories", self.limits.files)));
                        }
                        continue;
                    }
                    Some(ObjectType::Commit) => {
                        if let Ok(commit) = CommitSha::try_from(item.id().to_string()) {
                            self.gitlinks.push(Gitlink { path, commit });
                        }
                        continue;
                    }
                    Some(ObjectType::Blob) if item.filemode() == i32::from(git2::FileMode::Link) => Kind::Symlink,
                    Some(ObjectType::Blob) => Kind::File {
                        executable: item.filemode() & 0o111 != 0,
                    },
                    Some(ObjectType::Any | ObjectType::Tag) | None => {
                        return Err(self.unreadable(&path, "it is neither file, symlink nor directory"));
                    }
                };
                let (size, _) = odb.read_header(item.id())?;
                self.count(&path, size as u64)?;
                self.entries.push(Entry {
                    path,
                    kind,
                    handle: Place {
                        mirror,
                        object: item.id(),
                    },
                });
            }
        }
        Ok(())
    }

    fn count(&mut self, path: &[u8], size: u64) -> Result<(), WalkError> {
        let limits = self.limits;
        let mib = 1024 * 1024;
        self.bytes = self.bytes.saturating_add(size);
        if size > limits.file_bytes {
            let name = String::from_utf8_lossy(path).into_owned();
            return Err(self.too_large(format!("`{name}` is larger than {} MiB", limits.file_bytes / mib)));
        }
        if self.bytes > limits.tree_bytes {
            return Err(self.too_large(format!("its files are larger than {} MiB", limits.tree_bytes / mib)));
        }
        if self.entries.len() as u64 >= limits.files {
            return Err(self.too_large(format!("it has more than {} files", limits.files)));
        }
        Ok(())
    }

    fn too_large(&self, why: String) -> WalkError {
        WalkError::Final(SourceError::TooLarge {
            url: self.url.clone(),
            why,
        })
    }

    fn unreadable(&self, path: &[u8], why: &str) -> WalkError {
        let what = format!("`{}` in `{}`", String::from_utf8_lossy(path), self.url);
        WalkError::Final(SourceError::Read {
            what,
            why: why.to_owned(),
        })
    }
}

/// Why a commit cannot be listed.
pub(super) enum WalkError {
    /// The mirror lost an object: worth one new mirror.
    Mirror(git2::Error),
    Final(SourceError),
}

impl From<git2::Error> for WalkError {
    fn from(error: git2::Error) -> Self {
        WalkError::Mirror(error)
    }
}

/// Names that git's own tools refuse to check out, because a path or a repository would be made of them.
fn refused(name: &[u8]) -> Option<&'static str> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Some("its name would lead elsewhere");
    }
    let plain = name.to_ascii_lowercase();
    let trimmed = plain.strip_suffix(b" ").or(plain.strip_suffix(b".")).unwrap_or(&plain);
    (matches!(trimmed, b".git" | b"git~1")).then_some("a file of that name would be taken for git's own")
}

/// The bytes of a checkout's objects. A repository is opened for each reader that reads at the same time.
pub(super) struct Objects {
    mirrors: Vec<(PathBuf, Arc<Slot>)>,
    idle: Mutex<Vec<(usize, Repository)>>,
}

impl Objects {
    pub(super) fn new(mirrors: Vec<(PathBuf, Arc<Slot>)>) -> Self {
        Objects {
            mirrors,
            idle: Mutex::default(),
        }
    }

    fn with<T>(&self, mirror: usize, read: impl FnOnce(&Repository) -> io::Result<T>) -> io::Result<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|(of, _)| *of == mirror);
        let taken = at.map(|at| idle.swap_remove(at).1);
        drop(idle);
        let repository = match (taken, self.mirrors.get(mirror)) {
            (Some(repository), _) => repository,
            (None, Some((directory, _))) => mirror::open(directory).map_err(io::Error::other)?,
            (None, None) => return Err(io::Error::other("no such mirror")),
        };
        let done = read(&repository);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((mirror, repository));
        done
    }
}

impl Content for Objects {
    type Handle = Place;

    fn with_file(
        &self,
        entry: &Entry<Place>,
        read: &mut dyn FnMut(u64, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<bool> {
        self.with(entry.handle.mirror, |repository| {
            let blob = repository.find_blob(entry.handle.object).map_err(io::Error::other)?;
            read(blob.size() as u64, &mut blob.content())
        })?;
        Ok(true)
    }

    fn file(&self, entry: &Entry<Place>) -> io::Result<Option<Box<dyn Read + Send>>> {
        let bytes = self.with(entry.handle.mirror, |repository| {
            let blob = repository.find_blob(entry.handle.object).map_err(io::Error::other)?;
            Ok(blob.content().to_vec())
        })?;
        Ok(Some(Box::new(io::Cursor::new(bytes))))
    }

    fn link(&self, entry: &Entry<Place>) -> io::Result<Option<Vec<u8>>> {
        self.with(entry.handle.mirror, |repository| {
            let blob = repository.find_blob(entry.handle.object).map_err(io::Error::other)?;
            if blob.size() > LINK_BYTES_MAX || blob.content().contains(&0) || blob.size() == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its target is no path"));
            }
            Ok(Some(blob.content().to_vec()))
        })
    }
}

/// One commit's files, with those of its submodules where they are wanted.
pub struct GitTree(Listing<Objects>);

impl GitTree {
    pub(super) fn new(objects: Objects, entries: Vec<Entry<Place>>, committed_at: i64) -> Self {
        // A tar header has room for so much.
        let mtime = u64::try_from(committed_at).unwrap_or(0).min(0o77_777_777_777);
        GitTree(Listing::new(objects, entries, mtime))
    }
}

impl Tree for GitTree {
    fn paths(&self) -> io::Result<Vec<String>> {
        self.0.paths()
    }

    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        self.0.open(path)
    }

    fn write_tar(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        self.0.write_tar(wanted, out)
    }

    fn write_tar_of(&self, folder: &str, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        self.0.write_tar_of(folder, wanted, out)
    }
}
