//! Log lines at rest: many in one compressed block, each still with its own place in the pipeline's events.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::engine::{EventKind, Stream};

/// One line with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub seq: u64,
    pub at_ms: i64,
    pub step: u32,
    pub stream: Stream,
    pub continues: bool,
    pub text: String,
}

impl Line {
    pub fn into_event(self, job: &Arc<str>, attempt: u32) -> EventKind {
        EventKind::Log {
            job: job.clone(),
            attempt,
            step: self.step,
            stream: self.stream,
            line: self.text,
            continues: self.continues,
        }
    }
}

/// What one line is written as: seq and time as differences from the line before, then step, flags, length and bytes.
pub(super) fn encode<'a>(lines: impl Iterator<Item = LineRef<'a>>) -> std::io::Result<Vec<u8>> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut head = Vec::with_capacity(32);
    let (mut seq, mut at_ms) = (0u64, 0i64);
    for line in lines {
        head.clear();
        put(&mut head, line.seq.wrapping_sub(seq));
        put(&mut head, zigzag(line.at_ms.wrapping_sub(at_ms)));
        put(&mut head, u64::from(line.step));
        head.push(flags(line.stream, line.continues));
        put(&mut head, line.text.len() as u64);
        out.write_all(&head)?;
        out.write_all(line.text.as_bytes())?;
        (seq, at_ms) = (line.seq, line.at_ms);
    }
    out.finish()
}

/// A line that is not owned, to be encoded.
pub(super) struct LineRef<'a> {
    pub seq: u64,
    pub at_ms: i64,
    pub step: u32,
    pub stream: Stream,
    pub continues: bool,
    pub text: &'a str,
}

/// `None` when the block is damaged.
pub(super) fn decode(body: &[u8]) -> Option<Vec<Line>> {
    let mut plain = Vec::new();
    ZlibDecoder::new(body).read_to_end(&mut plain).ok()?;
    let mut rest = plain.as_slice();
    let mut lines = Vec::new();
    let (mut seq, mut at_ms) = (0u64, 0i64);
    while !rest.is_empty() {
        seq = seq.wrapping_add(get(&mut rest)?);
        at_ms = at_ms.wrapping_add(unzigzag(get(&mut rest)?));
        let step = u32::try_from(get(&mut rest)?).ok()?;
        let (flag, after) = rest.split_first()?;
        let (stream, continues) = unflags(*flag)?;
        rest = after;
        let length = usize::try_from(get(&mut rest)?).ok()?;
        let text = String::from_utf8(rest.get(..length)?.to_vec()).ok()?;
        rest = &rest[length..];
        lines.push(Line {
            seq,
            at_ms,
            step,
            stream,
            continues,
            text,
        });
    }
    Some(lines)
}

fn flags(stream: Stream, continues: bool) -> u8 {
    let stream = match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::System => 2,
    };
    stream | (u8::from(continues) << 2)
}

fn unflags(flags: u8) -> Option<(Stream, bool)> {
    let stream = match flags & 3 {
        0 => Stream::Stdout,
        1 => Stream::Stderr,
        2 => Stream::System,
        _ => return None,
    };
    Some((stream, flags & 4 != 0))
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn get(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for at in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line() -> impl Strategy<Value = Line> {
        let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr), Just(Stream::System)];
        (
            any::<u64>(),
            any::<i64>(),
            any::<u32>(),
            stream,
            any::<bool>(),
            "\\PC{0,40}|[\\x00-\\x1f]{0,4}",
        )
            .prop_map(|(seq, at_ms, step, stream, continues, text)| Line {
                seq,
                at_ms,
                step,
                stream,
                continues,
                text,
            })
    }

    fn encoded(lines: &[Line]) -> Vec<u8> {
        let line = |line: &Line| LineRef {
            seq: line.seq,
            at_ms: line.at_ms,
            step: line.step,
            stream: line.stream,
            continues: line.continues,
            text: "",
        };
        let lines: Vec<LineRef<'_>> = lines
            .iter()
            .map(|from| LineRef {
                text: &from.text,
                ..line(from)
            })
            .collect();
        encode(lines.into_iter()).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_is_read(lines in proptest::collection::vec(line(), 0..20)) {
            prop_assert_eq!(decode(&encoded(&lines)), Some(lines));
        }

        #[test]
        fn a_damaged_block_is_noticed_or_harmless(lines in proptest::collection::vec(line(), 1..5), at in any::<usize>(), flip in 1u8..) {
            let mut body = encoded(&lines);
            let at = at % body.len();
            body[at] ^= flip;
            let _ = decode(&body);
        }
    }
}
