//! Dialects: from the text of a CI file to a plan, and what a dialect does around a step.
//!
//! Pure: files come in through [`Tree`], plans and diagnostics go out. Must not know tokio, the network, the clock or
//! the environment. Which files of a repository are read, and in which dialect, is decided by [`detect`] and nowhere else.

mod detect;
mod expand;
pub mod native;
pub mod read;
pub mod yaml;

use std::io;

use crate::diag::{Diagnostic, FileId, Sources};
use crate::plan::Plan;
use crate::tree::{Tree, read_text};

pub use detect::{Detected, Kind, detect, detect_named, has_test_stage};
pub use expand::expand;

/// What a dialect may look at besides the files themselves.
pub struct CompileContext<'a> {
    /// Every path of the repository, in byte order.
    pub paths: &'a [String],
}

/// One way to write pipelines. A bad file is data (diagnostics), not an error.
pub trait Dialect: Sync {
    /// `native`, `github` or `gitlab`.
    fn name(&self) -> &'static str;

    /// Whether a path of a repository is one of its pipeline files.
    fn claims(&self, path: &str) -> bool;

    /// One plan for each file without errors, in the order of `files`.
    fn compile(&self, files: &[FileId], sources: &Sources, context: &CompileContext<'_>) -> Compiled;
}

/// What compiling gave. A file with an error in `diagnostics` has no plan.
#[derive(Debug, Default)]
pub struct Compiled {
    pub plans: Vec<Plan>,
    pub diagnostics: Vec<Diagnostic>,
    /// The files that the diagnostics point into.
    pub sources: Sources,
}

impl Compiled {
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Every finding as the compiler draws it, one after the other.
    pub fn render(&self, colour: bool) -> String {
        self.diagnostics
            .iter()
            .map(|found| found.render(&self.sources, colour) + "\n\n")
            .collect()
    }
}

/// Reads and compiles what was detected. Errors: the tree cannot be read.
pub fn compile(detected: &Detected, tree: &dyn Tree) -> io::Result<Compiled> {
    let mut sources = Sources::default();
    let mut files: Vec<FileId> = vec![];
    let mut unreadable: Vec<Diagnostic> = vec![];
    for path in &detected.files {
        let text = match detected.texts.get(path) {
            Some(text) => Ok(Some(text.clone())),
            None => read_text(tree, path, yaml::FILE_BYTES_MAX as u64),
        };
        match text {
            Ok(Some(text)) => files.push(sources.add(path.as_str(), text)),
            Ok(None) => unreadable.push(Diagnostic::error("no-such-file", format!("there is no file `{path}`"))),
            Err(error) if is_about_the_file(&error) => {
                unreadable.push(Diagnostic::error("unreadable", error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    let context = CompileContext { paths: &detected.paths };
    let mut compiled = match detected.kind.dialect() {
        Some(dialect) => dialect.compile(&files, &sources, &context),
        None => Compiled {
            diagnostics: files.iter().map(|file| detect::not_yet(detected.kind, *file)).collect(),
            ..Compiled::default()
        },
    };
    compiled.diagnostics.splice(0..0, unreadable);
    compiled.sources = sources;
    Ok(compiled)
}

/// Whether reading failed because of what the file is (too large, not text), not because of the machine.
fn is_about_the_file(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidData)
}
