//! Which secrets a plan asks for, by name; values come in only when a step starts.

use super::{Action, Env, Job, OnFailure, Plan, PushedImage};
use crate::expr::Template;

impl Plan {
    /// Names of secrets that a job's templates and builds read, sorted, each once.
    pub fn secrets_of(&self, job: &Job) -> Vec<String> {
        let mut names = vec![];
        for template in templates(self, job) {
            names.extend(template.references("secrets"));
        }
        for step in &job.steps {
            if let Action::Build(build) = &step.action {
                names.extend(build.secrets.iter().cloned());
            }
        }
        names.sort();
        names.dedup();
        names
    }
}

/// Every template that is rendered for a job.
fn templates<'a>(plan: &'a Plan, job: &'a Job) -> Vec<&'a Template> {
    fn of(env: &Env) -> impl Iterator<Item = &Template> {
        env.values()
    }
    let mut all: Vec<&Template> = of(&plan.env).chain(of(&job.env)).chain(of(&job.outputs)).collect();
    if let super::ImageSource::Named(image) | super::ImageSource::Label(image) = &job.image {
        all.push(image);
    }
    for service in &job.services {
        all.push(&service.image);
        all.extend(of(&service.env));
    }
    for step in &job.steps {
        all.extend(of(&step.env));
        all.extend(step.dir.iter().chain(&step.name));
        if let OnFailure::Tolerate(template) = &step.on_failure {
            all.push(template);
        }
        match &step.action {
            Action::Script { text, .. } => all.push(text),
            Action::Container {
                image, args, script, ..
            } => {
                all.push(image);
                all.extend(args);
                all.extend(script.iter().map(|(_, text)| text));
            }
            Action::Build(build) => {
                all.push(&build.context);
                all.extend(build.dockerfile.iter().chain(&build.target).chain(&build.tags));
                all.extend(of(&build.args));
            }
            Action::Push(push) => {
                all.push(&push.to);
                all.extend(&push.tags);
                if let PushedImage::Named(image) = &push.image {
                    all.push(image);
                }
            }
        }
    }
    all
}
