//! A directory of this machine as the workspace that `hashFiles` looks into.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use crate::expr::hash_files::Files;

/// Most files that are looked at.
const FILES_MAX: usize = 1_000_000;

pub(super) struct Workspace {
    directory: PathBuf,
    /// The directory's absolute path, for patterns that begin with it.
    root: Option<String>,
}

impl Workspace {
    pub fn new(directory: PathBuf) -> Self {
        let root = fs::canonicalize(&directory)
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok());
        Workspace { directory, root }
    }
}

impl Files for Workspace {
    /// Symlinks to files are files; symlinks to directories are not walked. A directory that does not exist is empty.
    fn paths(&self) -> io::Result<Vec<String>> {
        let mut files = Vec::new();
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(self.directory.join(&directory)) {
                Ok(entries) => entries,
                Err(error) if directory.is_empty() && error.kind() == io::ErrorKind::NotFound => return Ok(files),
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                // A name that is not UTF-8 cannot be written in a pattern.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let path = if directory.is_empty() {
                    name
                } else {
                    format!("{directory}/{name}")
                };
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    directories.push(path);
                } else if kind.is_file() || (kind.is_symlink() && self.directory.join(&path).is_file()) {
                    files.push(path);
                }
                if files.len() > FILES_MAX {
                    return Err(io::Error::other(format!("it holds more than {FILES_MAX} files")));
                }
            }
        }
        Ok(files)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(self.directory.join(path))?))
    }

    fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }
}
