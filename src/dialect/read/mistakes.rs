//! What can be wrong with the shape of a file, whatever its dialect.

use crate::diag::{Diagnostic, Span, closest};
use crate::dialect::yaml::Node;

pub(super) fn unknown_key(what: &str, key: &str, at: Span, known: &[&str], hint: Option<&str>) -> Diagnostic {
    let found = Diagnostic::error("unknown-key", format!("{what} has no key `{key}`")).at(at, "unknown key");
    match (hint, closest(key, known)) {
        (Some(hint), _) => found.help(hint),
        (None, Some(near)) => found.help(format!("did you mean `{near}`?")),
        (None, None) => found.help(format!("keys of {what}: {}", known.join(", "))),
    }
}

pub(super) fn wrong_kind(key: &str, node: &Node, takes: &str) -> Diagnostic {
    let what = match key {
        "" => format!("{} stands where {takes} is wanted", node.what()),
        key => format!("`{key}` is {}, but takes {takes}", node.what()),
    };
    with_alias(
        Diagnostic::error("wrong-type", what).at(node.head, format!("{} here", node.what())),
        node,
    )
}

pub(super) fn wrong_scalar(key: &str, node: &Node, text: &str, takes: &str, why: Option<String>) -> Diagnostic {
    let shown: String = text.chars().take(60).collect();
    let found = Diagnostic::error("wrong-value", format!("`{key}` takes {takes}, not `{shown}`"));
    let found = with_alias(found.at(node.head, why.as_deref().unwrap_or("not understood")), node);
    match text {
        "yes" | "on" | "y" if takes.contains("`true`") => found.help("write `true`"),
        "no" | "off" | "n" if takes.contains("`true`") => found.help("write `false`"),
        _ => found,
    }
}

pub(super) fn no_value(key: &str, at: Span, takes: &str) -> Diagnostic {
    Diagnostic::error("no-value", format!("`{key}` has no value; it takes {takes}"))
        .at(at, "nothing here")
        .help("write a value, or leave the key out")
}

pub(super) fn empty_item(key: &str, at: Span, takes: &str) -> Diagnostic {
    let what = format!("an item of `{key}` is empty; it takes {takes}");
    Diagnostic::error("no-value", what)
        .at(at, "nothing here")
        .help("write a value, or leave the item out")
}

fn with_alias(found: Diagnostic, node: &Node) -> Diagnostic {
    match node.alias {
        Some(alias) => found.see(alias, "used here"),
        None => found,
    }
}
