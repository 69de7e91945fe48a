//! The forges of this server: whose webhooks are genuine, and who is told.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::{Pipelines, Signer};
use crate::config::{Config, HOOK_VERIFY_BYTES_MAX};
use crate::event::ForgeKind;
use crate::forge::{Connection, Forge, forge};
use crate::secret::Secret;
use crate::store::{AddedBy, NewRepo, StoreError};

/// A forge without an address is never called, because it has no token either.
const NOWHERE: &str = "https://forge.invalid";

/// One client for each forge, and one more for each repository with a token of its own.
pub struct Forges {
    general: HashMap<ForgeKind, Arc<dyn Forge>>,
    of_repo: HashMap<(ForgeKind, String), Arc<dyn Forge>>,
    /// Secrets that may sign, by forge; a repository's own is only valid for it.
    secrets: RwLock<HashMap<ForgeKind, Vec<(Signer, Secret)>>>,
}

impl Forges {
    pub fn new(config: &Config) -> Self {
        let connection = |kind: ForgeKind, token: Option<Secret>| {
            let configured = config.forges.get(kind).api_url.as_ref().map(ToString::to_string);
            let known = configured.or_else(|| Connection::public(kind).map(str::to_owned));
            // Without an address there is nobody to hand a token to.
            let token = token.filter(|_| known.is_some());
            match Connection::new(known.as_deref().unwrap_or(NOWHERE), token) {
                Ok(connection) => Some(connection),
                Err(error) => {
                    tracing::error!("{kind} is off: {error}");
                    None
                }
            }
        };
        let client = |kind, token| connection(kind, token).map(|connection| Arc::from(forge(kind, connection)));
        let general = |kind: ForgeKind| {
            let settings = config.forges.get(kind);
            let token = settings.token.as_ref().map(|token| token.0.clone());
            if token.is_none() && settings.webhook_secret.is_some() {
                tracing::warn!(
                    "`forges.{kind}.token` is not set: commits at {kind} are not told how their pipelines end"
                );
            }
            client(kind, token).map(|forge| (kind, forge))
        };
        let of_repo = config.repos.iter().filter_map(|repo| {
            let kind = ForgeKind::from(repo.forge);
            let token = repo.token.as_ref().map(|token| token.0.clone())?;
            client(kind, Some(token)).map(|forge| ((kind, repo.name.to_lowercase()), forge))
        });
        Forges {
            general: ForgeKind::ALL.into_iter().filter_map(general).collect(),
            of_repo: of_repo.collect(),
            secrets: RwLock::default(),
        }
    }

    /// Reads and proves deliveries.
    pub fn of(&self, kind: ForgeKind) -> Option<&Arc<dyn Forge>> {
        self.general.get(&kind)
    }

    /// Tells commits of this repository.
    pub(super) fn for_repo(&self, kind: ForgeKind, repo: &str) -> Option<&Arc<dyn Forge>> {
        self.of_repo.get(&(kind, repo.to_lowercase())).or_else(|| self.of(kind))
    }

    /// Who may have signed a delivery of `body_bytes`.
    /// * `repo`: which repository the webhook's URL names; then only that one's secret and the forge's are tried.
    ///
    /// Without it all are, as far as the work stays bounded.
    pub fn signers(&self, kind: ForgeKind, repo: Option<u64>, body_bytes: usize) -> Vec<(Signer, Secret)> {
        let secrets = self.secrets.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tries = HOOK_VERIFY_BYTES_MAX / (body_bytes.max(1024) as u64);
        let fits = |signer: &Signer| match (signer, repo) {
            (Signer::Forge, _) | (Signer::Repo(_), None) => true,
            (Signer::Repo(id), Some(named)) => *id == named,
        };
        let of_kind = secrets.get(&kind).map(Vec::as_slice).unwrap_or_default();
        of_kind
            .iter()
            .filter(|(signer, _)| fits(signer))
            .take(tries.max(2) as usize)
            .cloned()
            .collect()
    }

    /// Whether a repository has a secret of its own; then no other signs for it.
    pub(super) fn has_own_secret(&self, kind: ForgeKind, repo: u64) -> bool {
        let secrets = self.secrets.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        secrets
            .get(&kind)
            .is_some_and(|all| all.iter().any(|(signer, _)| *signer == Signer::Repo(repo)))
    }
}

impl Pipelines {
    pub(super) async fn add_configured_repos(&self) -> Result<(), StoreError> {
        for repo in &self.inner.config.repos {
            let new = NewRepo {
                forge: repo.forge.into(),
                name: repo.name.clone(),
                clone_url: repo.clone_url.clone(),
                default_branch: None,
                webhook_secret: None,
                dialect: repo.dialect.clone(),
                added_by: AddedBy::Configuration,
            };
            self.inner.store.put_repo(&new).await?;
        }
        Ok(())
    }

    /// To be called whenever a repository was added, changed or removed.
    pub async fn reload_hook_secrets(&self) -> Result<(), StoreError> {
        let Self { inner } = self;
        let mut secrets: HashMap<ForgeKind, Vec<(Signer, Secret)>> = HashMap::new();
        for kind in ForgeKind::ALL {
            if let Some(secret) = &inner.config.forges.get(kind).webhook_secret {
                secrets.entry(kind).or_default().push((Signer::Forge, secret.0.clone()));
            }
        }
        for repo in inner.store.repos().await? {
            let same = |configured: &&crate::config::RepoConfig| {
                ForgeKind::from(configured.forge) == repo.forge && configured.name.eq_ignore_ascii_case(&repo.name)
            };
            let configured = inner
                .config
                .repos
                .iter()
                .find(same)
                .and_then(|repo| repo.webhook_secret.as_ref());
            let secret = match (configured, &repo.webhook_secret) {
                (Some(secret), _) => secret.0.clone(),
                (None, None) => continue,
                (None, Some(sealed)) => match inner.vault.open_hook_secret(repo.forge, &repo.name, sealed) {
                    Ok(secret) => secret,
                    Err(why) => {
                        // An unreadable secret must not open the door to another: one that nobody can know stands for it.
                        tracing::error!(
                            repo = repo.name,
                            "its webhook secret cannot be opened: {why}; set it again"
                        );
                        Secret::new(uuid::Uuid::new_v4().to_string())
                    }
                },
            };
            secrets
                .entry(repo.forge)
                .or_default()
                .push((Signer::Repo(repo.id), secret));
        }
        *inner
            .forges
            .secrets
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = secrets;
        Ok(())
    }
}
