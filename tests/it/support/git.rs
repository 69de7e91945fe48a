//! Repositories in a temporary folder, served by git's own `http-backend`.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

use super::{missing, program};

/// Serves repositories over HTTP, to [`GitServer::USER`] with [`GitServer::TOKEN`] only until [`GitServer::open_to_all`].
pub struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    folder: TempDir,
    open: AtomicBool,
    requests: Mutex<Vec<GitRequest>>,
}

/// One request as it arrived; `authorization` is the header's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRequest {
    pub line: String,
    pub authorization: Option<String>,
}

impl GitServer {
    pub const USER: &str = "drydock";
    pub const TOKEN: &str = "git-token-7d1f";

    /// None, with a word on stderr, where there is no git.
    pub async fn start() -> Option<Self> {
        if program("git").is_none() {
            missing("git", "no such program");
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder can be made");
        let shared = Arc::new(Shared {
            folder,
            open: AtomicBool::new(false),
            requests: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let router = axum::Router::new()
            .fallback(serve)
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Some(Self { address, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that holds `owner/name.git`.
    pub fn folder(&self) -> &Path {
        self.shared.folder.path()
    }

    /// Without credentials: `http://127.0.0.1:PORT/owner/name.git`.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// With credentials in it, for git's own command line.
    pub fn url_with_token(&self, name: &str) -> String {
        format!("http://{}:{}@{}/{name}.git", Self::USER, Self::TOKEN, self.address)
    }

    /// Makes the empty bare repository `owner/name`, whose branch will be `main`.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::create(self.folder().join(format!("{name}.git")))
    }

    /// From now on nobody needs a token.
    pub fn open_to_all(&self) {
        self.shared.open.store(true, Ordering::Relaxed);
    }

    pub fn requests(&self) -> Vec<GitRequest> {
        self.shared.requests.lock().expect("no holder panicked").clone()
    }
}

/// A bare repository of a test.
pub struct Repository {
    pub folder: PathBuf,
    commits: AtomicU32,
}

impl Repository {
    /// At this very path, which must not exist.
    pub fn create(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let this = Self {
            folder,
            commits: AtomicU32::new(0),
        };
        this.git(&["init", "--quiet", "--bare", "--initial-branch=main", "."]);
        this.git(&["config", "http.receivepack", "true"]);
        // The big forges let clients fetch any commit by its id.
        this.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        this
    }

    /// Adds a commit to `main`: these files on top of what is there. A text that begins with `#!` is executable.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        self.commit_on("main", files)
    }

    /// The same on any branch; a new branch begins with an empty tree.
    pub fn commit_on(&self, branch: &str, files: &[(&str, &str)]) -> String {
        let branch = format!("refs/heads/{branch}");
        let count = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        let index = self.folder.join(format!("test-index-{count}"));
        let index_name = index.to_string_lossy().into_owned();
        let parent = self.try_git(&["rev-parse", "--verify", "--quiet", &branch], &[], "");
        let env = [("GIT_INDEX_FILE", index_name.as_str())];
        if let Some(parent) = &parent {
            self.git_with(&["read-tree", parent], &env, "");
        }
        for (path, text) in files {
            let blob = self.git_with(&["hash-object", "-w", "--stdin"], &env, text);
            let mode = if text.starts_with("#!") { "100755" } else { "100644" };
            self.git_with(&["update-index", "--add", "--cacheinfo", mode, &blob, path], &env, "");
        }
        let tree = self.git_with(&["write-tree"], &env, "");
        std::fs::remove_file(&index).ok();
        let message = format!("commit {count}");
        let mut args = vec!["commit-tree", &tree, "-m", &message];
        if let Some(parent) = &parent {
            args.extend(["-p", parent]);
        }
        let commit = self.git(&args);
        self.git(&["update-ref", &branch, &commit]);
        commit
    }

    /// Runs git in the repository and gives its stdout without the last newline; panics when git fails.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_with(args, &[], "")
    }

    fn git_with(&self, args: &[&str], env: &[(&str, &str)], stdin: &str) -> String {
        self.try_git(args, env, stdin)
            .unwrap_or_else(|| panic!("git {} failed", args.join(" ")))
    }

    fn try_git(&self, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Option<String> {
        // Ids must not hang on the clock or on the machine's settings.
        let date = format!("{} +0000", 1_700_000_000 + self.commits.load(Ordering::Relaxed));
        let mut child = Command::new("git")
            .current_dir(&self.folder)
            .args(args)
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
            .envs([
                ("GIT_COMMITTER_NAME", "Ada"),
                ("GIT_COMMITTER_EMAIL", "ada@example.com"),
            ])
            .envs([
                ("GIT_AUTHOR_DATE", date.as_str()),
                ("GIT_COMMITTER_DATE", date.as_str()),
            ])
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git starts");
        child
            .stdin
            .take()
            .expect("stdin is piped")
            .write_all(stdin.as_bytes())
            .ok();
        let done = child.wait_with_output().expect("git ends");
        done.status
            .success()
            .then(|| String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let given = headers
        .get(header::AUTHORIZATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let line = format!("{method} {uri}");
    shared.requests.lock().expect("no holder panicked").push(GitRequest {
        line,
        authorization: given.clone(),
    });
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", GitServer::USER, GitServer::TOKEN));
    if !shared.open.load(Ordering::Relaxed) && given != Some(format!("Basic {login}")) {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, ask, "authentication required\n").into_response();
    }
    match backend(&shared, &method, &uri, &headers, body).await {
        Ok(response) => response,
        Err(cause) => (StatusCode::INTERNAL_SERVER_ERROR, cause.to_string()).into_response(),
    }
}

/// One CGI call; the answer's body streams.
async fn backend(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> std::io::Result<Response> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", shared.folder.path())
        .envs([
            ("GIT_HTTP_EXPORT_ALL", "1"),
            ("REMOTE_USER", GitServer::USER),
            ("REMOTE_ADDR", "127.0.0.1"),
        ])
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .envs([
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?);
    tokio::spawn(async move {
        stdin.write_all(&body).await.ok();
        drop(stdin);
        child.wait().await
    });
    let mut fields = HashMap::new();
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).await? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            fields.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    let status = fields
        .remove("status")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(200);
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(name, value);
    }
    response
        .body(Body::from_stream(ReaderStream::new(stdout.take(u64::MAX))))
        .map_err(std::io::Error::other)
}
