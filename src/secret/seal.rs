//! Secrets at rest: XChaCha20-Poly1305 under a key that is kept apart from the database.
//!
//! A sealed value is `1 | key id (8 bytes) | nonce (24) | ciphertext and tag`. The row that it stands in is authenticated with
//! it, so that a value moved to another row does not open.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Secret;

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// Why a secret cannot be sealed or opened. Never tells a secret or a key.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the key in {place} is not 32 bytes, written as 64 hex digits or as base64")]
    KeyFormat { place: String },
    #[error("cannot {operation} the key file {path}")]
    KeyFile {
        operation: &'static str,
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the key file {path} can be read by others: make it `chmod 600`")]
    KeyFileOpen { path: PathBuf },
    #[error("this machine gives no random bytes")]
    NoRandom,
    #[error("the stored value is not a sealed secret")]
    NotSealed,
    #[error("the stored secret was sealed with the key {id}, which is not configured")]
    UnknownKey { id: String },
    #[error("the stored secret does not open: it was changed, or belongs to another row")]
    Forged,
}

/// A key for sealing. No `Debug` of its bytes; wiped when dropped.
#[derive(Clone)]
pub struct SealingKey {
    id: [u8; KEY_ID_BYTES],
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SealingKey({})", self.id())
    }
}

impl SealingKey {
    /// A key as text: 64 hex digits or base64 of 32 bytes, with white space around it.
    /// * `place`: where the text comes from, for the error.
    pub fn parse(text: &str, place: &str) -> Result<Self, SealError> {
        let text = text.trim();
        let wrong = || SealError::KeyFormat {
            place: place.to_owned(),
        };
        let bytes = match text.len() {
            64 => hex::decode(text).map_err(|_| wrong())?,
            _ => STANDARD.decode(text).map_err(|_| wrong())?,
        };
        let bytes = Zeroizing::new(bytes);
        let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| wrong())?;
        let digest = Sha256::new()
            .chain_update(b"drydock sealing key")
            .chain_update(&*bytes)
            .finalize();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        Ok(SealingKey { id, cipher })
    }

    /// The key in a file that only its owner may read; made, with a new key, where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let failed = |operation| {
            move |cause| SealError::KeyFile {
                operation,
                path: path.to_owned(),
                cause,
            }
        };
        let made = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Ok(mut file) => {
                let mut bytes = Zeroizing::new([0u8; 32]);
                getrandom::fill(&mut *bytes).map_err(|_| SealError::NoRandom)?;
                let text = Zeroizing::new(format!("{}\n", hex::encode(*bytes)));
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(failed("write"))?;
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(failed("make")(cause)),
        }
        let mode = std::fs::metadata(path).map_err(failed("read"))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SealError::KeyFileOpen { path: path.to_owned() });
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed("read"))?);
        Self::parse(&text, &path.display().to_string())
    }

    /// Which key this is, in hex; tells nothing about it.
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    /// The secret, sealed for one row; different bytes each time.
    /// * `row`: what the row is called and will always be called, e.g. `secret/team/web/TOKEN`.
    pub fn seal(&self, row: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandom)?;
        let payload = Payload {
            msg: secret.reveal().as_bytes(),
            aad: row.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Forged)?;
        let mut row_value = Vec::with_capacity(HEAD_BYTES + sealed.len());
        row_value.push(VERSION);
        row_value.extend_from_slice(&self.id);
        row_value.extend_from_slice(&nonce);
        row_value.extend_from_slice(&sealed);
        Ok(row_value)
    }

    /// The secret in a row that this key sealed.
    pub fn open(&self, row: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        open(std::slice::from_ref(self), row, sealed)
    }
}

/// The secret in a row that one of the keys sealed: the present key and, while rows are sealed anew, former ones.
pub fn open(keys: &[SealingKey], row: &str, sealed: &[u8]) -> Result<Secret, SealError> {
    let Some((head, ciphertext)) = sealed.split_at_checked(HEAD_BYTES) else {
        return Err(SealError::NotSealed);
    };
    let (id, nonce) = head[1..].split_at(KEY_ID_BYTES);
    if head[0] != VERSION {
        return Err(SealError::NotSealed);
    }
    let key = keys
        .iter()
        .find(|key| key.id == id)
        .ok_or_else(|| SealError::UnknownKey { id: hex::encode(id) })?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| SealError::NotSealed)?;
    let payload = Payload {
        msg: ciphertext,
        aad: row.as_bytes(),
    };
    let bytes = key
        .cipher
        .decrypt(&XNonce::from(nonce), payload)
        .map_err(|_| SealError::Forged)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => Err(SealError::NotSealed),
    }
}

#[cfg(test)]
mod tests;
