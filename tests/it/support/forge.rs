//! A forge that takes commit statuses as GitHub, GitLab or Gitea does, checks the token, and remembers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use drydock::event::ForgeKind;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One status as the forge took it. `state` is the forge's own word; `repo` is `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeStatus {
    pub repo: String,
    pub sha: String,
    pub state: String,
    pub context: String,
    pub description: String,
    pub target_url: String,
}

pub struct ForgeStandIn {
    kind: ForgeKind,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    kind: ForgeKind,
    statuses: watch::Sender<Vec<ForgeStatus>>,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    left: u32,
    status: u16,
    met: u32,
}

impl ForgeStandIn {
    pub const TOKEN: &str = "forge-token-51ab";

    pub async fn start(kind: ForgeKind) -> Self {
        let shared = Arc::new(Shared {
            kind,
            statuses: watch::Sender::default(),
            faults: Mutex::default(),
        });
        let router = match kind {
            ForgeKind::GitHub => Router::new().route("/repos/{owner}/{name}/statuses/{sha}", post(owner_and_name)),
            ForgeKind::Gitea => {
                Router::new().route("/api/v1/repos/{owner}/{name}/statuses/{sha}", post(owner_and_name))
            }
            ForgeKind::GitLab => Router::new().route("/api/v4/projects/{id}/statuses/{sha}", post(project)),
        };
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let router = router.with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { kind, address, shared }
    }

    /// What Drydock's setting `api_url` says of this forge.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next `times` statuses are answered with this HTTP status and forgotten.
    pub fn fail_next(&self, times: u32, status: u16) {
        let mut faults = self.shared.faults.lock().expect("no holder panicked");
        (faults.left, faults.status) = (times, status);
    }

    /// How many requests were failed on purpose so far.
    pub fn failed(&self) -> u32 {
        self.shared.faults.lock().expect("no holder panicked").met
    }

    /// What the commit was told, in the order of arrival.
    pub fn statuses(&self, sha: &str) -> Vec<ForgeStatus> {
        self.shared
            .statuses
            .borrow()
            .iter()
            .filter(|status| status.sha == sha)
            .cloned()
            .collect()
    }

    /// Waits until the commit has a status with this state (the forge's word).
    pub async fn told(&self, sha: &str, state: &str) -> ForgeStatus {
        let is_it = |status: &&ForgeStatus| status.sha == sha && status.state == state;
        let mut told = self.shared.statuses.subscribe();
        let wait = told.wait_for(|statuses| statuses.iter().any(|status| is_it(&status)));
        let Ok(Ok(statuses)) = tokio::time::timeout(super::READY_WITHIN, wait).await else {
            panic!(
                "{} was not told `{state}` for {sha}; it was told {:?}",
                self.kind,
                self.statuses(sha)
            );
        };
        statuses.iter().rfind(is_it).cloned().expect("the wait found it")
    }
}

async fn owner_and_name(
    State(shared): State<Arc<Shared>>,
    Path((owner, name, sha)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Json<Value>,
) -> Response {
    receive(&shared, format!("{owner}/{name}"), sha, &headers, &body)
}

/// GitLab's `id` is a number or the whole path, escaped.
async fn project(
    State(shared): State<Arc<Shared>>,
    Path((id, sha)): Path<(String, String)>,
    headers: HeaderMap,
    body: Json<Value>,
) -> Response {
    receive(&shared, id, sha, &headers, &body)
}

fn receive(shared: &Shared, repo: String, sha: String, headers: &HeaderMap, body: &Value) -> Response {
    {
        let mut faults = shared.faults.lock().expect("no holder panicked");
        if faults.left > 0 {
            faults.left -= 1;
            faults.met += 1;
            let status = StatusCode::from_u16(faults.status).expect("the test asked for a real status");
            return refuse(status, "the test injected this answer");
        }
    }
    if !is_let_in(shared.kind, headers) {
        return refuse(StatusCode::UNAUTHORIZED, "Bad credentials");
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let context = if shared.kind == ForgeKind::GitLab {
        text("name")
    } else {
        text("context")
    };
    let status = ForgeStatus {
        state: text("state"),
        description: text("description"),
        target_url: text("target_url"),
        context,
        repo,
        sha,
    };
    if let Err((code, why)) = judge(shared, &status) {
        return refuse(code, &why);
    }
    shared.statuses.send_modify(|statuses| statuses.push(status.clone()));
    (
        StatusCode::CREATED,
        Json(json!({ "id": 1, "state": status.state, "context": status.context })),
    )
        .into_response()
}

fn is_let_in(kind: ForgeKind, headers: &HeaderMap) -> bool {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let token = ForgeStandIn::TOKEN;
    let bearer = header("authorization") == format!("Bearer {token}");
    match kind {
        ForgeKind::GitHub | ForgeKind::Gitea => bearer || header("authorization") == format!("token {token}"),
        ForgeKind::GitLab => bearer || header("private-token") == token,
    }
}

/// What the real forges refuse: words they do not know, descriptions too long, and (GitLab) the state it has already.
fn judge(shared: &Shared, status: &ForgeStatus) -> Result<(), (StatusCode, String)> {
    let (known, description_max): (&[&str], usize) = match shared.kind {
        ForgeKind::GitHub => (&["error", "failure", "pending", "success"], 140),
        ForgeKind::Gitea => (&["error", "failure", "pending", "success", "warning"], usize::MAX),
        ForgeKind::GitLab => (&["pending", "running", "success", "failed", "canceled", "skipped"], 255),
    };
    if !known.contains(&status.state.as_str()) {
        return Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("`{}` is no state", status.state),
        ));
    }
    if status.description.chars().count() > description_max {
        return Err((StatusCode::UNPROCESSABLE_ENTITY, "description is too long".to_owned()));
    }
    if status.sha.len() != 40 || !status.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("No commit found for SHA: {}", status.sha),
        ));
    }
    if shared.kind == ForgeKind::GitLab {
        let statuses = shared.statuses.borrow();
        let last = statuses
            .iter()
            .rfind(|told| told.sha == status.sha && told.context == status.context);
        if last.is_some_and(|told| told.state == status.state) {
            let word = &status.state;
            return Err((
                StatusCode::BAD_REQUEST,
                format!("Cannot transition status via :{word} from :{word}"),
            ));
        }
    }
    Ok(())
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "message": why }))).into_response()
}
