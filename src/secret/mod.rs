//! Secrets: values that are never printed, their masking in streams, and their sealing at rest.
//!
//! Must not know who asks for a secret; whether it may be given is decided by `event::Trust`.

mod forms;
pub mod mask;
pub mod seal;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// A value that must not be seen: no `Debug` of its content, no `Display`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// A secret as a person defines it: refused where it could not be kept out of logs.
    pub fn define(name: &str, value: impl Into<String>) -> Result<Self, SecretError> {
        let secret = Secret::new(value);
        let (bytes, name) = (secret.reveal().trim().len(), name.to_owned());
        match bytes {
            0 => Err(SecretError::Empty { name }),
            1..SECRET_BYTES_MIN => Err(SecretError::TooShort { name, bytes }),
            SECRET_BYTES_MIN..=SECRET_BYTES_MAX => Ok(secret),
            _ => Err(SecretError::TooLong { name, bytes }),
        }
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

/// Shorter values cannot be masked without masking half of an honest log.
pub const SECRET_BYTES_MIN: usize = forms::FORM_BYTES_MIN;
/// What environment variables and logs can bear.
pub const SECRET_BYTES_MAX: usize = 48 * 1024;

/// Why a value cannot be a secret. Never tells the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the secret `{name}` is empty")]
    Empty { name: String },
    #[error("the secret `{name}` has {bytes} bytes; less than {SECRET_BYTES_MIN} cannot be masked in logs")]
    TooShort { name: String, bytes: usize },
    #[error("the secret `{name}` has {bytes} bytes; at most {SECRET_BYTES_MAX} are kept")]
    TooLong { name: String, bytes: usize },
}

/// Secrets by name, as one pipeline may use them.
pub type SecretSet = BTreeMap<String, Secret>;
