//! `-o pretty`: a live tree of jobs on a terminal, redrawn in place, with the tail of what runs.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Show;
use super::ansi::tame;
use super::tree::{self, Colour};
use super::view::PipelineView;
use crate::clock::Clock;
use crate::engine::{PipelineEvent, Status};

/// Between two drawings; people see no more, terminals cost time.
const REDRAW: Duration = Duration::from_millis(80);
/// Lines of a running step's output that are shown under it.
const TAIL: usize = 3;

/// Draws to a terminal. `size` says rows and columns at the moment of drawing.
pub struct Live {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> (usize, usize) + Send>,
    clock: Arc<dyn Clock>,
    colour: Colour,
    view: PipelineView,
    drawn: usize,
    last: Option<Instant>,
    done: bool,
}

impl Live {
    pub fn new(
        out: Box<dyn Write + Send>,
        size: Box<dyn Fn() -> (usize, usize) + Send>,
        clock: Arc<dyn Clock>,
        colour: Colour,
    ) -> Self {
        let view = PipelineView::default();
        let inner = Inner {
            out,
            size,
            clock,
            colour,
            view,
            drawn: 0,
            last: None,
            done: false,
        };
        Live {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Redraws as time goes by, so that running clocks move; ends when the pipeline does.
    pub fn ticking(&self) -> impl Future<Output = ()> + Send + 'static {
        let inner = self.inner.clone();
        async move {
            loop {
                tokio::time::sleep(REDRAW).await;
                let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
                if inner.done {
                    return;
                }
                inner.draw();
            }
        }
    }
}

impl Show for Live {
    fn show(&mut self, event: &PipelineEvent) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.view.apply(event);
        if inner.last.is_none_or(|last| last.elapsed() >= REDRAW) {
            inner.draw();
        }
    }

    fn finish(&mut self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).finish();
    }
}

impl Inner {
    fn draw(&mut self) {
        let (rows, columns) = (self.size)();
        let mut lines = tree::lines(&self.view, self.clock.now(), self.colour);
        lines.extend(self.tails());
        // What does not fit above the last row would scroll away and could not be redrawn.
        let most = rows.saturating_sub(1).max(4);
        if lines.len() > most {
            let hidden = lines.len() - most + 1;
            lines.drain(1..=hidden);
            lines.insert(1, format!("             … {hidden} lines above"));
        }
        self.put(&lines, columns);
        self.last = Some(Instant::now());
    }

    fn tails(&self) -> Vec<String> {
        let mut lines = vec![];
        for (name, job) in self.view.shown_jobs().filter(|(_, job)| job.status == Status::Running) {
            let running = job.steps.iter().find(|step| step.status == Status::Running);
            let (title, tail) = match running {
                Some(step) => (format!("{name} > {}", step.name), &step.tail),
                None => (name.to_string(), &job.said),
            };
            if tail.is_empty() {
                continue;
            }
            lines.push(tame(&format!("   {title}"), false));
            let from = tail.len().saturating_sub(TAIL);
            lines.extend(
                tail.iter()
                    .skip(from)
                    .map(|line| format!("   │ {}", tame(line, self.colour.is_on()))),
            );
        }
        lines
    }

    fn put(&mut self, lines: &[String], columns: usize) {
        let mut frame = String::new();
        if self.drawn > 0 {
            frame.push_str(&format!("\u{1b}[{}A\r\u{1b}[J", self.drawn));
        }
        for line in lines {
            frame.push_str(&cut(line, columns));
            frame.push('\n');
        }
        self.drawn = lines.len();
        // A terminal that went away ends by itself; the pipeline must not.
        let _ = self.out.write_all(frame.as_bytes());
        let _ = self.out.flush();
    }

    fn finish(&mut self) {
        if self.done {
            return;
        }
        self.done = true;
        let mut lines = tree::lines(&self.view, self.clock.now(), self.colour);
        lines.extend(tree::summary(&self.view, self.colour));
        self.put(&lines, usize::MAX);
    }
}

/// The line's first `columns` visible characters; colour codes take no room and stay whole.
fn cut(line: &str, columns: usize) -> String {
    let mut out = String::with_capacity(line.len());
    let mut width = 0;
    let mut in_code = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => in_code = true,
            _ if in_code => in_code = c != 'm',
            '\t' => {
                width += 1;
                if width <= columns {
                    out.push(' ');
                }
                continue;
            }
            _ => {
                width += 1;
                if width > columns {
                    continue;
                }
            }
        }
        out.push(c);
    }
    out
}
