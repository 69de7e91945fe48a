//! What `run`, `plan`, `check` and `expand` share: the flags that choose files, event and values, and what they mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use indexmap::IndexMap;

use super::Failed;
use crate::event::{Changed, Event, PullRequest, Trigger, Trust};
use crate::executor::PullPolicy;
use crate::expr::Value;
use crate::plan::TreeFiles;
use crate::secret::{Secret, SecretSet};
use crate::source::SourceError;
use crate::source::local::{self, LocalTree};
use crate::tree::Tree;

/// Largest payload, environment or secret file that is read.
const FILE_BYTES_MAX: u64 = 25 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub struct Selection {
    /// The repository's folder
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// A pipeline file to use instead of those found (repeatable)
    #[arg(short, long = "file", value_name = "FILE", help_heading = "Selection")]
    pub files: Vec<String>,
    /// Which dialect to use where several kinds of files stand
    #[arg(long, value_enum, help_heading = "Selection")]
    pub dialect: Option<DialectArg>,
    /// Only this job and what it needs (repeatable)
    #[arg(short, long = "job", value_name = "ID", help_heading = "Selection")]
    pub jobs: Vec<String>,
    /// With `--job`: leave out what the jobs need
    #[arg(long, requires = "jobs", help_heading = "Selection")]
    pub no_needs: bool,
    /// Only members of a matrix with this value (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Selection")]
    pub matrix: Vec<(String, String)>,
    /// What happened [default: push, or tag where a tag is checked out]
    #[arg(short, long, value_enum, help_heading = "Event")]
    pub event: Option<EventArg>,
    /// The forge's payload, for expressions that look into it
    #[arg(long, value_name = "FILE", help_heading = "Event")]
    pub event_file: Option<PathBuf>,
    /// The ref that the event is about, e.g. main or refs/tags/v1 [default: what is checked out]
    #[arg(long = "ref", value_name = "REF", help_heading = "Event")]
    pub git_ref: Option<String>,
    /// What changed is counted from here; for a pull request its target
    #[arg(long, value_name = "REF", help_heading = "Event")]
    pub base_ref: Option<String>,
    /// Who did it [default: the commit's author]
    #[arg(long, value_name = "NAME", help_heading = "Event")]
    pub actor: Option<String>,
    /// An input of a manual event (repeatable)
    #[arg(long = "input", value_name = "KEY=VALUE", value_parser = pair, help_heading = "Values")]
    pub inputs: Vec<(String, String)>,
    /// A value of the `vars` context (repeatable)
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = pair, help_heading = "Values")]
    pub vars: Vec<(String, String)>,
    /// An environment variable for every step (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Values")]
    pub env: Vec<(String, String)>,
    /// Environment variables from a file of KEY=VALUE lines (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Values")]
    pub env_file: Vec<PathBuf>,
    /// A secret; without a value it is taken from the environment (repeatable)
    #[arg(long = "secret", value_name = "KEY[=VALUE]", help_heading = "Values")]
    pub secrets: Vec<String>,
    /// Secrets from a file of KEY=VALUE lines (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Values")]
    pub secret_file: Vec<PathBuf>,
    /// The image that stands for a runner label such as ubuntu-latest (repeatable)
    #[arg(long = "image", value_name = "LABEL=IMAGE", value_parser = pair, help_heading = "Images")]
    pub images: Vec<(String, String)>,
    /// The image for jobs that name none
    #[arg(long, value_name = "IMAGE", help_heading = "Images")]
    pub default_image: Option<String>,
    /// When to pull images
    #[arg(long, value_enum, default_value = "missing", help_heading = "Images")]
    pub pull: PullArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DialectArg {
    Native,
    Github,
    Gitlab,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum EventArg {
    Push,
    PullRequest,
    Tag,
    Schedule,
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullArg {
    Never,
    Missing,
    Always,
}

impl From<PullArg> for PullPolicy {
    fn from(arg: PullArg) -> PullPolicy {
        match arg {
            PullArg::Never => PullPolicy::Never,
            PullArg::Missing => PullPolicy::Missing,
            PullArg::Always => PullPolicy::Always,
        }
    }
}

/// The local repository and the event that the flags describe.
pub struct Ground {
    pub dir: PathBuf,
    pub tree: Arc<dyn Tree>,
    pub files: Arc<TreeFiles>,
    pub trigger: Trigger,
    pub inputs: IndexMap<String, Value>,
    pub vars: IndexMap<String, String>,
    pub env: IndexMap<String, String>,
    pub secrets: SecretSet,
}

impl Selection {
    /// Reads the work tree, the flags' files and the environment variables that `--secret KEY` names. Blocks.
    pub fn ground(&self) -> Result<Ground, Failed> {
        let tree = Arc::new(LocalTree::open(&self.dir).map_err(unreadable)?);
        let dir = tree.root().to_owned();
        let facts = local::facts(&dir).map_err(unreadable)?;
        let payload = match &self.event_file {
            Some(file) => payload(file)?,
            None => serde_json::Value::Null,
        };
        let changed = match &self.base_ref {
            Some(base) => local::changed(&dir, base).map_err(unreadable)?,
            None => Changed::Unknown,
        };
        let git_ref = match &self.git_ref {
            Some(name) if name.starts_with("refs/") => name.clone(),
            Some(name) if self.event == Some(EventArg::Tag) => format!("refs/tags/{name}"),
            Some(name) => format!("refs/heads/{name}"),
            None => facts.git_ref(),
        };
        let (event, git_ref) = self.event(git_ref, &facts)?;
        let trigger = Trigger {
            forge: None,
            repo: facts.repo.clone(),
            clone_url: facts.remote.clone(),
            event,
            commit: facts.sha.clone(),
            git_ref,
            default_branch: facts.default_branch.clone(),
            changed,
            message: facts.message.clone(),
            actor: self.actor.clone().unwrap_or_else(|| facts.author.clone()),
            delivery: None,
            trust: Trust::Operator,
            payload: Arc::new(payload),
        };
        let mut env = IndexMap::new();
        for file in &self.env_file {
            env.extend(lines_of(file)?);
        }
        env.extend(self.env.iter().cloned());
        let as_value = |(key, value): &(String, String)| (key.clone(), Value::from(value.clone()));
        Ok(Ground {
            files: Arc::new(TreeFiles(tree.clone())),
            tree,
            dir,
            trigger,
            inputs: self.inputs.iter().map(as_value).collect(),
            vars: self.vars.iter().cloned().collect(),
            env,
            secrets: self.secrets()?,
        })
    }

    fn event(&self, git_ref: String, facts: &local::Facts) -> Result<(Event, String), Failed> {
        let branch_of = |git_ref: &str| git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref).to_owned();
        let branch = branch_of(&git_ref);
        let kind = match self.event {
            Some(kind) => kind,
            None if git_ref.starts_with("refs/tags/") => EventArg::Tag,
            None => EventArg::Push,
        };
        let inputs = self.inputs.iter().cloned().collect();
        let event = match kind {
            EventArg::Push => Event::Push {
                branch,
                before: None,
                forced: false,
            },
            EventArg::Manual => Event::Manual { branch, inputs },
            EventArg::Schedule => Event::Schedule {
                cron: String::new(),
                branch,
            },
            EventArg::Tag => {
                let from_ref = git_ref.strip_prefix("refs/tags/").map(str::to_owned);
                let Some(tag) = from_ref.or_else(|| facts.tag.clone()) else {
                    return Err(Failed::wrong("no tag is checked out").hint("name one with `--ref refs/tags/NAME`"));
                };
                let git_ref = format!("refs/tags/{tag}");
                return Ok((Event::Tag { tag }, git_ref));
            }
            EventArg::PullRequest => {
                let target = self
                    .base_ref
                    .as_deref()
                    .map(branch_of)
                    .or_else(|| facts.default_branch.clone());
                Event::PullRequest(PullRequest {
                    number: 1,
                    action: "opened".to_owned(),
                    title: facts.message.lines().next().unwrap_or_default().to_owned(),
                    source_branch: branch,
                    source_repo: facts.repo.clone(),
                    target_branch: target.unwrap_or_else(|| "main".to_owned()),
                    base: None,
                    draft: false,
                    labels: vec![],
                })
            }
        };
        Ok((event, git_ref))
    }

    fn secrets(&self) -> Result<SecretSet, Failed> {
        let mut given: Vec<(String, String)> = vec![];
        for file in &self.secret_file {
            given.extend(lines_of(file)?);
        }
        for flag in &self.secrets {
            given.push(match flag.split_once('=') {
                Some((key, value)) => (key.to_owned(), value.to_owned()),
                None => (flag.clone(), from_environment(flag)?),
            });
        }
        let define = |(key, value): (String, String)| match Secret::define(&key, value) {
            Ok(secret) => Ok((key, secret)),
            Err(error) => Err(Failed::wrong(error.to_string())),
        };
        given.into_iter().map(define).collect()
    }
}

fn from_environment(secret: &str) -> Result<String, Failed> {
    std::env::var(secret).map_err(|_| {
        Failed::wrong(format!(
            "`--secret {secret}` takes its value from the environment, which has no `{secret}`"
        ))
        .hint(format!("export it, or write `--secret {secret}=VALUE`"))
    })
}

fn unreadable(error: SourceError) -> Failed {
    Failed::wrong(error.to_string())
}

fn read(file: &Path) -> Result<String, Failed> {
    let unreadable = |why: String| Failed::wrong(format!("cannot read `{}`: {why}", file.display()));
    let about = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?;
    if about.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it is larger than {} MiB",
            FILE_BYTES_MAX / 1024 / 1024
        )));
    }
    std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))
}

fn payload(file: &Path) -> Result<serde_json::Value, Failed> {
    serde_json::from_str(&read(file)?)
        .map_err(|error| Failed::wrong(format!("`{}` is no JSON: {error}", file.display())))
}

/// KEY=VALUE lines; blank lines and `#` comments pass, `export ` may stand in front, a value may be quoted.
fn lines_of(file: &Path) -> Result<Vec<(String, String)>, Failed> {
    let text = read(file)?;
    let mut pairs = vec![];
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=') else {
            let what = format!("{}:{}: no `KEY=VALUE` stands here", file.display(), number + 1);
            return Err(Failed::wrong(what));
        };
        pairs.push((key.trim().to_owned(), unquoted(value.trim()).to_owned()));
    }
    Ok(pairs)
}

fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

/// `KEY=VALUE` on the command line.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("KEY=VALUE is wanted".to_owned()),
    }
}

/// A duration as pipeline files write it: `90s`, `20m`, `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a duration such as 90s, 20m or 2h is wanted".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wanted)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wanted()),
    };
    let number: u64 = number.parse().map_err(|_| wanted())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wanted)
}
