//! From the configuration to what pipelines are run with.

use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::engines::Engines;
use super::places::Places;
use crate::cli::Failed;
use crate::config::{CloneConfig, CloneCredential, Config, RegistryConfig};
use crate::pipelines::{Tools, server_name};
use crate::registry::{AwsIdentity, Ecr, Registries, RegistryCredentials, RegistryEntry, usual_docker_config};
use crate::secret::Secret;
use crate::source::address::{Authority, Scheme};
use crate::source::git::{FixedCredentials, GitConfig, GitSource, KnownHosts, SshKey, Submodules, Token};
use crate::stop::Stop;
use crate::store::Store;

pub async fn tools(config: &Config, places: &Places, store: &Arc<dyn Store>) -> Result<Tools, Failed> {
    let (git, credentials) = git(&config.clone, places)?;
    let source = GitSource::new(git, Arc::new(credentials)).map_err(|error| Failed::machine(error.to_string()))?;
    let entries = config
        .registries
        .iter()
        .map(registry)
        .collect::<Result<Vec<_>, Failed>>()?;
    let registries = Registries::new(crate::registry::RegistryConfig {
        entries,
        docker_config: usual_docker_config(),
    });
    let server = server_name(&**store)
        .await
        .map_err(|error| Failed::machine(error.chain()))?;
    let engines = Engines::new(
        config.docker.endpoint.clone(),
        server,
        Arc::new(registries),
        config.runner.jobs_at_once() as usize,
    );
    Ok(Tools {
        source: Arc::new(source),
        executors: Arc::new(engines),
    })
}

fn setting(key: &str, why: impl std::fmt::Display) -> Failed {
    Failed::wrong(format!("the setting `{key}` is wrong: {why}"))
}

fn read(key: &str, path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path).map_err(|cause| setting(key, format!("cannot read `{}`: {cause}", path.display())))
}

fn git(clone: &CloneConfig, places: &Places) -> Result<(GitConfig, FixedCredentials), Failed> {
    let mut config = GitConfig::new(places.mirrors());
    let known = [Scheme::Https, Scheme::Ssh, Scheme::Http, Scheme::File];
    let schemes = known
        .into_iter()
        .filter(|scheme| clone.schemes.iter().any(|word| word == scheme.name()));
    config.schemes = schemes.collect();
    config.limits.within = clone.time_max.0;
    config.limits.bytes = clone.bytes_max.0;
    config.limits.objects = clone.objects_max;
    config.submodules = if clone.submodules {
        Submodules::SameHost
    } else {
        Submodules::No
    };
    let mut credentials = FixedCredentials::default();
    let mut known_hosts = String::new();
    for CloneCredential {
        url,
        username,
        token,
        ssh_key_file,
        known_hosts_file,
        ..
    } in &clone.credentials
    {
        let key = format!("clone.credentials.{url}");
        let at = Authority::parse(url).map_err(|why| setting(&key, why))?;
        if let Some(token) = token {
            let username = username.clone().unwrap_or_else(|| "x-access-token".to_owned());
            credentials.tokens.push(Token {
                at: at.clone(),
                username,
                secret: token.0.clone(),
            });
        }
        if let Some(path) = ssh_key_file {
            let private_key = Secret::new(read(&format!("{key}.ssh_key_file"), path)?);
            credentials.ssh_keys.push(SshKey {
                at,
                private_key,
                passphrase: None,
            });
        }
        if let Some(path) = known_hosts_file {
            known_hosts += &read(&format!("{key}.known_hosts_file"), path)?;
            known_hosts.push('\n');
        }
    }
    config.known_hosts =
        KnownHosts::parse(&known_hosts).map_err(|why| setting("clone.credentials.known_hosts_file", why))?;
    Ok((config, credentials))
}

fn registry(registry: &RegistryConfig) -> Result<RegistryEntry, Failed> {
    let key = format!("registries.{}", registry.host);
    let credentials = match (&registry.username, &registry.password, &registry.ecr) {
        (Some(username), Some(password), _) => RegistryCredentials::Password {
            username: username.clone(),
            password: password.0.clone(),
        },
        (_, _, Some(ecr)) => RegistryCredentials::Ecr(Ecr {
            region: ecr.region.clone(),
            endpoint: ecr.endpoint.clone(),
            create_repository: ecr.create,
            identity: match (&ecr.profile, &ecr.access_key, &ecr.secret_key) {
                (Some(profile), _, _) => AwsIdentity::Profile(profile.clone()),
                (None, Some(access_key), Some(secret_key)) => AwsIdentity::Keys {
                    access_key: access_key.clone(),
                    secret_key: secret_key.0.clone(),
                },
                (None, _, _) => AwsIdentity::Chain,
            },
        }),
        (_, _, None) => RegistryCredentials::Elsewhere,
    };
    let authorities_pem = match &registry.ca_file {
        Some(path) => Some(read(&format!("{key}.ca_file"), path)?),
        None => None,
    };
    Ok(RegistryEntry {
        registry: registry.host.clone(),
        credentials,
        plain_http: registry.plain_http,
        authorities_pem,
    })
}

/// Connections and containers' streams are files; what a service is given by default is soon used up.
pub fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("cannot raise the limit on open files: {error}");
    }
}

/// The first signal asks for an orderly end, the second takes the grace away.
pub async fn stop_on_signals(stop: Stop) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("cannot listen for signals");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        match stop.is_asked() {
            true => stop.force(),
            false => {
                tracing::info!("stopping; pipelines that run go back to the queue");
                stop.ask();
            }
        }
    }
}
