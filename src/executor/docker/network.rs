//! Networks: one for each job that runs, never shared. Making one takes longer than a short job, so some stand ready,
//! and one that its job has left is used again: nothing of a job lives in an empty network.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::Docker;
use bollard::models::NetworkCreateRequest;

use super::call;
use super::names::{self, Role};
use crate::executor::ExecutorError;

/// More than so many empty networks are not kept, whatever was used at once before: engines have address space for
/// some thirty.
const KEPT_MAX: usize = 8;

/// A network that belongs to one job until it is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub name: String,
}

pub struct Networks {
    docker: Docker,
    server: String,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    ready: Vec<Network>,
    /// Names of those that jobs have.
    taken: HashSet<String>,
    /// How many should stand ready.
    wanted: usize,
    /// Being made right now to stand ready.
    coming: usize,
    /// Whether one that is given back goes at once.
    is_ending: bool,
}

impl Networks {
    pub fn new(docker: Docker, server: &str) -> Arc<Self> {
        Arc::new(Networks {
            docker,
            server: server.to_owned(),
            kept: Mutex::default(),
        })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of those that stand ready or that a job has taken: no sweep may take them.
    pub fn own_names(&self) -> Vec<String> {
        let kept = self.kept();
        let ready = kept.ready.iter().map(|network| network.name.clone());
        ready.chain(kept.taken.iter().cloned()).collect()
    }

    /// From now on so many shall stand ready; makes what is missing. A failure shows when a job asks for one.
    pub async fn keep_ready(&self, count: usize) {
        let missing = {
            let mut kept = self.kept();
            kept.wanted = count.min(KEPT_MAX);
            kept.is_ending = false;
            let missing = kept.wanted.saturating_sub(kept.ready.len() + kept.coming);
            kept.coming += missing;
            missing
        };
        let made = futures_util::future::join_all((0..missing).map(|_| self.make())).await;
        let mut kept = self.kept();
        kept.coming -= missing;
        kept.ready.extend(made.into_iter().flatten());
    }

    /// One that is ready, else a new one.
    pub async fn take(&self) -> Result<Network, ExecutorError> {
        let network = self.ready_or_new().await?;
        let mut kept = self.kept();
        kept.is_ending = false;
        kept.taken.insert(network.name.clone());
        drop(kept);
        Ok(network)
    }

    async fn ready_or_new(&self) -> Result<Network, ExecutorError> {
        loop {
            let ready = self.kept().ready.pop();
            let Some(network) = ready else { return self.make().await };
            // Somebody may have removed it: `docker network prune` takes every empty one.
            if self.docker.inspect_network(&network.name, None).await.is_ok() {
                return Ok(network);
            }
        }
    }

    /// Its job has left it: no container is on it any more.
    pub async fn give_back(&self, network: Network) -> Result<(), ExecutorError> {
        let surplus = {
            let mut kept = self.kept();
            kept.taken.remove(&network.name);
            if kept.ready.len() < KEPT_MAX && !kept.is_ending {
                kept.ready.push(network);
                None
            } else {
                Some(network)
            }
        };
        match surplus {
            Some(network) => self.remove(&network.name).await,
            None => Ok(()),
        }
    }

    /// From now on, until one is taken or kept ready again, what is given back is removed at once.
    pub fn keep_none(&self) {
        self.kept().is_ending = true;
    }

    /// Removes what stands ready.
    pub async fn remove_ready(&self) -> Result<(), ExecutorError> {
        let ready = {
            let mut kept = self.kept();
            kept.wanted = 0;
            std::mem::take(&mut kept.ready)
        };
        let removed = futures_util::future::join_all(ready.iter().map(|network| self.remove(&network.name))).await;
        removed.into_iter().collect()
    }

    pub async fn remove(&self, name: &str) -> Result<(), ExecutorError> {
        call::remove(&format!("remove network `{name}`"), self.docker.remove_network(name)).await
    }

    async fn make(&self) -> Result<Network, ExecutorError> {
        let mut random = [0u8; 6];
        getrandom::fill(&mut random).map_err(|error| ExecutorError::Daemon {
            operation: "make a network".into(),
            cause: Box::new(call::Said(format!("this machine gives no random numbers: {error}"))),
        })?;
        let name = format!("drydock-{}-net-{}", names::short(&self.server), hex::encode(random));
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".into()),
            enable_ipv6: Some(false),
            labels: Some(names::server_labels(&self.server, &Role::Network)),
            ..NetworkCreateRequest::default()
        };
        match call::call("make a network for a job", self.docker.create_network(request)).await {
            Ok(_) => Ok(Network { name }),
            Err(error) if error.chain().contains("non-overlapping") => Err(ExecutorError::Daemon {
                operation: "make a network for a job".into(),
                cause: Box::new(call::Said(
                    "all its address space is used by networks; remove unused ones (`docker network prune`) \
                     or give it more (`default-address-pools` in the engine's configuration)"
                        .into(),
                )),
            }),
            Err(error) => Err(error),
        }
    }
}
