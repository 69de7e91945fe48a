//! A tree and a scope to a value.

use std::sync::Arc;

use super::error::ExprError;
use super::node::{Comparison, Key, Node, NodeKind, unknown};
use super::value::{Object, Value};
use super::{Scope, functions};

pub(super) fn evaluate(root: &Node, scope: &dyn Scope) -> Result<Value, ExprError> {
    Ok(visit(root, scope)?.value)
}

/// A value, and whether it came out of a `.*`: then a further key is read from each of its items.
struct Found {
    value: Value,
    filtered: bool,
}

impl From<Value> for Found {
    fn from(value: Value) -> Self {
        Found { value, filtered: false }
    }
}

fn visit(node: &Node, scope: &dyn Scope) -> Result<Found, ExprError> {
    Ok(match &node.kind {
        NodeKind::Literal(value) => value.clone().into(),
        NodeKind::Context(name) => match scope.context(name) {
            Some(value) => value.into(),
            None => return Err(ExprError::parsing(unknown("named-value", name, &[]), node.span)),
        },
        NodeKind::Group(inner) => visit(inner, scope)?,
        NodeKind::Not(inner) => Value::Bool(!visit(inner, scope)?.value.is_truthy()).into(),
        NodeKind::All(operands) => first_where(operands, scope, |value| !value.is_truthy())?,
        NodeKind::Any(operands) => first_where(operands, scope, Value::is_truthy)?,
        NodeKind::Compare { first, rest } => {
            let mut left = visit(first, scope)?.value;
            for (comparison, operand) in rest {
                refuse_whole_secrets(first, operand, node.span)?;
                let right = visit(operand, scope)?.value;
                left = Value::Bool(compare(*comparison, &left, &right));
            }
            left.into()
        }
        NodeKind::Call { function, arguments } => call(function, arguments, node.span, scope)?.into(),
        NodeKind::Index { of, key } => {
            let key = match key {
                Key::Star => Step::Star,
                Key::Name(name) => Step::Name(name.as_str().into()),
                Key::Computed(key) => Step::Value(visit(key, scope)?.value),
            };
            let grouped = matches!(of.kind, NodeKind::Group(_));
            step(visit(of, scope)?, &key, grouped)
        }
    })
}

/// The first operand's value that `wanted` holds for, else the last one's. What follows it is not evaluated.
fn first_where(operands: &[Node], scope: &dyn Scope, wanted: fn(&Value) -> bool) -> Result<Found, ExprError> {
    let mut last = Found::from(Value::Null);
    for operand in operands {
        last = visit(operand, scope)?;
        if wanted(&last.value) {
            break;
        }
    }
    Ok(last)
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    let order = || left.loosely_compares(right);
    match comparison {
        Comparison::Equal => left.loosely_equals(right),
        Comparison::NotEqual => !left.loosely_equals(right),
        Comparison::Less => order().is_some_and(|order| order.is_lt()),
        Comparison::Greater => order().is_some_and(|order| order.is_gt()),
        Comparison::LessEqual => left.loosely_equals(right) || order().is_some_and(|order| order.is_lt()),
        Comparison::GreaterEqual => left.loosely_equals(right) || order().is_some_and(|order| order.is_gt()),
    }
}

/// The secrets as a whole equal nothing but themselves, so a condition on them would silently never change.
fn refuse_whole_secrets(left: &Node, right: &Node, span: (usize, usize)) -> Result<(), ExprError> {
    if left.is_context("secrets") || right.is_context("secrets") {
        let message = "the `secrets` context is compared as a whole, which tells nothing: name one secret of it";
        return Err(ExprError::evaluation(message, span));
    }
    Ok(())
}

fn call(function: &str, arguments: &[Node], span: (usize, usize), scope: &dyn Scope) -> Result<Value, ExprError> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(visit(argument, scope)?.value);
    }
    let answer = match functions::call(function, &values) {
        Some(answer) => answer,
        None => match scope.call(function, &values) {
            Some(answer) => answer,
            None => {
                let name = (span.0, span.0 + function.len());
                return Err(ExprError::parsing(
                    unknown("function", function, &functions::BUILT_IN),
                    name,
                ));
            }
        },
    };
    answer.map_err(|message| ExprError::evaluation(message, span))
}

enum Step {
    Star,
    Name(Arc<str>),
    Value(Value),
}

impl Step {
    /// The name it reads of an object; none for collections.
    fn name(&self) -> Option<String> {
        match self {
            Step::Star => None,
            Step::Name(name) => Some(name.to_string()),
            Step::Value(value) => value.is_primitive().then(|| value.to_string()),
        }
    }

    /// The place it reads of an array; none if it is no number that can be one.
    fn place(&self) -> Option<usize> {
        let number = match self {
            Step::Star => return None,
            Step::Name(name) => Value::String(name.clone()).to_number(),
            Step::Value(value) => value.to_number(),
        };
        (number.is_finite() && number >= 0.0).then_some(number.floor() as usize)
    }
}

fn step(from: Found, key: &Step, grouped: bool) -> Found {
    match from.value {
        Value::Array(items) if from.filtered => {
            // A key on text and numbers could only give an empty list: in `(list.*.name)[0]` the list itself is meant.
            if grouped && items.iter().all(Value::is_primitive) {
                return step(Value::Array(items).into(), key, false);
            }
            filtered(items.iter().flat_map(|item| each(item, key)).collect())
        }
        Value::Array(items) => match key {
            Step::Star => Found {
                value: Value::Array(items),
                filtered: true,
            },
            Step::Name(name) if items.iter().any(|item| has(item, name)) => {
                // Where GitHub has nothing to give, a name is read from each item, as if `.*` stood before it.
                filtered(items.iter().flat_map(|item| each(item, key)).collect())
            }
            Step::Name(_) | Step::Value(_) => key
                .place()
                .and_then(|place| items.get(place))
                .cloned()
                .unwrap_or_default()
                .into(),
        },
        Value::Object(object) => match key {
            Step::Star => filtered(object.values().cloned().collect()),
            Step::Name(_) | Step::Value(_) => read(&object, key).unwrap_or_default().into(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => match key {
            Step::Star => filtered(Vec::new()),
            Step::Name(_) | Step::Value(_) => Value::Null.into(),
        },
    }
}

fn filtered(items: Vec<Value>) -> Found {
    Found {
        value: Value::array(items),
        filtered: true,
    }
}

fn has(item: &Value, name: &str) -> bool {
    item.as_object().is_some_and(|object| object.contains_key(name))
}

fn read(object: &Object, key: &Step) -> Option<Value> {
    key.name().and_then(|name| object.get(&name).cloned())
}

/// What a key finds in one item of a filtered list: nothing, one value, or with a star all of them.
fn each(item: &Value, key: &Step) -> Vec<Value> {
    match (item, key) {
        (Value::Object(object), Step::Star) => object.values().cloned().collect(),
        (Value::Object(object), Step::Name(_) | Step::Value(_)) => read(object, key).into_iter().collect(),
        (Value::Array(items), Step::Star) => items.to_vec(),
        (Value::Array(items), Step::Name(_) | Step::Value(_)) => key
            .place()
            .and_then(|place| items.get(place))
            .cloned()
            .into_iter()
            .collect(),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => Vec::new(),
    }
}

/// Longest value that an explanation shows, in characters.
const SHOWN_CHARS_MAX: usize = 80;

pub(super) fn explain(root: &Node, text: &str, scope: &dyn Scope) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(root, text, scope, &mut found);
    found
}

/// The outermost reads of contexts and calls of functions that are not built in.
fn collect(node: &Node, text: &str, scope: &dyn Scope, found: &mut Vec<(String, String)>) {
    match &node.kind {
        NodeKind::Context(_) | NodeKind::Index { .. } => show(node, text, scope, found),
        NodeKind::Call { function, arguments } if functions::is_built_in(function) => {
            for argument in arguments {
                collect(argument, text, scope, found);
            }
        }
        NodeKind::Call { .. } => show(node, text, scope, found),
        NodeKind::All(operands) | NodeKind::Any(operands) => {
            for operand in operands {
                collect(operand, text, scope, found);
            }
        }
        NodeKind::Not(inner) | NodeKind::Group(inner) => collect(inner, text, scope, found),
        NodeKind::Compare { first, rest } => {
            collect(first, text, scope, found);
            for (_, operand) in rest {
                collect(operand, text, scope, found);
            }
        }
        NodeKind::Literal(_) => {}
    }
}

fn show(node: &Node, text: &str, scope: &dyn Scope, found: &mut Vec<(String, String)>) {
    let source = text.get(node.span.0..node.span.1).unwrap_or_default().to_string();
    if found.iter().any(|(known, _)| *known == source) {
        return;
    }
    let mut secret = false;
    node.visit(&mut |part| secret |= part.is_context("secrets"));
    let shown = match visit(node, scope) {
        Ok(Found { value: Value::Null, .. }) => "null".to_string(),
        Ok(_) if secret => "***".to_string(),
        Ok(Found {
            value: Value::String(text),
            ..
        }) => format!("'{}'", shorten(&text)),
        Ok(Found { value, .. }) if value.is_primitive() => value.to_string(),
        Ok(Found { value, .. }) => shorten(&value.to_json().to_string()),
        Err(error) => error.message,
    };
    found.push((source, shown));
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
