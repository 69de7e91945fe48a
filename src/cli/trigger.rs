//! `drydock trigger`: makes and signs a webhook as a forge would, sends it to a server, prints the server's answer.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use reqwest::Url;
use reqwest::header::HeaderMap;
use uuid::Uuid;

use super::{Exit, Failed, block_on};
use crate::clock;
use crate::config::DEFAULT_PORT;
use crate::event::{Changed, CommitSha, ForgeKind};
use crate::forge::compose::{Happened, Hook, What, signed_headers};
use crate::secret::Secret;
use crate::source::SourceError;
use crate::source::local::{self, Facts};

/// Largest payload that is sent; servers refuse less.
const PAYLOAD_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// As much of the answer as is printed.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

const AFTER_HELP: &str = "\
Examples:
  drydock trigger --secret S3CRET                          a push of this repository's HEAD, as GitHub tells it
  drydock trigger --forge gitlab --event tag --ref v1.2    its tag v1.2, as GitLab tells it
  drydock trigger --event pull_request --fork stranger/web a pull request from a fork
  drydock trigger --forge gitea --payload push.json        a payload of your own, signed
  drydock trigger --print                                  nothing sent: what would be

The server's answer goes to standard output: {\"kind\":…,\"run\":…,\"repo\":…,\"sha\":…,\"ref\":…,\"pipeline\":…,\"reason\":…}
Exit status: 0 the server took it, 2 it refused it, 3 it could not be reached or failed.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The repository whose HEAD is told of
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Whose webhook it is made to look like
    #[arg(long, value_enum, default_value_t = Forge::Github)]
    forge: Forge,
    /// The server, or its /hooks/… address
    #[arg(
        long,
        value_name = "URL",
        env = "DRYDOCK_URL",
        default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}")
    )]
    url: String,
    /// The webhook secret that the server is configured with
    #[arg(long, env = "DRYDOCK_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// A file with the webhook secret
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    secret_file: Option<PathBuf>,
    /// What happened
    #[arg(short, long, value_enum, default_value_t = Event::Push)]
    event: Event,
    /// The JSON to send; `-` reads standard input [default: made from DIR]
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// The repository's name at the forge [default: that of its remote]
    #[arg(long, value_name = "OWNER/NAME", help_heading = "Payload made from DIR")]
    repo: Option<String>,
    /// Where the server shall clone from [default: the remote]
    #[arg(long, value_name = "URL", help_heading = "Payload made from DIR")]
    clone_url: Option<String>,
    /// The branch or tag [default: what is checked out]
    #[arg(long = "ref", value_name = "REF", help_heading = "Payload made from DIR")]
    git_ref: Option<String>,
    /// The commit [default: HEAD]
    #[arg(long, value_name = "SHA", value_parser = sha, help_heading = "Payload made from DIR")]
    sha: Option<CommitSha>,
    /// The branch's former head; what changed since is told too [default: none, as for a new branch]
    #[arg(long, value_name = "SHA", value_parser = sha, help_heading = "Payload made from DIR")]
    before: Option<CommitSha>,
    /// The pull request's target [default: the default branch]
    #[arg(long, value_name = "BRANCH", help_heading = "Payload made from DIR")]
    base_ref: Option<String>,
    /// The pull request's number
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Payload made from DIR")]
    number: u64,
    /// The repository that the pull request comes from, if another
    #[arg(long, value_name = "OWNER/NAME", help_heading = "Payload made from DIR")]
    fork: Option<String>,
    /// Who did it [default: the commit's author]
    #[arg(long, value_name = "NAME", help_heading = "Payload made from DIR")]
    actor: Option<String>,
    /// The commit's message [default: HEAD's]
    #[arg(long, value_name = "TEXT", help_heading = "Payload made from DIR")]
    message: Option<String>,
    /// The delivery's id; the same twice is a repeated delivery [default: a new one]
    #[arg(long, value_name = "ID")]
    delivery: Option<String>,
    /// Print headers and body instead of sending them
    #[arg(long)]
    print: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Forge {
    Github,
    Gitlab,
    Gitea,
}

impl From<Forge> for ForgeKind {
    fn from(forge: Forge) -> ForgeKind {
        match forge {
            Forge::Github => ForgeKind::GitHub,
            Forge::Gitlab => ForgeKind::GitLab,
            Forge::Gitea => ForgeKind::Gitea,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Event {
    Push,
    Tag,
    #[value(name = "pull_request", alias = "pull-request")]
    PullRequest,
}

impl From<Event> for Hook {
    fn from(event: Event) -> Hook {
        match event {
            Event::Push => Hook::Push,
            Event::Tag => Hook::Tag,
            Event::PullRequest => Hook::PullRequest,
        }
    }
}

fn sha(text: &str) -> Result<CommitSha, String> {
    CommitSha::try_from(text.to_owned())
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    let kind = ForgeKind::from(args.forge);
    let secret = secret(args)?;
    let body = match &args.payload {
        Some(path) => read_payload(path)?,
        None => happened(args)?.payload(kind).to_string().into_bytes(),
    };
    let delivery = args.delivery.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let headers = signed_headers(
        kind,
        args.event.into(),
        &body,
        &secret,
        &delivery,
        clock::system().now(),
    )
    .map_err(Failed::wrong)?;
    let url = hook_url(&args.url, kind)?;
    if args.print {
        print(&url, &headers, &body);
        return Ok(Exit::Passed);
    }
    block_on(send(url, headers, body))?
}

fn secret(args: &Args) -> Result<Secret, Failed> {
    let secret = match (&args.secret, &args.secret_file) {
        (Some(secret), _) => secret.clone(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|cause| Failed::wrong(format!("cannot read the secret file {}: {cause}", path.display())))?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        (None, None) => String::new(),
    };
    if secret.is_empty() {
        return Err(Failed::wrong("there is no webhook secret to sign with")
            .hint("give --secret, --secret-file or DRYDOCK_WEBHOOK_SECRET: what the server's `webhook_secret` says"));
    }
    Ok(Secret::new(secret))
}

fn read_payload(path: &std::path::Path) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes);
    let done = if path.as_os_str() == "-" {
        read(&mut std::io::stdin().lock())
    } else {
        std::fs::File::open(path).and_then(|mut file| read(&mut file))
    };
    done.map_err(|cause| Failed::wrong(format!("cannot read the payload {}: {cause}", path.display())))?;
    if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
        let max = PAYLOAD_BYTES_MAX / 1024 / 1024;
        return Err(Failed::wrong(format!(
            "the payload {} is larger than {max} MiB",
            path.display()
        )));
    }
    Ok(bytes)
}

/// What the payload tells, from the flags and the repository. Flags that say everything need no repository.
fn happened(args: &Args) -> Result<Happened, Failed> {
    let dir = args.dir.display();
    let facts = local::facts(&args.dir).map_err(|error| unreadable(&error))?;
    let commit = args.sha.clone().unwrap_or_else(|| facts.sha.clone());
    if commit.is_zero() {
        return Err(Failed::wrong(format!("`{dir}` has no commit to tell of"))
            .hint("run it in a git repository with a commit, or give --sha"));
    }
    let repo = args.repo.clone().unwrap_or_else(|| facts.repo.clone());
    if !repo.contains('/') {
        return Err(
            Failed::wrong(format!("`{dir}` has no remote that tells the repository's name"))
                .hint("give --repo OWNER/NAME, as the forge calls it"),
        );
    }
    let Some(clone_url) = args.clone_url.clone().or_else(|| facts.remote.clone()) else {
        return Err(
            Failed::wrong(format!("`{dir}` has no remote that the server could clone from"))
                .hint("give --clone-url URL"),
        );
    };
    let changed = match &args.before {
        Some(before) if !facts.dirty => {
            local::changed(&args.dir, before.as_str()).map_err(|error| unreadable(&error))?
        }
        Some(_) | None => Changed::Unknown,
    };
    let default_branch = facts.default_branch.clone().unwrap_or_else(|| "main".to_owned());
    let message = args.message.clone().unwrap_or_else(|| facts.message.clone());
    Ok(Happened {
        what: what(args, &facts, &repo, &default_branch, &message)?,
        actor: args.actor.clone().unwrap_or_else(|| facts.author.clone()),
        repo,
        clone_url,
        default_branch,
        commit,
        message,
        changed,
    })
}

fn unreadable(error: &SourceError) -> Failed {
    Failed::wrong(error.to_string())
}

fn what(args: &Args, facts: &Facts, repo: &str, default_branch: &str, message: &str) -> Result<What, Failed> {
    let given = args.git_ref.as_deref();
    let branch = || match given {
        Some(name) if name.starts_with("refs/tags/") => {
            Err(Failed::wrong(format!("`{name}` is a tag")).hint("give --event tag, or a branch"))
        }
        Some(name) => Ok(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()),
        None => facts.branch.clone().ok_or_else(|| {
            Failed::wrong("no branch is checked out").hint("give --ref BRANCH, the branch that is told of")
        }),
    };
    Ok(match args.event {
        Event::Push => What::Push {
            branch: branch()?,
            before: args.before.clone(),
        },
        Event::Tag => {
            let tag = given.map(|name| name.strip_prefix("refs/tags/").unwrap_or(name).to_owned());
            let Some(tag) = tag.or_else(|| facts.tag.clone()) else {
                return Err(Failed::wrong("no tag is on the commit that is checked out").hint("give --ref TAG"));
            };
            What::Tag { tag }
        }
        Event::PullRequest => What::PullRequest {
            number: args.number,
            title: message.lines().next().unwrap_or_default().to_owned(),
            source_repo: args.fork.clone().unwrap_or_else(|| repo.to_owned()),
            source_branch: branch()?,
            target_branch: args.base_ref.clone().unwrap_or_else(|| default_branch.to_owned()),
        },
    })
}

/// The server's hook of this forge; an address that names a hook already stays as it is.
fn hook_url(server: &str, forge: ForgeKind) -> Result<Url, Failed> {
    let wrong = |why: String| Failed::wrong(format!("`{server}` is no server's address: {why}"));
    let mut url = Url::parse(server).map_err(|cause| wrong(cause.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong("it must begin with http:// or https://".to_owned()));
    }
    if !url.path().contains("/hooks/") {
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(["hooks", forge.name()]),
            Err(()) => return Err(wrong("it has no path".to_owned())),
        };
    }
    Ok(url)
}

/// What would be sent, so that `curl` could send it.
fn print(url: &Url, headers: &HeaderMap, body: &[u8]) {
    println!("POST {url}");
    for (name, value) in headers {
        println!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    println!("\n{}", String::from_utf8_lossy(body));
}

async fn send(url: Url, headers: HeaderMap, body: Vec<u8>) -> Result<Exit, Failed> {
    let unreachable = |cause: reqwest::Error| {
        let mut text = format!("cannot deliver to {url}");
        let mut next: Option<&dyn std::error::Error> = Some(&cause);
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        Failed::machine(text).hint("is `drydock serve` running there? --url says where it is")
    };
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|cause| unreachable(cause.without_url()))?;
    let request = client.post(url.clone()).headers(headers).body(body);
    let mut response = request.send().await.map_err(|cause| unreachable(cause.without_url()))?;
    let status = response.status();
    let mut answer = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|cause| unreachable(cause.without_url()))?
    {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(Failed::machine(format!(
                "{url} answered more than a megabyte: that is no Drydock"
            )));
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let answer = answer.trim_end();
    if status.is_success() {
        println!("{answer}");
        return Ok(Exit::Passed);
    }
    let what = format!("{url} answered {status}: {answer}");
    Err(match status.as_u16() {
        401 => Failed::wrong(what).hint("the secret must be the one in the server's configuration for this forge"),
        404 => Failed::wrong(what).hint("is this a Drydock server, and does it know the repository?"),
        300..=499 => Failed::wrong(what),
        _ => Failed::machine(what),
    })
}
