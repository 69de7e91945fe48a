//! The way out: frames in order, in a bounded buffer, written as the reader takes them.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Stdout, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use crate::sys;
use crate::wire::{Body, CHUNK_BYTES_MAX, FileBack, FileState, Frame, Stream};

/// Once so much waits for the reader, steps are not read from any more: they block, memory does not grow.
const HELD_BYTES_MAX: usize = 256 * 1024;

pub struct Answers {
    to: Stdout,
    held: Vec<u8>,
    /// Bytes of `held` that are written already.
    written: usize,
    seq: u64,
    begun: Instant,
    /// Nobody can read any more.
    is_closed: bool,
}

impl Answers {
    pub fn new() -> io::Result<Self> {
        let to = stdout();
        sys::set_nonblocking(&to)?;
        Ok(Answers {
            to,
            held: Vec::new(),
            written: 0,
            seq: 0,
            begun: Instant::now(),
            is_closed: false,
        })
    }

    pub fn stdout(&self) -> &Stdout {
        &self.to
    }

    /// Whether a step may be read from.
    pub fn has_room(&self) -> bool {
        self.held.len() - self.written < HELD_BYTES_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty() || self.is_closed
    }

    pub fn say(&mut self, step: u32, body: Body) {
        if self.is_closed {
            return;
        }
        let frame = Frame {
            step,
            seq: self.seq,
            at_ms: self.begun.elapsed().as_millis() as u64,
            body,
        };
        self.seq += 1;
        frame.encode(&mut self.held);
    }

    pub fn output(&mut self, step: u32, stream: Stream, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
            self.say(
                step,
                Body::Output {
                    stream,
                    bytes: chunk.to_vec(),
                },
            );
        }
        self.flush();
    }

    /// One file that was asked back, then how that went.
    pub fn file(&mut self, step: u32, index: u32, wanted: &FileBack) {
        let state = match self.file_parts(step, index, wanted) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::NotFound => FileState::Missing,
            Err(error) if fs::symlink_metadata(&wanted.path).is_ok_and(|found| !found.is_file()) => {
                let _ = error;
                FileState::NotAFile
            }
            Err(error) => FileState::Unreadable(error.raw_os_error().unwrap_or(0)),
        };
        self.say(step, Body::FileEnd { index, state });
    }

    fn file_parts(&mut self, step: u32, index: u32, wanted: &FileBack) -> io::Result<FileState> {
        // Not blocking, so that a pipe put in its place does not hold the shim.
        let from = OpenOptions::new()
            .read(true)
            .custom_flags(sys::O_NOFOLLOW | sys::O_NONBLOCK)
            .open(&wanted.path)?;
        let found = from.metadata()?;
        if !found.is_file() {
            return Ok(FileState::NotAFile);
        }
        let mut bytes = Vec::new();
        from.take(wanted.bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > wanted.bytes_max {
            return Ok(FileState::TooLong(found.len().max(bytes.len() as u64)));
        }
        for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
            self.say(
                step,
                Body::FilePart {
                    index,
                    bytes: chunk.to_vec(),
                },
            );
        }
        Ok(FileState::Whole)
    }

    /// Writes what the reader takes without waiting.
    pub fn flush(&mut self) {
        while self.written < self.held.len() && !self.is_closed {
            match sys::write_some(&self.to, &self.held[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A reader that is always a little behind: what it has taken goes all the same.
                    if self.written >= HELD_BYTES_MAX {
                        self.held.drain(..self.written);
                        self.written = 0;
                    }
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The daemon is gone and takes this container along; the step itself need not fail for it.
                Err(_) => self.is_closed = true,
            }
        }
        self.held.clear();
        self.written = 0;
    }
}
