//! Tokens: made, listed without their value, removed.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::server::App;
use crate::server::auth::{MayAdminister, add_token};
use crate::server::problem::{Body, Problem};
use crate::store::{Scope, Token};

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    items: Vec<Token>,
}

pub(super) async fn list(_: MayAdminister, State(app): State<App>) -> Result<Json<Listed>, Problem> {
    Ok(Json(Listed {
        items: app.pipelines.store().tokens().await?,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    name: String,
    scope: Scope,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(super) struct Added {
    #[serde(flatten)]
    about: Token,
    /// Shown this once.
    token: String,
}

pub(super) async fn add(
    _: MayAdminister,
    State(app): State<App>,
    Body(add): Body<Add>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    if add.name.trim().is_empty() || add.name.len() > 100 || add.name.chars().any(char::is_control) {
        return Err(Problem::wrong(
            "a token's name has 1 to 100 characters, none of them a control character",
        ));
    }
    let (secret, about) = add_token(&**app.pipelines.store(), &add.name, add.scope, add.expires_at).await?;
    Ok((
        StatusCode::CREATED,
        Json(Added {
            about,
            token: secret.reveal().to_owned(),
        }),
    ))
}

pub(super) async fn remove(
    _: MayAdminister,
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<StatusCode, Problem> {
    match app.pipelines.store().remove_token(id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::missing(format!("there is no token with the id {id}"))),
    }
}
