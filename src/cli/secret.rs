//! `drydock secret`: secrets of a server's repositories. They go in and never come out again.

use std::io::{IsTerminal, Read, stdin};
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Output, ServerArgs, encoded, print_json, table};
use super::{Exit, Failed, block_on, repo};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a secret; its value is read from stdin or a file
    Set(Set),
    /// List names
    List(List),
    /// Remove a secret
    Rm(Rm),
}

/// Whose secret.
#[derive(Debug, clap::Args)]
struct Whose {
    #[command(flatten)]
    server: ServerArgs,
    /// Of this repository, `[FORGE:]OWNER/NAME`
    #[arg(
        long,
        value_name = "REPO",
        required_unless_present = "all_repos",
        conflicts_with = "all_repos"
    )]
    repo: Option<String>,
    /// Of all repositories of the server
    #[arg(long)]
    all_repos: bool,
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    whose: Whose,
    name: String,
    /// A file with the value [default: stdin]
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// Not for pull requests and unprotected branches
    #[arg(long)]
    protected_only: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    whose: Whose,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Rm {
    #[command(flatten)]
    whose: Whose,
    name: String,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    block_on(async {
        match &args.command {
            Command::Set(args) => set(args).await,
            Command::List(args) => list(args).await,
            Command::Rm(args) => rm(args).await,
        }
    })?
}

impl Whose {
    /// The client, the path of the secrets, and whose they are in words.
    async fn find(&self) -> Result<(Client, String, String), Failed> {
        let client = self.server.connect()?;
        match &self.repo {
            Some(text) => {
                let repo = repo::find(&client, text).await?;
                Ok((
                    client,
                    format!("/repos/{}/secrets", repo.id),
                    format!("{}:{}", repo.forge, repo.name),
                ))
            }
            None => Ok((client, "/secrets".to_owned(), "all repositories".to_owned())),
        }
    }
}

async fn set(args: &Set) -> Result<Exit, Failed> {
    let value = value(args)?;
    let (client, path, whose) = args.whose.find().await?;
    let body = json!({ "value": value, "protected_only": args.protected_only });
    client.put(&format!("{path}/{}", encoded(&args.name)), &body).await?;
    anstream::println!("the secret `{}` of {whose} is set", args.name);
    Ok(Exit::Passed)
}

/// A value on the command line would be seen by everybody on the machine, so there is no such flag. One newline at the end
/// goes: editors and `echo` add it.
fn value(args: &Set) -> Result<String, Failed> {
    let mut value = match &args.value_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|cause| Failed::wrong(format!("cannot read `{}`: {cause}", path.display())))?,
        None => {
            if stdin().is_terminal() {
                anstream::eprintln!("the secret's value, ended by Ctrl-D:");
            }
            let mut text = String::new();
            stdin()
                .read_to_string(&mut text)
                .map_err(|cause| Failed::wrong(format!("cannot read the value from stdin: {cause}")))?;
            text
        }
    };
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    if value.is_empty() {
        Err(Failed::wrong("the value is empty"))
    } else {
        Ok(value)
    }
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    protected_only: bool,
    updated_at: Timestamp,
}

async fn list(args: &List) -> Result<Exit, Failed> {
    let (client, path, whose) = args.whose.find().await?;
    let page: Value = client.get(&path).await?;
    let items = page.get("items").cloned().unwrap_or_default();
    if args.output == Output::Json {
        print_json(&items)?;
        return Ok(Exit::Passed);
    }
    let named: Vec<Named> = serde_json::from_value(items).map_err(|error| Failed::machine(error.to_string()))?;
    if named.is_empty() {
        anstream::println!("{whose}: no secrets");
        return Ok(Exit::Passed);
    }
    let cells = |secret: Named| {
        let who = if secret.protected_only {
            "protected branches and tags"
        } else {
            "all but forks"
        };
        [
            secret.name,
            who.to_owned(),
            secret.updated_at.strftime("%Y-%m-%d %H:%M").to_string(),
        ]
    };
    anstream::print!("{}", table(["NAME", "FOR", "SET (UTC)"], named.into_iter().map(cells)));
    Ok(Exit::Passed)
}

async fn rm(args: &Rm) -> Result<Exit, Failed> {
    let (client, path, whose) = args.whose.find().await?;
    client.delete(&format!("{path}/{}", encoded(&args.name))).await?;
    anstream::println!("the secret `{}` of {whose} is removed", args.name);
    Ok(Exit::Passed)
}
