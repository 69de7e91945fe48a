//! Calls of the engine: every one has a deadline and an error that says what was tried.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use super::super::ExecutorError;

/// How long the engine may take for something that is usually quick. It is generous: a busy disk is no fault.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// `operation` completes "the Docker daemon refused to ..." and "... did not ...".
pub async fn call<T>(operation: &str, calling: impl Future<Output = Result<T, Error>>) -> Result<T, ExecutorError> {
    match tokio::time::timeout(ANSWER_WITHIN, calling).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(operation, error)),
        Err(_) => Err(ExecutorError::Hung {
            operation: operation.to_owned(),
            after: ANSWER_WITHIN,
        }),
    }
}

/// As `call`, for removing: what is gone already is removed.
pub async fn remove(operation: &str, calling: impl Future<Output = Result<(), Error>>) -> Result<(), ExecutorError> {
    match tokio::time::timeout(ANSWER_WITHIN, calling).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if status(&error) == Some(404) => Ok(()),
        Ok(Err(error)) => Err(refused(operation, error)),
        Err(_) => Err(ExecutorError::Hung {
            operation: operation.to_owned(),
            after: ANSWER_WITHIN,
        }),
    }
}

pub fn refused(operation: &str, error: Error) -> ExecutorError {
    match error {
        Error::RequestTimeoutError => ExecutorError::Hung {
            operation: operation.to_owned(),
            after: ANSWER_WITHIN,
        },
        error => ExecutorError::Daemon {
            operation: operation.to_owned(),
            cause: Box::new(Said(message(&error))),
        },
    }
}

/// The engine's own words, without the client's wrapping.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub String);

/// What an error's number means, in words alone.
pub fn errno_words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The HTTP status of a refusal.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the engine said, or the error as it is.
pub fn message(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                let said = inner.to_string();
                if !text.contains(&said) {
                    text = format!("{text}: {said}");
                }
                cause = inner.source();
            }
            text
        }
    }
}
