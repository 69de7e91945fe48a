//! Pipelines on a server: accept an event, take it from the queue, run it, record it, tell its commit, and bring what a
//! crash left to an end.
//!
//! Must not know HTTP servers or the command line. One decision, one place: whether an accepted event runs is
//! `accept`; what a pipeline's jobs may do is `permit`; what a commit is told is `words`.

mod accept;
mod control;
mod forges;
mod groups;
mod live;
mod outbox;
mod permit;
mod recorder;
mod recover;
mod run;
mod runner;
mod vault;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{Config, LEASE_SECONDS, ServerConfig};
use crate::executor::{Executor, ExecutorError};
use crate::source::Source;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

pub use accept::{Accepted, NotTaken, Signer};
pub use control::NotDone;
pub use forges::Forges;
pub use live::Follower;
pub use vault::{Vault, secret_name_mistake};

const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);

/// Where pipelines run. Asked anew for each, because an engine may come and go while the server stays.
#[async_trait]
pub trait Executors: Send + Sync {
    async fn executor(&self) -> Result<Arc<dyn Executor>, ExecutorError>;
}

/// What pipelines are run with.
#[derive(Clone)]
pub struct Tools {
    pub source: Arc<dyn Source>,
    pub executors: Arc<dyn Executors>,
}

/// All pipelines of one server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Pipelines {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    vault: Vault,
    forges: Forges,
    tools: Tools,
    /// Owner of everything that is made, and the name under which pipelines are claimed.
    server: String,
    live: live::Live,
    groups: groups::Groups,
    /// Something may be in the queue.
    queue: Notify,
    /// Something may be in the outbox.
    outbox: Notify,
    /// How the pipelines that run in this process are stopped.
    running: Mutex<HashMap<u64, Stop>>,
    /// Why nothing is taken from the queue, while nothing is.
    trouble: Mutex<Option<String>>,
}

/// The note under which the server's own name is stored.
const SERVER_NOTE: &str = "server";

/// The server's own name: the same as long as the database is; made with it.
pub async fn server_name(store: &dyn Store) -> Result<String, StoreError> {
    if let Some(name) = store.note(SERVER_NOTE).await? {
        return Ok(name);
    }
    let name = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
    store.put_note(SERVER_NOTE, &name).await?;
    Ok(name)
}

impl Pipelines {
    /// Reads what the start needs: the server's name, which stays the same as long as the database does, and the
    /// repositories of the configuration, which are added. Nothing runs before [`Pipelines::run`].
    pub async fn new(
        store: Arc<dyn Store>,
        config: Arc<Config>,
        vault: Vault,
        tools: Tools,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let server = server_name(&*store).await?;
        let forges = Forges::new(&config);
        let inner = Inner {
            store,
            config,
            clock,
            vault,
            forges,
            tools,
            server,
            live: live::Live::default(),
            groups: groups::Groups::default(),
            queue: Notify::new(),
            outbox: Notify::new(),
            running: Mutex::default(),
            trouble: Mutex::default(),
        };
        let pipelines = Pipelines { inner: Arc::new(inner) };
        pipelines.add_configured_repos().await?;
        pipelines.reload_hook_secrets().await?;
        Ok(pipelines)
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    pub fn server_config(&self) -> &ServerConfig {
        &self.inner.config.server
    }

    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub fn forges(&self) -> &Forges {
        &self.inner.forges
    }

    /// Tells when a pipeline has news.
    pub fn follow(&self, pipeline: u64) -> Follower {
        self.inner.live.follow(pipeline)
    }

    /// Why nothing is taken from the queue; none while everything works.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.inner.trouble).clone()
    }

    /// Link to a pipeline's page; none while nobody said how this server is reached.
    pub fn page(&self, pipeline: u64) -> Option<String> {
        let url = self.inner.config.server.public_url.as_ref()?;
        Some(url.join(&format!("/pipelines/{pipeline}")))
    }
}

/// The data of a lock whose holder panicked is still whole: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
