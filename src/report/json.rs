//! `-o json`: the event stream, one object a line.

use std::io::Write;

use super::Show;
use crate::engine::PipelineEvent;

pub struct Json<W> {
    out: W,
}

impl<W: Write + Send> Json<W> {
    pub fn new(out: W) -> Self {
        Json { out }
    }
}

impl<W: Write + Send> Show for Json<W> {
    fn show(&mut self, event: &PipelineEvent) {
        // A reader that went away ends by itself; the pipeline must not.
        if serde_json::to_writer(&mut self.out, event).is_ok() {
            let _ = self.out.write_all(b"\n");
        }
    }

    fn finish(&mut self) {
        let _ = self.out.flush();
    }
}
