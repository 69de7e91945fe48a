//! Secrets of repositories: sealed on their way into the store, opened on their way to a pipeline that may have them.

use crate::event::{ForgeKind, Trust};
use crate::secret::seal::{SealError, SealingKey};
use crate::secret::{Secret, SecretSet};
use crate::store::{SealedSecret, Store, StoreError};

/// Seals and opens; the key is kept apart from the database.
#[derive(Debug, Clone)]
pub struct Vault {
    key: SealingKey,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SecretTrouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the secret `{name}` cannot be opened: {why}; set it again with `drydock secret set {name}`")]
    Sealed { name: String, why: SealError },
}

impl Vault {
    pub fn new(key: SealingKey) -> Self {
        Vault { key }
    }

    /// * `repo`: none for a secret of all repositories.
    pub fn seal_secret(&self, repo: Option<u64>, name: &str, value: &Secret) -> Result<Vec<u8>, SealError> {
        self.key.seal(&secret_row(repo, name), value)
    }

    pub fn seal_hook_secret(&self, forge: ForgeKind, repo: &str, value: &Secret) -> Result<Vec<u8>, SealError> {
        self.key.seal(&hook_row(forge, repo), value)
    }

    pub(super) fn open_hook_secret(&self, forge: ForgeKind, repo: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        self.key.open(&hook_row(forge, repo), sealed)
    }

    /// What a pipeline of this trust may use. The only place where stored secrets are opened for jobs.
    pub(super) async fn secrets_for(
        &self,
        store: &dyn Store,
        repo: u64,
        trust: Trust,
    ) -> Result<SecretSet, SecretTrouble> {
        if !trust.may_have_secrets() {
            return Ok(SecretSet::new());
        }
        let open = |secret: SealedSecret| match self.key.open(&secret_row(secret.repo, &secret.name), &secret.sealed) {
            Ok(value) => Ok((secret.name, value)),
            Err(why) => Err(SecretTrouble::Sealed { name: secret.name, why }),
        };
        let stored = store.secrets_for(repo).await?;
        stored
            .into_iter()
            .filter(|secret| !secret.protected_only || is_protected(trust))
            .map(open)
            .collect()
    }
}

fn is_protected(trust: Trust) -> bool {
    match trust {
        Trust::Operator | Trust::Protected => true,
        Trust::Member | Trust::ForkApproved | Trust::Fork => false,
    }
}

/// A sealed value opens only in its own row.
fn secret_row(repo: Option<u64>, name: &str) -> String {
    match repo {
        Some(repo) => format!("secret/{repo}/{name}"),
        None => format!("secret/all/{name}"),
    }
}

fn hook_row(forge: ForgeKind, repo: &str) -> String {
    format!("hook/{forge}/{}", repo.to_lowercase())
}

/// What is wrong with a secret's name; names are what files write behind `secrets.`.
pub fn secret_name_mistake(name: &str) -> Option<String> {
    let first = name.chars().next();
    let right = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 100;
    (!right).then(|| format!("`{name}` cannot name a secret: letters, digits and `_`, at most 100, no digit first"))
}
