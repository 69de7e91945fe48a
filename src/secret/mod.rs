//! Secrets: values that are never printed, their masking in streams, and their sealing at rest.
//!
//! Must not know who asks for a secret; whether it may be given is decided by `event::Trust`.

pub mod mask;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// A value that must not be seen: no `Debug` of its content, no `Display`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// The value itself; call it only where it is handed to the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// Secrets by name, as one pipeline may use them.
pub type SecretSet = BTreeMap<String, Secret>;
