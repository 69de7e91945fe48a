//! The machine's Docker daemon, and what a test left there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, RemoveVolumeOptions,
};

use super::missing;

/// A connection to the real daemon for one test, with a server id of the test's own.
pub struct Daemon {
    pub docker: Docker,
    /// Goes into the label `io.drydock.server` of everything that the test makes.
    pub server: String,
}

impl Daemon {
    /// None, with a word on stderr, where no daemon answers.
    pub async fn for_test(name: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let docker = match Docker::connect_with_defaults() {
            Ok(docker) => docker,
            Err(cause) => {
                missing("a Docker daemon", &cause.to_string());
                return None;
            }
        };
        if let Err(cause) = docker.ping().await {
            missing("a Docker daemon", &cause.to_string());
            return None;
        }
        let server = format!(
            "test-{name}-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Some(Self { docker, server })
    }

    /// Containers, networks and volumes that carry this test's server id, e.g. `container job-1 (exited)`; sorted.
    pub async fn leftovers(&self) -> Vec<String> {
        let mut found: Vec<String> = self.objects().await.iter().map(Object::describe).collect();
        found.sort();
        found
    }

    /// Removes whatever is left, so that a failed test does not fail the next one.
    pub async fn sweep(&self) {
        for object in self.objects().await {
            match object {
                Object::Container { id, .. } => {
                    let force = RemoveContainerOptions {
                        force: true,
                        v: true,
                        ..Default::default()
                    };
                    self.docker.remove_container(&id, Some(force)).await.ok();
                }
                Object::Network { id, .. } => {
                    self.docker.remove_network(&id).await.ok();
                }
                Object::Volume { name } => {
                    let force = RemoveVolumeOptions { force: true };
                    self.docker.remove_volume(&name, Some(force)).await.ok();
                }
            }
        }
    }

    async fn objects(&self) -> Vec<Object> {
        let filters = Some(HashMap::from([(
            "label".to_owned(),
            vec![format!("io.drydock.server={}", self.server)],
        )]));
        let containers = ListContainersOptions {
            all: true,
            filters: filters.clone(),
            ..Default::default()
        };
        let networks = ListNetworksOptions {
            filters: filters.clone(),
        };
        let volumes = ListVolumesOptions { filters };
        let containers = self
            .docker
            .list_containers(Some(containers))
            .await
            .expect("containers can be listed");
        let networks = self
            .docker
            .list_networks(Some(networks))
            .await
            .expect("networks can be listed");
        let volumes = self
            .docker
            .list_volumes(Some(volumes))
            .await
            .expect("volumes can be listed");
        // Containers first: networks and volumes can go only after them.
        let containers = containers.into_iter().map(|found| Object::Container {
            id: found.id.unwrap_or_default(),
            name: found.names.unwrap_or_default().join(","),
            state: found.state.map(|state| state.to_string()).unwrap_or_default(),
        });
        let networks = networks.into_iter().map(|found| Object::Network {
            id: found.id.unwrap_or_default(),
            name: found.name.unwrap_or_default(),
        });
        let volumes = volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|found| Object::Volume { name: found.name });
        containers.chain(networks).chain(volumes).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let this = Self {
            docker: self.docker.clone(),
            server: std::mem::take(&mut self.server),
        };
        if this.server.is_empty() {
            return;
        }
        // A runtime of its own: the test's may be ending, and a drop cannot await.
        let swept = std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                runtime.block_on(this.sweep());
            }
            std::mem::forget(this);
        });
        swept.join().ok();
    }
}

enum Object {
    Container { id: String, name: String, state: String },
    Network { id: String, name: String },
    Volume { name: String },
}

impl Object {
    fn describe(&self) -> String {
        match self {
            Object::Container { name, state, .. } => format!("container {} ({state})", name.trim_start_matches('/')),
            Object::Network { name, .. } => format!("network {name}"),
            Object::Volume { name } => format!("volume {name}"),
        }
    }
}
