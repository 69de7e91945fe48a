//! Masking of secrets in a stream of bytes, across chunk borders.

use super::SecretSet;

/// What stands where a secret stood.
pub const MASK: &[u8] = b"***";

/// Everything that must not be seen, in the forms in which it may appear.
#[derive(Clone, Default)]
pub struct Needles(Vec<Vec<u8>>);

impl Needles {
    pub fn of(secrets: &SecretSet) -> Self {
        let mut forms: Vec<Vec<u8>> = secrets
            .values()
            .map(|secret| secret.reveal().as_bytes().to_vec())
            .filter(|form| form.len() >= 6)
            .collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Needles(forms)
    }

    /// A masker for one stream.
    pub fn masker(&self) -> Masker {
        Masker {
            needles: self.0.clone(),
            held: vec![],
        }
    }
}

/// Masks one stream; holds back only what may be the beginning of a secret.
pub struct Masker {
    needles: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Masker {
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.needles.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.drain(false)
    }

    pub fn finish(&mut self) -> Vec<u8> {
        self.drain(true)
    }

    fn drain(&mut self, all: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if let Some(needle) = self.needles.iter().find(|needle| rest.starts_with(needle)) {
                out.extend_from_slice(MASK);
                at += needle.len();
            } else if !all && self.needles.iter().any(|needle| needle.starts_with(rest)) {
                break;
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }
}
