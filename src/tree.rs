//! A repository's files at one commit (or of a work tree), as a seam: dialects read them, workspaces and image
//! builds are filled from them. Implementations live in `source`; everything here blocks, so call it on a blocking thread.

use std::io::{self, Read, Write};

/// Paths are relative to the repository's root, `/`-separated, in byte order.
pub trait Tree: Send + Sync {
    /// Every file and symlink; directories are implied.
    fn paths(&self) -> io::Result<Vec<String>>;

    /// A regular file's content; `None` when there is none at that path. Never follows a symlink out of the tree.
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// Writes the wanted entries as a plain tar stream: regular files, symlinks, the executable bit, owner 0:0.
    /// `wanted` is asked with each path; directories on the way to a wanted entry are written too.
    fn write_tar(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()>;

    /// The same for one folder (`a/b`; empty is the root): paths, also those that `wanted` is asked with, are relative to it.
    fn write_tar_of(&self, folder: &str, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Write) -> io::Result<()> {
        if folder.is_empty() {
            return self.write_tar(wanted, out);
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this tree can be written as a whole only",
        ))
    }
}

/// Reads a whole file of at most `bytes_max`; larger is an error that says so.
pub fn read_text(tree: &dyn Tree, path: &str, bytes_max: u64) -> io::Result<Option<String>> {
    let Some(file) = tree.open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "`{path}` is larger than the {} KiB that Drydock reads of such a file",
                bytes_max / 1024
            ),
        ));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("`{path}` is not UTF-8 text")))
}
