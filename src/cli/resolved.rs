//! From the selection's flags to what would run: files found and compiled, and a decision for each workflow.

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

impl Selection {
    /// The files that are there, compiled; findings are not printed yet.
    pub fn compile(&self, ground: &Ground) -> Result<(Detected, Compiled), Failed> {
        let unreadable = |error: std::io::Error| Failed::wrong(format!("cannot read the repository: {error}"));
        let forced = self.dialect.map(Kind::from);
        let tree = ground.tree.as_ref();
        let detected = match self.files.is_empty() {
            true => dialect::detect(tree, forced).map_err(unreadable)?,
            false => Some(dialect::detect_file(tree, &self.files, forced).map_err(unreadable)?),
        };
        let Some(detected) = detected else {
            let what = format!("`{}` holds no pipeline file and no Dockerfile", ground.dir.display());
            return Err(Failed::wrong(what).hint("`drydock init` writes a `.drydock.yml` that fits the repository"));
        };
        let compiled = dialect::compile(&detected, tree).map_err(unreadable)?;
        Ok((detected, compiled))
    }

    /// What would run. Findings are printed to stderr; an error among them is the end.
    pub fn resolve(&self) -> Result<Resolved, Failed> {
        let mut ground = self.ground()?;
        let (detected, compiled) = self.compile(&ground)?;
        if let Some(note) = &detected.note {
            anstream::eprintln!("{note}");
        }
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
