//! What operators see: a line and a metric for each request, and `/metrics`.

use std::sync::OnceLock;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Instrument;

use super::App;
use super::hosts::Ends;
use super::problem::Problem;

static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Seconds at which histograms are cut.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0,
];

/// Collects metrics from now on; once for a process.
pub fn install_metrics() {
    if PROMETHEUS.get().is_some() {
        return;
    }
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
    match builder.map(PrometheusBuilder::build_recorder) {
        Ok(recorder) => {
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_ok() {
                let _ = PROMETHEUS.set(handle);
            }
        }
        Err(error) => tracing::warn!("there are no metrics: {error}"),
    }
}

/// `GET /metrics` in Prometheus' text format. It names no repository.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let counts = app.pipelines.store().counts().await?;
    for (status, count) in [
        ("queued", counts.queued),
        ("waiting", counts.waiting),
        ("running", counts.running),
    ] {
        metrics::gauge!("drydock_pipelines", "status" => status).set(count as f64);
    }
    metrics::gauge!("drydock_queue_oldest_seconds").set(counts.oldest_queued_seconds as f64);
    metrics::gauge!("drydock_statuses_waiting").set(counts.statuses_waiting as f64);
    let Some(handle) = PROMETHEUS.get() else {
        return Err(Problem::missing("metrics are off"));
    };
    handle.run_upkeep();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, handle.render()).into_response())
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives each request an id, which is on every line that it logs and in its answer.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = uuid::Uuid::new_v4().simple().to_string()[..16].to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let peer = request.extensions().get::<Ends>().map(|ends| ends.peer);
    let span = tracing::info_span!("request", id, %method, route, peer = peer.map(tracing::field::display));
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), took = ?began.elapsed(), "answered"));
    metrics::counter!("drydock_http_requests_total", "route" => route, "status" => status.as_str().to_owned())
        .increment(1);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
