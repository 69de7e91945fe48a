//! What processes that a step left running still print: shown between the lines of whichever step runs then.

use bytes::Bytes;

use crate::executor::{LogSink, Stream};

/// So much waits for a good moment; what comes on top is dropped and said to be.
const HELD_BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
pub struct Late {
    stdout: Held,
    stderr: Held,
}

impl Late {
    pub fn add(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stderr => self.stderr.add(bytes),
            Stream::Stdout | Stream::System => self.stdout.add(bytes),
        }
    }

    /// Writes the whole lines that wait: call it where a line may begin, so that none of the step's own is torn.
    pub async fn write_lines(&mut self, logs: &dyn LogSink) {
        for (stream, held) in [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)] {
            if let Some(lines) = held.take_lines() {
                logs.write(stream, lines).await;
            }
        }
    }
}

#[derive(Default)]
struct Held {
    held: Vec<u8>,
    dropped: usize,
}

impl Held {
    fn add(&mut self, bytes: &[u8]) {
        let room = HELD_BYTES_MAX - self.held.len().min(HELD_BYTES_MAX);
        let kept = bytes.len().min(room);
        self.held.extend_from_slice(&bytes[..kept]);
        self.dropped += bytes.len() - kept;
    }

    fn take_lines(&mut self) -> Option<Bytes> {
        if self.dropped > 0 {
            let note = format!(
                "\n[{} bytes of processes in the background are left out]\n",
                self.dropped
            );
            self.held.extend_from_slice(note.as_bytes());
            self.dropped = 0;
        }
        let end = self.held.iter().rposition(|byte| *byte == b'\n')? + 1;
        let rest = self.held.split_off(end);
        Some(std::mem::replace(&mut self.held, rest).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_come_out() {
        let mut late = Held::default();
        late.add(b"one\ntw");
        assert_eq!(late.take_lines().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(late.take_lines(), None);
        late.add(b"o\n");
        assert_eq!(late.take_lines().as_deref(), Some(&b"two\n"[..]));
    }

    #[test]
    fn a_flood_is_cut_and_said_to_be() {
        let mut late = Held::default();
        late.add(&vec![b'x'; HELD_BYTES_MAX + 10]);
        let lines = late.take_lines().expect("lines");
        assert!(lines.ends_with(b"x\n[10 bytes of processes in the background are left out]\n"));
        assert_eq!(late.take_lines(), None);
    }
}
