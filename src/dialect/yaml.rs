//! YAML as a tree with places: the only module that knows the YAML crate.
//!
//! A file that strangers push is bounded before and while it is read: bytes, nodes (aliases counted as what they stand
//! for), depth, aliases. Nothing here recurses over the input. Two equal keys are both named; `<<` is worked in.

mod mistakes;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle};

use crate::diag::{Diagnostic, FileId, Span};

pub use write::{same, write};

/// A larger file is refused before it is parsed.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Nodes of one file; an alias counts as everything it stands for.
pub const NODES_MAX: u32 = 50_000;
/// Collections inside collections, aliases followed.
pub const DEPTH_MAX: u16 = 64;
pub const ALIASES_MAX: u32 = 1_000;

/// One value of a file with its place.
/// * `span`: the value's text; through an alias, the text at the anchor.
/// * `head`: the part of `span` on its first line: what is drawn.
/// * `alias`: the `*name` through which it came here, if it did.
#[derive(Debug, Clone)]
pub struct Node {
    pub span: Span,
    pub head: Span,
    pub alias: Option<Span>,
    pub tag: Option<Tag>,
    pub content: Content,
    weight: u32,
    height: u16,
}

#[derive(Debug, Clone)]
pub enum Content {
    Scalar(Scalar),
    List(Arc<Vec<Node>>),
    Map(Arc<Vec<Entry>>),
}

/// * `text`: as it stands in the file after quotes, escapes and folding; `3.10` stays `3.10`. Empty for an absent value.
/// * `plain`: written without quotes and not as a block, so that `true` means the boolean.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub text: Arc<str>,
    pub plain: bool,
}

/// What a scalar means in YAML 1.2's core schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    Null,
    Bool(bool),
    Number(f64),
    Text,
}

/// An explicit tag as written, e.g. `!reference`.
#[derive(Debug, Clone)]
pub struct Tag {
    pub name: Arc<str>,
    pub span: Span,
}

/// One key with its value. `merged`: the `<<` that brought it, if one did.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Arc<str>,
    pub key_span: Span,
    pub value: Node,
    pub merged: Option<Span>,
}

impl Node {
    /// What a person calls it: `a list`, `a mapping`, `text`, `nothing`, ...
    pub fn what(&self) -> &'static str {
        match &self.content {
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
            Content::Scalar(scalar) => match self.meaning_of(scalar) {
                Meaning::Null => "nothing",
                Meaning::Bool(_) => "a boolean",
                Meaning::Number(_) => "a number",
                Meaning::Text => "text",
            },
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if self.meaning_of(scalar) == Meaning::Null)
    }

    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            Content::List(_) | Content::Scalar(_) => None,
        }
    }

    pub fn items(&self) -> Option<&[Node]> {
        match &self.content {
            Content::List(items) => Some(items),
            Content::Map(_) | Content::Scalar(_) => None,
        }
    }

    pub fn scalar(&self) -> Option<(&Scalar, Meaning)> {
        match &self.content {
            Content::Scalar(scalar) => Some((scalar, self.meaning_of(scalar))),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?
            .iter()
            .find(|entry| &*entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The same mapping with some entries only.
    pub fn only(&self, keep: impl Fn(&Entry) -> bool) -> Node {
        match &self.content {
            Content::Map(entries) => {
                let kept = entries.iter().filter(|entry| keep(entry)).cloned().collect();
                Node {
                    content: Content::Map(Arc::new(kept)),
                    ..self.clone()
                }
            }
            Content::List(_) | Content::Scalar(_) => self.clone(),
        }
    }

    fn meaning_of(&self, scalar: &Scalar) -> Meaning {
        match self.tag.as_ref().map(|tag| &*tag.name) {
            Some("!!str" | "!") => Meaning::Text,
            _ if scalar.plain => meaning(&scalar.text),
            _ => Meaning::Text,
        }
    }
}

/// YAML 1.2 core schema: what an unquoted text means.
pub fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" => Meaning::Bool(true),
        "false" | "False" | "FALSE" => Meaning::Bool(false),
        _ => number(text).map_or(Meaning::Text, Meaning::Number),
    }
}

fn number(text: &str) -> Option<f64> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|value| value as f64);
    if let Some(octal) = text.strip_prefix("0o") {
        return radix(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return radix(hex, 16);
    }
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    match bare {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let starts_right = bare.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let made_right = bare
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    if starts_right && made_right {
        text.parse().ok()
    } else {
        None
    }
}

/// The documents of a file and everything wrong with it as YAML. With a mistake the tree holds what was understood.
#[derive(Debug, Default)]
pub struct Parsed {
    pub documents: Vec<Node>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses one file. Never fails, never hangs: what cannot be read is a diagnostic.
pub fn parse(file: FileId, text: &str) -> Parsed {
    if text.len() > FILE_BYTES_MAX {
        return Parsed {
            documents: vec![],
            diagnostics: vec![mistakes::too_large(file, text.len())],
        };
    }
    let mut options = granit_parser::Options::default();
    options.emit_unresolved_aliases = true;
    let mut builder = Builder::new(file, text);
    for next in Parser::new_from_str_with_options(text, options) {
        let done = match next {
            Ok((event, place)) => builder.take(event, &place),
            Err(error) => Err(mistakes::syntax(file, text, &error)),
        };
        if let Err(diagnostic) = done {
            builder.parsed.diagnostics.push(diagnostic);
            break;
        }
    }
    builder.parsed
}

/// The place of `range` of a scalar's text, where the file shows it; else the scalar's first line.
pub fn place_within(source: &str, node: &Node, range: std::ops::Range<usize>) -> Span {
    let Content::Scalar(scalar) = &node.content else {
        return node.head;
    };
    let Some(raw) = source.get(node.span.start as usize..node.span.end as usize) else {
        return node.head;
    };
    let found = offset_within(raw, &scalar.text, range.start).and_then(|start| {
        Some((
            start,
            offset_within(raw, &scalar.text, range.end).filter(|end| *end >= start)?,
        ))
    });
    let found = found.or_else(|| {
        let wanted = scalar.text.get(range.clone()).filter(|wanted| !wanted.is_empty())?;
        let mut matches = raw.match_indices(wanted);
        let (start, _) = matches.next()?;
        matches.next().is_none().then_some((start, start + wanted.len()))
    });
    match found {
        Some((start, end)) => node.span.within(start, end),
        None => node.head,
    }
}

/// Where the byte `at` of a scalar's text stands in its source `raw`.
fn offset_within(raw: &str, text: &str, at: usize) -> Option<usize> {
    if raw == text {
        return Some(at);
    }
    if raw.len() == text.len() + 2 && raw.get(1..raw.len() - 1) == Some(text) {
        return Some(at + 1);
    }
    // A literal block: its lines stand in the source as they are, behind an indentation.
    let before = text.get(..at)?;
    let line_number = before.matches('\n').count();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].split('\n').next()?;
    let mut raw_start = 0;
    let mut lines = raw.split('\n').enumerate();
    if raw.starts_with(['|', '>']) {
        let (_, header) = lines.next()?;
        raw_start = header.len() + 1;
    }
    let (_, raw_line) = lines
        .inspect(|(_, raw_line)| raw_start += raw_line.len() + 1)
        .nth(line_number)?;
    let raw_line_start = raw_start - raw_line.len() - 1;
    let shown = raw_line.strip_suffix('\r').unwrap_or(raw_line);
    let indent = shown.strip_suffix(line)?.len();
    shown[..indent]
        .bytes()
        .all(|byte| byte == b' ')
        .then_some(raw_line_start + indent + at - line_start)
}

/// A collection that is being read.
struct Open {
    kind: Kind,
    anchor: usize,
    tag: Option<Tag>,
    start: Span,
    weight: u32,
    height: u16,
}

enum Kind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(Arc<str>, Span)>,
    },
}

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    parsed: Parsed,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: u32,
    aliases: u32,
}

impl<'a> Builder<'a> {
    fn new(file: FileId, text: &'a str) -> Self {
        Builder {
            file,
            text,
            parsed: Parsed::default(),
            open: vec![],
            anchors: HashMap::new(),
            nodes: 0,
            aliases: 0,
        }
    }

    /// An error ends the parse.
    fn take(&mut self, event: Event<'_>, place: &granit_parser::Span) -> Result<(), Diagnostic> {
        let span = self.span(place);
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) => Ok(()),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, span)?;
                // An absent value comes as `~` that no text stands for.
                let text = if span.start == span.end { "".into() } else { text };
                let tag = self.tag(tag.as_deref(), place, span);
                let plain = matches!(style, ScalarStyle::Plain);
                let span = if plain || matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
                    span
                } else {
                    self.trimmed(span)
                };
                let content = Content::Scalar(Scalar {
                    text: text.as_ref().into(),
                    plain,
                });
                let node = Node {
                    span,
                    head: self.head(span),
                    alias: None,
                    tag,
                    content,
                    weight: 1,
                    height: 0,
                };
                self.anchor(anchor, &node);
                self.add(node)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open_collection(Kind::List(vec![]), anchor, tag.as_deref(), place)
            }
            Event::MappingStart(_, anchor, tag) => self.open_collection(
                Kind::Map {
                    entries: vec![],
                    key: None,
                },
                anchor,
                tag.as_deref(),
                place,
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close_collection(span),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    self.parsed.diagnostics.push(mistakes::alias_inside_itself(span));
                    return self.add(self.nothing(span));
                };
                self.aliases += 1;
                if self.aliases > ALIASES_MAX {
                    return Err(mistakes::too_many_aliases(span));
                }
                self.count(node.weight, span)?;
                self.add(Node {
                    alias: Some(span),
                    ..node
                })
            }
            Event::UnresolvedAlias(name) => {
                self.parsed.diagnostics.push(mistakes::unknown_alias(&name, span));
                self.add(self.nothing(span))
            }
            // The crate's enum may grow; comments and the like carry no value.
            _ => Ok(()),
        }
    }

    fn open_collection(
        &mut self,
        kind: Kind,
        anchor: usize,
        tag: Option<&granit_parser::Tag>,
        place: &granit_parser::Span,
    ) -> Result<(), Diagnostic> {
        let start = self.span(place);
        self.count(1, start)?;
        if self.open.len() >= usize::from(DEPTH_MAX) {
            return Err(mistakes::too_deep(start));
        }
        let tag = self.tag(tag, place, start);
        self.open.push(Open {
            kind,
            anchor,
            tag,
            start,
            weight: 1,
            height: 1,
        });
        Ok(())
    }

    fn close_collection(&mut self, end: Span) -> Result<(), Diagnostic> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let span = self.trimmed(Span {
            end: end.end.max(open.start.end),
            ..open.start
        });
        let content = match open.kind {
            Kind::List(items) => Content::List(Arc::new(items)),
            Kind::Map { entries, .. } => Content::Map(Arc::new(self.worked_in(entries))),
        };
        let node = Node {
            span,
            head: self.head(span),
            alias: None,
            tag: open.tag,
            content,
            weight: open.weight,
            height: open.height,
        };
        self.anchor(open.anchor, &node);
        self.add(node)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node) -> Result<(), Diagnostic> {
        let depth = self.open.len();
        let Some(open) = self.open.last_mut() else {
            self.parsed.documents.push(node);
            return Ok(());
        };
        open.weight = open.weight.saturating_add(node.weight);
        open.height = open.height.max(node.height.saturating_add(1));
        if depth + usize::from(node.height) > usize::from(DEPTH_MAX) {
            return Err(mistakes::too_deep(node.alias.unwrap_or(node.head)));
        }
        match &mut open.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, key } => match key.take() {
                Some((key, key_span)) => entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                    merged: None,
                }),
                None => {
                    let text = match &node.content {
                        Content::Scalar(scalar) => scalar.text.clone(),
                        Content::List(_) | Content::Map(_) => {
                            self.parsed.diagnostics.push(mistakes::key_is_no_text(node.head));
                            "".into()
                        }
                    };
                    *key = Some((text, node.alias.unwrap_or(node.head)));
                }
            },
        }
        Ok(())
    }

    /// A mapping's entries with `<<` worked in and equal keys complained of: the first of them stays.
    fn worked_in(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut places: HashMap<Arc<str>, Span> = HashMap::with_capacity(entries.len());
        let mut merges = false;
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            let is_merge = &*entry.key == "<<";
            merges |= is_merge;
            match places.get(&entry.key) {
                Some(first) if !is_merge => {
                    self.parsed
                        .diagnostics
                        .push(mistakes::key_twice(&entry.key, entry.key_span, *first));
                }
                Some(_) | None => {
                    places.insert(entry.key.clone(), entry.key_span);
                    kept.push(entry);
                }
            }
        }
        if !merges {
            return kept;
        }
        let mut out: Vec<Entry> = vec![];
        for entry in kept {
            if &*entry.key != "<<" {
                out.push(entry);
                continue;
            }
            let sources: &[Node] = match &entry.value.content {
                Content::List(items) => items,
                Content::Map(_) | Content::Scalar(_) => std::slice::from_ref(&entry.value),
            };
            for source in sources {
                let Some(merged) = source.entries() else {
                    self.parsed.diagnostics.push(mistakes::merge_of_no_mapping(source));
                    continue;
                };
                for from in merged {
                    if !places.contains_key(&from.key) {
                        places.insert(from.key.clone(), from.key_span);
                        out.push(Entry {
                            merged: Some(entry.key_span),
                            ..from.clone()
                        });
                    }
                }
            }
        }
        out
    }

    fn anchor(&mut self, id: usize, node: &Node) {
        if id != 0 {
            self.anchors.insert(id, node.clone());
        }
    }

    fn count(&mut self, nodes: u32, at: Span) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            Err(mistakes::too_many_nodes(at))
        } else {
            Ok(())
        }
    }

    fn nothing(&self, at: Span) -> Node {
        let content = Content::Scalar(Scalar {
            text: "".into(),
            plain: true,
        });
        Node {
            span: at,
            head: at,
            alias: None,
            tag: None,
            content,
            weight: 1,
            height: 0,
        }
    }

    fn tag(&self, tag: Option<&granit_parser::Tag>, place: &granit_parser::Span, node: Span) -> Option<Tag> {
        let tag = tag?;
        let span = place.tag_span().map_or(node, |span| self.span(&span));
        Some(Tag {
            name: tag.original().as_str().into(),
            span,
        })
    }

    fn span(&self, place: &granit_parser::Span) -> Span {
        let range = place.byte_range().unwrap_or(0..0);
        Span::new(self.file, range.start, range.end)
    }

    /// Without the blank space and line ends that block notation carries along.
    fn trimmed(&self, span: Span) -> Span {
        let Some(text) = self.text.get(span.start as usize..span.end as usize) else {
            return span;
        };
        span.within(0, text.trim_end().len())
    }

    fn head(&self, span: Span) -> Span {
        let Some(text) = self.text.get(span.start as usize..span.end as usize) else {
            return span;
        };
        span.within(0, text.lines().next().map_or(0, str::len))
    }
}
