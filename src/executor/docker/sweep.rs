//! Removing: a job's things when it is closed, a server's things when nobody owns them any more. Always by label or by
//! a name made from ids, always again and again without harm.

use std::time::{Duration, Instant};

use bollard::models::NetworkDisconnectRequest;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions,
};

use super::names::{self, LABEL_PIPELINE};
use super::network::Network;
use super::{DockerExecutor, call};
use crate::executor::{ExecutorError, Place};

/// Between two looks at a container that somebody else is removing.
const ASK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Yes,
    Perhaps,
}

impl DockerExecutor {
    /// Kills and removes a container, with the volumes that its image asked for. It is gone when this returns, also when
    /// somebody else is at it.
    pub(super) async fn remove_container(&self, name: &str) -> Result<(), ExecutorError> {
        let operation = format!("remove container `{name}`");
        let begun = Instant::now();
        loop {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            let removing = self.docker.remove_container(name, Some(options));
            match call::remove(&operation, removing).await {
                Err(error)
                    if error.chain().contains("already in progress") && begun.elapsed() < call::ANSWER_WITHIN =>
                {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                removed => return removed,
            }
        }
    }

    async fn remove_volume(&self, name: &str) -> Result<(), ExecutorError> {
        let removing = self.docker.remove_volume(name, None::<RemoveVolumeOptions>);
        call::remove(&format!("remove volume `{name}`"), removing).await
    }

    /// Everything of one attempt of a job. Its network, empty then, goes back to those that stand ready.
    pub(super) async fn remove_place(&self, place: &Place, network: Option<Network>) -> Result<(), ExecutorError> {
        let containers = self.containers(names::place_filters(place)).await?;
        // Off the network first: it can go, or serve the next job, while the containers are still ending.
        let all_left = match &network {
            Some(network) => {
                let leaving = containers.iter().map(|(name, _)| self.leave(network, name));
                let left = futures_util::future::join_all(leaving).await;
                left.into_iter().all(|left| left == Left::Yes)
            }
            None => true,
        };
        let things = async {
            let removals = containers.iter().map(|(name, _)| self.remove_container(name));
            let removed = futures_util::future::join_all(removals).await;
            removed.into_iter().collect::<Result<(), _>>()?;
            self.remove_volume(&names::name(place, &names::Role::Workspace)).await
        };
        let network = async {
            match network {
                Some(network) => self.networks.give_back(network).await,
                None => Ok(()),
            }
        };
        if all_left {
            let (things, network) = tokio::join!(things, network);
            return things.and(network);
        }
        // Not before: the next job must not meet this one.
        things.await?;
        network.await
    }

    /// Takes a container off a network. One that never was on it, or is gone, is off it.
    async fn leave(&self, network: &Network, container: &str) -> Left {
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        let leaving = self.docker.disconnect_network(&network.name, request);
        match tokio::time::timeout(call::ANSWER_WITHIN, leaving).await {
            Ok(Ok(())) => Left::Yes,
            Ok(Err(error)) if call::status(&error) == Some(404) => Left::Yes,
            Ok(Err(error)) if call::message(&error).contains("is not connected") => Left::Yes,
            Ok(Err(_)) | Err(_) => Left::Perhaps,
        }
    }

    /// As `remove_place`, while the caller goes on.
    pub(super) fn remove_place_later(&self, place: Place, network: Network) {
        let executor = self.clone();
        self.removals.spawn(async move {
            if let Err(error) = executor.remove_place(&place, Some(network)).await {
                tracing::warn!(
                    pipeline = place.pipeline,
                    job = place.job,
                    "left for the next sweep: {}",
                    error.chain()
                );
            }
        });
    }

    pub(super) fn remove_later(&self, container: String) {
        let executor = self.clone();
        self.removals.spawn(async move {
            if let Err(error) = executor.remove_container(&container).await {
                tracing::warn!("left for the next sweep: {}", error.chain());
            }
        });
    }

    /// Waits for all removals, then removes the networks that stand ready.
    pub(super) async fn settle_removals(&self) -> Result<(), ExecutorError> {
        // From here on networks that are given back go at once, beside the rest.
        self.networks.keep_none();
        self.removals.close();
        self.removals.wait().await;
        self.removals.reopen();
        self.networks.remove_ready().await
    }

    pub(super) async fn sweep_server(&self, server: &str, alive: &[u64]) -> Result<Vec<String>, ExecutorError> {
        let mut removed = Vec::new();
        let filters = names::server_filters(server);
        let is_dead = |pipeline: &Option<u64>| pipeline.is_none_or(|pipeline| !alive.contains(&pipeline));
        for (name, pipeline) in self.containers(filters.clone()).await? {
            if is_dead(&pipeline) {
                self.remove_container(&name).await?;
                removed.push(format!("container {name}"));
            }
        }

        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let listed = call::call("list the volumes", self.docker.list_volumes(Some(options))).await?;
        for volume in listed.volumes.unwrap_or_default() {
            if is_dead(&pipeline_of(&volume.labels)) {
                self.remove_volume(&volume.name).await?;
                removed.push(format!("volume {}", volume.name));
            }
        }

        let own = self.networks.own_names();
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let listed = call::call("list the networks", self.docker.list_networks(Some(options))).await?;
        for name in listed
            .into_iter()
            .filter_map(|network| network.name)
            .filter(|name| !own.contains(name))
        {
            // One that a living job's containers are on cannot be removed: the engine refuses.
            match self.docker.remove_network(&name).await {
                Ok(()) => removed.push(format!("network {name}")),
                Err(error) if matches!(call::status(&error), Some(403 | 404 | 409)) => {}
                Err(error) => return Err(call::refused(&format!("remove network `{name}`"), error)),
            }
        }
        removed.extend(self.sweep_images(server, alive).await?);
        Ok(removed)
    }

    /// Names and pipelines.
    async fn containers(
        &self,
        filters: std::collections::HashMap<String, Vec<String>>,
    ) -> Result<Vec<(String, Option<u64>)>, ExecutorError> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let listed = call::call("list the containers", self.docker.list_containers(Some(options))).await?;
        let entries = listed.into_iter().filter_map(|container| {
            let name = container.names.unwrap_or_default().into_iter().next();
            let name = name
                .map(|name| name.trim_start_matches('/').to_owned())
                .or(container.id)?;
            Some((name, pipeline_of(&container.labels.unwrap_or_default())))
        });
        Ok(entries.collect())
    }
}

fn pipeline_of(labels: &std::collections::HashMap<String, String>) -> Option<u64> {
    labels.get(LABEL_PIPELINE)?.parse().ok()
}
