//! Building images: what is asked is looked at first, then BuildKit builds it where the engine has it, else the classic
//! builder; the log says which.

use std::collections::HashMap;

use super::buildkit::{self, Solve, Trouble};
use super::connect::EngineKind;
use super::context::Context;
use super::dockerfile::Dockerfile;
use super::failure::Failure;
use super::{DockerExecutor, built, call, classic, names, say};
use crate::diag::closest;
use crate::executor::{BuildSpec, Built, ExecutorError, LogSink, PullPolicy};
use crate::registry::Reference;
use crate::secret::mask::Needles;
use crate::stop::Stop;

/// Names of build arguments that people put secrets into; arguments stay in the image's history.
const SECRET_WORDS: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
];

/// With this argument BuildKit would take another frontend, whatever the Dockerfile says.
const FRONTEND_ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// Which of the engine's builders is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit where the engine has it, else the classic builder.
    Newest,
    Classic,
}

impl Builder {
    /// As Docker's own command line: `DOCKER_BUILDKIT=0` is a wish for the classic builder.
    pub(super) fn wanted() -> Self {
        match std::env::var("DOCKER_BUILDKIT").as_deref() {
            Ok("0") => Builder::Classic,
            Ok(_) | Err(_) => Builder::Newest,
        }
    }
}

/// What both builders need to know.
pub(super) struct Plan {
    pub context: Context,
    pub dockerfile: Dockerfile,
    pub labels: HashMap<String, String>,
}

impl DockerExecutor {
    /// Errors: `Build` with the Dockerfile's line where one is to blame, `Unsupported`, `Pull`, `Stopped`, or the engine's trouble.
    pub(super) async fn build_image(
        &self,
        spec: &BuildSpec,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<Built, ExecutorError> {
        if stop.is_asked() {
            return Err(ExecutorError::Stopped);
        }
        let plan = self.looked_at(spec).await?;
        for (name, _) in spec.args.iter().filter(|(name, _)| sounds_secret(name)) {
            let text = format!(
                "warning: build argument `{name}` sounds like a secret; arguments stay in the image's history, \
                 `secrets:` with `RUN --mount=type=secret,id={name}` do not"
            );
            say(logs, &text).await;
        }
        if spec.pull == PullPolicy::Never {
            self.has_bases(spec, &plan).await?;
        }
        // Built under the name that keeps it, and under those that were asked for.
        let mut named = spec.clone();
        named.tags.insert(0, built::name(&spec.place));
        let built = self.build_with_either(&named, &plan, logs, stop).await?;
        say(logs, &format!("built {} with {}", built.image, built.builder)).await;
        Ok(built)
    }

    async fn build_with_either(
        &self,
        spec: &BuildSpec,
        plan: &Plan,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<Built, ExecutorError> {
        if self.builder == Builder::Newest && self.engine.kind == EngineKind::Docker {
            match self.with_buildkit(spec, plan, logs, stop).await {
                Ok(image) => {
                    return Ok(Built {
                        image,
                        builder: "BuildKit",
                    });
                }
                Err(Trouble::NotOffered) => {}
                Err(Trouble::Stopped) => return Err(ExecutorError::Stopped),
                Err(Trouble::Lost(said)) => {
                    return Err(ExecutorError::Daemon {
                        operation: "go on with a build".into(),
                        cause: Box::new(call::Said(said)),
                    });
                }
                Err(Trouble::Failed { said, vertex }) => {
                    let failure = Failure::of_buildkit(&said, vertex.as_ref());
                    return Err(self.failed(spec, plan, failure));
                }
            }
        }
        self.without_buildkit_is_enough(spec)?;
        say(
            logs,
            &format!("building `{}` with the classic builder", plan.context.dockerfile),
        )
        .await;
        match classic::build(self, spec, plan, logs, stop).await {
            Ok(image) => Ok(Built {
                image,
                builder: "classic builder",
            }),
            Err(classic::Trouble::Failed(failure)) => Err(self.failed(spec, plan, failure)),
            Err(classic::Trouble::Engine(error)) => Err(error),
        }
    }

    async fn with_buildkit(
        &self,
        spec: &BuildSpec,
        plan: &Plan,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<String, Trouble> {
        let mut attrs = HashMap::new();
        let mut set = |name: String, value: &str| attrs.insert(name, value.to_owned());
        for (name, value) in &spec.args {
            set(format!("build-arg:{name}"), value);
        }
        for (name, value) in &plan.labels {
            set(format!("label:{name}"), value);
        }
        if let Some(target) = &spec.target {
            set("target".into(), target);
        }
        if !spec.platforms.is_empty() {
            set("platform".into(), &spec.platforms.join(","));
        }
        if !spec.cache {
            set("no-cache".into(), "");
        }
        let resolve = match spec.pull {
            PullPolicy::Always => "pull",
            PullPolicy::Missing | PullPolicy::Never => "local",
        };
        set("image-resolve-mode".into(), resolve);
        let solve = Solve {
            attrs,
            tags: spec.tags.clone(),
            context: plan.context.clone(),
            secrets: spec.secrets.clone(),
            registry: self.registry.clone(),
            keep_cache: spec.cache,
        };
        say(logs, &format!("building `{}` with BuildKit", plan.context.dockerfile)).await;
        buildkit::solve(&self.endpoint, solve, logs, stop).await
    }

    /// Reads what is to be built and refuses what cannot or may not be, before any builder is asked.
    async fn looked_at(&self, spec: &BuildSpec) -> Result<Plan, ExecutorError> {
        let wrong = |why: String| ExecutorError::Build {
            asked_at: spec.origin.clone(),
            why,
        };
        for tag in &spec.tags {
            Reference::parse(tag).map_err(|error| wrong(error.to_string()))?;
        }
        let asked = spec.clone();
        let opened = tokio::task::spawn_blocking(move || Context::open(&asked)).await;
        let context = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let dockerfile = Dockerfile::read(&context.text, &spec.args, &self.engine.architecture);
        let argument = spec
            .args
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(FRONTEND_ARGUMENT));
        if let Some((_, image)) = argument {
            self.may_use_frontend(image, &format!("build argument `{FRONTEND_ARGUMENT}`"))
                .map_err(wrong)?;
        }
        if let Some((line, image)) = &dockerfile.frontend {
            let place = format!("{}:{line}", context.dockerfile);
            self.may_use_frontend(image, &place).map_err(wrong)?;
        }
        if let Some(target) = &spec.target {
            let is_number = target
                .parse::<usize>()
                .is_ok_and(|number| number < dockerfile.stages.len());
            if !is_number && !dockerfile.stages.contains(&target.to_lowercase()) {
                let stages: Vec<&str> = dockerfile
                    .stages
                    .iter()
                    .map(String::as_str)
                    .filter(|name| name.parse::<u32>().is_err())
                    .collect();
                let hint = match (closest(target, &stages), stages.is_empty()) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, false) => format!("it has {}", stages.join(", ")),
                    (None, true) => "none of its stages has a name (`FROM image AS name`)".to_owned(),
                };
                return Err(wrong(format!(
                    "`{}` has no stage `{target}`; {hint}",
                    context.dockerfile
                )));
            }
        }
        let labels = HashMap::from([
            (names::LABEL_SERVER.to_owned(), spec.place.server.clone()),
            (names::LABEL_PIPELINE.to_owned(), spec.place.pipeline.to_string()),
            (names::LABEL_JOB.to_owned(), spec.place.job.clone()),
        ]);
        Ok(Plan {
            context,
            dockerfile,
            labels,
        })
    }

    /// A frontend is a program from a registry that runs with the build's rights: only those that the operator allowed,
    /// by digest.
    fn may_use_frontend(&self, image: &str, place: &str) -> Result<(), String> {
        let whole = |text: &str| {
            let reference = Reference::parse(text).ok()?;
            Some((reference.registry, reference.repository, reference.digest?))
        };
        let asked = whole(image);
        if asked.is_some() && self.frontends.iter().any(|allowed| whole(allowed) == asked) {
            return Ok(());
        }
        let advice = match asked {
            Some(_) => "the operator can allow it by this digest",
            None => "the operator can allow one by its digest (`image@sha256:...`)",
        };
        Err(format!(
            "{place}: `syntax={image}` asks for a build frontend, which is a program from a registry that runs with the \
             build's rights, and this one is not allowed; leave it out, and the engine's own frontend is used ({advice})"
        ))
    }

    /// What the classic builder cannot do is refused with its name, never left out.
    fn without_buildkit_is_enough(&self, spec: &BuildSpec) -> Result<(), ExecutorError> {
        let unsupported = |what: String, why: &str| ExecutorError::Unsupported {
            what,
            asked_at: spec.origin.clone(),
            why: format!(
                "{why}, and {} has no BuildKit (or DOCKER_BUILDKIT=0 is set)",
                self.engine
            ),
        };
        if let Some(name) = spec.secrets.keys().next() {
            return Err(unsupported(
                format!("build secret `{name}`"),
                "build secrets need BuildKit",
            ));
        }
        if spec.platforms.len() > 1 {
            let what = format!("an image for {}", spec.platforms.join(" and "));
            return Err(unsupported(what, "images for several platforms need BuildKit"));
        }
        Ok(())
    }

    async fn has_bases(&self, spec: &BuildSpec, plan: &Plan) -> Result<(), ExecutorError> {
        for base in &plan.dockerfile.bases {
            if self.inspect_image(&base.image).await?.is_none() {
                return Err(ExecutorError::Build {
                    asked_at: spec.origin.clone(),
                    why: format!(
                        "{}:{}: base image `{}` is not in the engine, and pulling is switched off (--pull never)",
                        plan.context.dockerfile, base.line, base.image
                    ),
                });
            }
        }
        Ok(())
    }

    /// The error that people see: the Dockerfile's line, what failed, the end of its output. Secrets of the build masked.
    fn failed(&self, spec: &BuildSpec, plan: &Plan, failure: Failure) -> ExecutorError {
        let why = failure.explain(&plan.dockerfile, &plan.context, &spec.platforms);
        ExecutorError::Build {
            asked_at: spec.origin.clone(),
            why: Needles::of(&spec.secrets).mask(&why),
        }
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}
