//! Images: there or pulled, and what they say about themselves.

use std::time::Instant;

use bollard::auth::DockerCredentials;
use bollard::models::{HealthConfig, ImageConfig};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::{DockerExecutor, say};
use super::{call, push};
use crate::diag::Origin;
use crate::executor::{ExecutorError, LogSink, PullPolicy};
use crate::stop::Stop;

/// What an image brings along.
#[derive(Debug, Clone, Default)]
pub struct ImageFacts {
    /// `sha256:...`: containers are made from this, so that a tag that moves meanwhile changes nothing.
    pub id: String,
    /// `USER`, empty for root.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub health: Option<HealthConfig>,
    /// TCP ports of `EXPOSE`, ascending.
    pub ports: Vec<u16>,
}

/// An image reference as the engine's pull wants it: name and tag apart.
fn name_and_tag(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[last..].rfind(':') {
        Some(colon) => (&image[..last + colon], &image[last + colon + 1..]),
        // Without one the engine would pull every tag there is.
        None => (image, "latest"),
    }
}

impl DockerExecutor {
    /// Makes sure that the image is in the engine.
    ///
    /// Errors: [`ExecutorError::Pull`], which says why in the registry's words and what to do; `Stopped`.
    pub(super) async fn image(
        &self,
        image: &str,
        policy: PullPolicy,
        asked_at: &Origin,
        logs: &dyn LogSink,
        stop: &Stop,
    ) -> Result<ImageFacts, ExecutorError> {
        let is_id = image.starts_with("sha256:");
        let before = match policy {
            PullPolicy::Always if !is_id => None,
            PullPolicy::Always | PullPolicy::Missing | PullPolicy::Never => self.inspect_image(image).await?,
        };
        if let Some(facts) = before {
            return Ok(facts);
        }
        let cannot = |why: String| ExecutorError::Pull {
            image: image.to_owned(),
            asked_at: asked_at.clone(),
            why,
        };
        if is_id {
            return Err(cannot(
                "an image id names what the engine already has, and it has no such image".into(),
            ));
        }
        if policy == PullPolicy::Never {
            return Err(cannot(
                "it is not in the engine, and pulling is switched off (--pull never)".into(),
            ));
        }
        say(logs, &format!("pulling {image}")).await;
        let begun = Instant::now();
        let pulling = self.pull(image);
        let pulled = tokio::select! {
            pulled = pulling => pulled,
            () = stop.asked() => return Err(ExecutorError::Stopped),
        };
        if let Err(said) = pulled {
            return Err(cannot(explain(&said)));
        }
        say(
            logs,
            &format!("pulled {image} in {:.1} s", begun.elapsed().as_secs_f64()),
        )
        .await;
        self.inspect_image(image)
            .await?
            .ok_or_else(|| cannot("the engine pulled it and does not have it".into()))
    }

    /// None when the engine has no such image.
    pub(super) async fn inspect_image(&self, image: &str) -> Result<Option<ImageFacts>, ExecutorError> {
        let operation = format!("inspect image `{image}`");
        let found = tokio::time::timeout(call::ANSWER_WITHIN, self.docker.inspect_image(image)).await;
        match found {
            Ok(Ok(found)) => {
                let facts = facts_of(found.id.unwrap_or_default(), found.config.unwrap_or_default());
                Ok(Some(facts))
            }
            // A name that is no reference at all is a 400; the pull then says so.
            Ok(Err(error)) if matches!(call::status(&error), Some(404 | 400)) => Ok(None),
            Ok(Err(error)) => Err(call::refused(&operation, error)),
            Err(_) => Err(ExecutorError::Hung {
                operation,
                after: call::ANSWER_WITHIN,
            }),
        }
    }

    /// Anonymous or with the registry's credentials; with fresh ones once when they are refused.
    async fn pull(&self, image: &str) -> Result<(), String> {
        let mut said = match self.login(image, false).await {
            Ok(login) => match self.pull_once(image, login).await {
                Ok(()) => return Ok(()),
                Err(said) => said,
            },
            Err(said) => return Err(said),
        };
        if is_refusal(&said)
            && let Ok(Some(login)) = self.login(image, true).await
        {
            match self.pull_once(image, Some(login)).await {
                Ok(()) => return Ok(()),
                Err(again) => said = again,
            }
        }
        Err(said)
    }

    async fn pull_once(&self, image: &str, login: Option<DockerCredentials>) -> Result<(), String> {
        let (name, tag) = name_and_tag(image);
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
        let mut progress = self.docker.create_image(Some(options), None, login);
        while let Some(item) = progress.next().await {
            let info = item.map_err(|error| call::message(&error))?;
            if let Some(detail) = info.error_detail {
                return Err(detail.message.unwrap_or_else(|| "the engine gives no reason".into()));
            }
        }
        Ok(())
    }

    pub(super) async fn login(&self, image: &str, fresh: bool) -> Result<Option<DockerCredentials>, String> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        let login = registry.login(image, fresh).await.map_err(|error| error.to_string())?;
        Ok(login.map(push::credentials))
    }
}

fn facts_of(id: String, config: ImageConfig) -> ImageFacts {
    let ports = config.exposed_ports.unwrap_or_default();
    let mut ports: Vec<u16> = ports
        .iter()
        .filter_map(|port| port.strip_suffix("/tcp")?.parse().ok())
        .collect();
    ports.sort_unstable();
    ImageFacts {
        id,
        user: config.user.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        health: config.healthcheck,
        ports,
    }
}

/// Whether a registry said "not with these credentials".
pub(super) fn is_refusal(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "unauthorized",
        "denied",
        "no basic auth credentials",
        "authentication required",
    ]
    .iter()
    .any(|word| said.contains(word))
}

/// The registry's words with what to do about them.
pub(super) fn explain(said: &str) -> String {
    let lower = said.to_lowercase();
    let advice = if is_refusal(said) {
        "it does not exist there or needs a login: check the name, or give credentials for its registry"
    } else if lower.contains("not found") || lower.contains("manifest unknown") || lower.contains("404") {
        "check the name and the tag"
    } else if lower.contains("invalid reference format") || lower.contains("must be lowercase") {
        "an image is `[registry/]name[:tag]`, in lower case"
    } else if ["no such host", "timeout", "refused", "dial tcp", "unreachable", "eof"]
        .iter()
        .any(|word| lower.contains(word))
    {
        "the engine cannot reach the registry; an image that is already there is used with --pull missing"
    } else {
        return said.to_owned();
    };
    format!("{said} ({advice})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_tag_means_latest_and_a_port_is_no_tag() {
        let cases = [
            ("busybox", ("busybox", "latest")),
            ("busybox:1.36", ("busybox", "1.36")),
            ("localhost:5000/team/web", ("localhost:5000/team/web", "latest")),
            ("localhost:5000/team/web:v1", ("localhost:5000/team/web", "v1")),
            ("web@sha256:abc", ("web", "sha256:abc")),
            (
                "r.example:5000/web:v1@sha256:abc",
                ("r.example:5000/web:v1", "sha256:abc"),
            ),
        ];
        for (image, parts) in cases {
            assert_eq!(name_and_tag(image), parts);
        }
    }
}
