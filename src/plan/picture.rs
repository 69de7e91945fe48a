//! The picture of what would run: every workflow and job with the reason why it runs or not, before anything has run.

mod draw;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Serialize;

use super::{
    Action, Axis, Condition, Decision, DockerAccess, Facts, FactsScope, Finished, ImageSource, Instance, Job, JobKey,
    JobResult, Plan, PushedImage, Reason, StepPast,
};
use crate::event::Trigger;
use crate::expr::hash_files::Files;
use crate::expr::{STATUS, Template, Value};

pub use draw::{Paper, draw};

/// What is known before anything has run.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub trigger: &'a Trigger,
    pub vars: &'a IndexMap<String, String>,
    pub inputs: &'a IndexMap<String, Value>,
    pub files: Option<&'a (dyn Files + Sync)>,
    /// Names of the secrets that are set.
    pub secrets: &'a [String],
}

/// Everything that one event would start, and what it would not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picture {
    pub event: &'static str,
    pub git_ref: String,
    pub sha: String,
    pub workflows: Vec<WorkflowPicture>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowPicture {
    pub name: String,
    pub file: String,
    pub dialect: &'static str,
    pub runs: bool,
    pub reason: Reason,
    /// Empty if it does not run. A job stands behind all that it needs.
    pub jobs: Vec<JobPicture>,
}

/// * `image`: as far as it is known; else the expression.
/// * `members`: labels of the matrix's members; none where only an earlier job tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobPicture {
    pub id: String,
    pub name: Option<String>,
    pub needs: Vec<String>,
    #[serde(flatten)]
    pub forecast: Forecast,
    pub image: Option<String>,
    pub services: Vec<ServicePicture>,
    pub docker: Option<&'static str>,
    pub matrix: Option<MatrixPicture>,
    pub steps: Vec<String>,
    pub builds: Option<String>,
    pub pushes: Vec<String>,
    pub environment: Option<String>,
    pub secrets: Vec<SecretPicture>,
    pub attempts_max: u32,
    pub timeout_s: Option<u64>,
}

/// What will become of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "forecast", rename_all = "lowercase")]
pub enum Forecast {
    /// It runs, if all that it needs passes.
    Runs {
        reason: Reason,
    },
    Skipped {
        reason: Reason,
    },
    /// Only what earlier jobs give tells.
    Later {
        reason: Reason,
    },
    /// Its condition cannot be worked out.
    Wrong {
        reason: Reason,
    },
}

impl Forecast {
    pub fn reason(&self) -> &Reason {
        match self {
            Forecast::Runs { reason }
            | Forecast::Skipped { reason }
            | Forecast::Later { reason }
            | Forecast::Wrong { reason } => reason,
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Forecast::Runs { .. } => "runs",
            Forecast::Skipped { .. } => "skipped",
            Forecast::Later { .. } => "later",
            Forecast::Wrong { .. } => "wrong",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServicePicture {
    pub name: String,
    pub image: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SecretPicture {
    pub name: String,
    pub set: bool,
}

/// `members` is empty where `from` (what tells them) is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MatrixPicture {
    pub axes: Vec<String>,
    pub members: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<String>,
}

/// What would happen with these plans. Pure; asks nothing that is not in `known`.
pub fn picture(workflows: &[(&Plan, &Decision)], known: &Known<'_>) -> Picture {
    Picture {
        event: known.trigger.event.kind(),
        git_ref: known.trigger.git_ref.clone(),
        sha: known.trigger.commit.as_str().to_owned(),
        workflows: workflows
            .iter()
            .map(|(plan, decision)| workflow(plan, decision, known))
            .collect(),
    }
}

fn workflow(plan: &Plan, decision: &Decision, known: &Known<'_>) -> WorkflowPicture {
    let jobs = if decision.runs { jobs(plan, known) } else { vec![] };
    WorkflowPicture {
        name: plan.name.clone(),
        file: plan.file.to_string(),
        dialect: plan.dialect,
        runs: decision.runs,
        reason: decision.reason.clone(),
        jobs,
    }
}

fn jobs(plan: &Plan, known: &Known<'_>) -> Vec<JobPicture> {
    let mut forecasts: HashMap<&JobKey, Forecast> = HashMap::new();
    let mut drawn = vec![];
    for job in in_order(plan.jobs()) {
        let seer = Seer { plan, job, known };
        let forecast = seer.forecast(&forecasts);
        drawn.push(seer.draw(forecast.clone()));
        forecasts.insert(&job.key, forecast);
    }
    drawn
}

/// Each job behind all that it needs; else as the file has them. Linear in jobs and needs.
fn in_order(jobs: &[Job]) -> Vec<&Job> {
    let index: HashMap<&JobKey, usize> = jobs.iter().enumerate().map(|(at, job)| (&job.key, at)).collect();
    let mut done = vec![false; jobs.len()];
    let mut order = Vec::with_capacity(jobs.len());
    for start in 0..jobs.len() {
        let mut path = vec![(start, 0)];
        while let Some((at, next)) = path.last_mut() {
            if done[*at] {
                path.pop();
                continue;
            }
            match jobs[*at].needs.get(*next).and_then(|need| index.get(need)) {
                Some(need) => {
                    *next += 1;
                    path.push((*need, 0));
                }
                None => {
                    done[*at] = true;
                    order.push(&jobs[*at]);
                    path.pop();
                }
            }
        }
    }
    order
}

/// Looks ahead for one job.
struct Seer<'a> {
    plan: &'a Plan,
    job: &'a Job,
    known: &'a Known<'a>,
}

/// Contexts that hold nothing before the pipeline runs.
const NOT_YET_KNOWN: [&str; 5] = ["needs", "steps", "job", "secrets", "env"];

impl Seer<'_> {
    fn forecast(&self, earlier: &HashMap<&JobKey, Forecast>) -> Forecast {
        let decides_itself = self.job.run_if.as_ref().is_some_and(Condition::decides_itself);
        if !decides_itself
            && let Some(need) = self.job.needs.iter().find(|need| {
                matches!(
                    earlier.get(need),
                    Some(Forecast::Skipped { .. } | Forecast::Wrong { .. })
                )
            })
        {
            return Forecast::Skipped {
                reason: Reason::new(format!("needs `{need}`, which is skipped")).at(&self.job.origin),
            };
        }
        let Some(condition) = &self.job.run_if else {
            let reason = Reason::new(self.when(earlier)).at(&self.job.origin);
            return Forecast::Runs { reason };
        };
        let said = condition.expr.text().trim();
        if condition.expr.contexts().iter().any(|context| context == "needs") {
            let reason = Reason::new(format!("`if: {said}` is decided {}", self.done())).at(&condition.origin);
            return Forecast::Later { reason };
        }
        // Its needs may end in several ways; if all ways give the same answer, that is the answer.
        let ways: &[JobResult] = match decides_itself && !self.job.needs.is_empty() {
            true => &[JobResult::Success, JobResult::Failure, JobResult::Cancelled],
            false => &[JobResult::Success],
        };
        let mut answers = vec![];
        for way in ways {
            match self.ask(condition, *way) {
                Ok(answer) => answers.push(answer),
                Err(why) => {
                    let reason = Reason::new(format!("`if: {said}` cannot be worked out: {why}")).at(&condition.origin);
                    return Forecast::Wrong { reason };
                }
            }
        }
        let values = || {
            let mut values = self.with_facts(JobResult::Success, &IndexMap::new(), |scope| {
                condition.expr.explain(scope)
            });
            // How its needs ended is not known; what was assumed above is nobody's value.
            let is_status = |what: &str| {
                STATUS
                    .iter()
                    .any(|status| what.to_ascii_lowercase().starts_with(status))
            };
            values.retain(|(what, _)| !is_status(what));
            values
        };
        let with_values = |text: String| Reason {
            values: values(),
            ..Reason::new(text).at(&condition.origin)
        };
        if answers.iter().all(|answer| !answer) {
            return Forecast::Skipped {
                reason: with_values(format!("`if: {said}` is false")),
            };
        }
        if answers.iter().all(|answer| *answer) {
            let text = match (decides_itself, self.job.needs.is_empty()) {
                (true, false) => format!("`if: {said}` is true however they end"),
                (_, true) => format!("`if: {said}` is true"),
                (false, false) => format!("`if: {said}` is true; {}", self.when(earlier)),
            };
            return Forecast::Runs {
                reason: with_values(text),
            };
        }
        let reason = Reason::new(format!("`if: {said}` is decided {}", self.done())).at(&condition.origin);
        Forecast::Later { reason }
    }

    fn ask(&self, condition: &Condition, so_far: JobResult) -> Result<bool, String> {
        self.with_facts(so_far, &IndexMap::new(), |scope| {
            condition
                .expr
                .evaluate(scope)
                .map(|value| value.is_truthy())
                .map_err(|error| error.to_string())
        })
    }

    /// `when x and y passed`.
    fn when(&self, earlier: &HashMap<&JobKey, Forecast>) -> String {
        if self.job.needs.is_empty() {
            return "it needs no other job and has no `if`".to_owned();
        }
        let open = self
            .job
            .needs
            .iter()
            .any(|need| matches!(earlier.get(need), Some(Forecast::Later { .. })));
        let verb = if open { "ran and passed" } else { "passed" };
        format!("when {} {verb}", listed(&self.job.needs))
    }

    fn done(&self) -> String {
        match self.job.needs.as_slice() {
            [] => "when it is reached".to_owned(),
            [one] => format!("when `{one}` is done"),
            many => format!("when {} are done", listed(many)),
        }
    }

    fn with_facts<T>(
        &self,
        so_far: JobResult,
        matrix: &IndexMap<String, Value>,
        look: impl FnOnce(&FactsScope<'_>) -> T,
    ) -> T {
        let needs: IndexMap<JobKey, Finished> = IndexMap::new();
        let steps: IndexMap<String, StepPast> = IndexMap::new();
        let env = IndexMap::new();
        let facts = Facts {
            trigger: self.known.trigger,
            pipeline: 0,
            attempt: 1,
            vars: self.known.vars,
            inputs: self.known.inputs,
            job: Some(&self.job.key),
            needs: &needs,
            matrix,
            steps: &steps,
            env: &env,
            secrets: None,
            so_far,
            files: self.known.files,
        };
        look(&FactsScope {
            facts: &facts,
            conventions: self.plan.conventions,
        })
    }

    /// The text that a template gives, or itself where that is not known yet.
    fn text(&self, template: &Template, members: &[Instance]) -> String {
        if let Some(text) = template.is_literal() {
            return text.to_owned();
        }
        let contexts = template.contexts();
        let unknown = contexts
            .iter()
            .any(|context| NOT_YET_KNOWN.contains(&context.as_str()) || context == "pipeline");
        let reads_matrix = contexts.iter().any(|context| context == "matrix");
        if unknown || (reads_matrix && members.is_empty()) {
            return template.text().to_owned();
        }
        let one = |matrix: &IndexMap<String, Value>| {
            self.with_facts(JobResult::Success, matrix, |scope| template.render(scope))
                .ok()
        };
        let rows: Vec<&IndexMap<String, Value>> = members.iter().map(|member| &member.matrix).collect();
        let nothing = IndexMap::new();
        let rows = if reads_matrix { rows } else { vec![&nothing] };
        let mut texts: Vec<String> = vec![];
        for row in rows {
            match one(row) {
                Some(text) if texts.contains(&text) => {}
                Some(text) => texts.push(text),
                None => return template.text().to_owned(),
            }
        }
        match texts.as_slice() {
            [first, second, .., last] if texts.len() > 4 => format!("{first}, {second}, ... {last}"),
            _ => texts.join(", "),
        }
    }

    fn draw(&self, forecast: Forecast) -> JobPicture {
        let job = self.job;
        let members = self.members();
        let matrix = job.matrix.as_ref().map(|matrix| MatrixPicture {
            axes: axes_of(matrix),
            members: members.iter().flatten().map(Instance::label).collect(),
            decided: members.is_none().then(|| format!("decided {}", self.done())),
        });
        let members = members.unwrap_or_default();
        let text = |template: &Template| self.text(template, &members);
        let mut builds = None;
        let mut pushes = vec![];
        let mut steps = vec![];
        for step in &job.steps {
            match &step.action {
                Action::Build(build) => {
                    let target = build
                        .target
                        .as_ref()
                        .map_or(String::new(), |target| format!(", target {}", text(target)));
                    builds = Some(format!("{}{target}", text(&build.context)));
                }
                Action::Push(push) => {
                    let tags: Vec<String> = push.tags.iter().map(text).filter(|tag| !tag.is_empty()).collect();
                    let from = match &push.image {
                        PushedImage::BuiltBy(key) if *key == job.key => String::new(),
                        PushedImage::BuiltBy(key) => format!("{key} as "),
                        PushedImage::Named(image) => format!("{} as ", text(image)),
                    };
                    pushes.push(format!("{from}{}:{}", text(&push.to), tags.join(",")));
                }
                Action::Script { text: script, .. } => {
                    steps.push(step.name.as_ref().map_or_else(|| first_line(script.text()), text));
                }
                Action::Container { image, script, .. } => {
                    let what = script
                        .as_ref()
                        .map_or_else(|| "its own command".to_owned(), |(_, script)| first_line(script.text()));
                    let what = step.name.as_ref().map_or(what, text);
                    steps.push(format!("{what} (in {})", text(image)));
                }
            }
        }
        let image = match &job.image {
            ImageSource::None => None,
            ImageSource::Default => Some("the default image".to_owned()),
            ImageSource::Named(image) => Some(text(image)),
            ImageSource::Label(label) => Some(format!("label {}", text(label))),
        };
        let service = |service: &super::Service| ServicePicture {
            name: service.name.clone(),
            image: text(&service.image),
        };
        let secret = |name: String| SecretPicture {
            set: self.known.secrets.contains(&name),
            name,
        };
        JobPicture {
            id: job.key.to_string(),
            name: job.name.as_ref().map(text),
            needs: job.needs.iter().map(ToString::to_string).collect(),
            forecast,
            image,
            services: job.services.iter().map(service).collect(),
            docker: match job.docker {
                DockerAccess::None => None,
                DockerAccess::Socket => Some("socket"),
                DockerAccess::Dind { rootless: false } => Some("dind"),
                DockerAccess::Dind { rootless: true } => Some("dind-rootless"),
                DockerAccess::Host => Some("host"),
            },
            matrix,
            steps,
            builds,
            pushes,
            environment: job.environment.as_ref().map(text),
            secrets: self.plan.secrets_of(job).into_iter().map(secret).collect(),
            attempts_max: job.attempts_max,
            timeout_s: job.limits.timeout.map(|timeout| timeout.as_secs()),
        }
    }

    /// None: only an earlier job tells. One member without values where there is no matrix.
    fn members(&self) -> Option<Vec<Instance>> {
        let Some(matrix) = &self.job.matrix else {
            return Some(vec![Instance {
                index: 0,
                matrix: IndexMap::new(),
            }]);
        };
        let from_needs = matrix.templates().iter().any(|template| {
            template
                .contexts()
                .iter()
                .any(|context| NOT_YET_KNOWN.contains(&context.as_str()))
        });
        if from_needs {
            return None;
        }
        self.with_facts(JobResult::Success, &IndexMap::new(), |scope| matrix.expand(scope))
            .ok()
    }
}

fn axes_of(matrix: &super::Matrix) -> Vec<String> {
    let whole = matrix.whole.iter().map(|template| template.text().to_owned());
    let axes = matrix.axes.iter().map(|(name, axis)| match axis {
        Axis::Values(_) => name.clone(),
        Axis::From(template) => format!("{name} from {}", template.text()),
    });
    whole.chain(axes).collect()
}

fn listed(keys: &[JobKey]) -> String {
    match keys {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first, second] => format!("`{first}` and `{second}`"),
        [first, .., last] if keys.len() > 4 => format!("`{first}`, {} others and `{last}`", keys.len() - 2),
        [front @ .., last] => {
            let front: Vec<String> = front.iter().map(|key| format!("`{key}`")).collect();
            format!("{} and `{last}`", front.join(", "))
        }
    }
}

fn first_line(script: &str) -> String {
    let mut lines = script.trim().lines();
    let first = lines.next().unwrap_or_default();
    let cut: String = first.chars().take(72).collect();
    let more = lines.next().is_some() || cut.len() < first.len();
    if more { format!("{cut} …") } else { cut }
}
