//! `drydock expand`: the pipeline with anchors, aliases and merge keys worked in.

use std::path::PathBuf;

use super::selection::DialectArg;
use super::{Exit, Failed, resolved};
use crate::diag::FileId;
use crate::dialect;
use crate::source::local::LocalTree;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository's folder
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// A pipeline file to use instead of those found (repeatable)
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<String>,
    /// Which dialect to use where several kinds of files stand
    #[arg(long, value_enum)]
    dialect: Option<DialectArg>,
}

/// 0: printed, several files as YAML documents; 2: a file has mistakes, which are told as `check` tells them.
pub fn run(args: &Args) -> Result<Exit, Failed> {
    let tree = LocalTree::open(&args.dir).map_err(|error| Failed::wrong(error.to_string()))?;
    let unreadable = |error: std::io::Error| Failed::wrong(format!("cannot read the repository: {error}"));
    let detected = resolved::detected(tree.root(), &tree, &args.files, args.dialect.map(Into::into))?;
    if let Some(note) = &detected.note {
        anstream::eprintln!("note: {note}");
    }
    let compiled = dialect::compile(&detected, &tree).map_err(unreadable)?;
    resolved::print_findings(&compiled);
    if compiled.has_errors() {
        return Ok(Exit::Wrong);
    }
    let files: Vec<_> = (0..=u16::MAX)
        .map_while(|nth| compiled.sources.get(FileId(nth)))
        .collect();
    for file in &files {
        let written = dialect::expand(detected.kind, &file.text).ok_or_else(|| {
            let what = format!("cannot write `{}` so that it is read as the same pipeline", file.path);
            Failed::wrong(what).hint("this is a mistake of Drydock's: please report it with the file")
        })?;
        if files.len() > 1 {
            anstream::println!("--- # {}", file.path);
        }
        anstream::print!("{written}");
    }
    Ok(Exit::Passed)
}
