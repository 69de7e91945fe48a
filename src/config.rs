//! The server's configuration: one TOML file and `DRYDOCK_*` variables in one struct, and every limit once.
//!
//! Knows text, numbers and paths; must not know any room that is configured by it.

mod limits;
mod load;
mod units;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::ForgeKind;

pub use limits::*;
pub use load::{ConfigError, Loaded, load, print};
pub use units::{ByteSize, HiddenText, Span, WebUrl};

/// Everything that an operator can set. Every field has a default; no file is needed to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Database, mirrors, keys and logs live under this one folder.
    pub data_dir: PathBuf,
    pub server: ServerConfig,
    pub forges: ForgesConfig,
    /// What files of every repository read as `vars.NAME`; plain settings, not secrets.
    pub vars: BTreeMap<String, String>,
    /// Repositories with settings of their own; `drydock repo add` adds others at run time.
    pub repos: Vec<RepoConfig>,
    pub clone: CloneConfig,
    /// Registries to pull from and to push to.
    pub registries: Vec<RegistryConfig>,
    pub docker: DockerConfig,
    pub runner: RunnerConfig,
    pub statuses: StatusesConfig,
    pub retention: RetentionConfig,
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: default_data_dir(),
            server: ServerConfig::default(),
            forges: ForgesConfig::default(),
            vars: BTreeMap::new(),
            repos: vec![],
            clone: CloneConfig::default(),
            registries: vec![],
            docker: DockerConfig::default(),
            runner: RunnerConfig::default(),
            statuses: StatusesConfig::default(),
            retention: RetentionConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// `/var/lib/drydock` for root, `$XDG_DATA_HOME/drydock` or `~/.local/share/drydock` for others.
pub fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/drydock");
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("."))
        .join("drydock")
}

/// The HTTP side: webhooks, API, pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen. Loopback by default; put a TLS proxy in front of anything public.
    pub listen: SocketAddr,
    /// How people and forges reach this server; links in commit statuses start with it.
    pub public_url: Option<WebUrl>,
    /// Host names that requests may be addressed to, besides those of `listen` and `public_url`; `*` allows all.
    pub allowed_hosts: Vec<String>,
    /// The largest webhook that is read.
    pub hook_bytes_max: ByteSize,
    /// Requests that are served at once; more wait.
    pub connections_max: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            public_url: None,
            allowed_hosts: vec![],
            hook_bytes_max: ByteSize(HOOK_BYTES_MAX),
            connections_max: CONNECTIONS_MAX,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForgesConfig {
    pub github: ForgeConfig,
    pub gitlab: ForgeConfig,
    pub gitea: ForgeConfig,
}

impl ForgesConfig {
    pub fn get(&self, kind: ForgeKind) -> &ForgeConfig {
        match kind {
            ForgeKind::GitHub => &self.github,
            ForgeKind::GitLab => &self.gitlab,
            ForgeKind::Gitea => &self.gitea,
        }
    }
}

/// One forge. A forge without a webhook secret (here or per repository) is off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForgeConfig {
    /// Where its API is: for GitHub `https://api.github.com` (the default) or `https://HOST/api/v3`, for GitLab (default
    /// `https://gitlab.com`) and Gitea the forge's own address.
    pub api_url: Option<WebUrl>,
    /// Sets commit statuses.
    pub token: Option<HiddenText>,
    pub token_file: Option<PathBuf>,
    /// Signs the webhooks of every repository that has no secret of its own.
    pub webhook_secret: Option<HiddenText>,
    pub webhook_secret_file: Option<PathBuf>,
    /// Whether a repository is added by its first delivery that `webhook_secret` signed.
    pub add_repos: bool,
}

/// A repository that the file knows. `name` is `owner/name` (GitLab: with its groups).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepoConfig {
    pub forge: ForgeName,
    pub name: String,
    /// Replaces the URL that webhooks name.
    #[serde(default)]
    pub clone_url: Option<String>,
    /// If set, nothing else signs this repository's webhooks.
    #[serde(default)]
    pub webhook_secret: Option<HiddenText>,
    #[serde(default)]
    pub webhook_secret_file: Option<PathBuf>,
    /// Sets this repository's commit statuses instead of the forge's token.
    #[serde(default)]
    pub token: Option<HiddenText>,
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// `native`, `github` or `gitlab`, where files of several kinds stand.
    #[serde(default)]
    pub dialect: Option<String>,
    /// Added to `vars`, and before them where both have a name.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Whether jobs may ask for the host's Docker socket. Root on this machine for everyone who can push.
    #[serde(default)]
    pub trusted: bool,
}

/// A forge's word as it stands in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForgeName {
    GitHub,
    GitLab,
    Gitea,
}

impl From<ForgeName> for ForgeKind {
    fn from(name: ForgeName) -> ForgeKind {
        match name {
            ForgeName::GitHub => ForgeKind::GitHub,
            ForgeName::GitLab => ForgeKind::GitLab,
            ForgeName::Gitea => ForgeKind::Gitea,
        }
    }
}

/// How repositories are fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CloneConfig {
    /// `https` and `ssh`; add `http` or `file` only for forges and folders you control.
    pub schemes: Vec<String>,
    /// Who fetches where.
    pub credentials: Vec<CloneCredential>,
    pub time_max: Span,
    pub bytes_max: ByteSize,
    pub objects_max: u64,
    pub submodules: bool,
}

impl Default for CloneConfig {
    fn default() -> Self {
        CloneConfig {
            schemes: vec!["https".into(), "ssh".into()],
            credentials: vec![],
            time_max: Span::seconds(CLONE_SECONDS_MAX),
            bytes_max: ByteSize(CLONE_BYTES_MAX),
            objects_max: CLONE_OBJECTS_MAX,
            submodules: false,
        }
    }
}

/// A token or an SSH key for one scheme, host and port; it is never sent anywhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneCredential {
    /// Where it is valid, e.g. `https://github.com` or `ssh://git@gitea.example.com:2222`.
    pub url: String,
    /// With a token; many forges take any name.
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub token: Option<HiddenText>,
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Path of a private key in OpenSSH format, without passphrase.
    #[serde(default)]
    pub ssh_key_file: Option<PathBuf>,
    /// Host keys that are accepted, as lines of `known_hosts`.
    #[serde(default)]
    pub known_hosts_file: Option<PathBuf>,
}

/// A registry and who Drydock is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// `host[:port]` as it stands in image references.
    pub host: String,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<HiddenText>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Credentials come from AWS (environment, profile, role, web identity, instance), or from the keys named here.
    #[serde(default)]
    pub ecr: Option<EcrConfig>,
    /// Spoken to without TLS. Only for registries on this machine.
    #[serde(default)]
    pub plain_http: bool,
    /// A PEM file with the authority that signed the registry's certificate.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcrConfig {
    pub region: String,
    /// Another endpoint of the ECR API, for a stand-in or a private link.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Whether a repository is created on its first push.
    #[serde(default)]
    pub create: bool,
    /// Who asks, instead of whoever AWS's chain of credentials finds: a profile of the shared files,
    #[serde(default)]
    pub profile: Option<String>,
    /// or a pair of keys.
    #[serde(default)]
    pub access_key: Option<String>,
    #[serde(default)]
    pub secret_key: Option<HiddenText>,
    #[serde(default)]
    pub secret_key_file: Option<PathBuf>,
}

/// Where and how jobs run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DockerConfig {
    /// As in `DOCKER_HOST`; found as the Docker CLI finds it when empty.
    pub endpoint: Option<String>,
    /// For jobs that name no image.
    pub default_image: Option<String>,
    pub pull: PullWhen,
    /// Which image stands in for a runner label, e.g. `ubuntu-latest`.
    pub labels: BTreeMap<String, String>,
    /// Limits of a job that sets none. No `cpus` means no limit on them.
    pub cpus: Option<f64>,
    pub memory: ByteSize,
    pub pids: u32,
    pub timeout: Span,
}

impl Default for DockerConfig {
    fn default() -> Self {
        DockerConfig {
            endpoint: None,
            default_image: None,
            pull: PullWhen::Missing,
            labels: BTreeMap::new(),
            cpus: None,
            memory: ByteSize(JOB_MEMORY_BYTES),
            pids: JOB_PIDS,
            timeout: Span::seconds(JOB_TIMEOUT_SECONDS),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullWhen {
    Never,
    #[default]
    Missing,
    Always,
}

/// How much runs at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunnerConfig {
    /// Pipelines that run at once; others are queued.
    pub pipelines_max: u32,
    /// Jobs of one pipeline that run at once; as many as the machine has processors when 0.
    pub jobs_max: u32,
    /// Between TERM and KILL when a step is stopped.
    pub grace: Span,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        RunnerConfig {
            pipelines_max: PIPELINES_AT_ONCE,
            jobs_max: 0,
            grace: Span::seconds(GRACE_SECONDS),
        }
    }
}

impl RunnerConfig {
    /// [`RunnerConfig::jobs_max`] with 0 worked out.
    pub fn jobs_at_once(&self) -> u32 {
        match self.jobs_max {
            0 => std::thread::available_parallelism().map_or(2, |count| count.get() as u32),
            set => set,
        }
    }
}

/// What is told to commits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StatusesConfig {
    /// First part of the status' name; the event's kind follows: `drydock/push`.
    pub context: String,
}

impl Default for StatusesConfig {
    fn default() -> Self {
        StatusesConfig {
            context: "drydock".into(),
        }
    }
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Finished pipelines with their events and logs.
    pub pipelines: Span,
    /// Delivery ids, by which a webhook that is sent again is recognised.
    pub deliveries: Span,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        RetentionConfig {
            pipelines: Span::days(PIPELINES_KEPT_DAYS),
            deliveries: Span::days(DELIVERIES_KEPT_DAYS),
        }
    }
}

/// What the server says of itself, on stderr.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    /// Directives of tracing's filter, e.g. `info,drydock=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            format: LogFormat::Text,
            filter: "info".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[cfg(test)]
mod tests;
