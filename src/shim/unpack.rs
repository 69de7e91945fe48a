//! Files for the container, as a plain tar that comes in pieces: regular files, folders and symbolic links, as
//! Drydock's own trees write them. Anything else is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::sys;

const BLOCK: usize = 512;

/// Longest name or link target: the kernel's own limit.
const NAME_BYTES_MAX: u64 = 4096;

/// A tar that is being unpacked.
pub struct Unpacker {
    root: PathBuf,
    /// A block that is not whole yet.
    held: Vec<u8>,
    at: At,
    /// From GNU's entries for long names: they stand before the entry that they name.
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    /// The folder that was found or made last.
    folder: Option<PathBuf>,
}

/// What the next bytes are.
enum At {
    Header,
    /// A file's content.
    File {
        file: File,
        path: PathBuf,
        mode: u32,
        mtime: u64,
        left: u64,
        padding: u64,
    },
    /// A name that is too long for a header.
    Name {
        kind: u8,
        bytes: Vec<u8>,
        left: u64,
        padding: u64,
    },
    /// Bytes that fill up a block.
    Padding {
        left: u64,
    },
    /// An empty block: the end.
    End,
}

impl Unpacker {
    pub fn new(root: &str) -> Self {
        Unpacker {
            root: PathBuf::from(root),
            held: Vec::with_capacity(BLOCK),
            at: At::Header,
            long_name: None,
            long_target: None,
            folder: None,
        }
    }

    /// The next bytes; `Err` says what is wrong with which entry.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Header => {
                    let missing = BLOCK - self.held.len();
                    let taken = take(&mut bytes, missing as u64);
                    self.held.extend_from_slice(taken);
                    if self.held.len() == BLOCK {
                        let block = std::mem::take(&mut self.held);
                        self.at = self.entry(&block)?;
                    }
                }
                At::File { file, path, left, .. } => {
                    let taken = take(&mut bytes, *left);
                    file.write_all(taken).map_err(|error| wrong(path, &error))?;
                    *left -= taken.len() as u64;
                }
                At::Name { bytes: name, left, .. } => {
                    let taken = take(&mut bytes, *left);
                    name.extend_from_slice(taken);
                    *left -= taken.len() as u64;
                }
                At::Padding { left } => {
                    let taken = take(&mut bytes, *left);
                    *left -= taken.len() as u64;
                }
                At::End => return Ok(()),
            }
            self.go_on()?;
        }
        Ok(())
    }

    /// Whether the end was seen: a tar that was cut off is no tar.
    pub fn finish(self) -> Result<(), String> {
        match self.at {
            At::End => Ok(()),
            At::Header | At::File { .. } | At::Name { .. } | At::Padding { .. } => Err("the files broke off".into()),
        }
    }

    /// Leaves what is complete.
    fn go_on(&mut self) -> Result<(), String> {
        let padding = match &mut self.at {
            At::File {
                file,
                path,
                mode,
                mtime,
                left: 0,
                padding,
            } => {
                let done = file
                    .set_permissions(fs::Permissions::from_mode(*mode))
                    .and_then(|()| file.set_modified(UNIX_EPOCH + Duration::from_secs(*mtime)));
                done.map_err(|error| wrong(path, &error))?;
                *padding
            }
            At::Name {
                kind,
                bytes,
                left: 0,
                padding,
            } => {
                let mut name = std::mem::take(bytes);
                while name.last() == Some(&0) {
                    name.pop();
                }
                let place = if *kind == b'L' {
                    &mut self.long_name
                } else {
                    &mut self.long_target
                };
                *place = Some(name);
                *padding
            }
            At::Padding { left: 0 } => 0,
            At::Header | At::File { .. } | At::Name { .. } | At::Padding { .. } | At::End => return Ok(()),
        };
        self.at = if padding > 0 {
            At::Padding { left: padding }
        } else {
            At::Header
        };
        Ok(())
    }

    /// Begins the entry of a header.
    fn entry(&mut self, block: &[u8]) -> Result<At, String> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(At::End);
        }
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(&block[148..156]) != Some(sum) {
            return Err("the files are no tar: a header's checksum is wrong".into());
        }
        let size = number(&block[124..136]).ok_or("the files are no tar: a size is no number")?;
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        let kind = block[156];
        if matches!(kind, b'L' | b'K') {
            if size > NAME_BYTES_MAX {
                return Err(format!("a name of {size} bytes is longer than the system takes"));
            }
            return Ok(At::Name {
                kind,
                bytes: Vec::new(),
                left: size,
                padding,
            });
        }
        let name = self.long_name.take().unwrap_or_else(|| header_name(block));
        let target = self
            .long_target
            .take()
            .unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        let path = self.inside(&name)?;
        let mode = number(&block[100..108]).unwrap_or(0o644) as u32 & 0o777;
        let mtime = number(&block[136..148]).unwrap_or(0);
        let at = match kind {
            b'0' | 0 => {
                self.make_folder(path.parent())?;
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .custom_flags(sys::O_NOFOLLOW)
                    .open(&path);
                let file = file.map_err(|error| wrong(&path, &error))?;
                At::File {
                    file,
                    path,
                    mode,
                    mtime,
                    left: size,
                    padding,
                }
            }
            b'5' => {
                self.make_folder(Some(&path))?;
                At::Padding { left: size + padding }
            }
            b'2' => {
                self.make_folder(path.parent())?;
                let target = Path::new(std::ffi::OsStr::from_bytes(&target));
                symlink(target, &path).map_err(|error| wrong(&path, &error))?;
                At::Padding { left: size + padding }
            }
            other => {
                return Err(format!(
                    "`{}` is neither file, folder nor link (tar kind {other})",
                    path.display()
                ));
            }
        };
        self.at = at;
        // What holds nothing is complete at once.
        self.go_on()?;
        Ok(std::mem::replace(&mut self.at, At::Header))
    }

    /// The path of an entry; nothing leads out of the root.
    fn inside(&self, name: &[u8]) -> Result<PathBuf, String> {
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        let mut path = self.root.clone();
        for component in name.components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                    return Err(format!("`{}` leads out of the workspace", name.display()));
                }
            }
        }
        Ok(path)
    }

    /// Makes a folder below the root with all above it. A link on the way is not followed.
    fn make_folder(&mut self, folder: Option<&Path>) -> Result<(), String> {
        let Some(folder) = folder else { return Ok(()) };
        if self.folder.as_deref() == Some(folder) || folder == self.root {
            return Ok(());
        }
        if let Some(above) = folder.parent().filter(|above| above.starts_with(&self.root)) {
            self.make_folder(Some(above))?;
        }
        match fs::symlink_metadata(folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(format!("`{}` is no folder", folder.display())),
            Err(_) => {
                let made = fs::DirBuilder::new().mode(0o755).create(folder);
                made.map_err(|error| wrong(folder, &error))?;
            }
        }
        self.folder = Some(folder.to_owned());
        Ok(())
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> &'a [u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len());
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn wrong(path: &Path, error: &io::Error) -> String {
    let words = error.to_string();
    format!(
        "cannot write `{}`: {}",
        path.display(),
        words.split(" (os error").next().unwrap_or_default()
    )
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A header's own name; POSIX ones may have a first part elsewhere.
fn header_name(block: &[u8]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    // GNU's own headers have other things there.
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

/// Octal digits, or big-endian bytes behind a set first bit.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (front, last) = field.split_at(field.len() - 8);
        let is_small = front[0] == 0x80 && front[1..].iter().all(|byte| *byte == 0);
        return is_small.then(|| u64::from_be_bytes(last.try_into().unwrap_or_default()));
    }
    let digits = until_nul(field);
    let digits = std::str::from_utf8(digits).ok()?.trim();
    if digits.is_empty() {
        Some(0)
    } else {
        u64::from_str_radix(digits, 8).ok()
    }
}
