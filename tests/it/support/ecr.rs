//! Amazon ECR's API by moto, in front of the harness's registry.

use std::path::PathBuf;

use super::child::ServerProgram;
use super::registry::Registry;
use super::{cache_folder, missing};

/// moto checks signatures: only `access_key` with `secret_key` is let in, and only to ECR.
/// The token it hands out opens the registry as `AWS`; its expiry lies in the past, as moto has it.
pub struct Ecr {
    /// `http://127.0.0.1:PORT`, in place of `https://api.ecr.REGION.amazonaws.com`.
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
    pub registry: Registry,
    _program: ServerProgram,
}

/// The calls of [`Ecr::start`] that are answered before signatures are checked.
const SETUP_CALLS: &str = "3";
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}"#;

impl Ecr {
    pub const REGION: &str = "eu-central-1";

    /// None, with a word on stderr, where moto or the registry is missing.
    pub async fn start() -> Option<Self> {
        let Some(moto) = moto_server() else {
            missing("moto_server", "not in the cache folder");
            return None;
        };
        let registry = Registry::start().await?;
        let env = [("INITIAL_NO_AUTH_ACTION_COUNT", SETUP_CALLS), ("PYTHONUNBUFFERED", "1")];
        let (child, endpoint) = ServerProgram::start(&moto, &["-H", "127.0.0.1", "-p", "0"], &env, |line| {
            let (_, address) = line.split_once("Running on ")?;
            Some(address.trim().to_owned())
        });
        identity(&endpoint, &[("Action", "CreateUser"), ("UserName", "ci")]).await;
        let key = identity(&endpoint, &[("Action", "CreateAccessKey"), ("UserName", "ci")]).await;
        let policy = [("UserName", "ci"), ("PolicyName", "ecr"), ("PolicyDocument", POLICY)];
        identity(&endpoint, &[&[("Action", "PutUserPolicy")], policy.as_slice()].concat()).await;
        let (access_key, secret_key) = (element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"));
        Some(Self {
            endpoint,
            access_key,
            secret_key,
            registry,
            _program: child,
        })
    }

    /// Names of the repositories that were made, sorted; asked of moto's own state, past its signatures.
    pub async fn repositories(&self) -> Vec<String> {
        let state: serde_json::Value = reqwest::get(format!("{}/moto-api/data.json", self.endpoint))
            .await
            .expect("moto answers")
            .json()
            .await
            .expect("moto answers JSON");
        let made = state["ecr"]["Repository"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = made
            .iter()
            .filter_map(|repository| repository["name"].as_str())
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }
}

fn moto_server() -> Option<PathBuf> {
    let folders = std::fs::read_dir(cache_folder()).ok()?;
    folders
        .filter_map(Result::ok)
        .filter(|folder| folder.file_name().to_string_lossy().starts_with("moto-"))
        .map(|folder| folder.path().join("bin/moto_server"))
        .find(|server| server.is_file())
}

/// One call of the identity service; gives the answer's XML.
async fn identity(endpoint: &str, form: &[(&str, &str)]) -> String {
    let form: Vec<_> = [("Version", "2010-05-08")].iter().chain(form).collect();
    let scope =
        "AWS4-HMAC-SHA256 Credential=setup/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
    let answer = reqwest::Client::new()
        .post(endpoint)
        .header("authorization", scope)
        .form(&form)
        .send()
        .await;
    let answer = answer.expect("moto answers");
    assert!(
        answer.status().is_success(),
        "moto refused {form:?}: {}",
        answer.status()
    );
    answer.text().await.expect("moto's answer is text")
}

fn element(xml: &str, name: &str) -> String {
    let (_, rest) = xml
        .split_once(&format!("<{name}>"))
        .expect("moto's answer has the element");
    rest.split_once('<').expect("the element ends").0.to_owned()
}
