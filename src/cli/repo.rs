//! `drydock repo`: which repositories a server knows.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Output, ServerArgs, print_json, table};
use super::{Exit, Failed, block_on};
use crate::event::ForgeKind;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a repository, or change what is set for it
    Add(Add),
    /// List repositories
    List(List),
    /// Remove a repository with its secrets; its pipelines stay to be looked at
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    server: ServerArgs,
    /// `FORGE:OWNER/NAME`, with `github`, `gitlab` or `gitea`; or its address on github.com or gitlab.com
    repo: String,
    /// Where it is fetched from [default: what its webhooks say]
    #[arg(long, value_name = "URL")]
    clone_url: Option<String>,
    #[arg(long, value_name = "BRANCH")]
    default_branch: Option<String>,
    /// Which files run where several kinds stand
    #[arg(long, value_parser = ["native", "github", "gitlab"])]
    dialect: Option<String>,
    /// A file with the secret that alone signs this repository's webhooks
    #[arg(long, value_name = "FILE", conflicts_with = "generate_secret")]
    webhook_secret_file: Option<PathBuf>,
    /// Make such a secret and print it once
    #[arg(long)]
    generate_secret: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    server: ServerArgs,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Rm {
    #[command(flatten)]
    server: ServerArgs,
    /// `FORGE:OWNER/NAME`; the forge may be left out when only one has it
    repo: String,
}

/// What the server says of a repository.
#[derive(Debug, Deserialize)]
pub struct Known {
    pub id: u64,
    pub forge: ForgeKind,
    pub name: String,
    added_by: String,
    has_webhook_secret: bool,
    webhook_url: Option<String>,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    block_on(async {
        match &args.command {
            Command::Add(args) => add(args).await,
            Command::List(args) => list(args).await,
            Command::Rm(args) => rm(args).await,
        }
    })?
}

/// A forge and a name, as far as they were said.
fn parse(text: &str) -> Result<(Option<ForgeKind>, String), Failed> {
    for (host, forge) in [("github.com", ForgeKind::GitHub), ("gitlab.com", ForgeKind::GitLab)] {
        if let Some(rest) = text.strip_prefix(&format!("https://{host}/")) {
            let name = rest.trim_end_matches('/');
            return Ok((Some(forge), name.strip_suffix(".git").unwrap_or(name).to_owned()));
        }
    }
    match text.split_once(':') {
        Some((forge, name)) => match forge.parse() {
            Ok(forge) => Ok((Some(forge), name.to_owned())),
            Err(why) => Err(Failed::wrong(why)),
        },
        None => Ok((None, text.to_owned())),
    }
}

/// The repository that a person means, among those that the server knows.
pub async fn find(client: &Client, text: &str) -> Result<Known, Failed> {
    let (forge, name) = parse(text)?;
    let page: Value = client.get("/repos").await?;
    let all: Vec<Known> = serde_json::from_value(page.get("items").cloned().unwrap_or_default())
        .map_err(|error| Failed::machine(error.to_string()))?;
    let names: Vec<String> = all.iter().map(|repo| format!("{}:{}", repo.forge, repo.name)).collect();
    let fits = |repo: &Known| repo.name.eq_ignore_ascii_case(&name) && forge.is_none_or(|forge| forge == repo.forge);
    let mut found: Vec<Known> = all.into_iter().filter(fits).collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            Err(Failed::wrong(format!("several forges have `{name}`")).hint("write `FORGE:OWNER/NAME`"))
        }
        (None, _) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let failed = Failed::wrong(format!("the server does not know the repository `{text}`"));
            Err(match crate::diag::closest(text, &names) {
                Some(near) => failed.hint(format!("did you mean `{near}`?")),
                None => failed.hint("`drydock repo list` shows which it knows, `drydock repo add` adds one"),
            })
        }
    }
}

async fn add(args: &Add) -> Result<Exit, Failed> {
    let (forge, name) = parse(&args.repo)?;
    let Some(forge) = forge else {
        let what = format!("`{}` does not say at which forge", args.repo);
        return Err(Failed::wrong(what).hint(format!("write `github:{name}`, `gitlab:{name}` or `gitea:{name}`")));
    };
    let client = args.server.connect()?;
    let secret = match &args.webhook_secret_file {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|cause| Failed::wrong(format!("cannot read `{}`: {cause}", path.display())))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        ),
        None => None,
    };
    let body = json!({
        "forge": forge,
        "name": name,
        "clone_url": args.clone_url,
        "default_branch": args.default_branch,
        "dialect": args.dialect,
        "webhook_secret": secret,
        "generate_webhook_secret": args.generate_secret,
    });
    let added: Value = client.post("/repos", Some(&body)).await?;
    let known: Known = serde_json::from_value(added.clone()).map_err(|error| Failed::machine(error.to_string()))?;
    anstream::println!("{}:{} is known", known.forge, known.name);
    if let Some(url) = &known.webhook_url {
        anstream::println!("webhook: {url}");
    } else {
        let query = if known.has_webhook_secret {
            format!("?repo={name}")
        } else {
            String::new()
        };
        anstream::println!(
            "webhook: path /hooks/{forge}{query} of this server (`server.public_url` would give the whole address)"
        );
    }
    if let Some(secret) = added.get("webhook_secret").and_then(Value::as_str) {
        anstream::println!("webhook secret, shown this once: {secret}");
    }
    Ok(Exit::Passed)
}

async fn list(args: &List) -> Result<Exit, Failed> {
    let client = args.server.connect()?;
    let page: Value = client.get("/repos").await?;
    let items = page.get("items").cloned().unwrap_or_default();
    if args.output == Output::Json {
        print_json(&items)?;
        return Ok(Exit::Passed);
    }
    let all: Vec<Known> = serde_json::from_value(items).map_err(|error| Failed::machine(error.to_string()))?;
    if all.is_empty() {
        anstream::println!("no repositories; `drydock repo add` adds one");
        return Ok(Exit::Passed);
    }
    let cells = |repo: Known| {
        let secret = if repo.has_webhook_secret {
            "its own"
        } else {
            "the forge's"
        };
        [
            format!("{}:{}", repo.forge, repo.name),
            secret.to_owned(),
            repo.added_by.replace('_', " "),
        ]
    };
    anstream::print!(
        "{}",
        table(["REPOSITORY", "WEBHOOK SECRET", "ADDED BY"], all.into_iter().map(cells))
    );
    Ok(Exit::Passed)
}

async fn rm(args: &Rm) -> Result<Exit, Failed> {
    let client = args.server.connect()?;
    let repo = find(&client, &args.repo).await?;
    client.delete(&format!("/repos/{}", repo.id)).await?;
    anstream::println!("{}:{} is removed", repo.forge, repo.name);
    Ok(Exit::Passed)
}
