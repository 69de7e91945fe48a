//! Rules: which events a workflow runs for, and the reason either way.

use indexmap::IndexMap;

use super::Reason;
use crate::diag::{Origin, closest};
use crate::event::{Changed, Event, Trigger};
use crate::expr::globs::{Patterns, Verdict};

/// One entry of a file's `on:`.
#[derive(Debug, Clone)]
pub struct Rule {
    pub filter: EventFilter,
    pub origin: Origin,
}

/// Globs as written, with where they stand.
#[derive(Debug, Clone)]
pub struct Globs {
    pub patterns: Patterns,
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub enum EventFilter {
    Push {
        branches: Option<Globs>,
        branches_ignore: Option<Globs>,
        paths: Option<Globs>,
        paths_ignore: Option<Globs>,
    },
    /// `branches` look at the target. An empty `actions` is a dialect's default: opened, reopened, synchronize.
    PullRequest {
        branches: Option<Globs>,
        branches_ignore: Option<Globs>,
        paths: Option<Globs>,
        paths_ignore: Option<Globs>,
        actions: Vec<String>,
    },
    Tag {
        tags: Option<Globs>,
        tags_ignore: Option<Globs>,
    },
    Schedule {
        cron: String,
        time_zone: Option<String>,
        branch: Option<String>,
    },
    Manual {
        inputs: IndexMap<String, ManualInput>,
    },
}

/// An input that a manual event may carry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ManualInput {
    pub description: Option<String>,
    pub default: Option<String>,
    /// Empty: any text.
    pub options: Vec<String>,
    pub required: bool,
}

/// What a rule says of an event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    pub runs: bool,
    pub reason: Reason,
}

/// Actions of a pull request that run a workflow which names none.
const USUAL_ACTIONS: [&str; 3] = ["opened", "reopened", "synchronize"];

impl EventFilter {
    pub fn kind(&self) -> &'static str {
        match self {
            EventFilter::Push { .. } => "push",
            EventFilter::PullRequest { .. } => "pull_request",
            EventFilter::Tag { .. } => "tag",
            EventFilter::Schedule { .. } => "schedule",
            EventFilter::Manual { .. } => "manual",
        }
    }
}

impl Rule {
    /// Whether this rule lets the event start its workflow, and why. The only place where that is decided.
    pub fn wants(&self, trigger: &Trigger) -> Decision {
        let yes = |text: String| Decision {
            runs: true,
            reason: Reason::new(text).at(&self.origin),
        };
        let no = |text: String| Decision {
            runs: false,
            reason: Reason::new(text).at(&self.origin),
        };
        match (&self.filter, &trigger.event) {
            (
                EventFilter::Push {
                    branches,
                    branches_ignore,
                    paths,
                    paths_ignore,
                },
                Event::Push { branch, .. },
            ) => {
                match name_passes("branch", branch, branches, branches_ignore)
                    .and_then(|()| paths_pass(&trigger.changed, paths, paths_ignore))
                {
                    Ok(()) => yes(format!("`on: push` takes a push to `{branch}`")),
                    Err(decision) => *decision,
                }
            }
            (
                EventFilter::PullRequest {
                    branches,
                    branches_ignore,
                    paths,
                    paths_ignore,
                    actions,
                },
                Event::PullRequest(request),
            ) => {
                let wanted = match actions.is_empty() {
                    true => USUAL_ACTIONS.contains(&request.action.as_str()),
                    false => actions.contains(&request.action),
                };
                if !wanted {
                    return no(format!(
                        "`on: pull_request` does not take the action `{}`",
                        request.action
                    ));
                }
                match name_passes("target branch", &request.target_branch, branches, branches_ignore)
                    .and_then(|()| paths_pass(&trigger.changed, paths, paths_ignore))
                {
                    Ok(()) => yes(format!(
                        "`on: pull_request` takes #{} into `{}`",
                        request.number, request.target_branch
                    )),
                    Err(decision) => *decision,
                }
            }
            (EventFilter::Tag { tags, tags_ignore }, Event::Tag { tag }) => {
                match name_passes("tag", tag, tags, tags_ignore) {
                    Ok(()) => yes(format!("`on: tag` takes the tag `{tag}`")),
                    Err(decision) => *decision,
                }
            }
            (EventFilter::Schedule { cron, .. }, Event::Schedule { cron: due, .. }) => match cron == due {
                true => yes(format!("`on: schedule` came due (`{cron}`)")),
                false => no(format!("the schedule that came due is `{due}`, not `{cron}`")),
            },
            (EventFilter::Manual { .. }, Event::Manual { .. }) => yes("`on: manual` takes a manual start".to_owned()),
            (
                EventFilter::Push { .. }
                | EventFilter::PullRequest { .. }
                | EventFilter::Tag { .. }
                | EventFilter::Schedule { .. }
                | EventFilter::Manual { .. },
                event,
            ) => no(format!(
                "`on: {}` does not take the event `{}`",
                self.filter.kind(),
                event.kind()
            )),
        }
    }
}

/// What a workflow's rules say together: the first that takes the event, else the most telling refusal.
pub fn decide(rules: &[Rule], trigger: &Trigger) -> Decision {
    let decisions: Vec<Decision> = rules.iter().map(|rule| rule.wants(trigger)).collect();
    if let Some(taken) = decisions.iter().find(|decision| decision.runs) {
        return taken.clone();
    }
    let kind = trigger.event.kind();
    let same_kind = rules.iter().position(|rule| rule.filter.kind() == kind);
    match same_kind {
        Some(at) => decisions[at].clone(),
        None => {
            let kinds: Vec<&str> = rules.iter().map(|rule| rule.filter.kind()).collect();
            let listed = if kinds.is_empty() {
                "nothing".to_owned()
            } else {
                kinds.join(", ")
            };
            let reason = Reason::new(format!("`on:` lists {listed}; the event is `{kind}`"));
            let reason = match rules.first() {
                Some(rule) => reason.at(&rule.origin),
                None => reason,
            };
            Decision { runs: false, reason }
        }
    }
}

/// The values of a manual start's inputs: what was given, else the defaults.
/// Errors: one line for each input that is unknown, missing or not among its options.
pub fn manual_inputs(
    rules: &[Rule],
    given: &IndexMap<String, String>,
) -> Result<IndexMap<String, String>, Vec<String>> {
    let mut known: IndexMap<&str, &ManualInput> = IndexMap::new();
    for rule in rules {
        if let EventFilter::Manual { inputs } = &rule.filter {
            known.extend(inputs.iter().map(|(name, input)| (name.as_str(), input)));
        }
    }
    let names: Vec<&str> = known.keys().copied().collect();
    let mut wrong = vec![];
    for name in given.keys().filter(|name| !known.contains_key(name.as_str())) {
        wrong.push(match closest(name, &names) {
            Some(near) => format!("there is no input `{name}`; did you mean `{near}`?"),
            None if names.is_empty() => format!("there is no input `{name}`; the file defines none"),
            None => format!("there is no input `{name}`; there are: {}", names.join(", ")),
        });
    }
    let mut values = IndexMap::new();
    for (name, input) in known {
        let Some(value) = given.get(name).or(input.default.as_ref()) else {
            if input.required {
                wrong.push(format!("the input `{name}` is required"));
            }
            continue;
        };
        if !input.options.is_empty() && !input.options.contains(value) {
            wrong.push(format!(
                "the input `{name}` may be {}, not `{value}`",
                input.options.join(", ")
            ));
        }
        values.insert(name.to_owned(), value.clone());
    }
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

type Refusal = Box<Decision>;

fn refuse(text: String, origin: &Origin) -> Refusal {
    Box::new(Decision {
        runs: false,
        reason: Reason::new(text).at(origin),
    })
}

/// The patterns as a file lists them: `[main, release/**]`.
fn listed(patterns: &Patterns) -> String {
    let texts: Vec<&str> = (0..).map_while(|index| patterns.text(index)).collect();
    format!("[{}]", texts.join(", "))
}

fn name_passes(what: &str, name: &str, only: &Option<Globs>, ignore: &Option<Globs>) -> Result<(), Refusal> {
    if let Some(globs) = only {
        match globs.patterns.verdict(name) {
            Verdict::Taken(_) => {}
            Verdict::TakenBack(index) => {
                let pattern = globs.patterns.text(index).unwrap_or_default();
                return Err(refuse(
                    format!("{what} '{name}' is taken out by {pattern}"),
                    &globs.origin,
                ));
            }
            Verdict::Unmatched => {
                let text = format!("{what} '{name}' matches none of {}", listed(&globs.patterns));
                return Err(refuse(text, &globs.origin));
            }
        }
    }
    if let Some(globs) = ignore
        && let Some(index) = globs.patterns.ignored_by(name)
    {
        let pattern = globs.patterns.text(index).unwrap_or_default();
        return Err(refuse(
            format!("{what} '{name}' is ignored by {pattern}"),
            &globs.origin,
        ));
    }
    Ok(())
}

fn paths_pass(changed: &Changed, only: &Option<Globs>, ignore: &Option<Globs>) -> Result<(), Refusal> {
    // Nobody knows what changed (a new branch, a cut-off payload): better a run too many than one too few.
    let Changed::Paths(paths) = changed else { return Ok(()) };
    let count = match paths.len() {
        1 => "the one changed file".to_owned(),
        many => format!("the {many} changed files"),
    };
    if let Some(globs) = only
        && globs.patterns.paths_match(paths).is_none()
    {
        return Err(refuse(
            format!("none of {count} matches {}", listed(&globs.patterns)),
            &globs.origin,
        ));
    }
    if let Some(globs) = ignore
        && globs.patterns.paths_ignore_match(paths).is_none()
    {
        return Err(refuse(
            format!("all of {count} are ignored by {}", listed(&globs.patterns)),
            &globs.origin,
        ));
    }
    Ok(())
}
