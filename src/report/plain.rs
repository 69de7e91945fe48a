//! `-o plain`: lines as they come, each prefixed with its job. For logs of other systems and for reading back.

use std::io::Write;

use super::Show;
use super::ansi::tame;
use super::tree::{self, Colour, status_line, word};
use super::view::PipelineView;
use crate::engine::{EventKind, PipelineEvent};

pub struct Plain<W> {
    out: W,
    colour: Colour,
    quiet: Quiet,
    view: PipelineView,
    /// Whether the last log line of a job is still open.
    open: Option<std::sync::Arc<str>>,
}

/// Whether steps' own output is shown as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    No,
    Yes,
}

impl<W: Write + Send> Plain<W> {
    pub fn new(out: W, colour: Colour, quiet: Quiet) -> Self {
        Plain {
            out,
            colour,
            quiet,
            view: PipelineView::default(),
            open: None,
        }
    }

    /// A reader that went away ends by itself; the pipeline must not.
    fn line(&mut self, text: &str) {
        if self.open.take().is_some() {
            let _ = self.out.write_all(b"\n");
        }
        let _ = writeln!(self.out, "{text}");
    }

    fn log(&mut self, job: &std::sync::Arc<str>, line: &str, continues: bool) {
        if self.quiet == Quiet::Yes {
            return;
        }
        let text = tame(line, self.colour.is_on());
        if self.open.as_ref() != Some(job) {
            if self.open.take().is_some() {
                let _ = self.out.write_all(b"\n");
            }
            let _ = write!(self.out, "{} | ", tame(job, false));
        }
        let _ = self.out.write_all(text.as_bytes());
        self.open = continues.then(|| job.clone());
        if !continues {
            let _ = self.out.write_all(b"\n");
        }
    }
}

impl<W: Write + Send> Show for Plain<W> {
    fn show(&mut self, event: &PipelineEvent) {
        self.view.apply(event);
        match &event.kind {
            EventKind::Log {
                job, line, continues, ..
            } => self.log(job, line, *continues),
            EventKind::StepStarted { job, name, .. } => {
                self.line(&tame(&format!("{job} > {name}"), false));
            }
            EventKind::StepFinished {
                job,
                name,
                status,
                duration_ms,
                ..
            } => {
                let took = std::time::Duration::from_millis(*duration_ms);
                self.line(&status_line(
                    word(*status),
                    Some(took),
                    &tame(&format!("{job} > {name}"), false),
                ));
            }
            EventKind::JobSkipped { job, .. } | EventKind::JobFinished { job, .. } => {
                if let Some(view) = self.view.jobs.get(job) {
                    let line = tree::job_line(job, view, event.at, self.colour);
                    self.line(&line);
                }
            }
            EventKind::PipelineFinished { .. } => {
                for line in tree::summary(&self.view, self.colour) {
                    self.line(&line);
                }
            }
            EventKind::PipelineStarted { .. }
            | EventKind::JobQueued { .. }
            | EventKind::JobStarted { .. }
            | EventKind::Annotation { .. }
            | EventKind::ImageBuilt { .. }
            | EventKind::ImagePushed { .. } => {}
        }
    }

    fn finish(&mut self) {
        let _ = self.out.flush();
    }
}
