//! What an expression reads, with places: for dialects that check names before anything runs.

use super::node::{Key, Node, NodeKind};
use super::{Expr, Template};

/// One place where an expression reads a context, e.g. `needs.build.outputs.version`.
/// * `context`: lower case. * `path`: the names behind it, as far as the text tells them.
/// * `complete`: whether nothing follows the path that only evaluation would tell (`*`, a computed name).
/// * `start..end`: bytes of the expression's text (of the template's, for a template).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    pub context: String,
    pub path: Vec<String>,
    pub complete: bool,
    pub start: usize,
    pub end: usize,
}

impl Expr {
    /// Every place where a context is read, in the order they are written.
    pub fn reads(&self) -> Vec<Reads> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            collect(root, &mut found);
        }
        found
    }
}

impl Template {
    /// As [`Expr::reads`], of all expressions.
    pub fn reads(&self) -> Vec<Reads> {
        let mut found = Vec::new();
        for (expression, offset) in self.expressions() {
            for mut read in expression.reads() {
                read.start += offset;
                read.end += offset;
                found.push(read);
            }
        }
        found
    }
}

fn collect(node: &Node, found: &mut Vec<Reads>) {
    match &node.kind {
        NodeKind::Literal(_) => {}
        NodeKind::Context(_) | NodeKind::Index { .. } => {
            if let Some(read) = chain(node) {
                found.push(read);
            }
            keys(node, found);
        }
        NodeKind::Call {
            arguments: operands, ..
        }
        | NodeKind::All(operands)
        | NodeKind::Any(operands) => {
            for operand in operands {
                collect(operand, found);
            }
        }
        NodeKind::Not(inner) | NodeKind::Group(inner) => collect(inner, found),
        NodeKind::Compare { first, rest } => {
            collect(first, found);
            for (_, operand) in rest {
                collect(operand, found);
            }
        }
    }
}

/// The whole chain from a context to the last key; none if it begins with something else, such as a call.
fn chain(node: &Node) -> Option<Reads> {
    match &node.kind {
        NodeKind::Context(name) => Some(Reads {
            context: name.to_ascii_lowercase(),
            path: Vec::new(),
            complete: true,
            start: node.span.0,
            end: node.span.1,
        }),
        NodeKind::Index { of, key } => {
            let mut read = chain(of.ungrouped())?;
            let name = match key {
                Key::Name(name) => Some(name.clone()),
                Key::Computed(key) => key.ungrouped().literal(),
                Key::Star => None,
            };
            match name {
                Some(name) if read.complete => read.path.push(name),
                Some(_) | None => read.complete = false,
            }
            read.end = node.span.1;
            Some(read)
        }
        NodeKind::Literal(_)
        | NodeKind::Call { .. }
        | NodeKind::Not(_)
        | NodeKind::All(_)
        | NodeKind::Any(_)
        | NodeKind::Compare { .. }
        | NodeKind::Group(_) => None,
    }
}

/// What is read inside of a chain: by its computed keys, and by a call that it begins with.
fn keys(node: &Node, found: &mut Vec<Reads>) {
    match &node.kind {
        NodeKind::Context(_) => {}
        NodeKind::Index { of, key } => {
            keys(of.ungrouped(), found);
            if let Key::Computed(key) = key {
                collect(key, found);
            }
        }
        NodeKind::Literal(_)
        | NodeKind::Call { .. }
        | NodeKind::Not(_)
        | NodeKind::All(_)
        | NodeKind::Any(_)
        | NodeKind::Compare { .. }
        | NodeKind::Group(_) => collect(node, found),
    }
}
