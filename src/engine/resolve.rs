//! From what a file says to what an executor is asked: every template rendered with the facts of one instance. Pure.

use indexmap::IndexMap;

use super::job::{End, Failure};
use super::{Hands, Settings};
use crate::diag::Origin;
use crate::executor::{BuildSpec, JobLimits, Place, Program, PushSpec, ServiceSpec};
use crate::expr::Template;
use crate::plan::{Action, FactsScope, ImageBuild, ImagePush, ImageSource, Job, PushedImage, Shell, Step, Wrong};

pub(super) struct Resolver<'a> {
    pub job: &'a Job,
    pub settings: &'a Settings,
    pub scope: &'a FactsScope<'a>,
}

/// Renders one template; `what` names it for the error.
pub(super) fn text(template: &Template, what: &str, origin: &Origin, scope: &FactsScope<'_>) -> Result<String, Wrong> {
    template
        .render(scope)
        .map_err(|error| Wrong::new(format!("{what} cannot be worked out"), origin, error))
}

/// Renders a whole map; `what` names its entries for the error.
pub(super) fn all(
    templates: &IndexMap<String, Template>,
    what: &str,
    origin: &Origin,
    scope: &FactsScope<'_>,
) -> Result<IndexMap<String, String>, Wrong> {
    templates
        .iter()
        .map(|(key, template)| Ok((key.clone(), text(template, &format!("{what} `{key}`"), origin, scope)?)))
        .collect()
}

impl Resolver<'_> {
    fn text(&self, template: &Template, what: &str, origin: &Origin) -> Result<String, End> {
        text(template, what, origin, self.scope).map_err(|wrong| failed(Failure::Expression(wrong.to_string())))
    }

    pub fn optional(&self, template: Option<&Template>, what: &str, origin: &Origin) -> Result<Option<String>, End> {
        template.map(|template| self.text(template, what, origin)).transpose()
    }

    fn map(
        &self,
        templates: &IndexMap<String, Template>,
        what: &str,
        origin: &Origin,
    ) -> Result<Vec<(String, String)>, End> {
        all(templates, what, origin, self.scope)
            .map(|map| map.into_iter().collect())
            .map_err(|wrong| failed(Failure::Expression(wrong.to_string())))
    }

    /// The job container's image; none for a job that only builds or pushes.
    pub fn image(&self) -> Result<Option<String>, End> {
        let origin = &self.job.origin;
        match &self.job.image {
            ImageSource::None => Ok(None),
            ImageSource::Default => match &self.settings.default_image {
                Some(image) => Ok(Some(image.clone())),
                None => {
                    let why = format!(
                        "{origin}: the job names no image and none is configured; write `image:`, or choose one with `--default-image` or `[docker] default_image`"
                    );
                    Err(failed(Failure::Image(why)))
                }
            },
            ImageSource::Named(template) => {
                let image = self.text(template, "image", origin)?;
                if image.trim().is_empty() {
                    let why = format!("{origin}: the job's image `{}` came out empty", template.text());
                    return Err(failed(Failure::Image(why)));
                }
                Ok(Some(image.trim().to_owned()))
            }
            ImageSource::Label(template) => {
                let label = self.text(template, "runner label", origin)?;
                match self.settings.image_of_label.get(&label) {
                    Some(image) => Ok(Some(image.clone())),
                    None => {
                        let why = format!(
                            "{origin}: no image stands for the runner label `{label}`; name one with `--image {label}=IMAGE` or in the configuration's `[docker.labels]`"
                        );
                        Err(failed(Failure::Unsupported(why)))
                    }
                }
            }
        }
    }

    pub fn services(&self) -> Result<Vec<ServiceSpec>, End> {
        let spec = |service: &crate::plan::Service| {
            Ok(ServiceSpec {
                name: service.name.clone(),
                image: self.text(&service.image, "service image", &service.origin)?,
                env: self.map(&service.env, "service env", &service.origin)?,
                ready: service.ready.clone(),
                ready_within: service.ready_within,
                entrypoint: service.entrypoint.clone(),
                command: service.command.clone(),
                origin: service.origin.clone(),
            })
        };
        self.job.services.iter().map(spec).collect()
    }

    pub fn limits(&self) -> JobLimits {
        let (job, default) = (&self.job.limits, &self.settings.limits);
        JobLimits {
            cpus: job.cpus.or(default.cpus),
            memory_bytes: job.memory_bytes.or(default.memory_bytes),
            pids: job.pids.unwrap_or(default.pids),
        }
    }

    /// What a step runs, and in which image if not in the job's.
    pub fn program(&self, step: &Step) -> Result<(Program, Option<String>), End> {
        let script = |shell: &Shell, template: &Template| {
            Ok::<_, End>(Program::Script {
                shell: shell.clone(),
                text: self.text(template, "run", &step.origin)?,
            })
        };
        match &step.action {
            Action::Script { shell, text } => Ok((script(shell, text)?, None)),
            Action::Container {
                image,
                entrypoint,
                args,
                script: in_it,
            } => {
                let image = self.text(image, "image", &step.origin)?;
                let program = match in_it {
                    Some((shell, text)) => script(shell, text)?,
                    None => {
                        let args = args.iter().map(|arg| self.text(arg, "args", &step.origin));
                        let args = args.collect::<Result<Vec<String>, End>>()?;
                        let args = if args.is_empty() { None } else { Some(args) };
                        Program::Image {
                            entrypoint: entrypoint.clone(),
                            args,
                        }
                    }
                };
                Ok((program, Some(image)))
            }
            Action::Build(_) | Action::Push(_) => Err(failed(Failure::Unsupported(format!(
                "{}: this step runs no program",
                step.origin
            )))),
        }
    }

    pub fn build(&self, build: &ImageBuild, place: Place, hands: &Hands) -> Result<BuildSpec, End> {
        let origin = &build.origin;
        let context = self.text(&build.context, "build context", origin)?;
        let dockerfile = match self.optional(build.dockerfile.as_ref(), "dockerfile", origin)? {
            Some(dockerfile) => dockerfile,
            None if context == "." => "Dockerfile".to_owned(),
            None => format!("{}/Dockerfile", context.trim_end_matches('/')),
        };
        let mut secrets = crate::secret::SecretSet::new();
        for name in &build.secrets {
            match hands.secrets.get(name) {
                Some(secret) => drop(secrets.insert(name.clone(), secret.clone())),
                None => {
                    let why = format!(
                        "{origin}: the build wants the secret `{name}`, which is not set; `drydock secret set {name}` (or `--secret {name}=…` on a local run) sets it"
                    );
                    return Err(failed(Failure::Build(why)));
                }
            }
        }
        let tags = build
            .tags
            .iter()
            .map(|tag| self.text(tag, "tag", origin))
            .collect::<Result<_, End>>()?;
        Ok(BuildSpec {
            place,
            tree: hands.tree.clone(),
            context,
            dockerfile,
            target: self.optional(build.target.as_ref(), "target", origin)?,
            args: self.map(&build.args, "build arg", origin)?,
            secrets,
            platforms: build.platforms.clone(),
            cache: build.cache,
            tags,
            pull: self.settings.pull,
            origin: origin.clone(),
        })
    }

    /// `own` is the image that an earlier step of the same job built.
    pub fn push(&self, push: &ImagePush, own: Option<&str>) -> Result<PushSpec, End> {
        let origin = &push.origin;
        let image = match &push.image {
            PushedImage::Named(template) => self.text(template, "image", origin)?,
            PushedImage::BuiltBy(key) if *key == self.job.key => own
                .map(str::to_owned)
                .ok_or_else(|| nothing_built(origin, key.as_str()))?,
            PushedImage::BuiltBy(key) => {
                let need = self.scope.facts.needs.get(key);
                let image = need.and_then(|need| need.image.clone());
                image.ok_or_else(|| nothing_built(origin, key.as_str()))?
            }
        };
        let mut tags: Vec<String> = vec![];
        for template in &push.tags {
            let tag = self.text(template, "tag", origin)?;
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        if tags.is_empty() {
            let why = format!("{origin}: every tag to push came out empty");
            return Err(failed(Failure::Push(why)));
        }
        Ok(PushSpec {
            image,
            to: self.text(&push.to, "to", origin)?,
            tags,
            origin: origin.clone(),
        })
    }
}

fn nothing_built(origin: &Origin, job: &str) -> End {
    failed(Failure::Push(format!(
        "{origin}: job `{job}` built no image that could be pushed"
    )))
}

fn failed(failure: Failure) -> End {
    End::Failed {
        failure,
        tolerated: false,
    }
}

/// What a step without a name does, in the file's words.
pub(super) fn description(action: &Action) -> String {
    match action {
        Action::Script { text, .. } => text.text().to_owned(),
        Action::Container {
            image,
            script: Some((_, text)),
            ..
        } => format!("{} ({})", text.text().trim(), image.text()),
        Action::Container {
            image, script: None, ..
        } => format!("run {}", image.text()),
        Action::Build(build) => match &build.target {
            Some(target) => format!("build {} ({})", build.context.text(), target.text()),
            None => format!("build {}", build.context.text()),
        },
        Action::Push(push) => format!("push {}", push.to.text()),
    }
}
