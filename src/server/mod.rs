//! The HTTP side: webhooks, the API, a page for each pipeline, health and metrics.
//!
//! Handlers prove, parse, ask `pipelines` and answer; no pipeline work happens in a request. Must not know executors,
//! dialects or the driver.

mod api;
mod auth;
mod feed;
mod health;
mod hooks;
mod hosts;
mod listen;
mod page;
mod problem;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::config::{API_BYTES_MAX, BODY_SECONDS_MAX};
use crate::pipelines::Pipelines;
use crate::stop::Stop;

pub use auth::{first_token, new_token};
pub use listen::{Listening, listen};
pub use telemetry::install_metrics;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pipelines: Pipelines,
    hosts: Arc<hosts::Hosts>,
    /// Asked when the server ends; streams that would never end do then.
    pub stop: Stop,
}

impl App {
    pub fn new(pipelines: Pipelines, stop: Stop) -> Self {
        let hosts = Arc::new(hosts::Hosts::new(pipelines.server_config()));
        App { pipelines, hosts, stop }
    }
}

/// Every route of the server, with its limits.
pub fn app(app: App) -> Router {
    let body_time = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(BODY_SECONDS_MAX));
    let guarded = Router::new()
        .nest("/api/v1", api::routes())
        .merge(page::routes())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(telemetry::metrics))
        .layer(DefaultBodyLimit::max(API_BYTES_MAX))
        .layer(body_time)
        .layer(middleware::from_fn_with_state(app.clone(), hosts::check));
    Router::new()
        // A webhook proves itself by its signature and is sent to whatever name the forge was given.
        .route(
            "/hooks/{forge}",
            post(hooks::receive).layer(DefaultBodyLimit::disable()),
        )
        .merge(guarded)
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn(telemetry::observe))
        .with_state(app)
}
