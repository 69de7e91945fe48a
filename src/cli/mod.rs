//! The command line: arguments, subcommands, exit statuses. The binary's edge: errors are printed here and nowhere else.

mod check;
mod clean;
mod client;
mod completions;
mod doctor;
pub mod exit;
mod expand;
mod expr;
mod init;
mod owner;
mod pipeline;
mod plan;
mod repo;
mod resolved;
mod run;
mod secret;
mod selection;
mod serve;
mod trigger;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failed};

/// Self-hosted, container-native CI: the same file runs on a laptop and on the server.
#[derive(Debug, Parser)]
#[command(name = "drydock", version, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the repository's pipeline here, as the server would
    Run(Box<run::Args>),
    /// Check this machine and say what to do
    Doctor(doctor::Args),
    /// Show and free what Drydock holds in the container engine
    Clean(clean::Args),
    /// Show what would run, and why; run nothing
    Plan(Box<plan::Args>),
    /// Validate the pipeline files: every mistake, with its place
    Check(check::Args),
    /// Receive webhooks, run pipelines, answer the API
    Serve(serve::Args),
    /// Look at a server's pipelines, cancel, re-run, approve
    Pipeline(pipeline::Args),
    /// Set a server's secrets
    Secret(secret::Args),
    /// Say which repositories a server knows
    Repo(repo::Args),
    /// Print the pipeline with anchors, aliases and merge keys worked in
    Expand(expand::Args),
    /// Write a `.drydock.yml` that fits the repository
    Init(init::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Evaluate an expression
    Expr(expr::Args),
    /// Sign a payload as a forge would and send it to a server
    Trigger(trigger::Args),
}

/// Runs the command line and answers with the process's exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version are no mistakes.
            let status = if told.use_stderr() { Exit::Wrong } else { Exit::Passed };
            let _ = told.print();
            return status.into();
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Clean(args) => clean::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Pipeline(args) => pipeline::run(&args),
        Command::Secret(args) => secret::run(&args),
        Command::Repo(args) => repo::run(&args),
        Command::Expand(args) => expand::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Expr(args) => expr::run(args),
        Command::Trigger(args) => trigger::run(&args),
    };
    match done {
        Ok(status) => status.into(),
        Err(failed) => failed.report(),
    }
}

/// The whole command line, for completions and for the tests that hold its help.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// For commands that wait: a runtime of its own, so that the others start without one.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failed> {
    // One TLS provider for every client; an error only says that it is set already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failed::machine(format!("cannot start the async runtime: {cause}")))?;
    Ok(runtime.block_on(work))
}
