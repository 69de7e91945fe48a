//! AWS credentials and signed calls, without the SDK.
//!
//! The chain, in the SDKs' order: environment, web identity, profile (keys, `credential_process`, `role_arn` with
//! `source_profile`), container (ECS, EKS), instance. What is not a file is object_store's work.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ecr::AwsIdentity;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::{BackoffConfig, RetryConfig};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};

/// Instance metadata answers at once or is not there.
const CHAIN_WITHIN: Duration = Duration::from_secs(15);
const CALL_WITHIN: Duration = Duration::from_secs(30);
const ROLE_DEPTH_MAX: u32 = 4;

/// A call to a service: `endpoint` is its URL, `body` what is signed and sent.
pub(super) struct Call<'a> {
    pub endpoint: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub content_type: &'a str,
    pub target: Option<&'a str>,
    pub body: String,
}

pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// When the service sent it, seconds since 1970, by its own clock.
    pub(super) fn sent_at(&self) -> Option<i64> {
        let text = self.headers.get(DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(text)
            .ok()
            .map(|at| at.timestamp().as_second())
    }
}

/// Signs and sends. Errors: a text; AWS's own refusals are answers.
pub(super) async fn call(
    client: &reqwest::Client,
    credential: &AwsCredential,
    call: &Call<'_>,
) -> Result<Answer, String> {
    let mut request = hyper::Request::builder()
        .method("POST")
        .uri(call.endpoint)
        .header(CONTENT_TYPE, call.content_type);
    if let Some(target) = call.target {
        request = request.header("x-amz-target", target);
    }
    let mut request = request
        .body(call.body.clone().into())
        .map_err(|error| error.to_string())?;
    AwsAuthorizer::new(credential, call.service, call.region)
        .try_authorize(&mut request, None)
        .map_err(|error| error.to_string())?;
    let sent = client
        .post(call.endpoint)
        .headers(request.headers().clone())
        .body(call.body.clone())
        .timeout(CALL_WITHIN)
        .send()
        .await;
    let answer = sent.map_err(|error| format!("{}: {}", call.endpoint, super::http::causes(&error)))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.text().await.map_err(|error| super::http::causes(&error))?;
    Ok(Answer { status, headers, body })
}

/// The credentials of an identity. Errors: where was looked, and what is wrong there.
pub(super) async fn credential(
    client: &reqwest::Client,
    region: &str,
    identity: &AwsIdentity,
) -> Result<Arc<AwsCredential>, String> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let from_environment = is_set("AWS_ACCESS_KEY_ID") || is_set("AWS_WEB_IDENTITY_TOKEN_FILE");
    let profile = match identity {
        AwsIdentity::Keys { access_key, secret_key } => {
            let (key_id, secret_key) = (access_key.clone(), secret_key.reveal().to_owned());
            return Ok(Arc::new(AwsCredential {
                key_id,
                secret_key,
                token: None,
            }));
        }
        AwsIdentity::Profile(name) => Some(name.clone()),
        AwsIdentity::Chain => std::env::var("AWS_PROFILE")
            .or_else(|_| std::env::var("AWS_DEFAULT_PROFILE"))
            .ok(),
    };
    if !from_environment || matches!(identity, AwsIdentity::Profile(_)) {
        let profiles = Profiles::read()?;
        if let Some(found) = profiles.credential(client, profile.as_deref(), region).await? {
            return Ok(Arc::new(found));
        }
    }
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 1,
        retry_timeout: Duration::from_secs(5),
    };
    let chain = AmazonS3Builder::from_env()
        // A store is built only for its credentials; no bucket is ever asked.
        .with_bucket_name("none")
        .with_region(region)
        .with_retry(retry)
        .build()
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(CHAIN_WITHIN, chain.credentials().get_credential()).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("{NOWHERE} ({error})")),
        Err(_) => Err(format!("{NOWHERE} (the metadata service did not answer)")),
    }
}

const NOWHERE: &str =
    "no AWS credentials in the environment, a profile, a web identity, a container role or an instance role";

/// The shared `credentials` and `config` files: profile -> key -> value. Keys of `credentials` win.
#[derive(Default)]
struct Profiles(HashMap<String, HashMap<String, String>>);

impl Profiles {
    fn read() -> Result<Self, String> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let file = |variable: &str, name: &str| {
            let told = std::env::var_os(variable).map(PathBuf::from);
            told.or_else(|| home.as_ref().map(|home| home.join(".aws").join(name)))
        };
        let mut profiles = Profiles::default();
        let files = [
            file("AWS_CONFIG_FILE", "config"),
            file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ];
        for file in files.into_iter().flatten() {
            match std::fs::read_to_string(&file) {
                Ok(text) => profiles.add(&text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("`{}`: {error}", file.display())),
            }
        }
        Ok(profiles)
    }

    fn add(&mut self, text: &str) {
        let mut section: Option<String> = None;
        for line in text.lines() {
            let is_nested = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                let name = name.0.trim();
                let name = name.strip_prefix("profile ").map_or(name, str::trim);
                // `[sso-session x]`, `[services x]` are no profiles.
                section = (!name.contains(' ')).then(|| name.to_owned());
                continue;
            }
            if let (Some(section), Some((key, value)), false) = (&section, line.split_once('='), is_nested) {
                let values = self.0.entry(section.clone()).or_default();
                values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }

    /// None: the profile was not asked for by name and says nothing about credentials.
    async fn credential(
        &self,
        client: &reqwest::Client,
        name: Option<&str>,
        region: &str,
    ) -> Result<Option<AwsCredential>, String> {
        let mut roles = Vec::new();
        let mut at = name.unwrap_or("default").to_owned();
        let mut found = loop {
            let Some(profile) = self.0.get(&at) else {
                return match (name, roles.is_empty()) {
                    (None, true) => Ok(None),
                    _ => Err(format!("there is no AWS profile `{at}`; profiles: {}", self.names())),
                };
            };
            let value = |key: &str| profile.get(key).filter(|value| !value.is_empty());
            if let (Some(key_id), Some(secret_key)) = (value("aws_access_key_id"), value("aws_secret_access_key")) {
                let token = value("aws_session_token").cloned();
                break AwsCredential {
                    key_id: key_id.clone(),
                    secret_key: secret_key.clone(),
                    token,
                };
            }
            if let Some(command) = value("credential_process") {
                break from_process(command).await?;
            }
            if let (Some(role), Some(source)) = (value("role_arn"), value("source_profile")) {
                roles.push(role.clone());
                if roles.len() as u32 > ROLE_DEPTH_MAX {
                    return Err(format!(
                        "AWS profile `{at}`: its chain of `source_profile` does not end"
                    ));
                }
                at = source.clone();
                continue;
            }
            let unsupported = ["sso_session", "sso_start_url", "credential_source"]
                .into_iter()
                .find(|key| value(key).is_some());
            return match (unsupported, name) {
                (Some(key), _) => Err(format!(
                    "AWS profile `{at}` uses `{key}`, which Drydock does not do; give it `credential_process`, for example \
                     `aws configure export-credentials --profile {at}`"
                )),
                (None, None) => Ok(None),
                (None, Some(_)) => Err(format!("AWS profile `{at}` has no credentials")),
            };
        };
        for role in roles.iter().rev() {
            found = assume(client, &found, role, region).await?;
        }
        Ok(Some(found))
    }

    fn names(&self) -> String {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}

/// Runs the command that the user's own AWS configuration names.
async fn from_process(command: &str) -> Result<AwsCredential, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Printed {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
    }
    let failed = |why: &str| format!("the profile's `credential_process` failed: {why}");
    let words = shell_words::split(command).map_err(|error| failed(&error.to_string()))?;
    let (program, args) = words.split_first().ok_or_else(|| failed("it is empty"))?;
    let mut process = tokio::process::Command::new(program);
    process.args(args).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let done = match tokio::time::timeout(CALL_WITHIN, process.output()).await {
        Ok(done) => done.map_err(|error| failed(&error.to_string()))?,
        Err(_) => return Err(failed("it did not end")),
    };
    if !done.status.success() {
        let said: String = String::from_utf8_lossy(&done.stderr)
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect();
        return Err(failed(&said));
    }
    let printed: Printed = serde_json::from_slice(&done.stdout).map_err(|_| failed("it printed no credentials"))?;
    Ok(AwsCredential {
        key_id: printed.access_key_id,
        secret_key: printed.secret_access_key,
        token: printed.session_token,
    })
}

async fn assume(
    client: &reqwest::Client,
    credential: &AwsCredential,
    role: &str,
    region: &str,
) -> Result<AwsCredential, String> {
    let endpoint =
        std::env::var("AWS_ENDPOINT_URL_STS").unwrap_or_else(|_| format!("https://sts.{region}.{}", domain(region)));
    let query = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleSessionName", "drydock"),
        ("RoleArn", role),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    let content_type = "application/x-www-form-urlencoded";
    let asked = Call {
        endpoint: &endpoint,
        service: "sts",
        region,
        content_type,
        target: None,
        body,
    };
    let answer = call(client, credential, &asked).await?;
    let element = |name: &str| {
        let (_, rest) = answer.body.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(value, _)| value.trim().to_owned())
    };
    match (
        element("AccessKeyId"),
        element("SecretAccessKey"),
        element("SessionToken"),
    ) {
        (Some(key_id), Some(secret_key), token) if answer.status == 200 => Ok(AwsCredential {
            key_id,
            secret_key,
            token,
        }),
        _ => {
            let said = element("Message").unwrap_or_else(|| format!("status {}", answer.status));
            Err(format!("AWS refuses the role `{role}`: {said}"))
        }
    }
}

/// Under which name AWS's services of a region are found.
pub(super) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[default]\nregion = eu-west-1\n# c\n[profile ci]\naws_access_key_id=AK\naws_secret_access_key = SK\ns3 =\n  \
                        aws_session_token = nested\n[profile deploy]\nrole_arn = arn:x\nsource_profile = gone\n[profile sso]\n\
                        sso_session = corp\n[sso-session corp]\nsso_start_url = x\n[profile made]\ncredential_process = sh -c \
                        'echo {\\\"AccessKeyId\\\":\\\"P\\\",\\\"SecretAccessKey\\\":\\\"Q\\\"}'\n";

    #[tokio::test]
    async fn a_profile_gives_its_keys_or_says_why_not() {
        let mut profiles = Profiles::default();
        profiles.add(FILE);
        let client = reqwest::Client::new();
        let mut table = String::new();
        for name in [
            None,
            Some("ci"),
            Some("deploy"),
            Some("sso"),
            Some("made"),
            Some("default"),
            Some("nobody"),
        ] {
            let found = profiles.credential(&client, name, "eu-west-1").await;
            let said = match found {
                Ok(Some(found)) => format!("{} {} {:?}", found.key_id, found.secret_key, found.token),
                Ok(None) => "nothing".to_owned(),
                Err(why) => why,
            };
            table += &format!("{name:?}: {said}\n");
        }
        insta::assert_snapshot!(table, @r#"
        None: nothing
        Some("ci"): AK SK None
        Some("deploy"): there is no AWS profile `gone`; profiles: ci, default, deploy, made, sso
        Some("sso"): AWS profile `sso` uses `sso_session`, which Drydock does not do; give it `credential_process`, for example `aws configure export-credentials --profile sso`
        Some("made"): P Q None
        Some("default"): AWS profile `default` has no credentials
        Some("nobody"): there is no AWS profile `nobody`; profiles: ci, default, deploy, made, sso
        "#);
    }
}
