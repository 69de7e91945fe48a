//! Finding the engine as a Docker user expects it, and greeting it.
//!
//! The configuration first, then `DOCKER_HOST`, then the current docker context, then the usual sockets. An endpoint that somebody named is the
//! only one tried: Drydock never runs a job on an engine that was not meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::call::{self, Said};
use crate::executor::ExecutorError;
use crate::shim;

/// The oldest Engine API spoken (Docker 20.10).
pub const API_MIN: (u32, u32) = (1, 41);

/// For an answer's head; long work (pulls, builds, waits) streams its answer and is not limited by it.
const HEAD_WITHIN_S: u64 = 120;

/// An engine that does not greet back within this is taken for hung.
const GREET_WITHIN: Duration = Duration::from_secs(10);

/// Where to find an engine, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///path`, `tcp://host:port`...
    pub address: String,
    pub found_in: FoundIn,
    /// The folder with `ca.pem`, `cert.pem`, `key.pem`, when TLS is wanted.
    pub tls: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundIn {
    /// Drydock's own configuration.
    Configuration,
    /// The environment variable `DOCKER_HOST`.
    DockerHost,
    /// A docker context, by name.
    Context(String),
    /// One of the usual sockets, and whose it usually is.
    Usual(&'static str),
}

impl std::fmt::Display for FoundIn {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FoundIn::Configuration => out.write_str("the configuration"),
            FoundIn::DockerHost => out.write_str("DOCKER_HOST"),
            FoundIn::Context(name) => write!(out, "docker context `{name}`"),
            FoundIn::Usual(whose) => write!(out, "the usual socket of {whose}"),
        }
    }
}

/// What the search looks at, handed in so that it can be tested.
pub struct Surroundings<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub user_id: u32,
    pub exists: &'a dyn Fn(&Path) -> bool,
    pub read: &'a dyn Fn(&Path) -> Option<String>,
}

/// The engine's side of the greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    pub kind: EngineKind,
    /// Its own version, e.g. `20.10.24`.
    pub version: String,
    pub api: (u32, u32),
    /// As the engine says it: `amd64`, `arm64`.
    pub architecture: String,
    /// Name and version of each part it is made of, e.g. `runc 1.1.5`.
    pub parts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Docker,
    Podman,
}

impl std::fmt::Display for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            EngineKind::Docker => "Docker Engine",
            EngineKind::Podman => "Podman",
        };
        write!(
            out,
            "{kind} {} (API {}.{}, {})",
            self.version, self.api.0, self.api.1, self.architecture
        )
    }
}

/// An engine that answered and can be used.
#[derive(Clone)]
pub struct Connection {
    pub docker: Docker,
    pub endpoint: Endpoint,
    pub engine: Engine,
}

/// Finds the engine and greets it: at the configured address if there is one (`unix://...`, `tcp://...`), else in this
/// process's own surroundings.
///
/// Errors: [`ExecutorError::Unreachable`], whose cause says where was looked and what to do.
pub async fn connect(configured: Option<&str>) -> Result<Connection, ExecutorError> {
    let mut failed: Option<ExecutorError> = None;
    for endpoint in candidates(configured)? {
        match connect_to(endpoint).await {
            Ok(connection) => return Ok(connection),
            // The first is the one that the user most likely meant.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| unreachable("any of the usual sockets", nothing_found())))
}

/// Every endpoint that would be tried, in order, for `drydock doctor`.
pub fn candidates(configured: Option<&str>) -> Result<Vec<Endpoint>, ExecutorError> {
    here(|around| find(around, configured))
}

fn here<T>(look: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    look(&Surroundings {
        variable: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        user_id: rustix::process::getuid().as_raw(),
        exists: &|path| path.exists(),
        read: &|path| std::fs::read_to_string(path).ok(),
    })
}

fn unreachable(endpoint: &str, why: String) -> ExecutorError {
    ExecutorError::Unreachable {
        endpoint: endpoint.to_owned(),
        cause: Box::new(Said(why)),
    }
}

fn nothing_found() -> String {
    "no engine's socket was found; start Docker or Podman, or say where it listens with DOCKER_HOST \
     (`drydock doctor` lists the places)"
        .to_owned()
}

// -------------------------------------------------------------------------------------------------------- the search

/// The endpoints to try, best first; one alone when somebody named it.
pub fn find(around: &Surroundings<'_>, configured: Option<&str>) -> Result<Vec<Endpoint>, ExecutorError> {
    let home = (around.variable)("HOME").map(PathBuf::from);
    let config = (around.variable)("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let named = match configured {
        Some(address) => Some((address.to_owned(), FoundIn::Configuration)),
        None => (around.variable)("DOCKER_HOST").map(|address| (address, FoundIn::DockerHost)),
    };
    if let Some((address, found_in)) = named {
        let wants_tls = (around.variable)("DOCKER_TLS_VERIFY").is_some();
        let certificates = (around.variable)("DOCKER_CERT_PATH").map(PathBuf::from).or(config);
        let tls = certificates.filter(|_| wants_tls && !address.starts_with("unix://"));
        return Ok(vec![Endpoint { address, found_in, tls }]);
    }
    if let Some(config) = &config
        && let Some(name) = current_context(around, config)
    {
        return context(around, config, &name).map(|endpoint| vec![endpoint]);
    }
    let usual = usual_sockets(around, home.as_deref());
    let found = usual.into_iter().filter(|(path, _)| (around.exists)(path));
    Ok(found
        .map(|(path, whose)| Endpoint {
            address: format!("unix://{}", path.display()),
            found_in: FoundIn::Usual(whose),
            tls: None,
        })
        .collect())
}

/// The sockets that engines make by themselves, best first.
pub fn usual_sockets(around: &Surroundings<'_>, home: Option<&Path>) -> Vec<(PathBuf, &'static str)> {
    let runtime = (around.variable)("XDG_RUNTIME_DIR")
        .map_or_else(|| PathBuf::from(format!("/run/user/{}", around.user_id)), PathBuf::from);
    let mut sockets = vec![
        (PathBuf::from("/var/run/docker.sock"), "Docker"),
        (runtime.join("docker.sock"), "rootless Docker"),
    ];
    if let Some(home) = home {
        sockets.extend([
            (home.join(".docker/run/docker.sock"), "Docker Desktop"),
            (home.join(".docker/desktop/docker.sock"), "Docker Desktop"),
            (home.join(".colima/default/docker.sock"), "Colima"),
            (home.join(".orbstack/run/docker.sock"), "OrbStack"),
            (home.join(".rd/docker.sock"), "Rancher Desktop"),
        ]);
    }
    sockets.push((runtime.join("podman/podman.sock"), "rootless Podman"));
    sockets.push((PathBuf::from("/run/podman/podman.sock"), "Podman"));
    sockets
}

/// The context in use, unless it is the one that stands for "no context".
fn current_context(around: &Surroundings<'_>, config: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct ConfigFile {
        #[serde(rename = "currentContext")]
        current_context: Option<String>,
    }
    let in_file = || {
        let text = (around.read)(&config.join("config.json"))?;
        // A file that Docker itself cannot read is not ours to judge: the usual sockets remain.
        serde_json::from_str::<ConfigFile>(&text).ok()?.current_context
    };
    (around.variable)("DOCKER_CONTEXT")
        .or_else(in_file)
        .filter(|name| !name.is_empty() && name != "default")
}

fn context(around: &Surroundings<'_>, config: &Path, name: &str) -> Result<Endpoint, ExecutorError> {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "Endpoints")]
        endpoints: Endpoints,
    }
    #[derive(Deserialize)]
    struct Endpoints {
        docker: Option<DockerEndpoint>,
    }
    #[derive(Deserialize)]
    struct DockerEndpoint {
        #[serde(rename = "Host")]
        host: Option<String>,
    }
    let label = format!("docker context `{name}`");
    let folder = hex::encode(Sha256::digest(name.as_bytes()));
    let file = config.join("contexts/meta").join(&folder).join("meta.json");
    let text = (around.read)(&file).ok_or_else(|| {
        let why = format!(
            "{} does not exist; `docker context ls` lists the contexts there are",
            file.display()
        );
        unreachable(&label, why)
    })?;
    let meta: Meta = serde_json::from_str(&text).map_err(|error| {
        unreachable(
            &label,
            format!("{} is not as Docker writes it: {error}", file.display()),
        )
    })?;
    let address = meta
        .endpoints
        .docker
        .and_then(|docker| docker.host)
        .filter(|host| !host.is_empty());
    let Some(address) = address else {
        return Err(unreachable(&label, format!("{} names no Docker host", file.display())));
    };
    let tls = config.join("contexts/tls").join(folder).join("docker");
    let tls = Some(tls).filter(|tls| (around.exists)(&tls.join("ca.pem")));
    Ok(Endpoint {
        address,
        found_in: FoundIn::Context(name.to_owned()),
        tls,
    })
}

// ------------------------------------------------------------------------------------------------------ the greeting

/// Connects to one endpoint, asks who is there and whether Drydock can work with it.
pub async fn connect_to(endpoint: Endpoint) -> Result<Connection, ExecutorError> {
    let label = format!("{} (from {})", endpoint.address, endpoint.found_in);
    let docker = client(&endpoint)
        .map_err(|why| unreachable(&label, why))?
        .with_request_modifier(url_safe_auth);
    let said = match tokio::time::timeout(GREET_WITHIN, docker.version()).await {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => return Err(unreachable(&label, explain(&endpoint, call::message(&error)))),
        Err(_) => {
            let why = format!(
                "it does not answer within {} s; is the daemon hung?",
                GREET_WITHIN.as_secs()
            );
            return Err(unreachable(&label, why));
        }
    };
    let parts: Vec<(String, String)> = said
        .components
        .unwrap_or_default()
        .into_iter()
        .map(|part| (part.name, part.version))
        .collect();
    let is_podman = parts.iter().any(|(name, _)| name.to_lowercase().contains("podman"));
    let api = said.api_version.unwrap_or_default();
    let engine = Engine {
        kind: if is_podman {
            EngineKind::Podman
        } else {
            EngineKind::Docker
        },
        version: said.version.unwrap_or_default(),
        api: api_of(&api)
            .ok_or_else(|| unreachable(&label, format!("it speaks API version `{api}`, whatever that is")))?,
        architecture: said.arch.unwrap_or_default(),
        parts: parts
            .into_iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect(),
    };
    if engine.api < API_MIN {
        let (major, minor) = API_MIN;
        let why = format!(
            "{engine} is too old: API {major}.{minor} (Docker 20.10, Podman 4) is the oldest that Drydock speaks"
        );
        return Err(unreachable(&label, why));
    }
    if engine.architecture != shim::ARCHITECTURE {
        let why = format!(
            "{engine} runs {} images, but this Drydock brings a job runtime for {} only; \
             run a Drydock built for {} (a `drydock runner` on that machine will do)",
            engine.architecture,
            shim::ARCHITECTURE,
            engine.architecture
        );
        return Err(unreachable(&label, why));
    }
    Ok(Connection {
        docker,
        endpoint,
        engine,
    })
}

fn client(endpoint: &Endpoint) -> Result<Docker, String> {
    let address = endpoint.address.as_str();
    let (scheme, _) = address.split_once("://").unwrap_or(("", address));
    let made = match (scheme, &endpoint.tls) {
        ("unix", _) => Docker::connect_with_unix(address, HEAD_WITHIN_S, API_DEFAULT_VERSION),
        ("tcp" | "https", Some(folder)) => {
            // Whoever came first has installed one; any will do.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let [key, cert, ca] = ["key.pem", "cert.pem", "ca.pem"].map(|file| folder.join(file));
            Docker::connect_with_ssl(address, &key, &cert, &ca, HEAD_WITHIN_S, API_DEFAULT_VERSION)
        }
        ("https", None) => {
            return Err("https needs certificates: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH".to_owned());
        }
        ("tcp" | "http", _) => Docker::connect_with_http(address, HEAD_WITHIN_S, API_DEFAULT_VERSION),
        ("ssh", _) => {
            return Err("Drydock does not speak ssh:// to an engine; forward its socket \
                        (`ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST`) and set \
                        DOCKER_HOST=unix:///tmp/docker.sock"
                .to_owned());
        }
        _ => return Err("an address must begin with unix://, tcp:// or http://".to_owned()),
    };
    made.map_err(|error| explain(endpoint, call::message(&error)))
}

/// The client's words with what to do about them.
fn explain(endpoint: &Endpoint, said: String) -> String {
    let lower = said.to_lowercase();
    if lower.contains("permission denied") {
        format!(
            "{said}; your user may not open the socket: add it to the group that owns it (`docker`), or use a rootless engine"
        )
    } else if lower.contains("not found") || lower.contains("no such file") {
        format!(
            "{said}; nothing listens there: is the engine started, and is {} right?",
            endpoint.found_in
        )
    } else if lower.contains("refused") {
        format!("{said}; the socket is there but nobody answers: is the engine started?")
    } else {
        said
    }
}

fn api_of(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Engines decode registry credentials as URL-safe base64; the client writes the other alphabet.
fn url_safe_auth(mut request: BollardRequest) -> BollardRequest {
    for name in ["x-registry-auth", "x-registry-config"] {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        let Some(Ok(value)) = value.map(|value| value.replace('+', "-").replace('/', "_").parse()) else {
            continue;
        };
        request.headers_mut().insert(name, value);
        if let Some(value) = request.headers_mut().get_mut(name) {
            value.set_sensitive(true);
        }
    }
    request
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
