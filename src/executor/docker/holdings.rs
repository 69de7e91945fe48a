//! What Drydock holds in an engine, whoever of it made it: for `drydock clean` and `drydock doctor`.

use std::collections::HashMap;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptions,
};

use super::call;
use super::names::{LABEL_JOB, LABEL_PIPELINE, LABEL_SERVER, LABEL_SHIM};
use crate::executor::ExecutorError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldingKind {
    Container,
    Network,
    Volume,
    Image,
}

impl HoldingKind {
    pub fn word(self) -> &'static str {
        match self {
            HoldingKind::Container => "container",
            HoldingKind::Network => "network",
            HoldingKind::Volume => "volume",
            HoldingKind::Image => "image",
        }
    }
}

/// One thing in the engine that carries Drydock's labels.
/// * `server`: who made it; none for the shim's volume and image, which every server of the engine shares.
/// * `bytes`: its size where the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub kind: HoldingKind,
    pub id: String,
    pub name: String,
    pub server: Option<String>,
    pub pipeline: Option<u64>,
    pub job: Option<String>,
    pub bytes: Option<u64>,
}

type Labels = HashMap<String, String>;

fn holding(kind: HoldingKind, id: String, name: String, labels: &Labels, bytes: Option<i64>) -> Option<Holding> {
    let server = labels.get(LABEL_SERVER).cloned();
    if server.is_none() && !labels.contains_key(LABEL_SHIM) {
        return None;
    }
    Some(Holding {
        kind,
        id,
        name,
        server,
        pipeline: labels.get(LABEL_PIPELINE).and_then(|number| number.parse().ok()),
        job: labels.get(LABEL_JOB).cloned(),
        bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
    })
}

/// Everything with Drydock's labels, in the order in which it can be removed.
pub async fn list(docker: &Docker) -> Result<Vec<Holding>, ExecutorError> {
    let mut held = vec![];
    let options = ListContainersOptionsBuilder::default().all(true).build();
    for container in call::call("list the containers", docker.list_containers(Some(options))).await? {
        let id = container.id.unwrap_or_default();
        let name = container
            .names
            .and_then(|names| names.into_iter().next())
            .unwrap_or_else(|| id.clone());
        let labels = container.labels.unwrap_or_default();
        held.extend(holding(
            HoldingKind::Container,
            id,
            name.trim_start_matches('/').to_owned(),
            &labels,
            None,
        ));
    }
    let options = ListNetworksOptionsBuilder::default().build();
    for network in call::call("list the networks", docker.list_networks(Some(options))).await? {
        let (id, name) = (network.id.unwrap_or_default(), network.name.unwrap_or_default());
        held.extend(holding(
            HoldingKind::Network,
            id,
            name,
            &network.labels.unwrap_or_default(),
            None,
        ));
    }
    let options = ListVolumesOptionsBuilder::default().build();
    let volumes = call::call("list the volumes", docker.list_volumes(Some(options)))
        .await?
        .volumes;
    for volume in volumes.unwrap_or_default() {
        held.extend(holding(
            HoldingKind::Volume,
            volume.name.clone(),
            volume.name,
            &volume.labels,
            None,
        ));
    }
    let options = ListImagesOptionsBuilder::default().build();
    for image in call::call("list the images", docker.list_images(Some(options))).await? {
        let name = image
            .repo_tags
            .first()
            .filter(|tag| !tag.starts_with("<none>"))
            .cloned();
        let name = name.unwrap_or_else(|| image.id.chars().take(19).collect());
        held.extend(holding(
            HoldingKind::Image,
            image.id,
            name,
            &image.labels,
            Some(image.size),
        ));
    }
    Ok(held)
}

/// Removes one thing; a container is killed. What is gone already counts as removed.
pub async fn remove(docker: &Docker, held: &Holding) -> Result<(), ExecutorError> {
    let what = format!("remove {} `{}`", held.kind.word(), held.name);
    match held.kind {
        HoldingKind::Container => {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            call::remove(&what, docker.remove_container(&held.id, Some(options))).await
        }
        HoldingKind::Network => call::remove(&what, docker.remove_network(&held.id)).await,
        HoldingKind::Volume => call::remove(&what, docker.remove_volume(&held.id, None::<RemoveVolumeOptions>)).await,
        HoldingKind::Image => {
            let options = RemoveImageOptionsBuilder::default().force(true).build();
            let removing = docker.remove_image(&held.id, Some(options), None);
            call::remove(&what, async { removing.await.map(|_| ()) }).await
        }
    }
}
