//! What can be wrong with a file as YAML.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::{ALIASES_MAX, DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX, Node};
use crate::diag::{Diagnostic, FileId, Span};

pub(super) fn too_large(file: FileId, bytes: usize) -> Diagnostic {
    let what = format!("the file has {bytes} bytes; at most {FILE_BYTES_MAX} are read");
    Diagnostic::error("yaml-limit", what).at(Span::new(file, 0, 0), "this file")
}

pub(super) fn too_many_nodes(at: Span) -> Diagnostic {
    let what = format!("the file holds more than {NODES_MAX} values, aliases counted as what they stand for");
    Diagnostic::error("yaml-limit", what)
        .at(at, "the limit is passed here")
        .help("split the pipeline into several files")
}

pub(super) fn too_many_aliases(at: Span) -> Diagnostic {
    let what = format!("the file holds more than {ALIASES_MAX} aliases");
    Diagnostic::error("yaml-limit", what).at(at, "the limit is passed here")
}

pub(super) fn too_deep(at: Span) -> Diagnostic {
    let what = format!("the file nests more than {DEPTH_MAX} levels deep");
    Diagnostic::error("yaml-limit", what).at(at, "the limit is passed here")
}

pub(super) fn alias_inside_itself(at: Span) -> Diagnostic {
    Diagnostic::error("yaml-alias", "an alias stands inside the value that it stands for").at(at, "would never end")
}

pub(super) fn unknown_alias(name: &str, at: Span) -> Diagnostic {
    let what = format!("no anchor `&{name}` stands before the alias `*{name}`");
    Diagnostic::error("yaml-alias", what)
        .at(at, "no such anchor")
        .help("text that begins with `*` needs quotes; an alias needs its anchor (`&name`) further up in the same file")
}

pub(super) fn key_is_no_text(at: Span) -> Diagnostic {
    let found = Diagnostic::error("yaml-key", "a key must be text, not a list or a mapping").at(at, "used as a key");
    found.help("text that begins with `[` or `{` needs quotes, as in \"{{ name }}\"")
}

pub(super) fn key_twice(key: &str, at: Span, first: Span) -> Diagnostic {
    Diagnostic::error("duplicate-key", format!("the key `{key}` stands twice in one mapping"))
        .at(at, "again here")
        .see(first, "first here")
        .help("keep one of them; YAML has no way to mean both")
}

pub(super) fn merge_of_no_mapping(node: &Node) -> Diagnostic {
    let what = format!("`<<` takes a mapping or a list of mappings, not {}", node.what());
    Diagnostic::error("yaml-merge", what).at(node.alias.unwrap_or(node.head), "no mapping")
}

/// A place where the text stops being YAML. Says it in a user's words where the mistake is a common one.
pub(super) fn syntax(file: FileId, text: &str, error: &ScanError) -> Diagnostic {
    let mut at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(Span::new(file, at, at + 1));
    }
    let (what, help) = told(error);
    // At the end of the file there is nothing to draw under: show the last line that says something.
    let at = if text[at..].trim().is_empty() {
        text.trim_end().len()
    } else {
        at
    };
    let end = text[at..].chars().next().map_or(at, |first| at + first.len_utf8());
    let found = Diagnostic::error("yaml", what).at(Span::new(file, at, end), "here");
    match help {
        Some(help) => found.help(help),
        None => found,
    }
}

fn told(error: &ScanError) -> (String, Option<&'static str>) {
    let say = |what: &str, help: &'static str| (what.to_owned(), Some(help));
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => say("a tab stands where YAML wants spaces", "indent with spaces"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            say("a quote is opened and never closed", "close it with the same quote")
        }
        ErrorKind::UnclosedFlowCollection { open } => (
            format!("a `{open}` is opened and never closed"),
            Some("close it, or put quotes around the text"),
        ),
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => say(
            "a list in brackets wants `,` or `]` here",
            "close the bracket, or put quotes around the text",
        ),
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::ExpectedFlowMappingSeparator => say(
            "a mapping in braces wants `,` or `}` here",
            "close the brace, or put quotes around the text",
        ),
        ErrorKind::UnexpectedCharacter { character } => (
            format!("no value can begin with `{}`", character.escape_default()),
            Some("put quotes around the text"),
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => say(
            "a `:` stands where no key can be",
            "put quotes around text that holds `: `, or begin the key on a line of its own",
        ),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::BlockSequenceEntryNotAllowed => say(
            "this line does not fit the lines above it",
            "keys of one mapping stand in one column; a key ends in `:`, a list item begins with `- `",
        ),
        ErrorKind::UnknownQuotedScalarEscape => say(
            "this escape does not exist in double quotes",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        _ => (format!("this is not YAML: {}", error.info()), None),
    }
}
