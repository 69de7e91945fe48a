//! A tree as `hashFiles` reads it.

use std::io::{self, Read};
use std::sync::Arc;

use crate::expr::hash_files::Files;
use crate::tree::Tree;

/// The repository's files for expressions.
#[derive(Clone)]
pub struct TreeFiles(pub Arc<dyn Tree>);

impl Files for TreeFiles {
    fn paths(&self) -> io::Result<Vec<String>> {
        self.0.paths()
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read>> {
        match self.0.open(path)? {
            Some(file) => Ok(file),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{path}` is no regular file"),
            )),
        }
    }
}
