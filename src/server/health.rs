//! Is it alive, is it ready.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::App;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200 while webhooks can be stored. Trouble with running them is told, but is no reason to send webhooks elsewhere.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if let Err(error) = app.pipelines.store().ping().await {
        let body = json!({ "ready": false, "trouble": error.to_string() });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    if app.stop.is_asked() {
        let body = json!({ "ready": false, "trouble": "the server is stopping" });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    Json(json!({ "ready": true, "trouble": app.pipelines.trouble() })).into_response()
}
