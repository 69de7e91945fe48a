//! Proofs that a delivery is genuine: HMAC-SHA-256 over the raw body, Standard Webhooks, and the plain token.
//!
//! Every check tries every secret and compares in constant time, so that neither which secret fits nor how much of a
//! signature is right can be measured.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::WebhookError;
use crate::event::ForgeKind;
use crate::secret::Secret;

/// A signed timestamp may be off by this much, in either direction (Standard Webhooks).
const TIMESTAMP_OFF_S_MAX: u64 = 300;

/// Standard Webhooks secrets are written with this prefix, and base64 after it.
pub(super) const SIGNING_PREFIX: &str = "whsec_";

/// HMAC-SHA-256 of the parts, one after the other.
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is fine for HMAC; the error type is that of other MACs.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The key of a Standard Webhooks secret: the base64 after `whsec_`; none when it is not one.
pub(super) fn signing_key(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    let key = STANDARD.decode(secret.strip_prefix(SIGNING_PREFIX)?).ok()?;
    Some(Zeroizing::new(key)).filter(|key| !key.is_empty())
}

/// `v1,<base64>` over `id.timestamp.body`.
pub(super) fn standard_webhook(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = hmac_sha256(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(mac))
}

/// The hex digest that `name` carries (after `prefix`) against the body and each secret; the index of the one that fits.
pub(super) fn check_hex(
    name: &'static str,
    value: &str,
    prefix: &str,
    body: &[u8],
    secrets: &[&Secret],
) -> Result<usize, WebhookError> {
    let malformed = |why| WebhookError::Header {
        name: name.to_owned(),
        why,
    };
    let digits = value
        .strip_prefix(prefix)
        .ok_or_else(|| malformed("it does not begin with `sha256=`"))?;
    let mut given = [0u8; 32];
    hex::decode_to_slice(digits, &mut given).map_err(|_| malformed("it is not 64 hex digits"))?;
    let fits = |secret: &Secret| hmac_sha256(secret.reveal().as_bytes(), &[body]).ct_eq(&given).into();
    which(secrets, fits).ok_or(WebhookError::WrongSignature { name })
}

/// A token that is sent as it is (GitLab's `X-Gitlab-Token`). Digests are compared, so that not even its length shows.
pub(super) fn check_token(name: &'static str, value: &str, secrets: &[&Secret]) -> Result<usize, WebhookError> {
    let given = Sha256::digest(value.as_bytes());
    // A signing secret is never sent, so whoever sends it as a token learned it somewhere else.
    let fits = |secret: &Secret| {
        let secret = secret.reveal();
        bool::from(Sha256::digest(secret.as_bytes()).as_slice().ct_eq(given.as_slice()))
            && !secret.starts_with(SIGNING_PREFIX)
    };
    which(secrets, fits).ok_or(WebhookError::WrongSignature { name })
}

/// Standard Webhooks: one of the space-separated `v1,<base64>` fits `id.timestamp.body`, and the timestamp is recent.
pub(super) fn check_standard_webhook(
    signatures: &str,
    id: &str,
    timestamp: &str,
    body: &[u8],
    secrets: &[&Secret],
    now: Timestamp,
) -> Result<usize, WebhookError> {
    let name = "webhook-signature";
    let header = |name: &str, why| WebhookError::Header {
        name: name.to_owned(),
        why,
    };
    let given: Vec<[u8; 32]> = signatures
        .split_ascii_whitespace()
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|text| STANDARD.decode(text).ok()?.try_into().ok())
        .take(16)
        .collect();
    if given.is_empty() {
        return Err(header(name, "it has no `v1,` signature of 32 bytes in base64"));
    }
    let signed_s: i64 = Some(timestamp)
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| header("webhook-timestamp", "it is not a number of seconds"))?;
    let fits = |secret: &Secret| {
        let Some(key) = signing_key(secret.reveal()) else {
            return false;
        };
        let mac = hmac_sha256(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
        given
            .iter()
            .fold(false, |fits, given| fits | bool::from(mac.ct_eq(given)))
    };
    let index = which(secrets, fits).ok_or(WebhookError::WrongSignature { name })?;
    let off_s = now.as_second().abs_diff(signed_s);
    if off_s > TIMESTAMP_OFF_S_MAX {
        return Err(WebhookError::Stale {
            off_s,
            allowed_s: TIMESTAMP_OFF_S_MAX,
        });
    }
    Ok(index)
}

/// An empty secret proves nothing; a forge with no other secret has its endpoint off.
pub(super) fn require_secret(forge: ForgeKind, secrets: &[&Secret]) -> Result<(), WebhookError> {
    if secrets.iter().all(|secret| secret.reveal().is_empty()) {
        return Err(WebhookError::NoSecret { forge });
    }
    Ok(())
}

/// The index of the first secret that fits; looks at all of them whatever it finds.
fn which(secrets: &[&Secret], fits: impl Fn(&Secret) -> bool) -> Option<usize> {
    secrets.iter().enumerate().fold(None, |found, (index, secret)| {
        let fits = fits(secret) & !secret.reveal().is_empty();
        found.or(fits.then_some(index))
    })
}
