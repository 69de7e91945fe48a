//! Promises of the expression language, as tables.

mod errors;
mod functions;
mod never_panics;
mod operators;
mod questions;
mod templates;

use std::cell::RefCell;

use super::{Expr, Scope, Value};

/// Contexts out of JSON; counts and answers calls of `success`, `failure` and `fails`.
struct Here {
    contexts: Value,
    calls: RefCell<Vec<String>>,
}

impl Scope for Here {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }

    fn call(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        self.calls.borrow_mut().push(name.to_string());
        match name.to_ascii_lowercase().as_str() {
            "success" => Some(Ok(true.into())),
            "failure" => Some(Ok(false.into())),
            "fails" => Some(Err("it always does".to_string())),
            _ => None,
        }
    }
}

fn here() -> Here {
    let contexts = serde_json::json!({
        "repo": {
            "name": "ferry", "Owner": "harbour", "stars": 12, "private": false, "": "nameless", "2": "two", "*": "star",
            "topics": ["sea", "ship", "Port"],
            "hooks": [
                {"name": "ci", "events": ["push", "tag"]},
                {"name": "chat", "events": ["push"], "url": "https://chat.example"},
            ],
        },
        "needs": {"build": {"result": "success"}, "lint": {"result": "failure"}},
        "matrix": {"os": ["linux", "bsd"], "grid": [[1, 2, 3], [4], []]},
        "secrets": {"TOKEN": "s3cret"},
        "empty": {"list": [], "object": {}, "text": ""},
        "nothing": null,
    });
    Here {
        contexts: contexts.into(),
        calls: RefCell::default(),
    }
}

/// Kind and text form of the value, or kind and message of the error.
fn answer(text: &str) -> String {
    match Expr::parse(text).and_then(|expression| expression.evaluate(&here())) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => value.to_json().to_string(),
        Ok(Value::Null) => "null".to_string(),
        Ok(Value::String(text)) => format!("'{text}'"),
        Ok(value) => value.to_string(),
        Err(error) => format!("{}: {}", error.kind.name(), error.message),
    }
}

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter(|(text, expected)| answer(text) != *expected)
        .map(|(text, expected)| format!("{text}\n  expected {expected}\n  is       {}", answer(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
