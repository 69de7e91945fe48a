//! The classic builder: for engines without BuildKit (Podman, or Docker that is told so).

use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptions;
use futures_util::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::build::Plan;
use super::failure::Failure;
use super::{DockerExecutor, call, pieces, push};
use crate::executor::{BuildSpec, ExecutorError, LogSink, PullPolicy, Stream};
use crate::registry::Reference;
use crate::stop::Stop;

const LAST_LINES: usize = 12;
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The classic builder paints what a command writes to stderr.
const RED: &str = "\u{1b}[91m";
const PLAIN: &str = "\u{1b}[0m";

pub(super) enum Trouble {
    Failed(Failure),
    Engine(ExecutorError),
}

/// Builds and gives the image's id. Dropping it, or a stop, cancels the build.
pub(super) async fn build(
    executor: &DockerExecutor,
    spec: &BuildSpec,
    plan: &Plan,
    logs: &dyn LogSink,
    stop: &Stop,
) -> Result<String, Trouble> {
    tokio::select! {
        built = run(executor, spec, plan, logs) => built,
        () = stop.asked() => Err(Trouble::Engine(ExecutorError::Stopped)),
    }
}

async fn run(executor: &DockerExecutor, spec: &BuildSpec, plan: &Plan, logs: &dyn LogSink) -> Result<String, Trouble> {
    let failed = |said: String| {
        Trouble::Failed(Failure {
            said,
            ..Failure::default()
        })
    };
    let sent = Sent::of(plan).map_err(|error| failed(error.to_string()))?;
    let options = BuildImageOptions {
        dockerfile: sent.dockerfile.clone(),
        t: spec.tags.first().cloned(),
        target: spec.target.clone().unwrap_or_default(),
        buildargs: Some(spec.args.iter().cloned().collect()),
        labels: Some(plan.labels.clone()),
        platform: spec.platforms.first().cloned().unwrap_or_default(),
        pull: (spec.pull == PullPolicy::Always).then(|| "true".to_owned()),
        nocache: !spec.cache,
        rm: true,
        forcerm: true,
        ..BuildImageOptions::default()
    };
    let context = plan.context.clone();
    let (pieces, _writing) = pieces::written(move |out| {
        let always: Vec<&str> = sent.always.iter().map(String::as_str).collect();
        context.write_tar(&always, &sent.extra, out)
    });
    let body = bollard::body_try_stream(ReceiverStream::new(pieces));
    let credentials = credentials(executor, plan).await;
    let mut stream = std::pin::pin!(executor.docker.build_image(options, Some(credentials), Some(body)));
    let mut output = Output::default();
    let mut image = None;
    while let Some(item) = stream.next().await {
        let info = item.map_err(|error| output.trouble(&error))?;
        if let Some(id) = info.aux.as_ref().and_then(|aux| aux.id.clone()) {
            image = Some(id);
        }
        for (stream, mut text) in output.take(&info) {
            text.push('\n');
            logs.write(stream, text.into()).await;
        }
        if let Some(said) = info.error_detail.and_then(|detail| detail.message) {
            return Err(Trouble::Failed(output.failure(said)));
        }
    }
    let image = image.ok_or_else(|| failed("the engine names no image for what it built".into()))?;
    for tag in spec.tags.iter().skip(1) {
        push::tag(executor, &image, tag).await.map_err(Trouble::Engine)?;
    }
    Ok(image)
}

/// What goes with the context so that the builder finds its Dockerfile.
struct Sent {
    dockerfile: String,
    /// Sent even if a pattern leaves them out; the builder then removes them itself.
    always: Vec<String>,
    extra: Vec<(String, Vec<u8>)>,
}

impl Sent {
    fn of(plan: &Plan) -> std::io::Result<Self> {
        let context = &plan.context;
        if let Some(inside) = context.dockerfile_inside() {
            let always = vec![inside.to_owned(), ".dockerignore".to_owned()];
            return Ok(Sent {
                dockerfile: inside.to_owned(),
                always,
                extra: vec![],
            });
        }
        // A Dockerfile outside of its context: put in under a name of its own, which the builder is told to leave out.
        let name = format!(".dockerfile.{}", uuid::Uuid::new_v4().simple());
        let ignore = format!("{}\n{name}\n", context.own_ignore_text()?);
        let extra = vec![
            (name.clone(), context.text.clone().into_bytes()),
            (".dockerignore".to_owned(), ignore.into_bytes()),
        ];
        Ok(Sent {
            dockerfile: name,
            always: vec![],
            extra,
        })
    }
}

/// Logins for the registries of the base images; one that cannot be had is left out, and the pull says what that means.
async fn credentials(executor: &DockerExecutor, plan: &Plan) -> HashMap<String, DockerCredentials> {
    let mut found = HashMap::new();
    for base in &plan.dockerfile.bases {
        let Ok(reference) = Reference::parse(&base.image) else {
            continue;
        };
        let key = push::server_address(&reference.registry);
        if !found.contains_key(&key)
            && let Ok(Some(login)) = executor.login(&base.image, false).await
        {
            found.insert(key, login);
        }
    }
    found
}

/// The builder's stream of texts as lines, and what is needed to explain a failure.
#[derive(Default)]
struct Output {
    held: String,
    is_red: bool,
    step: Option<String>,
    last_lines: Vec<String>,
}

impl Output {
    fn take(&mut self, info: &BuildInfo) -> Vec<(Stream, String)> {
        let mut lines = vec![];
        if let Some(status) = &info.status {
            // With an id it is one layer's progress, many times a second.
            if info.id.is_none() || status.starts_with("Pulling from") {
                lines.push((Stream::System, status.clone()));
            }
        }
        let Some(text) = &info.stream else { return lines };
        self.is_red |= text.contains(RED);
        self.held.push_str(&text.replace(RED, "").replace(PLAIN, ""));
        while let Some(end) = self
            .held
            .find('\n')
            .or_else(|| (self.held.len() > LINE_BYTES_MAX).then(|| self.held.len() - 1))
        {
            let rest = self.held.split_off(end + 1);
            let line = std::mem::replace(&mut self.held, rest);
            lines.extend(self.line(line.trim_end_matches('\n')));
        }
        if self.held.is_empty() {
            self.is_red = false;
        }
        lines
    }

    fn line(&mut self, line: &str) -> Option<(Stream, String)> {
        let step = line.strip_prefix("Step ").and_then(|rest| rest.split_once(" : "));
        if let Some((_, instruction)) = step {
            self.step = Some(instruction.to_owned());
            self.last_lines.clear();
            return Some((Stream::System, line.to_owned()));
        }
        let is_own = [
            " ---> ",
            "Removing intermediate container",
            "Successfully built",
            "Successfully tagged",
            "Sending build context",
        ];
        if is_own.iter().any(|begin| line.starts_with(begin)) {
            return Some((Stream::System, line.to_owned()));
        }
        if line.is_empty() && self.step.is_none() {
            return None;
        }
        let shown = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or(line);
        self.last_lines.push(shown.to_owned());
        if self.last_lines.len() > LAST_LINES {
            self.last_lines.remove(0);
        }
        Some((
            if self.is_red { Stream::Stderr } else { Stream::Stdout },
            line.to_owned(),
        ))
    }

    fn failure(&self, said: String) -> Failure {
        Failure::of_classic(&said, self.step.clone(), self.last_lines.clone())
    }

    fn trouble(&self, error: &bollard::errors::Error) -> Trouble {
        match error {
            bollard::errors::Error::DockerStreamError { error } => {
                Trouble::Failed(self.failure(error.trim().to_owned()))
            }
            // A Dockerfile that cannot be read is refused before anything is built.
            bollard::errors::Error::DockerResponseServerError {
                status_code: 400 | 500,
                message,
            } => Trouble::Failed(self.failure(message.trim().to_owned())),
            other => Trouble::Engine(ExecutorError::Daemon {
                operation: "go on with a build".into(),
                cause: Box::new(call::Said(call::message(other))),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_lines_and_stderr_is_told_apart() {
        let mut output = Output::default();
        let mut text = String::new();
        let info = |stream: &str| BuildInfo {
            stream: Some(stream.into()),
            ..BuildInfo::default()
        };
        let pieces = [
            "Step 1/2 : FROM x\n",
            " ---> 123\n",
            "Step 2/2 : RUN make\n",
            " ---> Running in 45\n",
            "half",
            " line\nout\n",
            "\u{1b}[91merr\n\u{1b}[0m",
            "10%\r100%\n",
            "last",
        ];
        for piece in pieces {
            for (stream, line) in output.take(&info(piece)) {
                text += &format!("{stream:?} {line:?}\n");
            }
        }
        let pull = BuildInfo {
            status: Some("Downloading".into()),
            id: Some("layer".into()),
            ..BuildInfo::default()
        };
        assert_eq!(output.take(&pull), []);
        insta::assert_snapshot!(text, @r#"
        System "Step 1/2 : FROM x"
        System " ---> 123"
        System "Step 2/2 : RUN make"
        System " ---> Running in 45"
        Stdout "half line"
        Stdout "out"
        Stderr "err"
        Stdout "10%\r100%"
        "#);
        let failure = output.failure("non-zero code: 1".into());
        assert_eq!(
            (failure.instruction.as_deref(), failure.last_lines.len()),
            (Some("RUN make"), 4)
        );
    }
}
