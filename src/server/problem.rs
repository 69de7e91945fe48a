//! What a client is told when something is not done: RFC 9457 `application/problem+json`. The log gets its own text.

use std::any::Any;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::pipelines::NotDone;
use crate::store::StoreError;

/// * `detail`: what was wrong and what to do, for whoever sent the request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// Seconds after which trying again makes sense when the database is busy.
const RETRY_AFTER_SECONDS: u16 = 5;

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            status,
            detail: detail.into(),
            header: None,
        }
    }

    pub fn wrong(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn missing(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    pub fn busy() -> Self {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database is busy; nothing was changed, try again",
        )
        .with(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!("{}", error.chain());
        match error {
            StoreError::Busy { .. } | StoreError::Unavailable { .. } => Problem::busy(),
            StoreError::Stale { .. } | StoreError::OutOfOrder { .. } => {
                Problem::new(StatusCode::CONFLICT, error.to_string())
            }
            StoreError::Corrupt { .. } | StoreError::Open { .. } => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "what is stored cannot be read; the server's log says more",
            ),
        }
    }
}

impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::NoPipeline(_) | NotDone::NoRepo(_) => Problem::missing(error.to_string()),
            NotDone::NotWaiting { .. } | NotDone::Over { .. } => Problem::new(StatusCode::CONFLICT, error.to_string()),
            NotDone::Wrong(what) => Problem::wrong(what),
            NotDone::Store(error) => error.into(),
        }
    }
}

/// A JSON body; what is wrong in it is told as a problem.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Body(value)),
            Err(rejection) => Err(rejected(&rejection)),
        }
    }
}

fn rejected(rejection: &JsonRejection) -> Problem {
    Problem::new(rejection.status(), rejection.body_text())
}

/// A query; what is wrong in it is told as a problem.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Asked(value)),
            Err(rejection) => Err(misasked(&rejection)),
        }
    }
}

fn misasked(rejection: &QueryRejection) -> Problem {
    Problem::new(rejection.status(), rejection.body_text())
}

pub(super) async fn no_such_path() -> Problem {
    Problem::missing("there is nothing at this path")
}

pub(super) async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}

pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    tracing::error!(
        "a request made Drydock fail (please report it): {}",
        text.unwrap_or("unknown")
    );
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Drydock itself failed; its log says more",
    )
    .into_response()
}
