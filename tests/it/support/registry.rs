//! Debian's `docker-registry`: the real thing, with names and passwords, on loopback.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::child::ServerProgram;
use super::tls::Authority;
use super::{missing, program};

/// A registry that lets in [`Registry::USER`] (and the name that ECR tokens stand for), and nobody else.
/// Docker takes addresses in 127.0.0.0/8 without TLS, or with a certificate it does not know.
pub struct Registry {
    address: String,
    scheme: &'static str,
    http: reqwest::Client,
    _program: ServerProgram,
    _folder: TempDir,
}

const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json";

impl Registry {
    pub const USER: &str = "ci";
    /// Its base64 holds `/` and `+` wherever it stands in a longer text: headers want those replaced.
    pub const PASSWORD: &str = "s3cret ???>>>";
    /// bcrypt of the password above, and of the one that moto's ECR hands out for `AWS`.
    const HTPASSWD: &str = "ci:$2b$05$r6LTA7y4BNZU9m4STbTaruIZ7EdklxGXlX0OC6a1VXAXpc4U0QQTG\nAWS:$2b$05$7VKKsMmTbPpT1ZOG7r0d0uIWcAVRmCLssEYhtZlcmsfzsRSTRFYxC\n";

    /// Over HTTP; None, with a word on stderr, where the program is missing.
    pub async fn start() -> Option<Self> {
        Self::serve(None)
    }

    /// Over HTTPS with the authority's certificate.
    pub async fn start_tls(authority: &Authority) -> Option<Self> {
        Self::serve(Some(authority))
    }

    fn serve(authority: Option<&Authority>) -> Option<Self> {
        let Some(binary) = program("docker-registry") else {
            missing("docker-registry", "no such program");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder can be made");
        let settings = settings(folder.path(), authority);
        let file = folder.path().join("config.yml");
        std::fs::write(folder.path().join("htpasswd"), Self::HTPASSWD).expect("the folder can be written");
        std::fs::write(&file, settings).expect("the folder can be written");
        let file = file.to_string_lossy().into_owned();
        let (child, address) = ServerProgram::start(&binary, &["serve", &file], &[], listening_on);
        let mut http = reqwest::Client::builder();
        if let Some(authority) = authority {
            let pem = std::fs::read(authority.certificate()).expect("the certificate can be read");
            let certificate = reqwest::Certificate::from_pem(&pem).expect("the certificate is PEM");
            http = http.add_root_certificate(certificate);
        }
        Some(Self {
            address,
            scheme: if authority.is_some() { "https" } else { "http" },
            http: http.build().expect("a client can be made"),
            _program: child,
            _folder: folder,
        })
    }

    /// `127.0.0.1:PORT`, as it stands in image references.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The content of a Docker config file that logs in here.
    pub fn docker_config(&self) -> String {
        use base64::Engine as _;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", Self::USER, Self::PASSWORD));
        serde_json::json!({ "auths": { &self.address: { "auth": login } } }).to_string()
    }

    /// Tags of a repository, sorted; empty when there is no such repository.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let answer = self.get(&format!("{repository}/tags/list")).await;
        let body: Value = answer.json().await.expect("the registry answers JSON");
        let mut tags: Vec<String> = body["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        tags.sort();
        tags
    }

    /// The digest under a tag, `sha256:...`.
    pub async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let answer = self.get(&format!("{repository}/manifests/{tag}")).await;
        let digest = answer.headers().get("docker-content-digest")?;
        answer
            .status()
            .is_success()
            .then(|| String::from_utf8_lossy(digest.as_bytes()).into_owned())
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http
            .get(format!("{}://{}/v2/{path}", self.scheme, self.address))
            .basic_auth(Self::USER, Some(Self::PASSWORD))
            .header("accept", ACCEPT)
            .send()
            .await
            .expect("the registry answers")
    }
}

fn settings(folder: &Path, authority: Option<&Authority>) -> String {
    let folder = folder.display();
    let mut text = format!(
        "version: 0.1
log: {{ level: info, formatter: json }}
storage:
  filesystem: {{ rootdirectory: {folder}/data }}
  delete: {{ enabled: true }}
auth:
  htpasswd: {{ realm: drydock, path: {folder}/htpasswd }}
http:
  addr: 127.0.0.1:0
"
    );
    if let Some(authority) = authority {
        let (certificate, key) = (authority.server_certificate(), authority.key());
        writeln!(
            text,
            "  tls: {{ certificate: {}, key: {} }}",
            certificate.display(),
            key.display()
        )
        .ok();
    }
    text
}

/// The registry says in its log which port the kernel chose: `"msg":"listening on 127.0.0.1:41235"` (`..., tls`).
fn listening_on(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    let address: String = rest
        .chars()
        .take_while(|symbol| symbol.is_ascii_digit() || ".:".contains(*symbol))
        .collect();
    Some(address)
}
