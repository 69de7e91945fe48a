//! From the selection's flags to what would run: files found and compiled, and a decision for each workflow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::selection::{DialectArg, Ground, Selection};
use super::{Exit, Failed};
use crate::diag::closest;
use crate::dialect::{self, Compiled, Detected, Kind};
use crate::engine::WorkflowSeen;
use crate::event::Event;
use crate::expr::Value;
use crate::plan::{Decision, JobKey, Plan, decide, manual_inputs};
use crate::tree::Tree;

/// Largest pipeline file that is read by name; what is larger than a dialect takes, the dialect refuses.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub struct Resolved {
    pub ground: Ground,
    pub workflows: Vec<Workflow>,
}

/// One file's plan, cut down to what the flags select, and whether the event starts it.
pub struct Workflow {
    pub plan: Arc<Plan>,
    pub decision: Decision,
}

impl From<DialectArg> for Kind {
    fn from(arg: DialectArg) -> Kind {
        match arg {
            DialectArg::Native => Kind::Native,
            DialectArg::Github => Kind::GitHub,
            DialectArg::Gitlab => Kind::GitLab,
        }
    }
}

/// The pipeline files of a folder, or those that were named, compiled; findings are not printed yet.
pub fn compile(dir: &Path, tree: &dyn Tree, files: &[String], dialect: Option<DialectArg>) -> Result<Compiled, Failed> {
    let detected = detected(dir, tree, files, dialect.map(Kind::from))?;
    if let Some(note) = &detected.note {
        anstream::eprintln!("note: {note}");
    }
    dialect::compile(&detected, tree).map_err(unreadable)
}

/// The pipeline files of a folder, or those that were named.
pub fn detected(dir: &Path, tree: &dyn Tree, files: &[String], forced: Option<Kind>) -> Result<Detected, Failed> {
    if !files.is_empty() {
        let read: Vec<(String, String)> = files
            .iter()
            .map(|file| named(dir, file))
            .collect::<Result<_, Failed>>()?;
        return dialect::detect_named(tree, read, forced).map_err(unreadable);
    }
    dialect::detect(tree, forced).map_err(unreadable)?.ok_or_else(|| {
        let what = match forced {
            Some(kind) => format!(
                "`{}` holds no pipeline file of the {} dialect",
                dir.display(),
                kind.name()
            ),
            None => format!("`{}` holds no pipeline file and no Dockerfile", dir.display()),
        };
        Failed::wrong(what).hint("`drydock init` writes a `.drydock.yml` that fits the repository")
    })
}

/// A file that a person named: as seen from where they stand, else from the repository's folder.
fn named(dir: &Path, file: &str) -> Result<(String, String), Failed> {
    let here = PathBuf::from(file);
    let path = if here.is_file() { here } else { dir.join(file) };
    let cannot = |why: String| Failed::wrong(format!("cannot read `{file}`: {why}"));
    let about = std::fs::metadata(&path).map_err(|error| cannot(error.to_string()))?;
    if !about.is_file() {
        return Err(cannot("it is no file".into()));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(cannot(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
    // Shown by its path inside of the repository, where it is inside.
    let inside = path
        .canonicalize()
        .ok()
        .and_then(|path| Some(path.strip_prefix(dir).ok()?.to_owned()));
    let shown = inside.map_or_else(|| file.to_owned(), |inside| inside.to_string_lossy().into_owned());
    Ok((shown, text))
}

fn unreadable(error: std::io::Error) -> Failed {
    Failed::wrong(format!("cannot read the repository: {error}"))
}

impl Selection {
    /// What would run. Findings are printed to stderr; an error among them is the end.
    pub fn resolve(&self) -> Result<Resolved, Failed> {
        let mut ground = self.ground()?;
        let compiled = compile(&ground.dir, &*ground.tree, &self.files, self.dialect)?;
        print_findings(&compiled);
        if compiled.has_errors() {
            return Err(Failed {
                exit: Exit::Wrong,
                what: String::new(),
                hint: None,
            });
        }
        self.check_job_names(&compiled.plans)?;
        if let Event::Manual { inputs, .. } = &ground.trigger.event {
            ground.inputs = inputs_of(&compiled.plans, inputs)?;
        }
        let workflow = |plan: Plan| {
            let decision = decide(&plan.on, &ground.trigger);
            Workflow {
                plan: Arc::new(self.narrow(plan)),
                decision,
            }
        };
        let workflows = compiled
            .plans
            .into_iter()
            .map(workflow)
            .filter(|workflow| !workflow.plan.jobs().is_empty());
        Ok(Resolved {
            workflows: workflows.collect(),
            ground,
        })
    }

    fn narrow(&self, plan: Plan) -> Plan {
        let mut plan = plan;
        if !self.jobs.is_empty() {
            let named: Vec<JobKey> = plan
                .jobs()
                .iter()
                .map(|job| job.key.clone())
                .filter(|key| self.jobs.iter().any(|job| job == key.as_str()))
                .collect();
            let kept = if self.no_needs { named } else { plan.with_needs(&named) };
            plan = plan.only(&|key| kept.contains(key));
        }
        if self.matrix.is_empty() {
            plan
        } else {
            plan.only_members(&self.matrix)
        }
    }

    fn check_job_names(&self, plans: &[Plan]) -> Result<(), Failed> {
        let names: Vec<&str> = plans.iter().flat_map(Plan::jobs).map(|job| job.key.as_str()).collect();
        for wanted in &self.jobs {
            if !names.contains(&wanted.as_str()) {
                let hint = match closest(wanted, &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", names.join(", ")),
                };
                return Err(Failed::wrong(format!("there is no job `{wanted}`")).hint(hint));
            }
        }
        Ok(())
    }
}

fn inputs_of(plans: &[Plan], given: &IndexMap<String, String>) -> Result<IndexMap<String, Value>, Failed> {
    let rules: Vec<_> = plans.iter().flat_map(|plan| plan.on.clone()).collect();
    match manual_inputs(&rules, given) {
        Ok(values) => Ok(values
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect()),
        Err(wrong) => Err(Failed::wrong(wrong.join("; "))),
    }
}

pub fn print_findings(compiled: &Compiled) {
    if compiled.diagnostics.is_empty() {
        return;
    }
    // Rendered with colours; the stream takes them away where nobody sees them.
    anstream::eprint!("{}", compiled.render(true));
}

impl Resolved {
    pub fn plans(&self) -> Vec<Arc<Plan>> {
        self.workflows
            .iter()
            .filter(|workflow| workflow.decision.runs)
            .map(|workflow| workflow.plan.clone())
            .collect()
    }

    /// Every workflow with the reason why it runs or not.
    pub fn seen(&self) -> Vec<WorkflowSeen> {
        let seen = |workflow: &Workflow| WorkflowSeen {
            name: workflow.plan.name.clone(),
            file: workflow.plan.file.to_string(),
            runs: workflow.decision.runs,
            reason: workflow.decision.reason.to_string(),
        };
        self.workflows.iter().map(seen).collect()
    }
}
