//! Gitea, and those who speak its language: Forgejo and Gogs.

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
    forge: ForgeKind::Gitea,
    action,
    commits_listed_max: usize::MAX,
    // Old versions and Gogs do not tell how many commits they left out.
    commits_total: Some("total_commits"),
};

/// The same signature under the names that Gitea, Forgejo and Gogs send it, newest first, with what stands before the digits.
const SIGNATURES: [(&str, &str); 4] = [
    ("X-Forgejo-Signature", ""),
    ("X-Gitea-Signature", ""),
    ("X-Gogs-Signature", ""),
    ("X-Hub-Signature-256", "sha256="),
];

/// The event's name under the names that they send it; `X-GitHub-Event` is sent besides, for GitHub's consumers.
const EVENTS: [&str; 4] = ["X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", "X-GitHub-Event"];

const DELIVERIES: [&str; 4] = [
    "X-Gitea-Delivery",
    "X-Forgejo-Delivery",
    "X-Gogs-Delivery",
    "X-GitHub-Delivery",
];

/// `POST /hooks/gitea`, and `POST {base}/api/v1/repos/{owner}/{name}/statuses/{sha}`.
pub struct Gitea {
    connection: Connection,
}

impl Gitea {
    pub fn new(connection: Connection) -> Self {
        Gitea { connection }
    }
}

/// Gitea's words for what happened to a pull request, in GitHub's.
fn action(word: &str) -> &str {
    match word {
        "synchronized" => "synchronize",
        "label_updated" => "labeled",
        "label_cleared" => "unlabeled",
        same => same,
    }
}

#[async_trait]
impl Forge for Gitea {
    fn kind(&self) -> ForgeKind {
        ForgeKind::Gitea
    }

    /// Every signature header that is there must fit, and one must be there.
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&Secret],
        _now: Timestamp,
    ) -> Result<usize, WebhookError> {
        signature::require_secret(ForgeKind::Gitea, secrets)?;
        let mut proven = None;
        for (name, prefix) in SIGNATURES {
            if let Some(value) = headers::one(headers, name)? {
                proven = Some(signature::check_hex(name, value, prefix, body, secrets)?);
            }
        }
        const WANTED: &str = "X-Gitea-Signature";
        match proven {
            Some(index) => Ok(index),
            None if headers.contains_key("x-hub-signature") => Err(WebhookError::WeakSignature {
                found: "X-Hub-Signature",
                wanted: WANTED,
            }),
            None => Err(WebhookError::Unsigned { wanted: WANTED }),
        }
    }

    fn parse(&self, headers: &HeaderMap, body: &[u8]) -> Result<Understood, WebhookError> {
        let event = headers::first(headers, &EVENTS)?.ok_or(WebhookError::NoEvent { wanted: EVENTS[0] })?;
        hub::understand(
            &FLAVOUR,
            Delivery {
                event: event.to_owned(),
                id: headers::delivery(headers, &DELIVERIES)?,
                payload: Arc::new(read::json(headers, body)?),
            },
        )
    }

    async fn set_status(&self, update: &StatusUpdate) -> Result<(), ForgeError> {
        status::to_gitea(&self.connection, update).await
    }
}
