//! Amazon ECR: tokens from `GetAuthorizationToken`, kept until shortly before they expire, and repositories on request.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::aws::{self, Answer, Call};
use super::{Login, RegistryError};
use crate::secret::Secret;

/// A token is not used in its last half hour: a push may take as long.
const SPARE: Duration = Duration::from_secs(30 * 60);

/// One registry of ECR.
/// * `endpoint`: in place of `https://api.ecr.REGION.amazonaws.com`, for a private endpoint.
/// * `create_repository`: whether a push may make the repository it pushes to.
/// * `identity`: who asks for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecr {
    pub region: String,
    pub endpoint: Option<String>,
    pub create_repository: bool,
    pub identity: AwsIdentity,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AwsIdentity {
    /// Whatever the environment, a profile, a web identity, or the container's or instance's role says.
    #[default]
    Chain,
    /// A profile of the shared files, by name.
    Profile(String),
    Keys {
        access_key: String,
        secret_key: Secret,
    },
}

impl Ecr {
    /// The registry that a host name is, when it is one of ECR's: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        let host = host
            .strip_suffix(".cn")
            .unwrap_or(host)
            .strip_suffix(".amazonaws.com")?;
        let (account, rest) = host.split_once('.')?;
        let region = rest
            .strip_prefix("dkr.ecr.")
            .or_else(|| rest.strip_prefix("dkr.ecr-fips."))?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let found = Ecr {
            region: region.to_owned(),
            endpoint: None,
            create_repository: false,
            identity: AwsIdentity::Chain,
        };
        (is_account && is_region).then_some(found)
    }

    fn endpoint(&self) -> String {
        let told = self
            .endpoint
            .clone()
            .or_else(|| std::env::var("AWS_ENDPOINT_URL_ECR").ok());
        told.unwrap_or_else(|| format!("https://api.ecr.{}.{}/", self.region, aws::domain(&self.region)))
    }
}

struct Token {
    login: Login,
    good_until: Instant,
}

/// Tokens in memory, by registry; asked for one at a time.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Token>>);

impl Tokens {
    pub(super) async fn login(
        &self,
        client: &reqwest::Client,
        registry: &str,
        ecr: &Ecr,
        fresh: bool,
    ) -> Result<Login, RegistryError> {
        let mut tokens = self.0.lock().await;
        if let Some(token) = tokens
            .get(registry)
            .filter(|token| !fresh && Instant::now() < token.good_until)
        {
            return Ok(token.login.clone());
        }
        let answer = ask(client, registry, ecr, "GetAuthorizationToken", &json!({})).await?;
        let body = accepted(registry, "GetAuthorizationToken", &answer)?;
        let data = &body["authorizationData"][0];
        let token = data["authorizationToken"].as_str().and_then(decoded);
        let Some((username, password)) = token else {
            let why = "AWS's answer holds no authorization token".to_owned();
            return Err(RegistryError::Credentials {
                registry: registry.to_owned(),
                why,
            });
        };
        let login = Login {
            registry: registry.to_owned(),
            username,
            password: Secret::new(password),
        };
        let good_for = good_for(data["expiresAt"].as_f64(), answer.sent_at());
        let good_until = Instant::now() + good_for;
        tokens.insert(
            registry.to_owned(),
            Token {
                login: login.clone(),
                good_until,
            },
        );
        Ok(login)
    }

    /// Makes the repository unless it is there.
    pub(super) async fn prepare(
        &self,
        client: &reqwest::Client,
        registry: &str,
        ecr: &Ecr,
        repository: &str,
    ) -> Result<(), RegistryError> {
        if !ecr.create_repository {
            return Ok(());
        }
        // Asked first: whoever may push may often not create.
        let named = json!({ "repositoryNames": [repository] });
        let answer = ask(client, registry, ecr, "DescribeRepositories", &named).await?;
        if answer.status == 200 {
            return Ok(());
        }
        if !answer.body.contains("RepositoryNotFoundException") {
            accepted(registry, "DescribeRepositories", &answer)?;
        }
        let answer = ask(
            client,
            registry,
            ecr,
            "CreateRepository",
            &json!({ "repositoryName": repository }),
        )
        .await?;
        if answer.body.contains("RepositoryAlreadyExistsException") {
            return Ok(());
        }
        accepted(registry, "CreateRepository", &answer).map(|_| ())
    }
}

/// How long a token is used: what is left of it by AWS's own clock, less the spare; twelve hours are AWS's promise.
fn good_for(expires_at: Option<f64>, sent_at: Option<i64>) -> Duration {
    let left = match (expires_at, sent_at) {
        (Some(expires_at), Some(sent_at)) => {
            Duration::from_secs((expires_at as i64).saturating_sub(sent_at).max(0) as u64)
        }
        _ => Duration::from_secs(12 * 3600),
    };
    left.min(Duration::from_secs(12 * 3600)).saturating_sub(SPARE)
}

fn decoded(token: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    text.split_once(':')
        .map(|(username, password)| (username.to_owned(), password.to_owned()))
}

async fn ask(
    client: &reqwest::Client,
    registry: &str,
    ecr: &Ecr,
    operation: &str,
    body: &Value,
) -> Result<Answer, RegistryError> {
    let credential = aws::credential(client, &ecr.region, &ecr.identity)
        .await
        .map_err(|why| RegistryError::Credentials {
            registry: registry.to_owned(),
            why,
        })?;
    let call = Call {
        endpoint: &ecr.endpoint(),
        service: "ecr",
        region: &ecr.region,
        content_type: "application/x-amz-json-1.1",
        target: Some(&format!("AmazonEC2ContainerRegistry_V20150921.{operation}")),
        body: body.to_string(),
    };
    let answer = aws::call(client, &credential, &call).await;
    let answer = answer.map_err(|why| RegistryError::Unreachable {
        registry: registry.to_owned(),
        why,
    })?;
    match answer.status {
        429 | 500..=599 => {
            let why = format!("AWS answered {} to {operation}", answer.status);
            Err(RegistryError::Unreachable {
                registry: registry.to_owned(),
                why,
            })
        }
        _ => Ok(answer),
    }
}

/// The answer's JSON, or AWS's own words why not.
fn accepted(registry: &str, operation: &str, answer: &Answer) -> Result<Value, RegistryError> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    if answer.status == 200 {
        return Ok(body);
    }
    let kind = body["__type"]
        .as_str()
        .unwrap_or("an error")
        .rsplit('#')
        .next()
        .unwrap_or("an error");
    let said = body["message"]
        .as_str()
        .or(body["Message"].as_str())
        .unwrap_or("no reason given");
    let why = format!("AWS refuses {operation}: {kind}: {said}");
    Err(RegistryError::Denied {
        registry: registry.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_ecr_are_recognised() {
        let region = |host: &str| Ecr::of_host(host).map(|ecr| ecr.region);
        assert_eq!(
            region("123456789012.dkr.ecr.eu-central-1.amazonaws.com").as_deref(),
            Some("eu-central-1")
        );
        assert_eq!(
            region("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com").as_deref(),
            Some("us-gov-west-1")
        );
        assert_eq!(
            region("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn").as_deref(),
            Some("cn-north-1")
        );
        for other in [
            "public.ecr.aws",
            "docker.io",
            "1.dkr.ecr.x.amazonaws.com",
            "123456789012.dkr.ecr.x.amazonaws.com.evil",
        ] {
            assert_eq!(region(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_is_used_until_half_an_hour_before_its_end() {
        let hours = |seconds: u64| Duration::from_secs(seconds);
        assert_eq!(
            good_for(Some(1_000_000.0 + 43_200.0), Some(1_000_000)),
            hours(43_200 - 1800)
        );
        assert_eq!(good_for(Some(1_000_600.0), Some(1_000_000)), Duration::ZERO);
        assert_eq!(good_for(Some(5.0), Some(1_000_000)), Duration::ZERO);
        assert_eq!(good_for(None, None), hours(43_200 - 1800));
    }
}
