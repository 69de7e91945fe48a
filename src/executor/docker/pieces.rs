//! What a blocking thread writes (a tar), as a stream of pieces that an engine reads.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One piece on its way, and how many of them may wait.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_WAITING_MAX: usize = 8;

/// Starts the writer on a thread of its own. Its error is the stream's last item, so that no half of a thing is taken for
/// the whole; dropping the stream makes its next write fail with `BrokenPipe`.
pub(super) fn written(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> (mpsc::Receiver<io::Result<Bytes>>, JoinHandle<io::Result<()>>) {
    let (to, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    let writing = tokio::task::spawn_blocking(move || {
        let mut out = Pieces {
            to,
            piece: Vec::with_capacity(PIECE_BYTES),
        };
        let written = write(&mut out).and_then(|()| out.flush());
        if let Err(error) = &written {
            let _ = out
                .to
                .blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
        }
        written
    });
    (pieces, writing)
}

/// Cuts a stream of writes into pieces and hands them on; blocks while too many wait.
struct Pieces {
    to: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.to
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
