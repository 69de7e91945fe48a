//! Masking of secrets in a stream of bytes, across chunk borders.

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::SecretSet;
use super::forms::forms;

/// What stands where a secret stood.
pub const MASK: &[u8] = b"***";

/// With more bytes of needles than this the automaton is built small rather than fast.
const FAST_NEEDLES_BYTES_MAX: usize = 64 * 1024;

/// Everything that must not be seen, in the forms in which it may appear. Cheap to clone; made once for a pipeline's secrets.
#[derive(Clone, Default)]
pub struct Needles(Option<Arc<Automaton>>);

struct Automaton {
    /// Finds every needle, also those that overlap.
    finder: AhoCorasick,
    /// Sorted, for telling whether the end of the stream so far begins one.
    needles: Vec<Vec<u8>>,
    longest: usize,
    /// Which pairs of bytes begin a needle: most bytes of most logs need no closer look.
    beginnings: Box<[bool; 1 << 16]>,
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Needles({})",
            self.0.as_ref().map_or(0, |automaton| automaton.needles.len())
        )
    }
}

impl Needles {
    /// All forms of all secrets. Secrets of less than six bytes have none; [`super::Secret::define`] refuses them.
    pub fn of(secrets: &SecretSet) -> Self {
        let forms: BTreeSet<Vec<u8>> = secrets.values().flat_map(|secret| forms(secret.reveal())).collect();
        let needles: Vec<Vec<u8>> = forms.into_iter().collect();
        let bytes: usize = needles.iter().map(Vec::len).sum();
        let kind = (bytes > FAST_NEEDLES_BYTES_MAX).then_some(AhoCorasickKind::ContiguousNFA);
        let Some(longest) = needles.iter().map(Vec::len).max() else {
            return Needles(None);
        };
        let mut beginnings = Box::new([false; 1 << 16]);
        for needle in &needles {
            beginnings[pair(needle[0], needle[1])] = true;
        }
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(kind)
            .build(&needles);
        // It fails only beyond two billion states, far more than secrets may have bytes.
        let Ok(finder) = built else { return Needles(None) };
        Needles(Some(Arc::new(Automaton {
            finder,
            needles,
            longest,
            beginnings,
        })))
    }

    /// A masker for one stream.
    pub fn masker(&self) -> Masker {
        Masker {
            automaton: self.0.clone(),
            held: vec![],
            held_masked: 0,
            in_mask: false,
        }
    }

    /// A whole text, masked.
    pub fn mask(&self, text: &str) -> String {
        let mut masker = self.masker();
        let mut masked = masker.push(text.as_bytes());
        masked.extend(masker.finish());
        // Only whole needles were taken out, and those are text.
        String::from_utf8_lossy(&masked).into_owned()
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

impl Automaton {
    /// Where, from `from` on, the earliest place is that may be the beginning of a needle which goes on after the end.
    fn may_begin(&self, bytes: &[u8], from: usize) -> usize {
        let from = from.max((bytes.len() + 1).saturating_sub(self.longest));
        (from..bytes.len())
            .find(|at| self.is_beginning(&bytes[*at..]))
            .unwrap_or(bytes.len())
    }

    /// Whether some needle is longer than `bytes` and begins with them.
    fn is_beginning(&self, bytes: &[u8]) -> bool {
        if let [first, second, ..] = bytes
            && !self.beginnings[pair(*first, *second)]
        {
            return false;
        }
        let after = self.needles.partition_point(|needle| needle.as_slice() <= bytes);
        self.needles.get(after).is_some_and(|needle| needle.starts_with(bytes))
    }
}

/// Masks one stream. Every byte that is part of any needle is masked, a run of them as one [`MASK`] a line; newlines stay.
/// Holds back only what may be the beginning of a needle: never more than the longest one. How the stream was cut into
/// chunks makes no difference to what comes out.
pub struct Masker {
    automaton: Option<Arc<Automaton>>,
    held: Vec<u8>,
    /// So many of the held bytes belong to a needle whose first part is out already.
    held_masked: usize,
    /// The last byte that came out was part of a needle: its mask stands there.
    in_mask: bool,
}

impl Masker {
    /// What can be given out after these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(automaton) = self.automaton.clone() else {
            return bytes.to_vec();
        };
        self.held.extend_from_slice(bytes);
        let upto = automaton.may_begin(&self.held, 0);
        self.give_out(&automaton, upto)
    }

    /// The rest, when nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(automaton) = self.automaton.clone() else {
            return vec![];
        };
        let upto = self.held.len();
        self.give_out(&automaton, upto)
    }

    /// Gives out the first bytes of what is held and keeps the rest.
    fn give_out(&mut self, automaton: &Automaton, upto: usize) -> Vec<u8> {
        if upto == 0 {
            return vec![];
        }
        let mut out = Vec::with_capacity(upto);
        let mut at = 0;
        for (start, end) in self.masked_runs(automaton) {
            if start >= upto {
                break;
            }
            self.plain(at, start, &mut out);
            self.mask(start, end.min(upto), &mut out);
            at = end.min(upto);
            self.held_masked = end - at;
        }
        self.plain(at, upto, &mut out);
        self.held_masked = self.held_masked.min(self.held.len() - upto);
        self.held.drain(..upto);
        out
    }

    /// The parts of what is held that belong to needles, in order and apart from each other.
    fn masked_runs(&mut self, automaton: &Automaton) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = vec![];
        let known = std::mem::take(&mut self.held_masked);
        if known > 0 {
            runs.push((0, known));
        }
        for found in automaton.finder.find_overlapping_iter(&self.held) {
            let (mut start, mut end) = (found.start(), found.end());
            while let Some(last) = runs.pop_if(|last| last.1 >= start) {
                (start, end) = (start.min(last.0), end.max(last.1));
            }
            runs.push((start, end));
        }
        runs
    }

    fn plain(&mut self, start: usize, end: usize, out: &mut Vec<u8>) {
        if start < end {
            out.extend_from_slice(&self.held[start..end]);
            self.in_mask = false;
        }
    }

    fn mask(&mut self, start: usize, end: usize, out: &mut Vec<u8>) {
        for byte in &self.held[start..end] {
            if *byte == b'\n' {
                out.push(b'\n');
                self.in_mask = false;
            } else if !self.in_mask {
                out.extend_from_slice(MASK);
                self.in_mask = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
