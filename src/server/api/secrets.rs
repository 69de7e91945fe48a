//! Secrets: written, listed by name, removed; never read.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::repos::find;
use crate::pipelines::secret_name_mistake;
use crate::secret::Secret;
use crate::server::App;
use crate::server::auth::MayAdminister;
use crate::server::problem::{Body, Problem};
use crate::store::SealedSecret;

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    items: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    protected_only: bool,
    updated_at: Timestamp,
}

/// * `protected_only`: not for pull requests and unprotected branches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    value: String,
    #[serde(default)]
    protected_only: bool,
}

/// Below it masking would hide ordinary text, and above it nothing would be a secret.
const VALUE_BYTES: std::ops::RangeInclusive<usize> = 1..=64 * 1024;

async fn list(app: &App, repo: Option<u64>) -> Result<Json<Listed>, Problem> {
    let named = |secret: SealedSecret| Named {
        name: secret.name,
        protected_only: secret.protected_only,
        updated_at: secret.updated_at,
    };
    let secrets = app.pipelines.store().secrets_of(repo).await?;
    Ok(Json(Listed {
        items: secrets.into_iter().map(named).collect(),
    }))
}

async fn set(app: &App, repo: Option<u64>, name: String, set: Set) -> Result<StatusCode, Problem> {
    if let Some(mistake) = secret_name_mistake(&name) {
        return Err(Problem::wrong(mistake));
    }
    if !VALUE_BYTES.contains(&set.value.len()) {
        return Err(Problem::wrong("a secret has 1 byte to 64 KiB"));
    }
    let sealed = app
        .pipelines
        .vault()
        .seal_secret(repo, &name, &Secret::new(set.value))
        .map_err(|error| {
            tracing::error!("{error}");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the secret cannot be sealed; the server's log says why",
            )
        })?;
    let updated_at = app.pipelines.clock().now();
    let secret = SealedSecret {
        repo,
        name,
        sealed,
        protected_only: set.protected_only,
        updated_at,
    };
    app.pipelines.store().put_secret(&secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(app: &App, repo: Option<u64>, name: &str) -> Result<StatusCode, Problem> {
    match app.pipelines.store().remove_secret(repo, name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::missing(format!("there is no secret `{name}`"))),
    }
}

pub(super) async fn list_of_repo(
    _: MayAdminister,
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<Json<Listed>, Problem> {
    let repo = find(&app, id).await?;
    list(&app, Some(repo.id)).await
}

pub(super) async fn set_of_repo(
    _: MayAdminister,
    State(app): State<App>,
    Path((id, name)): Path<(u64, String)>,
    Body(body): Body<Set>,
) -> Result<StatusCode, Problem> {
    let repo = find(&app, id).await?;
    set(&app, Some(repo.id), name, body).await
}

pub(super) async fn remove_of_repo(
    _: MayAdminister,
    State(app): State<App>,
    Path((id, name)): Path<(u64, String)>,
) -> Result<StatusCode, Problem> {
    let repo = find(&app, id).await?;
    remove(&app, Some(repo.id), &name).await
}

pub(super) async fn list_of_all(_: MayAdminister, State(app): State<App>) -> Result<Json<Listed>, Problem> {
    list(&app, None).await
}

pub(super) async fn set_of_all(
    _: MayAdminister,
    State(app): State<App>,
    Path(name): Path<String>,
    Body(body): Body<Set>,
) -> Result<StatusCode, Problem> {
    set(&app, None, name, body).await
}

pub(super) async fn remove_of_all(
    _: MayAdminister,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    remove(&app, None, &name).await
}
