//! What native pipelines see while they run: contexts, `DRYDOCK_*` variables, and the files in which a step leaves
//! outputs and variables.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::event::{Event, Trigger};
use crate::expr::{Object, Value};
use crate::plan::{AfterStep, BeforeStep, Conventions, Facts, Finished, JobKey, StepFile, StepPast};

#[cfg(test)]
mod tests;

/// What stands behind each context that has fixed names. Checked before anything runs.
pub(super) const EVENT: &[&str] = &[
    "kind",
    "ref",
    "actor",
    "message",
    "action",
    "number",
    "title",
    "draft",
    "labels",
    "fork",
    "source_branch",
    "source_repo",
    "target_branch",
    "base",
    "before",
    "forced",
    "cron",
];
pub(super) const REPO: &[&str] = &["full_name", "owner", "name", "forge", "default_branch"];
pub(super) const PIPELINE: &[&str] = &["number"];
pub(super) const JOB: &[&str] = &["id", "attempt", "status"];
pub(super) const NEED: &[&str] = &["result", "outputs", "image"];
pub(super) const STEP: &[&str] = &["outputs", "outcome", "conclusion"];

/// Every root context.
pub(super) const CONTEXTS: &[&str] = &[
    "event", "repo", "branch", "tag", "sha", "pipeline", "job", "steps", "needs", "matrix", "inputs", "secrets",
    "vars", "env",
];

/// The file in which a step leaves outputs, `name=value` a line, or `name<<END`, lines, `END`.
const OUTPUT: &str = "DRYDOCK_OUTPUT";
/// The file in which a step leaves variables for later steps, written the same way.
const ENV: &str = "DRYDOCK_ENV";

/// Conventions of the native dialect.
#[derive(Debug, Clone, Copy)]
pub struct Native;

impl Conventions for Native {
    fn context(&self, name: &str, facts: &Facts<'_>) -> Option<Value> {
        let trigger = facts.trigger;
        Some(match name.to_ascii_lowercase().as_str() {
            "event" => event(trigger),
            "repo" => repo(trigger),
            "branch" => text(branch(&trigger.event)),
            "tag" => text(trigger.event.tag()),
            "sha" => text(Some(trigger.commit.as_str())),
            "pipeline" => Value::object([("number", Value::Number(facts.pipeline as f64))]),
            "job" => Value::object([
                ("id", text(facts.job.map(JobKey::as_str))),
                ("attempt", Value::Number(f64::from(facts.attempt))),
                ("status", text(Some(facts.so_far.word()))),
            ]),
            "steps" => Value::object(facts.steps.iter().map(|(id, past)| (id.as_str(), step(past)))),
            "needs" => Value::object(facts.needs.iter().map(|(key, need)| (key.as_str(), finished(need)))),
            "matrix" => Value::object(facts.matrix.iter().map(|(name, value)| (name.as_str(), value.clone()))),
            "inputs" => Value::object(facts.inputs.iter().map(|(name, value)| (name.as_str(), value.clone()))),
            "vars" => texts(facts.vars),
            "env" => {
                let mut object = Object::case_sensitive();
                for (name, value) in facts.env {
                    object.insert(name.as_str(), text(Some(value)));
                }
                Value::Object(object.into())
            }
            "secrets" => {
                let secrets = facts.secrets.into_iter().flatten();
                Value::object(secrets.map(|(name, secret)| (name.as_str(), text(Some(secret.reveal())))))
            }
            _ => return None,
        })
    }

    fn before_step(&self, facts: &Facts<'_>) -> BeforeStep {
        let trigger = facts.trigger;
        let mut env: IndexMap<String, String> = IndexMap::new();
        let mut set = |name: &str, value: &str| drop(env.insert(name.to_owned(), value.to_owned()));
        set("CI", "true");
        set("DRYDOCK", "true");
        set("DRYDOCK_REPO", &trigger.repo);
        set("DRYDOCK_EVENT", trigger.event.kind());
        set("DRYDOCK_REF", &trigger.git_ref);
        set("DRYDOCK_SHA", trigger.commit.as_str());
        set("DRYDOCK_BRANCH", branch(&trigger.event).unwrap_or_default());
        set("DRYDOCK_TAG", trigger.event.tag().unwrap_or_default());
        set("DRYDOCK_ACTOR", &trigger.actor);
        set("DRYDOCK_PIPELINE", &facts.pipeline.to_string());
        set("DRYDOCK_JOB", facts.job.map_or("", JobKey::as_str));
        set("DRYDOCK_ATTEMPT", &facts.attempt.to_string());
        if let Event::PullRequest(request) = &trigger.event {
            set("DRYDOCK_PULL_REQUEST", &request.number.to_string());
            set("DRYDOCK_SOURCE_BRANCH", &request.source_branch);
            set("DRYDOCK_TARGET_BRANCH", &request.target_branch);
        }
        let built: Vec<(&JobKey, &str)> = facts
            .needs
            .iter()
            .filter_map(|(key, need)| Some((key, need.image.as_deref()?)))
            .collect();
        for (key, image) in &built {
            set(&image_variable(key.as_str()), image);
        }
        if let [(_, image)] = built.as_slice() {
            set("IMAGE", image);
        }
        let file = |variable: &str| StepFile {
            variable: variable.to_owned(),
            content: vec![],
            read_back: true,
        };
        BeforeStep {
            env,
            files: vec![file(OUTPUT), file(ENV)],
        }
    }

    fn after_step(&self, files: &BTreeMap<String, Vec<u8>>) -> AfterStep {
        let mut after = AfterStep::default();
        if let Some(content) = files.get(OUTPUT) {
            after.outputs = entries(OUTPUT, content, &mut after.complaints);
        }
        if let Some(content) = files.get(ENV) {
            for (name, value) in entries(ENV, content, &mut after.complaints) {
                match refused(&name) {
                    Some(why) => after.complaints.push(format!("{ENV}: `{name}` was not set: {why}")),
                    None => drop(after.env.insert(name, value)),
                }
            }
        }
        after
    }
}

/// The branch that the commit is on. A pull request's commit is on none of this repository's yet: were it the target,
/// `if: branch == 'main'` would publish what nobody has merged.
fn branch(event: &Event) -> Option<&str> {
    match event {
        Event::PullRequest(_) => None,
        Event::Push { .. } | Event::Tag { .. } | Event::Schedule { .. } | Event::Manual { .. } => event.branch(),
    }
}

/// `IMAGE_WEB_APP` for the job `web-app`.
pub(super) fn image_variable(job: &str) -> String {
    let shouted = job.chars().map(|one| {
        if one.is_ascii_alphanumeric() {
            one.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    format!("IMAGE_{}", shouted.collect::<String>())
}

fn text(value: Option<&str>) -> Value {
    Value::string(value.unwrap_or_default())
}

fn texts(values: &IndexMap<String, String>) -> Value {
    Value::object(values.iter().map(|(name, value)| (name.as_str(), text(Some(value)))))
}

fn event(trigger: &Trigger) -> Value {
    let mut object = Object::new();
    for name in EVENT {
        object.insert(*name, event_field(trigger, name));
    }
    Value::Object(object.into())
}

/// What the event says of one name of [`EVENT`]; `null` where it says nothing.
fn event_field(trigger: &Trigger, name: &str) -> Value {
    let said = |value: &str| text(Some(value));
    let commit = |sha: &Option<crate::event::CommitSha>| sha.as_ref().map_or(Value::Null, |sha| said(sha.as_str()));
    match (name, &trigger.event) {
        ("kind", event) => said(event.kind()),
        ("ref", _) => said(&trigger.git_ref),
        ("actor", _) => said(&trigger.actor),
        ("message", _) => said(&trigger.message),
        ("action", Event::PullRequest(request)) => said(&request.action),
        ("number", Event::PullRequest(request)) => Value::Number(request.number as f64),
        ("title", Event::PullRequest(request)) => said(&request.title),
        ("draft", Event::PullRequest(request)) => Value::Bool(request.draft),
        ("labels", Event::PullRequest(request)) => {
            Value::array(request.labels.iter().map(|label| said(label)).collect())
        }
        ("fork", Event::PullRequest(request)) => Value::Bool(request.source_repo != trigger.repo),
        ("fork", _) => Value::Bool(false),
        ("source_branch", Event::PullRequest(request)) => said(&request.source_branch),
        ("source_repo", Event::PullRequest(request)) => said(&request.source_repo),
        ("target_branch", Event::PullRequest(request)) => said(&request.target_branch),
        ("base", Event::PullRequest(request)) => commit(&request.base),
        ("before", Event::Push { before, .. }) => commit(before),
        ("forced", Event::Push { forced, .. }) => Value::Bool(*forced),
        ("cron", Event::Schedule { cron, .. }) => said(cron),
        _ => Value::Null,
    }
}

fn repo(trigger: &Trigger) -> Value {
    let (owner, name) = trigger.repo.rsplit_once('/').unwrap_or(("", &trigger.repo));
    Value::object([
        ("full_name", text(Some(&trigger.repo))),
        ("owner", text(Some(owner))),
        ("name", text(Some(name))),
        ("forge", text(trigger.forge.map(crate::event::ForgeKind::name))),
        ("default_branch", text(trigger.default_branch.as_deref())),
    ])
}

fn step(past: &StepPast) -> Value {
    Value::object([
        ("outputs", texts(&past.outputs)),
        ("outcome", text(Some(past.outcome))),
        ("conclusion", text(Some(past.conclusion))),
    ])
}

fn finished(need: &Finished) -> Value {
    Value::object([
        ("result", text(Some(need.result.word()))),
        ("outputs", texts(&need.outputs)),
        ("image", text(need.image.as_deref())),
    ])
}

/// Why a step may not set this variable for later steps: it would decide which program runs, or speak for Drydock.
fn refused(name: &str) -> Option<&'static str> {
    const PROGRAMS: [&str; 14] = [
        "PATH",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "IFS",
        "PS4",
        "NODE_OPTIONS",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "IMAGE",
    ];
    const BEGINNINGS: [&str; 6] = ["LD_", "DYLD_", "GIT_", "DOCKER_", "DRYDOCK", "IMAGE_"];
    let upper = name.to_ascii_uppercase();
    let decides = PROGRAMS.contains(&upper.as_str()) || BEGINNINGS.iter().any(|start| upper.starts_with(start));
    if decides {
        return Some("it decides what later steps run; write it under the job's or the step's `env`");
    }
    (!is_variable_name(name)).then_some("it is no variable name (letters, digits and `_`, no digit first)")
}

/// Letters, digits and `_`, no digit first.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `name=value` lines and `name<<END` blocks. What is neither is complained of and left out.
fn entries(file: &str, content: &[u8], complaints: &mut Vec<String>) -> IndexMap<String, String> {
    let content = String::from_utf8_lossy(content);
    let mut found = IndexMap::new();
    let mut lines = content
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .enumerate();
    while let Some((at, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let equals = line.find('=');
        let heredoc = line
            .find("<<")
            .filter(|start| equals.is_none_or(|equals| *start < equals));
        if let Some(start) = heredoc {
            let (name, end) = (line[..start].trim(), line[start + 2..].trim());
            let mut value: Vec<&str> = vec![];
            let closed = !end.is_empty()
                && lines.by_ref().any(|(_, line)| {
                    let is_end = line == end;
                    if !is_end {
                        value.push(line);
                    }
                    is_end
                });
            if closed && !name.is_empty() {
                found.insert(name.to_owned(), value.join("\n"));
            } else {
                complaints.push(format!(
                    "{file} line {}: no line `{end}` ends the value of `{name}`",
                    at + 1
                ));
            }
        } else if let Some((name, value)) = equals.map(|equals| (line[..equals].trim(), &line[equals + 1..]))
            && !name.is_empty()
        {
            found.insert(name.to_owned(), value.to_owned());
        } else {
            let shown: String = line.chars().take(60).collect();
            complaints.push(format!(
                "{file} line {}: `{shown}` is neither NAME=value nor NAME<<END",
                at + 1
            ));
        }
    }
    found
}
