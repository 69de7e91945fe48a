//! `drydock check`: every mistake of a repository's pipeline files, drawn.

use std::path::PathBuf;

use super::selection::DialectArg;
use super::{Exit, Failed, resolved};
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
    /// `json` prints one object a finding
    #[arg(short, long, value_enum, default_value = "pretty")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Pretty,
    Plain,
    Json,
}

/// 0: no error (there may be warnings); 2: errors.
pub fn run(args: &Args) -> Result<Exit, Failed> {
    let tree = LocalTree::open(&args.dir).map_err(|error| Failed::wrong(error.to_string()))?;
    let compiled = resolved::compile(tree.root(), &tree, &args.files, args.dialect)?;
    for found in &compiled.diagnostics {
        match args.output {
            Output::Pretty => anstream::println!("{}\n", found.render(&compiled.sources, true)),
            Output::Plain => anstream::println!("{}", found.one_line(&compiled.sources)),
            Output::Json => anstream::println!("{}", found.to_json(&compiled.sources)),
        }
    }
    let errors = compiled.diagnostics.iter().filter(|found| found.is_error()).count();
    let warnings = compiled.diagnostics.len() - errors;
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        many => format!("{many} {word}s"),
    };
    if args.output != Output::Json {
        let jobs = compiled.plans.iter().map(|plan| plan.jobs().len()).sum();
        match (errors, warnings) {
            (0, 0) => anstream::println!("fine: {}", count(jobs, "job")),
            (0, some) => anstream::println!("fine: {}, {}", count(jobs, "job"), count(some, "warning")),
            (some, 0) => anstream::println!("{}", count(some, "error")),
            (some, more) => anstream::println!("{}, {}", count(some, "error"), count(more, "warning")),
        }
    }
    Ok(if errors == 0 { Exit::Passed } else { Exit::Wrong })
}
