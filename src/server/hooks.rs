//! `POST /hooks/{forge}`: prove, parse, remember, answer.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::App;
use super::problem::{Asked, Problem};
use crate::config::{BODY_SECONDS_MAX, STORE_SECONDS_MAX};
use crate::event::ForgeKind;
use crate::forge::{Answer, Understood, WebhookError};
use crate::pipelines::{NotTaken, Signer};

/// A larger delivery is read on a thread where it may take its time.
const LARGE_BYTES: usize = 256 * 1024;

/// * `repo`: whose delivery it is; then only its secret and the forge's are tried.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    repo: Option<String>,
}

/// 202 for an event that was taken (the body says with which number), 200 for one that starts nothing or was here before,
/// 400 for a body that is not what the forge documents, 401 for one that nobody with the secret sent, 413 for one that is too
/// large, 503 when it could not be stored: nothing is remembered then, and the forge's redelivery will do.
pub(super) async fn receive(
    State(app): State<App>,
    Path(forge): Path<String>,
    Asked(query): Asked<Query>,
    request: Request,
) -> Response {
    let began = Instant::now();
    let Ok(kind) = forge.parse::<ForgeKind>() else {
        let known = ForgeKind::ALL.map(ForgeKind::name).join(", ");
        return Problem::missing(format!("there is no such forge; known: {known}")).into_response();
    };
    let answer = match take(&app, kind, query.repo.as_deref(), request).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    };
    let status = answer.status().as_str().to_owned();
    metrics::counter!("drydock_webhooks_total", "forge" => kind.name(), "status" => status).increment(1);
    metrics::histogram!("drydock_webhook_seconds").record(began.elapsed().as_secs_f64());
    answer
}

async fn take(app: &App, kind: ForgeKind, repo: Option<&str>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes_max = usize::try_from(app.pipelines.server_config().hook_bytes_max.0).unwrap_or(usize::MAX);
    let body = read(body, bytes_max, &parts.headers).await?;
    let (understood, signer, body) = prove_and_parse(app, kind, repo, parts.headers, body).await?;
    let body_hash = || hex::encode(Sha256::digest(&body));
    let accepting = app.pipelines.accept(kind, &understood, signer, body_hash);
    let accepted = match tokio::time::timeout(Duration::from_secs(STORE_SECONDS_MAX), accepting).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(NotTaken::ForeignSecret { repo })) => {
            tracing::warn!(%kind, repo, "refused a delivery that another repository's secret signed");
            return Err(unauthorized(&WebhookError::WrongSignature {
                name: "the signature's header",
            }));
        }
        Ok(Err(NotTaken::Store(error))) => return Err(error.into()),
        Err(_) => return Err(Problem::busy()),
    };
    let status = if accepted.run {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let answer = Answer {
        run: accepted.run,
        reason: &accepted.reason,
        ..understood.answer(accepted.pipeline)
    };
    Ok((status, Json(answer)).into_response())
}

async fn read(body: axum::body::Body, bytes_max: usize, headers: &HeaderMap) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the delivery is larger than the {bytes_max} bytes that `server.hook_bytes_max` allows");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    let reading = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), reading).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::wrong(format!("the body could not be read: {error}"))),
        Err(_) => {
            let detail = format!("the body did not arrive within {BODY_SECONDS_MAX} s");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// The signature is checked over the raw bytes before anything in them is believed.
async fn prove_and_parse(
    app: &App,
    kind: ForgeKind,
    repo: Option<&str>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(Understood, Signer, Bytes), Problem> {
    let named = match repo {
        // A name that is not known has no secret of its own; 0 is nobody's id.
        Some(name) => Some(
            app.pipelines
                .store()
                .repo_named(kind, name)
                .await?
                .map_or(0, |repo| repo.id),
        ),
        None => None,
    };
    let forges = app.pipelines.forges();
    let Some(forge) = forges.of(kind).cloned() else {
        return Err(Problem::missing(format!("{kind} is off; the server's log says why")));
    };
    let signers = forges.signers(kind, named, body.len());
    let now = app.pipelines.clock().now();
    let is_large = body.len() > LARGE_BYTES;
    let work = move || {
        let secrets: Vec<_> = signers.iter().map(|(_, secret)| secret).collect();
        let fitting = forge.verify(&headers, &body, &secrets, now)?;
        // An index outside is no proof.
        let signer = signers
            .get(fitting)
            .map(|(signer, _)| *signer)
            .ok_or(WebhookError::NoSecret { forge: kind })?;
        Ok((forge.parse(&headers, &body)?, signer, body))
    };
    let worked: Result<_, WebhookError> = match is_large {
        false => work(),
        true => match tokio::task::spawn_blocking(work).await {
            Ok(worked) => worked,
            Err(panic) => {
                tracing::error!("a delivery made Drydock fail (please report it): {panic}");
                return Err(Problem::wrong("the delivery could not be read"));
            }
        },
    };
    worked.map_err(|error| {
        tracing::warn!(%kind, "refused a delivery: {error}");
        if error.status() == 401 {
            unauthorized(&error)
        } else {
            Problem::wrong(error.tell())
        }
    })
}

fn unauthorized(error: &WebhookError) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, error.tell())
}
