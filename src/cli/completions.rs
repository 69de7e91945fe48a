//! `drydock completions`

use clap_complete::Shell;

use super::{Exit, Failed};

#[derive(Debug, clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    clap_complete::generate(args.shell, &mut super::command(), "drydock", &mut std::io::stdout());
    Ok(Exit::Passed)
}
