//! GitHub, on github.com and on a server of one's own.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::hub::{self, Delivery, Flavour};
use super::status::{Connection, StatusUpdate};
use super::{Forge, ForgeError, Understood, WebhookError, headers, read, signature, status};
use crate::event::ForgeKind;
use crate::secret::Secret;

const FLAVOUR: Flavour = Flavour {
    forge: ForgeKind::GitHub,
    action: |action| action,
    // "The array includes a maximum of 2048 commits."
    commits_listed_max: 2048,
    commits_total: None,
};

/// `POST /hooks/github`, and `POST {api}/repos/{owner}/{name}/statuses/{sha}`.
pub struct GitHub {
    connection: Connection,
}

impl GitHub {
    pub fn new(connection: Connection) -> Self {
        GitHub { connection }
    }
}

#[async_trait]
impl Forge for GitHub {
    fn kind(&self) -> ForgeKind {
        ForgeKind::GitHub
    }

    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&Secret],
        _now: Timestamp,
    ) -> Result<usize, WebhookError> {
        signature::require_secret(ForgeKind::GitHub, secrets)?;
        const WANTED: &str = "X-Hub-Signature-256";
        match headers::one(headers, WANTED)? {
            Some(value) => signature::check_hex(WANTED, value, "sha256=", body, secrets),
            None if headers.contains_key("x-hub-signature") => Err(WebhookError::WeakSignature {
                found: "X-Hub-Signature",
                wanted: WANTED,
            }),
            None => Err(WebhookError::Unsigned { wanted: WANTED }),
        }
    }

    fn parse(&self, headers: &HeaderMap, body: &[u8]) -> Result<Understood, WebhookError> {
        const WANTED: &str = "X-GitHub-Event";
        // They send GitHub's headers too, but mean other things by the same words.
        if ["x-gitea-event", "x-forgejo-event", "x-gogs-event"]
            .iter()
            .any(|name| headers.contains_key(*name))
        {
            return Err(WebhookError::WrongHook {
                sent_by: ForgeKind::Gitea,
                hook: ForgeKind::GitHub,
            });
        }
        let event = headers::first(headers, &[WANTED])?.ok_or(WebhookError::NoEvent { wanted: WANTED })?;
        hub::understand(
            &FLAVOUR,
            Delivery {
                event: event.to_owned(),
                id: headers::delivery(headers, &["X-GitHub-Delivery"])?,
                payload: Arc::new(read::json(headers, body)?),
            },
        )
    }

    async fn set_status(&self, update: &StatusUpdate) -> Result<(), ForgeError> {
        status::to_github(&self.connection, update).await
    }
}
