//! The tree of an expression, and what can be asked of it without evaluating it.

use super::error::ExprError;
use super::functions;
use super::lexer::cut;
use super::value::Value;
use crate::diag::closest;

/// A part of an expression and its bytes in the text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub kind: NodeKind,
    pub span: (usize, usize),
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    Literal(Value),
    Context(String),
    Index {
        of: Box<Node>,
        key: Key,
    },
    Call {
        function: String,
        arguments: Vec<Node>,
    },
    Not(Box<Node>),
    /// `&&`: the first false operand, else the last.
    All(Vec<Node>),
    /// `||`: the first true operand, else the last.
    Any(Vec<Node>),
    /// Comparisons of one rank in a row, from left to right. Flat, so that a long row is no deep tree.
    Compare {
        first: Box<Node>,
        rest: Vec<(Comparison, Node)>,
    },
    Group(Box<Node>),
}

#[derive(Debug, Clone)]
pub(super) enum Key {
    /// `.*` and `[*]`
    Star,
    /// `.name`
    Name(String),
    /// `[expression]`
    Computed(Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    /// What binds tighter has the higher rank; `||` has 1, `&&` 2.
    pub fn rank(self) -> u8 {
        match self {
            Comparison::Equal | Comparison::NotEqual => 3,
            Comparison::Less | Comparison::LessEqual | Comparison::Greater | Comparison::GreaterEqual => 4,
        }
    }
}

impl Node {
    /// Shows this node and every node below it, in the order they are written.
    pub fn visit(&self, see: &mut dyn FnMut(&Node)) {
        see(self);
        match &self.kind {
            NodeKind::Literal(_) | NodeKind::Context(_) => {}
            NodeKind::Index { of, key } => {
                of.visit(see);
                match key {
                    Key::Computed(key) => key.visit(see),
                    Key::Star | Key::Name(_) => {}
                }
            }
            NodeKind::Call {
                arguments: operands, ..
            }
            | NodeKind::All(operands)
            | NodeKind::Any(operands) => {
                for operand in operands {
                    operand.visit(see);
                }
            }
            NodeKind::Not(inner) | NodeKind::Group(inner) => inner.visit(see),
            NodeKind::Compare { first, rest } => {
                first.visit(see);
                for (_, operand) in rest {
                    operand.visit(see);
                }
            }
        }
    }

    pub fn ungrouped(&self) -> &Node {
        if let NodeKind::Group(inner) = &self.kind {
            inner.ungrouped()
        } else {
            self
        }
    }

    /// Whether this is the context of that name, read as such.
    pub fn is_context(&self, context: &str) -> bool {
        matches!(&self.ungrouped().kind, NodeKind::Context(name) if name.eq_ignore_ascii_case(context))
    }

    pub fn is_call(&self, function: &str) -> bool {
        matches!(&self.kind, NodeKind::Call { function: name, .. } if name.eq_ignore_ascii_case(function))
    }

    pub fn collect_context(&self, found: &mut Vec<String>) {
        if let NodeKind::Context(name) = &self.kind {
            let name = name.to_ascii_lowercase();
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }

    /// The name that this node reads of a context, if it does and the name stands in the text.
    fn reference(&self, context: &str) -> Option<String> {
        let NodeKind::Index { of, key } = &self.kind else {
            return None;
        };
        if !of.is_context(context) {
            return None;
        }
        match key {
            Key::Name(name) => Some(name.clone()),
            Key::Computed(key) => key.ungrouped().literal(),
            Key::Star => None,
        }
    }

    /// The text form of a literal.
    pub fn literal(&self) -> Option<String> {
        if let NodeKind::Literal(value) = &self.kind {
            Some(value.to_string())
        } else {
            None
        }
    }

    pub fn collect_reference(&self, context: &str, found: &mut Vec<String>) {
        if let Some(name) = self.reference(context)
            && !found.contains(&name)
        {
            found.push(name);
        }
    }

    /// Whether a child of this node is the context read as a whole or by a computed name.
    pub fn reads_whole(&self, context: &str) -> bool {
        match &self.kind {
            NodeKind::Index { of, .. } if of.is_context(context) => self.reference(context).is_none(),
            NodeKind::Index {
                key: Key::Computed(key),
                ..
            } => key.is_context(context),
            NodeKind::Index { .. } | NodeKind::Literal(_) | NodeKind::Context(_) => false,
            NodeKind::Call {
                arguments: operands, ..
            }
            | NodeKind::All(operands)
            | NodeKind::Any(operands) => operands.iter().any(|operand| operand.is_context(context)),
            NodeKind::Not(_) | NodeKind::Group(_) => false,
            NodeKind::Compare { first, rest } => {
                first.is_context(context) || rest.iter().any(|(_, operand)| operand.is_context(context))
            }
        }
    }

    pub fn check(&self, contexts: &[&str], functions: &[&str], found: &mut Vec<ExprError>) {
        if let NodeKind::Context(name) = &self.kind
            && !contains_name(contexts, name)
        {
            found.push(ExprError::parsing(unknown("named-value", name, contexts), self.span));
        }
        if let NodeKind::Call { function, .. } = &self.kind
            && !contains_name(functions, function)
            && !functions::is_built_in(function)
        {
            let known: Vec<&str> = functions::BUILT_IN.iter().chain(functions).copied().collect();
            let span = (self.span.0, self.span.0 + function.len());
            found.push(ExprError::parsing(unknown("function", function, &known), span));
        }
    }
}

fn contains_name(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// `unrecognized named-value`, with what was meant or what there is.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let name = cut(name);
    if let Some(near) = closest(&name, known) {
        return format!("unrecognized {what} `{name}`: did you mean `{near}`?");
    }
    if known.is_empty() {
        return format!("unrecognized {what} `{name}`: there is no such {what} here");
    }
    format!("unrecognized {what} `{name}`: here are {}", known.join(", "))
}
