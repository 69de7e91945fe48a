//! Images that are there, that are not, and that a registry wants credentials for.

use std::sync::Arc;

use async_trait::async_trait;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder};
use drydock::executor::docker::{DockerExecutor, connect};
use drydock::executor::{Blame, Ended, ExecutorError, PullPolicy, Stream};
use drydock::registry::{Held, Login, RegistryError};
use drydock::secret::Secret;
use futures_util::StreamExt;

use super::rig::*;
use crate::support::Registry;

#[tokio::test]
async fn an_image_that_is_not_there_is_an_error_that_says_what_to_do() {
    let Some(rig) = Rig::for_test("no-image").await else {
        return;
    };
    let mut said = Vec::new();
    for (image, pull) in [
        ("drydock-test/no-such:1", PullPolicy::Never),
        (
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            PullPolicy::Missing,
        ),
        ("Not A Reference", PullPolicy::Missing),
        ("127.0.0.1:1/team/web", PullPolicy::Missing),
    ] {
        let mut spec = rig.job(image);
        spec.pull = pull;
        let Err(error) = rig.try_open(&spec).await else {
            panic!("{image} is there")
        };
        assert_eq!(error.blame(), Blame::Pipeline);
        said.push(error.chain());
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    cannot pull image `drydock-test/no-such:1`, asked for at ci.yml:7:5: it is not in the engine, and pulling is switched off (--pull never)
    cannot pull image `sha256:0000000000000000000000000000000000000000000000000000000000000000`, asked for at ci.yml:7:5: an image id names what the engine already has, and it has no such image
    cannot pull image `Not A Reference`, asked for at ci.yml:7:5: invalid reference format: repository name must be lowercase (an image is `[registry/]name[:tag]`, in lower case)
    cannot pull image `127.0.0.1:1/team/web`, asked for at ci.yml:7:5: Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused (the engine cannot reach the registry; an image that is already there is used with --pull missing)
    "#);
    rig.assert_clean().await;
}

/// Knows one login, and only when asked for a fresh one the right password.
struct Stale {
    registry: String,
}

#[async_trait]
impl drydock::registry::Registry for Stale {
    async fn login(&self, image: &str, fresh: bool) -> Result<Option<Login>, RegistryError> {
        assert!(image.starts_with(&self.registry), "{image}");
        let password = if fresh { Registry::PASSWORD } else { "expired" };
        let login = Login {
            registry: self.registry.clone(),
            username: Registry::USER.into(),
            password: Secret::new(password),
        };
        Ok(Some(login))
    }

    async fn digest(&self, _reference: &str) -> Result<Option<String>, RegistryError> {
        Ok(None)
    }

    async fn held(&self, _reference: &str) -> Result<Option<Held>, RegistryError> {
        Ok(None)
    }

    async fn prepare(&self, _repository: &str) -> Result<(), RegistryError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_image_is_pulled_with_credentials_that_are_refreshed_when_refused() {
    let Some(rig) = Rig::for_test("pull").await else { return };
    let Some(registry) = Registry::start().await else {
        return;
    };
    let address = registry.address().to_owned();
    let name = format!("{address}/team/tool");
    let docker = &rig.daemon.docker;
    let tag = TagImageOptionsBuilder::default().repo(&name).tag("v1").build();
    docker.tag_image(BUSYBOX, Some(tag)).await.expect("a tag");
    let credentials = DockerCredentials {
        username: Some(Registry::USER.into()),
        password: Some(Registry::PASSWORD.into()),
        serveraddress: Some(address.clone()),
        ..DockerCredentials::default()
    };
    // Drydock's own client, which writes credentials as engines read them.
    let connection = connect::connect(None).await.expect("an engine");
    let options = PushImageOptionsBuilder::default().tag("v1").build();
    let mut pushing = connection.docker.push_image(&name, Some(options), Some(credentials));
    while let Some(item) = pushing.next().await {
        item.expect("the push goes on");
    }
    let image = format!("{name}:v1");
    docker
        .remove_image(&image, None::<RemoveImageOptions>, None)
        .await
        .expect("the tag goes");

    let mut spec = rig.job(&image);
    spec.pull = PullPolicy::Missing;
    let Err(error) = rig.try_open(&spec).await else {
        panic!("anonymous, and it opened")
    };
    assert!(
        matches!(&error, ExecutorError::Pull { why, .. } if why.contains("needs a login")),
        "{}",
        error.chain()
    );

    rig.assert_clean().await;
    let executor = DockerExecutor::new(
        connection,
        &rig.daemon.server,
        Some(Arc::new(Stale { registry: address })),
    );
    let rig = Rig {
        executor,
        daemon: rig.daemon,
    };
    let mut job = rig.open(&spec).await;
    assert_eq!(job.run("echo pulled").await.end.how, Ended::Exited(0));
    let opening = job.opening.text(Stream::System);
    assert!(
        opening.starts_with(&format!("pulling {image}\npulled {image} in ")),
        "{opening}"
    );
    job.close().await;
    rig.assert_clean().await;
    rig.daemon
        .docker
        .remove_image(&image, None::<RemoveImageOptions>, None)
        .await
        .expect("the tag goes");
}
