//! One job.

use std::time::Duration;

use indexmap::IndexMap;

use super::{Lower, around, pushed};
use crate::dialect::native::model;
use crate::dialect::native::scope::{Around, Place};
use crate::dialect::native::{mistakes, names};
use crate::dialect::read::{NamedEntry, OneOrMany, ShortOr, Text};
use crate::expr::Template;
use crate::plan::{DockerAccess, ImageSource, Job, JobKey, Limits, Service, Step};

/// How long a service may take to become ready where the file does not say.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Most times that a job is tried again.
const RETRY_MAX: u32 = 10;

/// Docker takes no less memory.
const MEMORY_BYTES_MIN: u64 = 6 << 20;

const DOCKER_WORDS: [&str; 5] = ["none", "socket", "dind", "dind-rootless", "host"];

impl Lower<'_, '_, '_> {
    pub(super) fn job(&mut self, entry: &NamedEntry<model::Job>) -> Job {
        let job = &entry.value;
        let axes = self.axes(job.matrix.as_ref());
        let mut around = around(entry, axes);
        let matrix = self.matrix(job.matrix.as_ref(), &around);
        let run_if = job
            .r#if
            .as_ref()
            .and_then(|text| self.condition(text, Place::JobIf, &around));
        let name = job
            .name
            .as_ref()
            .map(|name| self.template(name, Place::JobName, &around));
        let env = self.env(job.env.as_ref(), Place::JobEnv, &around);
        let services = self.services(job, &around);
        let mut steps: Vec<Step> = vec![];
        if let Some(build) = &job.build {
            steps.push(self.build_step(build, &around));
        }
        let written = self.steps(job.steps.as_ref(), &mut around);
        let has_steps = job.steps.is_some();
        steps.extend(written);
        for push in job.push.iter().flat_map(|pushes| &pushes.items) {
            steps.extend(self.push_step(entry, push, &around));
        }
        self.shape(entry);
        let image = match &job.image {
            Some(image) => ImageSource::Named(self.image(image, Place::Image, &around)),
            None if has_steps => ImageSource::Default,
            None => ImageSource::None,
        };
        let outputs = job.outputs.iter().flat_map(|outputs| &outputs.entries);
        let outputs: Vec<(String, Template)> = outputs
            .map(|output| {
                (
                    output.key.to_string(),
                    self.template(&output.value, Place::Outputs, &around),
                )
            })
            .collect();
        let environment = job
            .environment
            .as_ref()
            .and_then(|environment| self.environment(environment, &around));
        self.not_yet(job, &around);
        Job {
            key: JobKey::new(&entry.key),
            name,
            needs: self.needs_of(entry),
            run_if,
            matrix,
            image,
            services,
            docker: self.docker(job.docker.as_ref()),
            steps,
            env,
            limits: self.limits(job.limits.as_ref()),
            attempts_max: self.attempts(job),
            on_failure: self.on_failure(job.allow_failure.as_ref(), &around),
            outputs: IndexMap::from_iter(outputs),
            environment,
            origin: self.origin(entry.key_span),
        }
    }

    /// What it needs, each job once; names that are no jobs were told before.
    fn needs_of(&self, entry: &NamedEntry<model::Job>) -> Vec<JobKey> {
        let mut needs: Vec<JobKey> = vec![];
        let written = entry.value.needs.iter().flat_map(|needs| &needs.items);
        for need in written.chain(pushed(entry)) {
            let key = JobKey::new(&need.value);
            if !needs.contains(&key) && self.scope.jobs.iter().any(|other| other.id == &*need.value) {
                needs.push(key);
            }
        }
        needs
    }

    /// Keys that cannot stand together, or do nothing.
    fn shape(&mut self, entry: &NamedEntry<model::Job>) {
        let job = &entry.value;
        let beside = [("build", job.build.is_some()), ("push", job.push.is_some())];
        let first = beside.iter().find(|(_, there)| *there).map(|(key, _)| *key);
        match (&job.steps, first) {
            (Some(steps), Some(key)) => {
                let at = self.key_place(entry, key);
                let steps_at = self.key_place(entry, "steps");
                if steps.items.is_empty() {
                    self.report(mistakes::empty("`steps`", steps.node.head, "take `steps` out"));
                } else {
                    self.report(mistakes::steps_beside(&entry.key, key, at, steps_at));
                }
            }
            (None, Some(_)) => {
                let idle = [
                    ("image", job.image.is_some()),
                    ("services", job.services.is_some()),
                    ("docker", job.docker.is_some()),
                    ("compose", job.compose.is_some()),
                ];
                for (key, _) in idle.iter().filter(|(_, there)| *there) {
                    let at = self.key_place(entry, key);
                    self.report(mistakes::no_container(&entry.key, key, at));
                }
            }
            (Some(steps), None) => {
                if steps.items.is_empty() && steps.node.items().is_some_and(<[_]>::is_empty) {
                    self.report(mistakes::does_nothing(&entry.key, steps.node.head));
                }
            }
            // One that could not be read, or that is misspelt, was told already.
            (None, None) if super::may_mean(&job.node, &["steps", "build", "push"]) => {}
            (None, None) => self.report(mistakes::does_nothing(&entry.key, entry.key_span)),
        }
    }

    fn key_place(&self, entry: &NamedEntry<model::Job>, key: &str) -> crate::diag::Span {
        let entries = entry.value.node.entries().unwrap_or_default();
        entries
            .iter()
            .find(|found| &*found.key == key)
            .map_or(entry.key_span, |found| found.key_span)
    }

    fn services(&mut self, job: &model::Job, around: &Around<'_>) -> Vec<Service> {
        let entries = job.services.iter().flat_map(|services| &services.entries);
        entries.filter_map(|entry| self.service(entry, around)).collect()
    }

    fn service(&mut self, entry: &NamedEntry<ShortOr<Text, model::Service>>, around: &Around<'_>) -> Option<Service> {
        if !names::is_host_name(&entry.key) {
            self.report(mistakes::service_name(&entry.key, entry.key_span));
        }
        let origin = self.origin(entry.key_span);
        let full = match &entry.value {
            ShortOr::Short(image) => {
                return Some(Service {
                    name: entry.key.to_string(),
                    image: self.image(image, Place::Image, around),
                    env: Default::default(),
                    ready: None,
                    ready_within: READY_WITHIN,
                    entrypoint: None,
                    command: None,
                    origin,
                });
            }
            ShortOr::Full(full) => full,
        };
        let env = self.env(full.env.as_ref(), Place::ServiceEnv, around);
        let entrypoint = self.words(full.entrypoint.as_ref());
        let command = self.words(full.command.as_ref());
        let Some(image) = &full.image else {
            if full.node.get("image").is_none() {
                let help = format!("write `{}: {{ image: postgres:16 }}`", entry.key);
                self.report(mistakes::missing(
                    &format!("service `{}`", entry.key),
                    "image",
                    entry.key_span,
                    &help,
                ));
            }
            return None;
        };
        Some(Service {
            name: entry.key.to_string(),
            image: self.image(image, Place::Image, around),
            env,
            ready: full.ready.as_ref().map(|ready| ready.value.to_string()),
            ready_within: full.timeout.as_ref().map_or(READY_WITHIN, |timeout| timeout.value.0),
            entrypoint,
            command,
            origin,
        })
    }

    fn docker(&mut self, docker: Option<&Text>) -> DockerAccess {
        let Some(word) = docker else { return DockerAccess::None };
        match &*word.value {
            "none" | "false" => DockerAccess::None,
            "socket" => DockerAccess::Socket,
            "dind" => DockerAccess::Dind { rootless: false },
            "dind-rootless" => DockerAccess::Dind { rootless: true },
            "host" => DockerAccess::Host,
            other => {
                self.report(mistakes::docker_word(other, word.span(), &DOCKER_WORDS));
                DockerAccess::None
            }
        }
    }

    fn limits(&mut self, limits: Option<&model::Limits>) -> Limits {
        let Some(limits) = limits else { return Limits::default() };
        let wrong = |key: &str, at: &crate::dialect::yaml::Node, range: &str| {
            let text = at.scalar().map_or("", |(scalar, _)| &scalar.text);
            mistakes::out_of_range(key, text, range, at.head)
        };
        if let Some(cpus) = &limits.cpus
            && !(0.01..=1024.0).contains(&cpus.value)
        {
            self.report(wrong("cpus", &cpus.node, "a number from 0.01 to 1024"));
        }
        if let Some(memory) = &limits.memory
            && memory.value.0 < MEMORY_BYTES_MIN
        {
            self.report(wrong("memory", &memory.node, "at least 6MiB"));
        }
        if let Some(pids) = &limits.pids
            && !(8..=4_194_304).contains(&pids.value)
        {
            self.report(wrong("pids", &pids.node, "a number from 8 to 4194304"));
        }
        Limits {
            cpus: limits.cpus.as_ref().map(|cpus| cpus.value),
            memory_bytes: limits.memory.as_ref().map(|memory| memory.value.0),
            pids: limits.pids.as_ref().map(|pids| pids.value),
            timeout: limits.timeout.as_ref().map(|timeout| timeout.value.0),
        }
    }

    fn attempts(&mut self, job: &model::Job) -> u32 {
        let Some(retry) = &job.retry else { return 1 };
        if retry.value > RETRY_MAX {
            let text = retry.value.to_string();
            self.report(mistakes::out_of_range(
                "retry",
                &text,
                &format!("a number from 0 to {RETRY_MAX}"),
                retry.span(),
            ));
        }
        retry.value.min(RETRY_MAX) + 1
    }

    fn environment(
        &mut self,
        environment: &ShortOr<Text, model::Environment>,
        around: &Around<'_>,
    ) -> Option<Template> {
        let name = match environment {
            ShortOr::Short(name) => name,
            ShortOr::Full(full) => match &full.name {
                Some(name) => name,
                None => {
                    let help = "write `environment: { name: production }`";
                    self.report(mistakes::missing("`environment`", "name", full.node.head, help));
                    return None;
                }
            },
        };
        Some(self.template(name, Place::Environment, around))
    }

    /// What is valid in a file and cannot be run yet. Its own mistakes were told while it was read.
    fn not_yet(&mut self, job: &model::Job, around: &Around<'_>) {
        let mut later: Vec<(&str, &str)> = vec![];
        if let Some(compose) = &job.compose {
            later.push(("compose", "its services would not come up"));
            let files = match compose {
                ShortOr::Short(files) => Some(files),
                ShortOr::Full(full) => full.files.as_ref(),
            };
            self.paths(files, "compose", around);
        }
        if let Some(cache) = &job.cache {
            later.push(("cache", "nothing would be kept"));
            for one in &cache.items {
                match &one.key {
                    Some(key) => drop(self.template(key, Place::CacheKey, around)),
                    None => self.report(mistakes::missing(
                        "`cache`",
                        "key",
                        one.node.head,
                        "write `cache: { key: ..., paths: [...] }`",
                    )),
                }
                if one.paths.is_none() {
                    let help = "write `cache: { key: ..., paths: [...] }`";
                    self.report(mistakes::missing("`cache`", "paths", one.node.head, help));
                }
                for fallback in one.fallback.iter().flat_map(|all| &all.items) {
                    self.template(fallback, Place::CacheKey, around);
                }
            }
        }
        if let Some(artifacts) = &job.artifacts {
            later.push(("artifacts", "nothing would be kept"));
            match artifacts {
                ShortOr::Full(full) if full.paths.is_none() => {
                    let help = "write `artifacts: { paths: [...] }`";
                    self.report(mistakes::missing("`artifacts`", "paths", full.node.head, help));
                }
                ShortOr::Full(full) => {
                    if let Some(name) = &full.name {
                        self.template(name, Place::JobName, around);
                    }
                }
                ShortOr::Short(_) => {}
            }
        }
        if job.reports.is_some() {
            later.push(("reports", "no test result would be shown"));
        }
        if let Some(docker) = &job.docker
            && self.docker_kind(docker) != DockerAccess::None
        {
            later.push(("docker", "the job would have no Docker"));
        }
        for (key, consequence) in later {
            let at = job
                .node
                .entries()
                .unwrap_or_default()
                .iter()
                .find(|entry| &*entry.key == key);
            let at = at.map_or(job.node.head, |entry| entry.key_span);
            self.report(mistakes::not_yet(&format!("`{key}`"), consequence, at));
        }
    }

    /// As [`Self::docker`], telling nothing.
    fn docker_kind(&self, docker: &Text) -> DockerAccess {
        match &*docker.value {
            "socket" => DockerAccess::Socket,
            "dind" => DockerAccess::Dind { rootless: false },
            "dind-rootless" => DockerAccess::Dind { rootless: true },
            "host" => DockerAccess::Host,
            _ => DockerAccess::None,
        }
    }

    fn paths(&mut self, paths: Option<&OneOrMany<Text>>, key: &str, around: &Around<'_>) {
        for path in paths.iter().flat_map(|paths| &paths.items) {
            let template = self.path(key, path, around);
            if let Some(literal) = template.is_literal()
                && names::path_problem(literal).is_none()
            {
                self.file_exists(key, &names::clean(literal), path.span());
            }
        }
    }
}
