//! The registry's own API (distribution spec): who may ask, and which digest is under a tag.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::reference::{HUB, Reference};
use super::{Held, Login, RegistryError};

const CALL_WITHIN: Duration = Duration::from_secs(30);
const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Every kind of manifest that there is under a tag: without them a registry converts, and the digest is another.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5, */*;q=0.1";

/// How a registry is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Way {
    pub plain_http: bool,
    pub authorities_pem: Option<String>,
}

/// Clients by registry, and what was learnt about each.
#[derive(Default)]
pub(super) struct Clients {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    client: Client,
    base: String,
}

/// How much is asked about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Its digest, without its manifest where the registry says it.
    Digest,
    /// Its digest and what its manifest says.
    Manifest,
}

impl Clients {
    /// What is under a reference; none when the registry has no such tag or repository.
    pub(super) async fn look(
        &self,
        reference: &Reference,
        way: &Way,
        login: Option<&Login>,
        look: Look,
    ) -> Result<Option<Held>, RegistryError> {
        let registry = &reference.registry;
        let known = self.known(registry, way).await?;
        let url = format!(
            "{}/v2/{}/manifests/{}",
            known.base,
            reference.repository,
            reference.version()
        );
        let ask = Ask {
            registry,
            client: &known.client,
            repository: &reference.repository,
            login,
            plain_http: way.plain_http,
        };
        let method = if look == Look::Digest {
            Method::HEAD
        } else {
            Method::GET
        };
        let mut answer = ask.send(method, &url).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(ask.refused("the question for a digest", answer)),
        }
        let said = answer
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok());
        let said = said.map(str::to_owned);
        if look == Look::Digest {
            if let Some(digest) = said {
                return Ok(Some(Held { digest, config: None }));
            }
            answer = ask.send(Method::GET, &url).await?;
            if answer.status() != StatusCode::OK {
                return Err(ask.refused("the question for a manifest", answer));
            }
        }
        let mut manifest: Vec<u8> = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(registry, &error))? {
            manifest.extend_from_slice(&chunk);
            if manifest.len() > MANIFEST_BYTES_MAX {
                let why = "its manifest is larger than any manifest".to_owned();
                return Err(RegistryError::Unreachable {
                    registry: registry.clone(),
                    why,
                });
            }
        }
        // Old registries do not say the digest; it is the hash of the manifest's bytes.
        let digest = said.unwrap_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(&manifest))));
        let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
        let config = parsed["config"]["digest"].as_str().map(str::to_owned);
        Ok(Some(Held { digest, config }))
    }

    /// Finds out once how a registry is reached: by TLS, and on the loopback (as Docker does) else without.
    async fn known(&self, registry: &str, way: &Way) -> Result<Known, RegistryError> {
        let found = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(registry)
            .cloned();
        if let Some(known) = found {
            return Ok(known);
        }
        let client = client(registry, way)?;
        let host = if registry == HUB {
            "registry-1.docker.io"
        } else {
            registry
        };
        let mut known = Known {
            client,
            base: format!("https://{host}"),
        };
        if way.plain_http {
            known.base = format!("http://{host}");
        } else if is_loopback(registry) {
            let ping = |base: &str| known.client.get(format!("{base}/v2/")).timeout(CALL_WITHIN).send();
            let plain = format!("http://{host}");
            if let Err(secure) = ping(&known.base).await {
                match ping(&plain).await {
                    // What a TLS server says to plain HTTP: then the trouble with TLS is the one to tell.
                    Ok(answer) if answer.status() != StatusCode::BAD_REQUEST => known.base = plain,
                    Ok(_) | Err(_) => return Err(unreachable(registry, &secure)),
                }
            }
        }
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(registry.to_owned(), known.clone());
        Ok(known)
    }
}

/// A client that trusts the machine's authorities, the configured ones, and those that Docker was given for this host.
fn client(registry: &str, way: &Way) -> Result<Client, RegistryError> {
    let trouble = |what: &str, why: String| {
        let why = format!("the certificate authority in {what} cannot be used: {why}");
        RegistryError::Credentials {
            registry: registry.to_owned(),
            why,
        }
    };
    // Redirects within the registry are followed; a login never goes to another host.
    let redirects = reqwest::redirect::Policy::custom(|attempt| {
        let same = attempt
            .previous()
            .last()
            .is_some_and(|from| from.origin() == attempt.url().origin());
        if same && attempt.previous().len() < 4 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    let mut client = Client::builder()
        .user_agent(concat!("drydock/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects)
        .connect_timeout(Duration::from_secs(15));
    let mut bundles: Vec<(String, Vec<u8>)> = Vec::new();
    if let Some(pem) = &way.authorities_pem {
        bundles.push(("the configuration".to_owned(), pem.clone().into_bytes()));
    }
    let folder = PathBuf::from("/etc/docker/certs.d").join(registry);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let (true, Ok(pem)) = (path.extension().is_some_and(|kind| kind == "crt"), std::fs::read(&path)) {
            bundles.push((format!("`{}`", path.display()), pem));
        }
    }
    for (what, pem) in bundles {
        let authorities =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| trouble(&what, error.to_string()))?;
        for authority in authorities {
            client = client.add_root_certificate(authority);
        }
    }
    client
        .build()
        .map_err(|error| trouble("the configuration", error.to_string()))
}

pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// One question to one registry, with its login.
struct Ask<'a> {
    registry: &'a str,
    client: &'a Client,
    repository: &'a str,
    login: Option<&'a Login>,
    plain_http: bool,
}

impl Ask<'_> {
    async fn send(&self, method: Method, url: &str) -> Result<Response, RegistryError> {
        let first = self.request(&method, url, None).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return self.checked(first);
        }
        let challenges = challenges(first.headers().get_all(WWW_AUTHENTICATE).iter());
        let proof = self.proof(&challenges).await?;
        let second = self.request(&method, url, Some(proof)).await?;
        if second.status() == StatusCode::UNAUTHORIZED {
            return Err(self.denied(match self.login {
                Some(login) => format!(
                    "it does not accept them for `{}` (user `{}`)",
                    self.repository, login.username
                ),
                None => format!("`{}` needs a login and none is configured", self.repository),
            }));
        }
        self.checked(second)
    }

    async fn request(&self, method: &Method, url: &str, proof: Option<HeaderValue>) -> Result<Response, RegistryError> {
        let mut request = self
            .client
            .request(method.clone(), url)
            .header(ACCEPT, MANIFESTS)
            .timeout(CALL_WITHIN);
        if let Some(proof) = proof {
            request = request.header(AUTHORIZATION, proof);
        }
        request.send().await.map_err(|error| unreachable(self.registry, &error))
    }

    /// Server trouble as an error that is worth trying again; everything else is the caller's to read.
    fn checked(&self, answer: Response) -> Result<Response, RegistryError> {
        match answer.status().as_u16() {
            408 | 425 | 429 | 500..=599 => {
                let why = format!("it answered {}", answer.status());
                Err(RegistryError::Unreachable {
                    registry: self.registry.to_owned(),
                    why,
                })
            }
            _ => Ok(answer),
        }
    }

    /// The header that answers a challenge: the login itself, or a token that the registry's own service gives for it.
    async fn proof(&self, challenges: &[Challenge]) -> Result<HeaderValue, RegistryError> {
        let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
        let Some(bearer) = bearer else {
            let Some(login) = self.login else {
                return Err(self.denied(format!("`{}` needs a login and none is configured", self.repository)));
            };
            return self.header(&basic(login));
        };
        let realm = bearer.value("realm").unwrap_or_default();
        let mut realm =
            url::Url::parse(realm).map_err(|_| self.denied(format!("its token service `{realm}` is no address")))?;
        if realm.scheme() != "https" && !self.plain_http && !is_loopback(realm.host_str().unwrap_or_default()) {
            let why = format!("its token service `{realm}` is not https; a login is not sent there");
            return Err(self.denied(why));
        }
        let service = bearer.value("service").unwrap_or_default().to_owned();
        let scope = format!("repository:{}:pull", self.repository);
        let request = match self.login {
            Some(login) if login.username == Login::IDENTITY_TOKEN => self.client.post(realm).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", login.password.reveal()),
                ("client_id", "drydock"),
                ("service", &service),
                ("scope", &scope),
            ]),
            login => {
                realm
                    .query_pairs_mut()
                    .append_pair("service", &service)
                    .append_pair("scope", &scope);
                let request = self.client.get(realm);
                match login {
                    Some(login) => request.header(AUTHORIZATION, self.header(&basic(login))?),
                    None => request,
                }
            }
        };
        let answer = request
            .timeout(CALL_WITHIN)
            .send()
            .await
            .map_err(|error| unreachable(self.registry, &error))?;
        let answer = self.checked(answer)?;
        if !answer.status().is_success() {
            return Err(self.denied(format!("its token service answered {}", answer.status())));
        }
        #[derive(serde::Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let given: Given = answer
            .json()
            .await
            .map_err(|error| unreachable(self.registry, &error))?;
        let token = given.token.or(given.access_token);
        let token = token.ok_or_else(|| self.denied("its token service gave no token".to_owned()))?;
        self.header(&format!("Bearer {token}"))
    }

    fn header(&self, text: &str) -> Result<HeaderValue, RegistryError> {
        let mut value = HeaderValue::from_str(text).map_err(|_| self.denied("they hold a line break".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn denied(&self, why: String) -> RegistryError {
        RegistryError::Denied {
            registry: self.registry.to_owned(),
            why,
        }
    }

    fn refused(&self, operation: &str, answer: Response) -> RegistryError {
        let status = answer.status();
        let why = match answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()) {
            Some(to) if status.is_redirection() => format!("it redirects to another host, `{to}`"),
            _ => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        };
        if status == StatusCode::FORBIDDEN {
            return self.denied(format!("they may not read `{}`", self.repository));
        }
        let operation = operation.to_owned();
        RegistryError::Refused {
            registry: self.registry.to_owned(),
            operation,
            status: status.as_u16(),
            why,
        }
    }
}

fn basic(login: &Login) -> String {
    use base64::Engine;
    let pair = format!("{}:{}", login.username, login.password.reveal());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    /// Lower case.
    scheme: String,
    values: Vec<(String, String)>,
}

impl Challenge {
    fn value(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// `WWW-Authenticate` headers: each `Scheme key="value",key=value`; commas inside quotes belong to the value.
fn challenges<'a>(headers: impl Iterator<Item = &'a HeaderValue>) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    for header in headers {
        let Ok(text) = header.to_str() else { continue };
        let mut rest = text.trim();
        while !rest.is_empty() {
            let word_end = rest.find(['=', ' ', ',']).unwrap_or(rest.len());
            let word = rest[..word_end].to_ascii_lowercase();
            let after = rest[word_end..].trim_start();
            match (after.strip_prefix('='), found.last_mut()) {
                (Some(value), Some(challenge)) => {
                    let (value, left) = value_of(value.trim_start());
                    challenge.values.push((word, value));
                    rest = left.trim_start_matches([',', ' ']);
                }
                _ => {
                    found.push(Challenge {
                        scheme: word,
                        values: vec![],
                    });
                    rest = after.trim_start_matches([',', ' ', '=']);
                }
            }
        }
    }
    found
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn unreachable(registry: &str, error: &reqwest::Error) -> RegistryError {
    RegistryError::Unreachable {
        registry: registry.to_owned(),
        why: causes(error),
    }
}

/// An error and its causes, one line, without the URL.
pub(super) fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&said)) {
            parts.push(said);
        }
        next = cause.source();
    }
    if parts.is_empty() {
        "the connection failed".to_owned()
    } else {
        parts.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_commas_and_quotes() {
        let headers = [
            HeaderValue::from_static(
                "Bearer realm=\"https://auth.example.com/token\",service=\"a, \\\"b\\\"\",scope=\"repository:x:pull,push\"",
            ),
            HeaderValue::from_static("Basic realm=plain, Negotiate"),
        ];
        let found = challenges(headers.iter());
        insta::assert_debug_snapshot!(found, @r#"
        [
            Challenge {
                scheme: "bearer",
                values: [
                    (
                        "realm",
                        "https://auth.example.com/token",
                    ),
                    (
                        "service",
                        "a, \"b\"",
                    ),
                    (
                        "scope",
                        "repository:x:pull,push",
                    ),
                ],
            },
            Challenge {
                scheme: "basic",
                values: [
                    (
                        "realm",
                        "plain",
                    ),
                ],
            },
            Challenge {
                scheme: "negotiate",
                values: [],
            },
        ]
        "#);
    }

    #[test]
    fn the_loopback_is_what_docker_takes_for_it() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["docker.io", "10.0.0.1:5000", "localhost.example.com", "[2001:db8::1]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
