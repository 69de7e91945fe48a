//! What every tree has in common: a sorted list of entries, looked up without ever leaving it, written as plain tar.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::tree::Tree;

/// As many symlinks are followed for one path as Linux follows.
const LINK_HOPS_MAX: u32 = 40;

/// One file or symlink. `path` is what the tree really says; people and `wanted` see [`Entry::shown`].
#[derive(Debug, Clone)]
pub(super) struct Entry<H> {
    pub path: Vec<u8>,
    pub kind: Kind,
    /// By which the content finds its bytes.
    pub handle: H,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool },
    Symlink,
}

impl<H> Entry<H> {
    /// The path as text; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// Where the bytes of entries come from. `false`, `None`: it is not there any more (a work tree changes while it is read).
pub(super) trait Content: Send + Sync {
    type Handle: Send + Sync;

    /// Hands a regular file's size and bytes to `read`, without copying them.
    fn with_file(
        &self,
        entry: &Entry<Self::Handle>,
        read: &mut dyn FnMut(u64, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<bool>;

    /// A regular file's bytes.
    fn file(&self, entry: &Entry<Self::Handle>) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// A symlink's target.
    fn link(&self, entry: &Entry<Self::Handle>) -> io::Result<Option<Vec<u8>>>;
}

/// A [`Tree`] over a fixed list of entries. Only what is listed can be read, by whatever path.
pub(super) struct Listing<C: Content> {
    content: C,
    entries: Vec<Entry<C::Handle>>,
    /// Every entry's time in the tar stream, seconds since 1970, so that equal trees give equal bytes.
    mtime: u64,
}

impl<C: Content> Listing<C> {
    pub(super) fn new(content: C, mut entries: Vec<Entry<C::Handle>>, mtime: u64) -> Self {
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        entries.dedup_by(|one, other| one.path == other.path);
        Listing {
            content,
            entries,
            mtime,
        }
    }

    fn find(&self, path: &[u8]) -> Option<&Entry<C::Handle>> {
        let at = self
            .entries
            .binary_search_by(|entry| entry.path.as_slice().cmp(path))
            .ok()?;
        self.entries.get(at)
    }

    /// The file that a path names, symlinks inside the tree followed. `None` for whatever leads out of it.
    fn resolve(&self, path: &str) -> io::Result<Option<&Entry<C::Handle>>> {
        let mut ahead: Vec<Vec<u8>> = path.split('/').rev().map(|part| part.as_bytes().to_vec()).collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    if at.pop().is_none() {
                        return Ok(None);
                    }
                    continue;
                }
                _ => at.push(part),
            }
            let Some(entry) = self.find(&at.join(&b'/')) else {
                continue;
            };
            match entry.kind {
                Kind::File { .. } if ahead.iter().all(|part| part.is_empty() || part == b".") => {
                    return Ok(Some(entry));
                }
                Kind::File { .. } => return Ok(None),
                Kind::Symlink => {
                    hops += 1;
                    let Some(target) = self.content.link(entry)? else {
                        return Ok(None);
                    };
                    if hops > LINK_HOPS_MAX || target.starts_with(b"/") {
                        return Ok(None);
                    }
                    at.pop();
                    ahead.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
            }
        }
        Ok(None)
    }
}

impl<C: Content> Tree for Listing<C> {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(self.entries.iter().map(Entry::shown).collect())
    }

    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        let Some(entry) = self.resolve(path)? else {
            return Ok(None);
        };
        self.content.file(entry)
    }

    fn write_tar(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        self.write_tar_of("", wanted, out)
    }

    fn write_tar_of(&self, folder: &str, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        let folder = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut tar = tar::Builder::new(out);
        let mut open_directory: Vec<u8> = Vec::new();
        for entry in &self.entries {
            let Some(path) = entry.path.strip_prefix(folder.as_bytes()) else {
                continue;
            };
            let shown = String::from_utf8_lossy(path);
            if !wanted(&shown) {
                continue;
            }
            self.append(&mut tar, entry, path, &mut open_directory)
                .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", entry.shown())))?;
        }
        tar.finish()
    }
}

impl<C: Content> Listing<C> {
    /// Writes an entry under the name `path`.
    fn append(
        &self,
        tar: &mut tar::Builder<&mut dyn Write>,
        entry: &Entry<C::Handle>,
        path: &[u8],
        open_directory: &mut Vec<u8>,
    ) -> io::Result<()> {
        match entry.kind {
            Kind::File { executable } => {
                self.content.with_file(entry, &mut |size, bytes| {
                    self.append_directories(tar, path, open_directory)?;
                    let mut header = self.header(tar::EntryType::Regular, if executable { 0o755 } else { 0o644 });
                    header.set_size(size);
                    tar.append_data(&mut header, as_path(path), &mut Exactly { bytes, left: size })
                })?;
                Ok(())
            }
            Kind::Symlink => {
                let Some(target) = self.content.link(entry)? else {
                    return Ok(());
                };
                self.append_directories(tar, path, open_directory)?;
                let mut header = self.header(tar::EntryType::Symlink, 0o777);
                header.set_size(0);
                tar.append_link(&mut header, as_path(path), as_path(&target))
            }
        }
    }

    /// Writes the directories above `path` that the entry before it was not in.
    fn append_directories(
        &self,
        tar: &mut tar::Builder<&mut dyn Write>,
        path: &[u8],
        open_directory: &mut Vec<u8>,
    ) -> io::Result<()> {
        let parent = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(&[][..], |at| &path[..at]);
        let mut ends: Vec<usize> = parent
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at)
            .collect();
        if !parent.is_empty() {
            ends.push(parent.len());
        }
        for end in ends {
            let directory = &parent[..end];
            let is_open = open_directory.starts_with(directory)
                && (open_directory.len() == end || open_directory.get(end) == Some(&b'/'));
            if !is_open {
                let mut header = self.header(tar::EntryType::Directory, 0o755);
                header.set_size(0);
                let mut name = directory.to_vec();
                name.push(b'/');
                tar.append_data(&mut header, as_path(&name), io::empty())?;
            }
        }
        *open_directory = parent.to_vec();
        Ok(())
    }

    fn header(&self, kind: tar::EntryType, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Reads as many bytes as the header promised: a file that grows is cut, one that shrinks is an error.
struct Exactly<'a> {
    bytes: &'a mut dyn Read,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let read = self.bytes.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter while it was read",
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
