//! Reads beneath one directory and nowhere else: every path is walked from an open directory, one component at a
//! time, and no component is followed when it is a symlink (a swapped link cannot redirect a read).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::source::listing::{Content, Entry, Kind};

pub(super) struct Folder {
    root: OwnedFd,
}

impl Folder {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder {
            root: rustix::fs::open(root, flags, Mode::empty())?,
        })
    }

    /// What stands at a path now; `None` for nothing, a directory, a device, a socket, or something behind a symlink.
    pub(super) fn kind(&self, path: &[u8]) -> io::Result<Option<Kind>> {
        let found = self.within(path, |parent, name| {
            rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        Ok(found.and_then(|stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Some(Kind::File {
                executable: stat.st_mode & 0o111 != 0,
            }),
            FileType::Symlink => Some(Kind::Symlink),
            FileType::Directory
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => None,
        }))
    }

    fn opened(&self, entry: &Entry<()>) -> io::Result<Option<(u64, File)>> {
        // NONBLOCK: a pipe put in the file's place must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self.within(&entry.path, |parent, name| {
            rustix::fs::openat(parent, name, flags, Mode::empty())
        })?;
        let Some(file) = opened.map(File::from) else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((metadata.len(), file)))
    }

    /// Runs a call on the last component with its open parent. What is not there (any more) is `None`.
    fn within<T>(
        &self,
        path: &[u8],
        call: impl FnOnce(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> io::Result<Option<T>> {
        let mut parts = path.split(|byte| *byte == b'/');
        let Some(name) = parts.next_back().filter(|name| is_plain(name)) else {
            return Ok(None);
        };
        let mut below: Option<OwnedFd> = None;
        for part in parts {
            if !is_plain(part) {
                return Ok(None);
            }
            let parent = below.as_ref().unwrap_or(&self.root);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match there(rustix::fs::openat(
                parent,
                OsStr::from_bytes(part),
                flags,
                Mode::empty(),
            ))? {
                Some(directory) => below = Some(directory),
                None => return Ok(None),
            }
        }
        there(call(below.as_ref().unwrap_or(&self.root), OsStr::from_bytes(name)))
    }
}

fn is_plain(part: &[u8]) -> bool {
    !matches!(part, b"" | b"." | b"..")
}

fn there<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        // A symlink where none is followed is LOOP, or NOTDIR when a directory was asked for.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Content for Folder {
    type Handle = ();

    fn with_file(
        &self,
        entry: &Entry<()>,
        read: &mut dyn FnMut(u64, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some((size, mut file)) = self.opened(entry)? else {
            return Ok(false);
        };
        read(size, &mut file)?;
        Ok(true)
    }

    fn file(&self, entry: &Entry<()>) -> io::Result<Option<Box<dyn Read + Send>>> {
        Ok(self
            .opened(entry)?
            .map(|(_, file)| Box::new(file) as Box<dyn Read + Send>))
    }

    fn link(&self, entry: &Entry<()>) -> io::Result<Option<Vec<u8>>> {
        let read = self.within(&entry.path, |parent, name| {
            match rustix::fs::readlinkat(parent, name, Vec::new()) {
                Err(Errno::INVAL) => Err(Errno::NOENT), // no symlink any more
                other => other,
            }
        })?;
        Ok(read.map(|target| target.into_bytes()))
    }
}
