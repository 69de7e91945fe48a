//! Pushing images: by the engine, with the registry's login, tried again while that may help, and not at all when the
//! registry has the image under that tag already.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::StreamExt;
use tokio::time::Instant;

use super::{DockerExecutor, call, image, say};
use crate::executor::{Blame, ExecutorError, LogSink, PushSpec, Pushed};
use crate::registry::{HUB, Held, Login, Reference, RegistryError};
use crate::stop::Stop;

/// A registry in trouble gets so long to recover; one that nobody answers for gets less: its name is probably wrong.
const TROUBLE_WITHIN: Duration = Duration::from_secs(600);
const SILENCE_WITHIN: Duration = Duration::from_secs(60);

const FIRST_WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// References that are being pushed: the engine pushes whatever stands under a name at that moment, so that two pushes
/// of different images under one name must wait for each other.
static PUSHING: LazyLock<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>> = LazyLock::new(Mutex::default);

impl DockerExecutor {
    /// Errors: `Push`, with whose fault it is; `Stopped`; the engine's trouble.
    pub(super) async fn push_image(
        &self,
        spec: &PushSpec,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<Vec<Pushed>, ExecutorError> {
        if spec.tags.is_empty() {
            return Err(failed(
                spec,
                Blame::Pipeline,
                "no tag is left to push: all of them are empty".into(),
            ));
        }
        let pipelines = |why: String| failed(spec, Blame::Pipeline, why);
        let to = Reference::parse(&spec.to).map_err(|error| pipelines(error.to_string()))?;
        if to.digest.is_some() || to.tag.is_some() {
            let why = format!("`{}` is more than a repository's name; tags are listed apart", spec.to);
            return Err(pipelines(why));
        }
        let mut references = vec![];
        for tag in &spec.tags {
            let text = format!("{}:{tag}", spec.to);
            Reference::parse(&text).map_err(|error| pipelines(error.to_string()))?;
            references.push((text, tag.clone()));
        }
        let mut pushed: Vec<Pushed> = vec![];
        for (reference, tag) in references {
            let one = tokio::select! {
                one = self.push_one(spec, &reference, &tag, logs) => one?,
                () = stop.asked() => return Err(ExecutorError::Stopped),
            };
            let word = if one.moved { "pushed" } else { "already there:" };
            say(logs, &format!("{word} {} {}", one.reference, one.digest)).await;
            pushed.push(one);
        }
        Ok(pushed)
    }

    async fn push_one(
        &self,
        spec: &PushSpec,
        reference: &str,
        tag: &str,
        logs: &dyn LogSink,
    ) -> Result<Pushed, ExecutorError> {
        let image = self.inspect_image(&spec.image).await?.map(|facts| facts.id);
        let Some(image) = image else {
            let why = format!("the engine has no image `{}`", spec.image);
            return Err(failed(spec, Blame::Pipeline, why));
        };
        let turn = PUSHING
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(reference.to_owned())
            .or_default()
            .clone();
        let _turn = turn.lock().await;

        let before = self.held(reference).await;
        if let Some(held) = before.as_ref().filter(|held| held.is(&image)) {
            return Ok(Pushed {
                reference: reference.to_owned(),
                digest: held.digest.clone(),
                moved: false,
            });
        }
        if let Some(registry) = &self.registry {
            registry
                .prepare(&spec.to)
                .await
                .map_err(|error| refused(spec, &error))?;
        }
        say(logs, &format!("pushing {reference}")).await;
        let tagged = Tagged::set(self, &image, reference).await?;
        let result = self.push_until_it_works(spec, reference, tag, logs).await;
        tagged.undo(self).await;
        let digest = match result? {
            Some(digest) => digest,
            None => match self.held(reference).await {
                Some(held) => held.digest,
                None => {
                    return Err(failed(
                        spec,
                        Blame::Machine,
                        "neither the engine nor the registry tells the digest".into(),
                    ));
                }
            },
        };
        let moved = before.is_none_or(|before| before.digest != digest);
        Ok(Pushed {
            reference: reference.to_owned(),
            digest,
            moved,
        })
    }

    /// What the registry has; none also when that cannot be found out: the push itself will tell why.
    async fn held(&self, reference: &str) -> Option<Held> {
        let registry = self.registry.as_ref()?;
        registry.held(reference).await.ok().flatten()
    }

    /// The digest, when the engine tells it.
    async fn push_until_it_works(
        &self,
        spec: &PushSpec,
        reference: &str,
        tag: &str,
        logs: &dyn LogSink,
    ) -> Result<Option<String>, ExecutorError> {
        let began = Instant::now();
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(WAIT_MAX)
            .with_jitter();
        let mut waits = waits.without_max_times().build();
        let mut login = self.push_login(spec, reference, false).await?;
        let mut is_fresh = false;
        loop {
            let said = match self.push_once(reference, tag, login.clone(), logs).await {
                Ok(digest) => return Ok(digest),
                Err(PushTrouble::Said(said)) => said,
                Err(PushTrouble::Engine(error)) => return Err(error),
            };
            let within = match kind(&said) {
                Kind::Refusal if is_fresh || login.is_none() => {
                    let who = if login.is_none() {
                        "no credentials are configured for it"
                    } else {
                        "its credentials do not allow it"
                    };
                    return Err(failed(
                        spec,
                        Blame::Pipeline,
                        format!("the registry refuses the push ({who}): {said}"),
                    ));
                }
                Kind::Refusal => {
                    say(logs, &format!("{said}; asking for new credentials")).await;
                    login = self.push_login(spec, reference, true).await?;
                    is_fresh = true;
                    continue;
                }
                Kind::Final => return Err(failed(spec, Blame::Pipeline, advised(&said))),
                Kind::Trouble => TROUBLE_WITHIN,
                Kind::Silence => SILENCE_WITHIN,
            };
            let wait = waits.next().unwrap_or(WAIT_MAX);
            if began.elapsed() + wait > within {
                let why = format!("{said} (tried for {} s)", began.elapsed().as_secs());
                return Err(failed(spec, Blame::Machine, why));
            }
            say(
                logs,
                &format!("{said}; trying again in {:.0} s", wait.as_secs_f64().ceil()),
            )
            .await;
            tokio::time::sleep(wait).await;
        }
    }

    async fn push_login(
        &self,
        spec: &PushSpec,
        reference: &str,
        fresh: bool,
    ) -> Result<Option<DockerCredentials>, ExecutorError> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        let login = registry
            .login(reference, fresh)
            .await
            .map_err(|error| refused(spec, &error))?;
        Ok(login.map(credentials))
    }

    async fn push_once(
        &self,
        reference: &str,
        tag: &str,
        login: Option<DockerCredentials>,
        logs: &dyn LogSink,
    ) -> Result<Option<String>, PushTrouble> {
        let name = reference
            .strip_suffix(tag)
            .and_then(|name| name.strip_suffix(':'))
            .unwrap_or(reference);
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        // Without a header the engine refuses the request itself.
        let login = login.unwrap_or_default();
        let mut progress = std::pin::pin!(self.docker.push_image(name, Some(options), Some(login)));
        let mut digest = None;
        while let Some(item) = progress.next().await {
            let info = item.map_err(|error| match &error {
                bollard::errors::Error::DockerStreamError { .. }
                | bollard::errors::Error::DockerResponseServerError { .. } => PushTrouble::Said(call::message(&error)),
                _ => PushTrouble::Engine(call::refused("go on with a push", error)),
            })?;
            if let Some(said) = info.error_detail.and_then(|detail| detail.message) {
                return Err(PushTrouble::Said(said));
            }
            let status = info.status.unwrap_or_default();
            if let Some(found) = digest_of(&status) {
                digest = Some(found.to_owned());
            }
            if status.starts_with("Retrying") {
                say(logs, &format!("{reference}: {}", status.to_lowercase())).await;
            }
        }
        Ok(digest)
    }
}

enum PushTrouble {
    /// The registry's or the engine's words about this push.
    Said(String),
    Engine(ExecutorError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not with these credentials.
    Refusal,
    /// It answers, but is in trouble.
    Trouble,
    /// Nobody answers.
    Silence,
    Final,
}

/// What to do about a push that failed, by the words that the engine passes on.
fn kind(said: &str) -> Kind {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let trouble = [
        "toomanyrequests",
        "too many requests",
        "429",
        " 500",
        " 502",
        " 503",
        " 504",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "eof",
        "connection reset",
        "broken pipe",
        "timeout",
        "timed out",
        "closed network connection",
        "transport is closing",
        "server misbehaving",
        "blob upload unknown",
        "http2:",
    ];
    if has(&[
        "connection refused",
        "no such host",
        "no route to host",
        "network is unreachable",
    ]) {
        Kind::Silence
    } else if image::is_refusal(&said) {
        Kind::Refusal
    } else if has(&trouble) {
        Kind::Trouble
    } else {
        Kind::Final
    }
}

fn advised(said: &str) -> String {
    let lower = said.to_lowercase();
    if lower.contains("name unknown")
        || lower.contains("repository does not exist")
        || (lower.contains("repository") && lower.contains("does not exist"))
    {
        format!("{said} (make the repository there first; for ECR, `create_repository` lets Drydock make it)")
    } else if lower.contains("tag") && lower.contains("immutable") {
        format!("{said} (tags of this repository cannot be moved: push under a tag that changes, such as the commit)")
    } else if lower.contains("server gave http response to https client") {
        format!(
            "{said} (the engine wants TLS: add the registry to `insecure-registries` of the engine, or give it a certificate)"
        )
    } else if lower.contains("certificate") {
        format!("{said} (give the engine the registry's authority: /etc/docker/certs.d/REGISTRY/ca.crt on its machine)")
    } else {
        said.to_owned()
    }
}

/// `v1: digest: sha256:... size: 527`
fn digest_of(status: &str) -> Option<&str> {
    let (_, after) = status.split_once("digest: ")?;
    after
        .split_whitespace()
        .next()
        .filter(|digest| digest.starts_with("sha256:"))
}

fn failed(spec: &PushSpec, blame: Blame, why: String) -> ExecutorError {
    ExecutorError::Push {
        to: spec.to.clone(),
        asked_at: spec.origin.clone(),
        why,
        blame,
    }
}

fn refused(spec: &PushSpec, error: &RegistryError) -> ExecutorError {
    let blame = match error {
        RegistryError::Unreachable { .. } => Blame::Machine,
        RegistryError::Denied { .. }
        | RegistryError::Credentials { .. }
        | RegistryError::Refused { .. }
        | RegistryError::Reference { .. } => Blame::Pipeline,
    };
    failed(spec, blame, error.to_string())
}

/// A login as the engine takes it.
pub(super) fn credentials(login: Login) -> DockerCredentials {
    let serveraddress = Some(server_address(&login.registry));
    let secret = Some(login.password.reveal().to_owned());
    if login.username == Login::IDENTITY_TOKEN {
        return DockerCredentials {
            identitytoken: secret,
            serveraddress,
            ..DockerCredentials::default()
        };
    }
    DockerCredentials {
        username: Some(login.username),
        password: secret,
        serveraddress,
        ..DockerCredentials::default()
    }
}

/// Under which name engines look for a registry's credentials.
pub(super) fn server_address(registry: &str) -> String {
    if registry == HUB {
        "https://index.docker.io/v1/".to_owned()
    } else {
        registry.to_owned()
    }
}

pub(super) async fn tag(executor: &DockerExecutor, image: &str, reference: &str) -> Result<(), ExecutorError> {
    let slash = reference.rfind('/').map_or(0, |at| at + 1);
    let (repo, tag) = match reference[slash..].find(':') {
        Some(colon) => (&reference[..slash + colon], &reference[slash + colon + 1..]),
        None => (reference, "latest"),
    };
    let options = TagImageOptionsBuilder::default().repo(repo).tag(tag).build();
    let operation = format!("tag the image as `{reference}`");
    call::call(&operation, executor.docker.tag_image(image, Some(options))).await
}

/// A name given to an image for the time of a push, and what had it before.
struct Tagged {
    reference: String,
    before: Option<String>,
    is_last: bool,
    image: String,
}

impl Tagged {
    async fn set(executor: &DockerExecutor, image: &str, reference: &str) -> Result<Self, ExecutorError> {
        let before = executor.inspect_image(reference).await?.map(|facts| facts.id);
        tag(executor, image, reference).await?;
        let named = call::call("inspect an image", executor.docker.inspect_image(image)).await?;
        Ok(Tagged {
            reference: reference.to_owned(),
            before,
            is_last: named.repo_tags.unwrap_or_default().len() < 2,
            image: image.to_owned(),
        })
    }

    /// Gives the name back. A failure leaves a name behind and nothing else; the push's own result counts.
    async fn undo(self, executor: &DockerExecutor) {
        let undone = match &self.before {
            Some(before) if *before == self.image => Ok(()),
            Some(before) => tag(executor, before, &self.reference).await,
            // An image's last name is the image: an unnamed one keeps the name it was pushed under.
            None if self.is_last => Ok(()),
            None => {
                let options = RemoveImageOptionsBuilder::default().noprune(true).build();
                let removing = executor.docker.remove_image(&self.reference, Some(options), None);
                call::call("remove a pushed image's name", removing).await.map(drop)
            }
        };
        if let Err(error) = undone {
            tracing::warn!(
                reference = self.reference,
                error = error.chain(),
                "a pushed image keeps its name in the engine"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_from_refusal_and_from_what_will_never_work() {
        let cases = [
            (
                "received unexpected HTTP status: 500 Internal Server Error",
                Kind::Trouble,
            ),
            (
                "received unexpected HTTP status: 503 Service Unavailable",
                Kind::Trouble,
            ),
            ("toomanyrequests: You have reached your pull rate limit", Kind::Trouble),
            ("Put \"http://127.0.0.1:1/v2/\": EOF", Kind::Trouble),
            ("write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe", Kind::Trouble),
            (
                "Get \"https://r/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                Kind::Silence,
            ),
            ("dial tcp: lookup r.invalid: no such host", Kind::Silence),
            ("unauthorized: authentication required", Kind::Refusal),
            ("denied: requested access to the resource is denied", Kind::Refusal),
            ("no basic auth credentials", Kind::Refusal),
            (
                "name unknown: The repository with name 'x' does not exist in the registry",
                Kind::Final,
            ),
            ("http: server gave HTTP response to HTTPS client", Kind::Final),
        ];
        for (said, expected) in cases {
            assert_eq!(kind(said), expected, "{said}");
        }
    }

    #[test]
    fn the_digest_is_read_from_the_last_status() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            digest_of(&format!("v1: digest: {digest} size: 527")),
            Some(digest.as_str())
        );
        assert_eq!(digest_of("Pushed"), None);
    }
}
