//! `/api/v1`: everything that the command line and programs ask. Answers are JSON; problems are `application/problem+json`.

mod pipelines;
mod repos;
mod secrets;
mod tokens;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/pipelines", get(pipelines::list))
        .route("/pipelines/{number}", get(pipelines::show))
        .route("/pipelines/{number}/events", get(pipelines::events))
        .route("/pipelines/{number}/logs", get(pipelines::logs))
        .route("/pipelines/{number}/cancel", post(pipelines::cancel))
        .route("/pipelines/{number}/rerun", post(pipelines::rerun))
        .route("/pipelines/{number}/approve", post(pipelines::approve))
        .route("/repos", get(repos::list).post(repos::add))
        .route("/repos/{id}", get(repos::show).delete(repos::remove))
        .route("/repos/{id}/secrets", get(secrets::list_of_repo))
        .route(
            "/repos/{id}/secrets/{name}",
            put(secrets::set_of_repo).delete(secrets::remove_of_repo),
        )
        .route("/secrets", get(secrets::list_of_all))
        .route(
            "/secrets/{name}",
            put(secrets::set_of_all).delete(secrets::remove_of_all),
        )
        .route("/tokens", get(tokens::list).post(tokens::add))
        .route("/tokens/{id}", delete(tokens::remove))
}
