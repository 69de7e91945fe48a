//! What can be wrong with a webhook, and what a forge can answer to a status.

use std::time::Duration;

use crate::event::ForgeKind;

/// Why a webhook was not taken. `Display` is for the log; [`WebhookError::tell`] is for the sender.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("no webhook secret is configured for {forge}: its endpoint is off")]
    NoSecret { forge: ForgeKind },
    #[error("the delivery is not signed: it has no {wanted} header")]
    Unsigned { wanted: &'static str },
    #[error("the delivery is signed with SHA-1 only ({found}), which is not accepted; {wanted} is")]
    WeakSignature { found: &'static str, wanted: &'static str },
    #[error("the header {name} is there more than once")]
    Repeated { name: String },
    #[error("the header {name} cannot be read: {why}")]
    Header { name: String, why: &'static str },
    #[error("the signature in {name} does not fit the body and any configured secret")]
    WrongSignature { name: &'static str },
    #[error("the delivery was signed {off_s} s away from this machine's time; at most {allowed_s} s are accepted")]
    Stale { off_s: u64, allowed_s: u64 },
    /// A header that proves nothing, but must be read.
    #[error("the header {name} cannot be read: {why}")]
    Unreadable { name: String, why: &'static str },
    #[error("the delivery does not say what it is: it has no {wanted} header")]
    NoEvent { wanted: &'static str },
    #[error("this is a delivery of {sent_by} to the hook of {hook}")]
    WrongHook { sent_by: ForgeKind, hook: ForgeKind },
    #[error("the body is not JSON")]
    NotJson {
        #[source]
        cause: serde_json::Error,
    },
    #[error("the body is a form without a readable `payload` field")]
    NoFormPayload,
    /// The body is JSON, but not what the forge documents. `at` is a JSON pointer.
    #[error("the payload is wrong at `{at}`: expected {wanted}, found {found}")]
    Payload { at: String, wanted: String, found: String },
}

impl WebhookError {
    /// The HTTP status that the sender gets: 401 for a delivery that is not proven, 400 for one that cannot be read.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoSecret { .. }
            | Self::Unsigned { .. }
            | Self::WeakSignature { .. }
            | Self::Repeated { .. }
            | Self::Header { .. }
            | Self::WrongSignature { .. }
            | Self::Stale { .. } => 401,
            Self::Unreadable { .. }
            | Self::NoEvent { .. }
            | Self::WrongHook { .. }
            | Self::NotJson { .. }
            | Self::NoFormPayload
            | Self::Payload { .. } => 400,
        }
    }

    /// What the sender is told: what is wrong and what to do, nothing about how the server is set up beyond that.
    pub fn tell(&self) -> String {
        let help = match self {
            Self::NoSecret { .. } => "set the webhook secret in Drydock's configuration",
            Self::Unsigned { .. } => {
                "set a secret in the forge's webhook settings, the same as in Drydock's configuration"
            }
            Self::WeakSignature { .. } => "let the forge (or the proxy before Drydock) send the SHA-256 header",
            Self::Repeated { .. } | Self::Header { .. } | Self::Unreadable { .. } => {
                "send the headers as the forge makes them"
            }
            Self::WrongSignature { .. } => {
                "use the same secret at the forge and in Drydock, and let no proxy change the body"
            }
            Self::Stale { .. } => "deliver it again from the forge; check both machines' clocks",
            Self::NoEvent { .. } | Self::WrongHook { .. } => {
                "deliver webhooks of a forge to /hooks/github, /hooks/gitlab or /hooks/gitea"
            }
            Self::NotJson { .. } | Self::NoFormPayload => "choose application/json in the forge's webhook settings",
            Self::Payload { .. } => "deliver the forge's own payload",
        };
        match self {
            Self::NotJson { cause } => format!("{self}: {cause}; {help}"),
            Self::NoSecret { .. }
            | Self::Unsigned { .. }
            | Self::WeakSignature { .. }
            | Self::Repeated { .. }
            | Self::Header { .. }
            | Self::WrongSignature { .. }
            | Self::Stale { .. }
            | Self::Unreadable { .. }
            | Self::NoEvent { .. }
            | Self::WrongHook { .. }
            | Self::NoFormPayload
            | Self::Payload { .. } => format!("{self}; {help}"),
        }
    }
}

/// Who must act on a status that could not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The forge or the network, for now: try again, forever if need be.
    Forge,
    /// Whoever configured the token or the address: trying again does not help until they did.
    Settings,
    /// This update: the forge will never take it.
    Update,
}

/// Why a status was not set. Texts name the operation and the address without credentials.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    #[error("cannot set the status at {at}: no token is configured for {forge}")]
    NoToken { forge: ForgeKind, at: String },
    #[error("{at} cannot be used: {why}")]
    Address { at: String, why: String },
    #[error("cannot reach {at}")]
    Unreachable {
        at: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("{at} answered {status}, try later: {said}")]
    Busy {
        at: String,
        status: u16,
        said: String,
        retry_after: Option<Duration>,
    },
    #[error("{at} answered {status}: {said}; {hint}")]
    Denied {
        at: String,
        status: u16,
        said: String,
        hint: &'static str,
    },
    #[error("{at} answered {status}: {said}; {hint}")]
    Refused {
        at: String,
        status: u16,
        said: String,
        hint: &'static str,
    },
}

impl ForgeError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } => Blame::Forge,
            Self::NoToken { .. } | Self::Address { .. } | Self::Denied { .. } => Blame::Settings,
            Self::Refused { .. } => Blame::Update,
        }
    }

    /// How long the forge asked to wait, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::NoToken { .. }
            | Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Denied { .. }
            | Self::Refused { .. } => None,
        }
    }
}
