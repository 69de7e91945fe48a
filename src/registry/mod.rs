//! Registries: credentials for an image's registry, digests, ECR.
//!
//! Sole owner of registry HTTP and AWS. Must not know executors or forges.

use async_trait::async_trait;

use crate::secret::Secret;

/// A name and password for one registry, as `X-Registry-Auth` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `host[:port]` as it stands in image references.
    pub registry: String,
    pub username: String,
    pub password: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No credentials, or refused ones. Final.
    #[error("{registry} refuses the credentials: {why}")]
    Denied { registry: String, why: String },
    /// The credentials could not be had (helper, file, AWS).
    #[error("cannot get credentials for {registry}: {why}")]
    Credentials { registry: String, why: String },
    /// Worth trying again.
    #[error("cannot reach {registry}: {why}")]
    Unreachable { registry: String, why: String },
    #[error("{registry} answered {status} to {operation}: {why}")]
    Refused {
        registry: String,
        operation: String,
        status: u16,
        why: String,
    },
    #[error("`{reference}` is no image reference: {why}")]
    Reference { reference: String, why: String },
}

/// Where credentials come from and what a registry holds.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Credentials for the registry of an image reference; none means anonymous. `fresh` skips what was cached (after a 401).
    async fn login(&self, image: &str, fresh: bool) -> Result<Option<Login>, RegistryError>;

    /// The digest that the registry holds under a reference (`registry/repo:tag`); none when it holds none.
    async fn digest(&self, reference: &str) -> Result<Option<String>, RegistryError>;

    /// Makes the repository exist where the registry wants that before a push (ECR); else does nothing.
    async fn prepare(&self, repository: &str) -> Result<(), RegistryError>;
}
