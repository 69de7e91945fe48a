//! GitLab's conditions: `rules:if`, `workflow:rules:if`, `only:variables`.
//!
//! `$NAME`, strings in either quotes, `null`, `true`, `false`, `/regex/flags`, `==` `!=` `=~` `!~` `!` `&&` `||` and
//! parentheses. Regular expressions are RE2's, flags `i` (case), `s` (`.` takes line ends), `m` (`^` `$` at line ends),
//! `U` (not greedy). Source: GitLab's "CI/CD job rules", "CI/CD variable expressions".

mod read;

use regex::Regex;

use super::error::ExprError;
use super::lexer::cut;

/// Longest condition, in bytes.
pub const CONDITION_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of parentheses and `!`.
pub const DEPTH_MAX: usize = 100;

/// Looks up a variable: none if it does not exist. A variable that is empty exists.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A parsed condition. Compared and shown by its source text.
#[derive(Clone)]
pub struct Condition {
    text: String,
    root: Node,
}

#[derive(Debug, Clone)]
struct Node {
    kind: NodeKind,
    span: (usize, usize),
}

#[derive(Debug, Clone)]
enum NodeKind {
    Null,
    Bool(bool),
    Text(String),
    Variable(String),
    Pattern(Regex),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    /// Comparisons in a row, from left to right.
    Compare {
        first: Box<Node>,
        rest: Vec<(Comparison, Node)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
}

#[derive(Debug, Clone)]
enum Value {
    Null,
    Bool(bool),
    Text(String),
    Pattern(Regex),
}

impl Value {
    /// A text counts if there is more in it than blanks.
    fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Text(text) => !text.trim().is_empty(),
            Value::Pattern(_) => true,
        }
    }

    fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Text(left), Value::Text(right)) => left == right,
            // A variable is always a text: `$DRY_RUN == true` asks for the text.
            (Value::Text(text), Value::Bool(value)) | (Value::Bool(value), Value::Text(text)) => {
                *text == value.to_string()
            }
            (Value::Pattern(left), Value::Pattern(right)) => left.as_str() == right.as_str(),
            (Value::Null | Value::Bool(_) | Value::Text(_) | Value::Pattern(_), _) => false,
        }
    }
}

impl Condition {
    /// Reads a condition. Errors have byte ranges in `text`.
    pub fn parse(text: &str) -> Result<Condition, ExprError> {
        if text.len() > CONDITION_BYTES_MAX {
            let message = format!("the condition is longer than {CONDITION_BYTES_MAX} bytes");
            return Err(ExprError::lexing(message, (0, text.len())));
        }
        let root = read::parse(text)?;
        Ok(Condition {
            text: text.to_string(),
            root,
        })
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the condition holds. Errors: the right side of `=~` or `!~` is no regular expression.
    pub fn evaluate(&self, variables: Variables<'_>) -> Result<bool, ExprError> {
        evaluate(&self.root, variables).map(|value| value.is_truthy())
    }

    /// Names of the variables it reads, in order of first use.
    pub fn variables(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.root.visit(&mut |node| {
            if let NodeKind::Variable(name) = &node.kind
                && !found.contains(name)
            {
                found.push(name.clone());
            }
        });
        found
    }

    /// The variables it reads with their values, for "why did this not run".
    pub fn explain(&self, variables: Variables<'_>) -> Vec<(String, String)> {
        let show = |name: String| {
            let value = variables(&name).map_or("null".to_string(), |value| format!("'{}'", cut(&value)));
            (format!("${name}"), value)
        };
        self.variables().into_iter().map(show).collect()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl std::fmt::Debug for Condition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Condition({:?})", self.text)
    }
}

impl Node {
    fn visit(&self, see: &mut dyn FnMut(&Node)) {
        see(self);
        match &self.kind {
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Text(_) | NodeKind::Variable(_) | NodeKind::Pattern(_) => {}
            NodeKind::Not(inner) => inner.visit(see),
            NodeKind::All(operands) | NodeKind::Any(operands) => operands.iter().for_each(|node| node.visit(see)),
            NodeKind::Compare { first, rest } => {
                first.visit(see);
                rest.iter().for_each(|(_, node)| node.visit(see));
            }
        }
    }
}

fn evaluate(node: &Node, variables: Variables<'_>) -> Result<Value, ExprError> {
    Ok(match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(value) => Value::Bool(*value),
        NodeKind::Text(text) => Value::Text(text.clone()),
        NodeKind::Variable(name) => variables(name).map_or(Value::Null, Value::Text),
        NodeKind::Pattern(regex) => Value::Pattern(regex.clone()),
        NodeKind::Not(inner) => Value::Bool(!evaluate(inner, variables)?.is_truthy()),
        NodeKind::All(operands) => decide(operands, variables, |value| !value.is_truthy())?,
        NodeKind::Any(operands) => decide(operands, variables, Value::is_truthy)?,
        NodeKind::Compare { first, rest } => {
            let mut left = evaluate(first, variables)?;
            for (comparison, operand) in rest {
                let right = evaluate(operand, variables)?;
                left = Value::Bool(match comparison {
                    Comparison::Equal => left.equals(&right),
                    Comparison::NotEqual => !left.equals(&right),
                    Comparison::Matches => matches(&left, &right, operand.span)?.unwrap_or(false),
                    Comparison::NotMatches => !matches(&left, &right, operand.span)?.unwrap_or(false),
                });
            }
            left
        }
    })
}

fn decide(operands: &[Node], variables: Variables<'_>, decided: fn(&Value) -> bool) -> Result<Value, ExprError> {
    let mut last = Value::Null;
    for operand in operands {
        last = evaluate(operand, variables)?;
        if decided(&last) {
            break;
        }
    }
    Ok(last)
}

/// Whether a text matches; none if there is no expression to match it with.
fn matches(text: &Value, pattern: &Value, span: (usize, usize)) -> Result<Option<bool>, ExprError> {
    let text = match text {
        Value::Text(text) => text.as_str(),
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Null | Value::Pattern(_) => "",
    };
    match pattern {
        Value::Pattern(regex) => Ok(Some(regex.is_match(text))),
        // A text may hold an expression with its slashes, in a variable above all.
        Value::Text(source) => match read::whole_pattern(source) {
            Some(Ok(regex)) => Ok(Some(regex.is_match(text))),
            Some(Err(problem)) => {
                let message = format!("`{}` is no regular expression: {problem}", cut(source));
                Err(ExprError::evaluation(message, span))
            }
            None => {
                let found = cut(source);
                let message =
                    format!("`{found}` is no regular expression: it should stand between slashes, as /{found}/");
                Err(ExprError::evaluation(message, span))
            }
        },
        Value::Null => Ok(None),
        Value::Bool(_) => Err(ExprError::evaluation(
            "a regular expression should stand here, as /text/",
            span,
        )),
    }
}

#[cfg(test)]
mod tests;
