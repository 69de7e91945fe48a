//! Credentials as `docker login` left them: the Docker configuration file and its credential helpers.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use super::reference::HUB;
use super::{Login, RegistryError};
use crate::secret::Secret;

/// A helper that asks for a password on a screen that nobody sees must not hold a job up.
const HELPER_WITHIN: Duration = Duration::from_secs(30);

/// Under this name Docker keeps its hub's credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Where Docker's own command line would look: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
pub fn usual_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// What the file, or the helper it names, has for a registry.
pub(super) async fn login(file: PathBuf, registry: &str) -> Result<Option<Login>, RegistryError> {
    let asked = registry.to_owned();
    let look = tokio::task::spawn_blocking(move || look(&file, &asked));
    match tokio::time::timeout(HELPER_WITHIN, look).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(trouble(registry, error.to_string())),
        Err(_) => Err(trouble(
            registry,
            format!(
                "the credential helper did not answer within {} s",
                HELPER_WITHIN.as_secs()
            ),
        )),
    }
}

fn look(file: &PathBuf, registry: &str) -> Result<Option<Login>, RegistryError> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(registry, format!("`{}`: {error}", file.display()))),
    };
    let key = if registry == HUB { HUB_KEY } else { registry };
    let (username, password) = match get_credential_from_reader(BufReader::new(opened), key) {
        Ok(DockerCredential::UsernamePassword(username, password)) if username.is_empty() && password.is_empty() => {
            return Ok(None);
        }
        Ok(DockerCredential::UsernamePassword(username, password)) => (username, password),
        Ok(DockerCredential::IdentityToken(token)) => (Login::IDENTITY_TOKEN.to_owned(), token),
        Err(error) => return not_found_or(registry, file, error),
    };
    Ok(Some(Login {
        registry: registry.to_owned(),
        username,
        password: Secret::new(password),
    }))
}

fn not_found_or(
    registry: &str,
    file: &std::path::Path,
    error: CredentialRetrievalError,
) -> Result<Option<Login>, RegistryError> {
    let why = match error {
        CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound => return Ok(None),
        CredentialRetrievalError::HelperFailure { helper, stdout, stderr } => {
            let said = format!("{stdout} {stderr}");
            // What every helper says when it simply has none.
            if said.contains("credentials not found") {
                return Ok(None);
            }
            let said: String = said.trim().chars().filter(|c| !c.is_control()).take(300).collect();
            format!("the credential helper `{helper}` failed: {said}")
        }
        CredentialRetrievalError::HelperCommunicationError => {
            "the credential helper that the Docker configuration names cannot be started".to_owned()
        }
        CredentialRetrievalError::MalformedHelperResponse => {
            "the credential helper's answer is not what helpers answer".to_owned()
        }
        CredentialRetrievalError::CredentialDecodingError
        | CredentialRetrievalError::CredentialMismatchError
        | CredentialRetrievalError::ConfigReadError => error.to_string(),
    };
    Err(trouble(registry, format!("{why} (`{}`)", file.display())))
}

fn trouble(registry: &str, why: String) -> RegistryError {
    RegistryError::Credentials {
        registry: registry.to_owned(),
        why,
    }
}
