//! Diagnostics: what is wrong in a file that somebody wrote, where, why, and what to write instead.
//!
//! Knows text and positions only; it must not know any dialect. Sole owner of the renderer (`annotate-snippets`).

use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// Index of a file in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId(pub u16);

/// A half-open byte range in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span {
            file,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }

    /// A span inside this one: `start..end` count from this span's first byte and are cut at its end.
    pub fn within(self, start: usize, end: usize) -> Self {
        let base = self.start as usize;
        let last = self.end as usize;
        Span::new(self.file, (base + start).min(last), (base + end).min(last))
    }
}

/// One file's text, as it was read. `path` is relative to the repository's root and uses `/`.
#[derive(Debug)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

/// The files that spans point into.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Arc<SourceFile>>,
    /// Per file, where its lines begin, so that a place is found without reading the file again.
    lines: Vec<Arc<[u32]>>,
}

impl Sources {
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        let text = text.into();
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)));
        self.lines.push(starts.collect());
        self.files.push(Arc::new(SourceFile {
            path: path.into(),
            text,
        }));
        id
    }

    pub fn get(&self, id: FileId) -> Option<&Arc<SourceFile>> {
        self.files.get(usize::from(id.0))
    }

    /// File, line and column of a span's first byte, all for people: lines and columns (in characters) count from 1.
    pub fn locate(&self, span: Span) -> Origin {
        let Some(file) = self.get(span.file) else {
            return Origin::default();
        };
        let mut at = (span.start as usize).min(file.text.len());
        while !file.text.is_char_boundary(at) {
            at -= 1;
        }
        let starts = &self.lines[usize::from(span.file.0)];
        let line = starts.partition_point(|start| *start as usize <= at);
        let line_start = starts.get(line.saturating_sub(1)).map_or(0, |start| *start as usize);
        let column = file.text[line_start..at].chars().count() + 1;
        Origin {
            file: file.path.as_str().into(),
            line: line as u32,
            column: column as u32,
        }
    }
}

/// Where something in a plan was written; survives after the text is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Origin {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl Default for Origin {
    fn default() -> Self {
        Origin {
            file: "".into(),
            line: 0,
            column: 0,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot run.
    Error,
    /// The file runs, but not as its author may think.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    span: Span,
    text: String,
    primary: bool,
}

/// One finding in a file: a stable `code`, what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    labels: Vec<Label>,
    help: Vec<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            labels: vec![],
            help: vec![],
        }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(code, message)
        }
    }

    /// The place that is wrong, with a few words drawn under it.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary: true,
        });
        self
    }

    /// A second place that explains the first.
    #[must_use]
    pub fn see(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary: false,
        });
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The first primary place, if any.
    pub fn span(&self) -> Option<Span> {
        self.labels.iter().find(|label| label.primary).map(|label| label.span)
    }

    pub fn hints(&self) -> &[String] {
        &self.help
    }

    /// `file:line:col: error[code]: message`, for lists and statuses.
    pub fn one_line(&self, sources: &Sources) -> String {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match self.span() {
            Some(span) => format!("{}: {word}[{}]: {}", sources.locate(span), self.code, self.message),
            None => format!("{word}[{}]: {}", self.code, self.message),
        }
    }

    /// `{severity, code, message, file, line, column, help}`, for programs.
    pub fn to_json(&self, sources: &Sources) -> serde_json::Value {
        let origin = self.span().map(|span| sources.locate(span));
        serde_json::json!({
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "file": origin.as_ref().map(|origin| &origin.file),
            "line": origin.as_ref().map(|origin| origin.line),
            "column": origin.as_ref().map(|origin| origin.column),
            "help": self.help,
        })
    }

    /// The finding as the compiler draws it: message, file:line:col, the line itself, hints.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.message).id(self.code));
        let mut files: Vec<FileId> = Vec::new();
        for label in &self.labels {
            if !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        for id in files {
            let Some(file) = sources.get(id) else { continue };
            let mut snippet = Snippet::source(file.text.as_str()).path(file.path.as_str());
            for label in self.labels.iter().filter(|label| label.span.file == id) {
                let kind = if label.primary {
                    AnnotationKind::Primary
                } else {
                    AnnotationKind::Context
                };
                snippet = snippet.annotation(kind.span(drawable(&file.text, label.span)).label(label.text.as_str()));
            }
            group = group.element(snippet);
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// A span that the renderer can draw: on character boundaries and inside the text.
fn drawable(text: &str, span: Span) -> std::ops::Range<usize> {
    let mut start = (span.start as usize).min(text.len());
    let mut end = (span.end as usize).clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// The candidate a person most likely meant, if one is near enough to say so.
pub fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let lowered = word.to_lowercase();
    candidates
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lowered, &candidate.to_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().max(word.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_drawn_with_its_line_and_hint() {
        let mut sources = Sources::default();
        let text = "jobs:\n  deploy:\n    needs: [tets]\n";
        let file = sources.add("ci.yml", text);
        let at = text.find("tets").unwrap_or(0);
        let found = Diagnostic::error(
            "unknown-need",
            "job `deploy` needs `tets`, which this file does not define",
        )
        .at(Span::new(file, at, at + 4), "no such job")
        .help("did you mean `test`?");
        insta::assert_snapshot!(found.render(&sources, false), @r"
        error[unknown-need]: job `deploy` needs `tets`, which this file does not define
         --> ci.yml:3:13
          |
        3 |     needs: [tets]
          |             ^^^^ no such job
          |
          = help: did you mean `test`?
        ");
        assert_eq!(
            sources.locate(found.span().unwrap_or_default()).to_string(),
            "ci.yml:3:13"
        );
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(closest("tets", &["test", "deploy"]), Some("test"));
        assert_eq!(closest("frobnicate", &["test", "deploy"]), None);
    }
}
