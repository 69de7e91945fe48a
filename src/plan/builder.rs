//! The only way to a [`Plan`]: keys are unique, needs exist, there is no cycle.

use super::{Job, JobKey, Plan};

/// What a dialect got wrong; dialects report these as diagnostics before they build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("job `{0}` is defined twice")]
    Twice(JobKey),
    #[error("job `{job}` needs `{need}`, which is not defined")]
    UnknownNeed { job: JobKey, need: JobKey },
    /// The keys on the cycle in order; the first is repeated at the end.
    #[error("the jobs need each other in a circle: {}", .0.iter().map(JobKey::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle(Vec<JobKey>),
}

#[derive(Debug, Default)]
pub struct PlanBuilder {
    jobs: Vec<Job>,
}

impl PlanBuilder {
    pub fn job(&mut self, job: Job) -> &mut Self {
        self.jobs.push(job);
        self
    }

    /// Puts the jobs into `plan`, whose own jobs are replaced. Returns every mistake, not only the first.
    pub fn finish(self, mut plan: Plan) -> Result<Plan, Vec<PlanError>> {
        let mistakes = mistakes(&self.jobs);
        if mistakes.is_empty() {
            plan.jobs = self.jobs;
            Ok(plan)
        } else {
            Err(mistakes)
        }
    }
}

impl Plan {
    /// A plan without jobs, to be filled by [`PlanBuilder::finish`].
    pub fn empty(name: &str, file: &str, dialect: &'static str, conventions: &'static dyn super::Conventions) -> Plan {
        Plan {
            name: name.into(),
            file: file.into(),
            dialect,
            on: vec![],
            env: Default::default(),
            group: None,
            conventions,
            jobs: vec![],
        }
    }

    /// The same plan with only those members of each matrix that have these values.
    pub fn only_members(&self, only: &[(String, String)]) -> Plan {
        let mut plan = self.clone();
        for matrix in plan.jobs.iter_mut().filter_map(|job| job.matrix.as_mut()) {
            matrix.only = only.to_vec();
        }
        plan
    }

    /// Some jobs and all that they need, directly or not.
    pub fn with_needs(&self, wanted: &[JobKey]) -> Vec<JobKey> {
        let mut keys: Vec<JobKey> = vec![];
        let mut open: Vec<JobKey> = wanted.to_vec();
        while let Some(key) = open.pop() {
            if !keys.contains(&key) {
                open.extend(self.job(&key).into_iter().flat_map(|job| job.needs.clone()));
                keys.push(key);
            }
        }
        keys
    }

    /// The same plan with some jobs left out; needs on jobs left out are dropped.
    pub fn only(&self, keep: &dyn Fn(&JobKey) -> bool) -> Plan {
        let mut plan = self.clone();
        plan.jobs.retain(|job| keep(&job.key));
        for job in &mut plan.jobs {
            job.needs.retain(keep);
        }
        plan
    }
}

fn mistakes(jobs: &[Job]) -> Vec<PlanError> {
    let mut found = vec![];
    for (at, job) in jobs.iter().enumerate() {
        if jobs[..at].iter().any(|earlier| earlier.key == job.key) {
            found.push(PlanError::Twice(job.key.clone()));
        }
        for need in &job.needs {
            if !jobs.iter().any(|other| other.key == *need) {
                found.push(PlanError::UnknownNeed {
                    job: job.key.clone(),
                    need: need.clone(),
                });
            }
        }
    }
    let edges: Vec<(JobKey, Vec<JobKey>)> = jobs.iter().map(|job| (job.key.clone(), job.needs.clone())).collect();
    found.extend(cycle(&edges).map(PlanError::Cycle));
    found
}

/// The first circle among jobs and what they need, if any: its keys in order, the first repeated at the end.
/// Linear in jobs and needs, and not recursive, so that a chain of any length is fine.
pub fn cycle(edges: &[(JobKey, Vec<JobKey>)]) -> Option<Vec<JobKey>> {
    use std::collections::HashMap;
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let index: HashMap<&JobKey, usize> = edges.iter().enumerate().map(|(at, (key, _))| (key, at)).collect();
    let mut marks = vec![Mark::New; edges.len()];
    for start in 0..edges.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, 0)];
        while let Some((at, next)) = path.last_mut() {
            let Some(need) = edges[*at].1.get(*next) else {
                marks[*at] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let Some(&to) = index.get(need) else { continue };
            match marks[to] {
                Mark::Done => {}
                Mark::New => {
                    marks[to] = Mark::Open;
                    path.push((to, 0));
                }
                Mark::Open => {
                    let from = path.iter().position(|(at, _)| *at == to).unwrap_or(0);
                    let mut keys: Vec<JobKey> = path[from..].iter().map(|(at, _)| edges[*at].0.clone()).collect();
                    keys.push(edges[to].0.clone());
                    return Some(keys);
                }
            }
        }
    }
    None
}
