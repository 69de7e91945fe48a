//! Output on its way from a container to people: bytes in, masked lines out. Nothing is lost, nothing grows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::Observer;
use super::event::{EventKind, LINE_BYTES_MAX};
use crate::executor::{LogSink, Stream};
use crate::secret::mask::{Masker, Needles};

/// The sink of one step (or, with step 0, of a job as a whole).
pub struct LineSink {
    observer: Arc<dyn Observer>,
    job: Arc<str>,
    attempt: u32,
    step: u32,
    lanes: [Mutex<Lane>; 3],
}

struct Lane {
    masker: Masker,
    lines: Lines,
}

impl LineSink {
    pub fn new(observer: Arc<dyn Observer>, needles: &Needles, job: Arc<str>, attempt: u32, step: u32) -> Self {
        let lane = || {
            Mutex::new(Lane {
                masker: needles.masker(),
                lines: Lines::default(),
            })
        };
        LineSink {
            observer,
            job,
            attempt,
            step,
            lanes: [lane(), lane(), lane()],
        }
    }

    /// A line of Drydock's own.
    pub async fn say(&self, line: &str) {
        self.write(Stream::System, Bytes::from(format!("{line}\n"))).await;
    }

    /// Gives out what is held back: unterminated last lines and bytes that might have begun a secret.
    pub async fn flush(&self) {
        for stream in [Stream::Stdout, Stream::Stderr, Stream::System] {
            let mut lane = self.lanes[lane_of(stream)].lock().await;
            let rest = lane.masker.finish();
            let mut pieces = lane.lines.push(&rest);
            pieces.extend(lane.lines.finish());
            self.tell(stream, pieces).await;
        }
    }

    async fn tell(&self, stream: Stream, pieces: Vec<Piece>) {
        if pieces.is_empty() {
            return;
        }
        let event = |piece: Piece| EventKind::Log {
            job: self.job.clone(),
            attempt: self.attempt,
            step: self.step,
            stream,
            line: piece.text,
            continues: piece.continues,
        };
        self.observer.tell(pieces.into_iter().map(event).collect()).await;
    }
}

#[async_trait]
impl LogSink for LineSink {
    async fn write(&self, stream: Stream, bytes: Bytes) {
        let mut lane = self.lanes[lane_of(stream)].lock().await;
        let masked = lane.masker.push(&bytes);
        let pieces = lane.lines.push(&masked);
        // The lane stays locked while the observer listens, so that lines keep their order.
        self.tell(stream, pieces).await;
    }
}

fn lane_of(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::System => 2,
    }
}

/// A line, or part of one over [`LINE_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    text: String,
    continues: bool,
}

/// Cuts a byte stream into lines. A `\r` before the newline goes; bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Default)]
struct Lines {
    open: Vec<u8>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = vec![];
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.open.len();
            let newline = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            match newline {
                Some(at) => {
                    self.open.extend_from_slice(&bytes[..at]);
                    bytes = &bytes[at + 1..];
                    if self.open.last() == Some(&b'\r') {
                        self.open.pop();
                    }
                    pieces.push(Piece {
                        text: text_of(&self.open),
                        continues: false,
                    });
                    self.open.clear();
                }
                None if bytes.len() > room => {
                    self.open.extend_from_slice(&bytes[..room]);
                    bytes = &bytes[room..];
                    let cut = character_border(&self.open);
                    pieces.push(Piece {
                        text: text_of(&self.open[..cut]),
                        continues: true,
                    });
                    self.open.drain(..cut);
                }
                None => {
                    self.open.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
        pieces
    }

    fn finish(&mut self) -> Option<Piece> {
        if self.open.is_empty() {
            return None;
        }
        let text = text_of(&self.open);
        self.open.clear();
        Some(Piece { text, continues: false })
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The largest cut that does not split a UTF-8 character which may still be completed.
fn character_border(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let lead = (from..bytes.len()).rev().find(|at| bytes[*at] & 0xC0 != 0x80);
    match lead {
        Some(at) if bytes[at] >= 0xC0 && std::str::from_utf8(&bytes[at..]).is_err() && at > 0 => at,
        Some(_) | None => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(pieces: Vec<Piece>) -> String {
        pieces
            .into_iter()
            .map(|piece| piece.text + if piece.continues { "" } else { "\n" })
            .collect()
    }

    #[test]
    fn a_line_over_the_limit_comes_in_pieces_that_join_to_the_line() {
        let long = "ü".repeat(LINE_BYTES_MAX);
        let mut lines = Lines::default();
        let mut pieces = lines.push(long.as_bytes());
        pieces.extend(lines.push(b"\nnext\r\nlast"));
        pieces.extend(lines.finish());
        assert!(pieces.iter().all(|piece| piece.text.len() <= LINE_BYTES_MAX));
        assert_eq!(joined(pieces), format!("{long}\nnext\nlast\n"));
    }

    proptest! {
        #[test]
        fn chunks_do_not_change_the_lines(text in "[a-zü\n]{0,200}", cuts in proptest::collection::vec(0usize..200, 0..8)) {
            let mut whole = Lines::default();
            let mut expected = whole.push(text.as_bytes());
            expected.extend(whole.finish());
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.sort_unstable();
            let (mut lines, mut pieces, mut from) = (Lines::default(), vec![], 0);
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.extend(lines.push(&text.as_bytes()[from..cut]));
                from = cut;
            }
            pieces.extend(lines.finish());
            prop_assert_eq!(pieces, expected);
        }
    }
}
