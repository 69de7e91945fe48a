//! Repositories: list, add, remove, and start by hand.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::ForgeKind;
use crate::secret::Secret;
use crate::server::App;
use crate::server::auth::{MayAdminister, MayRead, new_token};
use crate::server::problem::{Body, Problem};
use crate::store::{AddedBy, NewRepo, Repo};

#[derive(Debug, Serialize)]
pub(super) struct ShownRepo {
    id: u64,
    forge: ForgeKind,
    name: String,
    clone_url: Option<String>,
    default_branch: Option<String>,
    dialect: Option<String>,
    added_by: String,
    added_at: Timestamp,
    has_webhook_secret: bool,
    /// Where its forge is to send webhooks.
    webhook_url: Option<String>,
}

fn shown(app: &App, repo: Repo) -> ShownRepo {
    let has_webhook_secret = repo.webhook_secret.is_some();
    ShownRepo {
        webhook_url: webhook_url(app, &repo, has_webhook_secret),
        id: repo.id,
        forge: repo.forge,
        name: repo.name,
        clone_url: repo.clone_url,
        default_branch: repo.default_branch,
        dialect: repo.dialect,
        added_by: repo.added_by,
        added_at: repo.added_at,
        has_webhook_secret,
    }
}

/// A repository with a secret of its own is named in the address, so that only that secret is tried.
fn webhook_url(app: &App, repo: &Repo, has_secret: bool) -> Option<String> {
    let base = app.pipelines.server_config().public_url.as_ref()?;
    let mut url = base.join(&format!("/hooks/{}", repo.forge));
    if has_secret {
        let name: String = url::form_urlencoded::byte_serialize(repo.name.as_bytes()).collect();
        url += &format!("?repo={name}");
    }
    Some(url)
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    items: Vec<ShownRepo>,
}

pub(super) async fn list(_: MayRead, State(app): State<App>) -> Result<Json<Listed>, Problem> {
    let repos = app.pipelines.store().repos().await?;
    Ok(Json(Listed {
        items: repos.into_iter().map(|repo| shown(&app, repo)).collect(),
    }))
}

pub(super) async fn show(_: MayRead, State(app): State<App>, Path(id): Path<u64>) -> Result<Json<ShownRepo>, Problem> {
    let repo = find(&app, id).await?;
    Ok(Json(shown(&app, repo)))
}

pub(super) async fn find(app: &App, id: u64) -> Result<Repo, Problem> {
    let missing = || Problem::missing(format!("there is no repository with the id {id}"));
    app.pipelines.store().repo(id).await?.ok_or_else(missing)
}

/// * `webhook_secret`: none keeps what is set; `generate` makes one and answers with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    forge: ForgeKind,
    name: String,
    clone_url: Option<String>,
    default_branch: Option<String>,
    dialect: Option<String>,
    webhook_secret: Option<String>,
    #[serde(default)]
    generate_webhook_secret: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Added {
    #[serde(flatten)]
    repo: ShownRepo,
    /// The generated secret; it is shown this once.
    webhook_secret: Option<String>,
}

const NAME_BYTES_MAX: usize = 400;

pub(super) async fn add(
    _: MayAdminister,
    State(app): State<App>,
    Body(add): Body<Add>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    check(&add)?;
    let pipelines = &app.pipelines;
    let is_known = pipelines.store().repo_named(add.forge, &add.name).await?.is_some();
    let generated = match add.generate_webhook_secret {
        true => Some(new_token().map_err(|why| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why))?),
        false => None,
    };
    let secret = generated.clone().or(add.webhook_secret.map(Secret::new));
    let seal = |secret: &Secret| {
        pipelines
            .vault()
            .seal_hook_secret(add.forge, &add.name, secret)
            .map_err(|error| {
                tracing::error!("{error}");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the secret cannot be sealed; the server's log says why",
                )
            })
    };
    let new = NewRepo {
        forge: add.forge,
        webhook_secret: secret.as_ref().map(seal).transpose()?,
        name: add.name,
        clone_url: add.clone_url,
        default_branch: add.default_branch,
        dialect: add.dialect,
        added_by: AddedBy::Person,
    };
    let repo = pipelines.store().put_repo(&new).await?;
    pipelines.reload_hook_secrets().await?;
    let status = if is_known { StatusCode::OK } else { StatusCode::CREATED };
    let webhook_secret = generated.map(|secret| secret.reveal().to_owned());
    Ok((
        status,
        Json(Added {
            repo: shown(&app, repo),
            webhook_secret,
        }),
    ))
}

fn check(add: &Add) -> Result<(), Problem> {
    let is_name = add.name.split('/').count() >= 2
        && add.name.len() <= NAME_BYTES_MAX
        && add
            .name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && !add.name.chars().any(|c| c.is_control() || c.is_whitespace());
    if !is_name {
        return Err(Problem::wrong(format!(
            "`{}` is no repository's name; write `owner/name`",
            add.name
        )));
    }
    if let Some(dialect) = &add.dialect
        && !["native", "github", "gitlab"].contains(&dialect.as_str())
    {
        return Err(Problem::wrong(format!(
            "`{dialect}` is no dialect; use native, github or gitlab"
        )));
    }
    match &add.webhook_secret {
        Some(secret) if secret.trim().len() < 8 => Err(Problem::wrong("a webhook secret needs at least 8 characters")),
        Some(_) if add.generate_webhook_secret => Err(Problem::wrong(
            "give a webhook secret or let one be generated, not both",
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn remove(
    _: MayAdminister,
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<StatusCode, Problem> {
    find(&app, id).await?;
    app.pipelines.store().remove_repo(id).await?;
    app.pipelines.reload_hook_secrets().await?;
    Ok(StatusCode::NO_CONTENT)
}
