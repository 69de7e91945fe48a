//! Registries: credentials for an image's registry, digests, ECR.
//!
//! Sole owner of registry HTTP and AWS. Must not know executors or forges.

mod aws;
mod docker_config;
mod ecr;
mod http;
mod reference;

use std::path::PathBuf;
use std::sync::OnceLock;

use async_trait::async_trait;

use crate::secret::Secret;

pub use docker_config::usual_file as usual_docker_config;
pub use ecr::{AwsIdentity, Ecr};
pub use reference::{HUB, Reference};

/// A name and password for one registry, as `X-Registry-Auth` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `host[:port]` as it stands in image references.
    pub registry: String,
    pub username: String,
    pub password: Secret,
}

impl Login {
    /// The user name that says that the password is an identity token, as credential helpers write it.
    pub const IDENTITY_TOKEN: &str = "<token>";
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

    /// What the registry holds under a reference: enough to tell whether it is an image that an engine has.
    async fn held(&self, reference: &str) -> Result<Option<Held>, RegistryError>;

    /// Makes the repository exist where the registry wants that before a push (ECR); else does nothing.
    async fn prepare(&self, repository: &str) -> Result<(), RegistryError>;
}

/// An image in a registry.
/// * `digest`: of its manifest. * `config`: of its configuration; none for an index of several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub digest: String,
    pub config: Option<String>,
}

impl Held {
    /// Whether an engine's image is this one. Engines name an image by its configuration, or (with containerd's store) by
    /// its manifest.
    pub fn is(&self, image_id: &str) -> bool {
        self.digest == image_id || self.config.as_deref() == Some(image_id)
    }
}

/// What is known about one registry, or about one part of it.
/// * `registry`: `host[:port]`, or `host[:port]/path` for repositories under that path; the longest that fits counts.
/// * `plain_http`: without TLS. On the loopback that is found out by itself.
/// * `authorities_pem`: further certificate authorities, beside the machine's and those in `/etc/docker/certs.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEntry {
    pub registry: String,
    pub credentials: RegistryCredentials,
    pub plain_http: bool,
    pub authorities_pem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryCredentials {
    /// None, even if the Docker configuration has some.
    Anonymous,
    Password {
        username: String,
        password: Secret,
    },
    Ecr(Ecr),
    /// From the Docker configuration, or from AWS for a host of ECR.
    Elsewhere,
}

/// * `docker_config`: the file to look into for what no entry says; see [`usual_docker_config`].
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    pub entries: Vec<RegistryEntry>,
    pub docker_config: Option<PathBuf>,
}

/// Registries as the configuration, the Docker configuration and AWS know them.
pub struct Registries {
    config: RegistryConfig,
    clients: http::Clients,
    tokens: ecr::Tokens,
    aws: OnceLock<reqwest::Client>,
}

impl Registries {
    pub fn new(config: RegistryConfig) -> Self {
        Registries {
            config,
            clients: http::Clients::default(),
            tokens: ecr::Tokens::default(),
            aws: OnceLock::new(),
        }
    }

    /// The client for AWS, made when it is first needed: a machine without any certificate authority cannot make one.
    fn aws(&self, registry: &str) -> Result<&reqwest::Client, RegistryError> {
        if let Some(client) = self.aws.get() {
            return Ok(client);
        }
        let made = reqwest::Client::builder()
            .build()
            .map_err(|error| RegistryError::Credentials {
                registry: registry.to_owned(),
                why: http::causes(&error),
            })?;
        Ok(self.aws.get_or_init(|| made))
    }

    fn entry(&self, reference: &Reference) -> Option<&RegistryEntry> {
        let whole = format!("{}/{}", reference.registry, reference.repository);
        let fits = |entry: &&RegistryEntry| {
            let under = whole.strip_prefix(entry.registry.trim_end_matches('/'));
            under.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.config
            .entries
            .iter()
            .filter(fits)
            .max_by_key(|entry| entry.registry.len())
    }

    async fn look(&self, text: &str, look: http::Look) -> Result<Option<Held>, RegistryError> {
        let reference = Reference::parse(text)?;
        let entry = self.entry(&reference);
        let way = http::Way {
            plain_http: entry.is_some_and(|entry| entry.plain_http),
            authorities_pem: entry.and_then(|entry| entry.authorities_pem.clone()),
        };
        let login = self.login(text, false).await?;
        match self.clients.look(&reference, &way, login.as_ref(), look).await {
            // A token may have been revoked or have expired early.
            Err(RegistryError::Denied { .. }) if login.is_some() => {
                let login = self.login(text, true).await?;
                self.clients.look(&reference, &way, login.as_ref(), look).await
            }
            other => other,
        }
    }

    fn ecr(&self, reference: &Reference) -> Option<Ecr> {
        match self.entry(reference).map(|entry| &entry.credentials) {
            Some(RegistryCredentials::Ecr(ecr)) => Some(ecr.clone()),
            Some(RegistryCredentials::Anonymous | RegistryCredentials::Password { .. }) => None,
            Some(RegistryCredentials::Elsewhere) | None => Ecr::of_host(&reference.registry),
        }
    }
}

#[async_trait]
impl Registry for Registries {
    async fn login(&self, image: &str, fresh: bool) -> Result<Option<Login>, RegistryError> {
        let reference = Reference::parse(image)?;
        let registry = &reference.registry;
        if let Some(entry) = self.entry(&reference) {
            match &entry.credentials {
                RegistryCredentials::Anonymous => return Ok(None),
                RegistryCredentials::Password { username, password } => {
                    let (username, password) = (username.clone(), password.clone());
                    return Ok(Some(Login {
                        registry: registry.clone(),
                        username,
                        password,
                    }));
                }
                RegistryCredentials::Ecr(ecr) => {
                    return self
                        .tokens
                        .login(self.aws(registry)?, registry, ecr, fresh)
                        .await
                        .map(Some);
                }
                RegistryCredentials::Elsewhere => {}
            }
        }
        if let Some(file) = &self.config.docker_config {
            let found = docker_config::login(file.clone(), registry).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match Ecr::of_host(registry) {
            Some(ecr) => self
                .tokens
                .login(self.aws(registry)?, registry, &ecr, fresh)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    async fn digest(&self, reference: &str) -> Result<Option<String>, RegistryError> {
        let held = self.look(reference, http::Look::Digest).await?;
        Ok(held.map(|held| held.digest))
    }

    async fn held(&self, reference: &str) -> Result<Option<Held>, RegistryError> {
        self.look(reference, http::Look::Manifest).await
    }

    async fn prepare(&self, repository: &str) -> Result<(), RegistryError> {
        let reference = Reference::parse(repository)?;
        match self.ecr(&reference) {
            Some(ecr) => {
                self.tokens
                    .prepare(
                        self.aws(&reference.registry)?,
                        &reference.registry,
                        &ecr,
                        &reference.repository,
                    )
                    .await
            }
            None => Ok(()),
        }
    }
}
