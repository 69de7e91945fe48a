//! The data directory: one server's, nobody else's.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::cli::Failed;

/// Held as long as the server runs.
pub struct Places {
    dir: PathBuf,
    _lock: File,
}

impl Places {
    /// Makes the directory if need be, readable by its owner only, and locks it: two servers on one database would each think
    /// that the other's pipelines were left by a crash.
    pub fn open(dir: &Path) -> Result<Self, Failed> {
        let failed = |what: &str, cause: &dyn std::fmt::Display| {
            Failed::machine(format!("cannot {what} `{}`: {cause}", dir.display()))
                .hint("the setting `data_dir` (DRYDOCK_DATA_DIR) chooses another folder")
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|cause| failed("make the data directory", &cause))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|cause| failed("write into the data directory", &cause))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let what = format!("another server uses the data directory `{}`", dir.display());
            Failed::machine(what).hint("stop it first, or give this one another folder with DRYDOCK_DATA_DIR")
        })?;
        Ok(Places {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    pub fn database(&self) -> PathBuf {
        self.dir.join("drydock.db")
    }

    pub fn sealing_key(&self) -> PathBuf {
        self.dir.join("sealing.key")
    }

    pub fn mirrors(&self) -> PathBuf {
        self.dir.join("mirrors")
    }

    pub fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// A small file that only the server's user can read, there whole or not at all.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failed> {
        let path = self.dir.join(name);
        let fresh = self.dir.join(format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            let _ = std::fs::remove_file(&fresh);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        write().map_err(|cause| Failed::machine(format!("cannot write `{}`: {cause}", path.display())))
    }

    pub fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.dir.join(name));
    }
}
