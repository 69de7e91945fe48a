//! The functions that every expression has, and how many arguments each function takes.

use super::lexer::cut;
use super::number;
use super::value::{Value, fold};

/// Most bytes of text that one value may hold.
pub(super) const TEXT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Functions that need nothing but their arguments.
pub const BUILT_IN: [&str; 8] = [
    "case",
    "contains",
    "endsWith",
    "format",
    "fromJSON",
    "join",
    "startsWith",
    "toJSON",
];

/// Functions that ask how the job went; a condition that calls none of them means `success() && (...)`.
pub const STATUS: [&str; 4] = ["success", "failure", "always", "cancelled"];

pub(super) fn is_built_in(function: &str) -> bool {
    BUILT_IN.iter().any(|known| known.eq_ignore_ascii_case(function))
}

/// Least and most arguments of a function whose number of arguments is known.
fn counts(function: &str) -> Option<(usize, usize)> {
    Some(match function.to_ascii_lowercase().as_str() {
        "contains" | "startswith" | "endswith" => (2, 2),
        "format" => (1, 255),
        "join" => (1, 2),
        "tojson" | "fromjson" => (1, 1),
        "case" => (3, usize::MAX),
        "hashfiles" => (1, 255),
        "always" | "cancelled" => (0, 0),
        _ => return None,
    })
}

/// What is wrong with the number of arguments, if something is.
pub(super) fn wrong_count(function: &str, given: usize) -> Option<String> {
    let (least, most) = counts(function)?;
    let takes = match (least, most) {
        (least, most) if least == most => format!("{least}"),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    if given < least {
        return Some(format!("too few parameters: `{function}` takes {takes}, {given} given"));
    }
    if given > most {
        return Some(format!(
            "too many parameters: `{function}` takes {takes}, {given} given"
        ));
    }
    if function.eq_ignore_ascii_case("case") && given.is_multiple_of(2) {
        return Some(
            "`case` takes an odd number of parameters: pairs of condition and value, then the value for none of them"
                .to_string(),
        );
    }
    None
}

/// Calls a built-in function; none if `function` is not one. The number of arguments was checked by the parser.
pub(super) fn call(function: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let at = |index: usize| arguments.get(index).unwrap_or(&Value::Null);
    Some(match function.to_ascii_lowercase().as_str() {
        "contains" => Ok(contains(at(0), at(1)).into()),
        "startswith" => Ok(both(at(0), at(1), |text, part| text.starts_with(part)).into()),
        "endswith" => Ok(both(at(0), at(1), |text, part| text.ends_with(part)).into()),
        "join" => join(at(0), arguments.get(1)).map(Value::from),
        "format" => format(&at(0).to_string(), arguments.get(1..).unwrap_or_default()).map(Value::from),
        "tojson" => {
            let mut text = String::new();
            to_json(at(0), 0, &mut text).map(|()| text.into())
        }
        "fromjson" => from_json(&at(0).to_string()),
        "case" => case(arguments),
        _ => return None,
    })
}

fn contains(search: &Value, item: &Value) -> bool {
    match search {
        Value::Array(items) => items.iter().any(|value| item.loosely_equals(value)),
        Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            both(search, item, |text, part| text.contains(part))
        }
    }
}

/// Compares two primitive values as text, without regard to case; collections never match.
fn both(left: &Value, right: &Value, matches: impl Fn(&str, &str) -> bool) -> bool {
    left.is_primitive() && right.is_primitive() && matches(&fold(&left.to_string()), &fold(&right.to_string()))
}

fn join(list: &Value, separator: Option<&Value>) -> Result<String, String> {
    let separator = match separator {
        Some(separator) if separator.is_primitive() => separator.to_string(),
        Some(_) | None => ",".to_string(),
    };
    match list {
        Value::Array(items) => {
            let mut text = String::new();
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(&separator);
                }
                text.push_str(&item.to_string());
                bounded(&text)?;
            }
            Ok(text)
        }
        Value::Object(_) => Ok(String::new()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(list.to_string()),
    }
}

/// Refuses a text that grows beyond all use.
pub(super) fn bounded(text: &str) -> Result<(), String> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(format!("the text grows beyond {} MiB", TEXT_BYTES_MAX / 1024 / 1024))
}

/// `{0}` stands for the first value, `{{` and `}}` for braces.
fn format(pattern: &str, values: &[Value]) -> Result<String, String> {
    let shown = cut(pattern);
    let invalid = || format!("the format string is invalid: `{shown}`; a brace is written `{{{{` or `}}}}`");
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(behind) = after.strip_prefix(brace) {
            text.push_str(brace);
            rest = behind;
            continue;
        }
        if brace == "}" {
            return Err(invalid());
        }
        let close = after.find('}').ok_or_else(invalid)?;
        // GitHub reads the digits and ignores what follows them up to the brace.
        let digits: String = after[..close].chars().take_while(char::is_ascii_digit).collect();
        if digits.is_empty() {
            return Err(invalid());
        }
        let value = digits
            .parse()
            .ok()
            .and_then(|index: usize| values.get(index))
            .ok_or_else(|| {
                format!(
                    "the format string references more arguments than were supplied ({}): `{shown}`",
                    values.len()
                )
            })?;
        text.push_str(&value.to_string());
        bounded(&text)?;
        rest = &after[close + 1..];
    }
    text.push_str(rest);
    Ok(text)
}

/// Indented by two blanks, as GitHub writes it.
fn to_json(value: &Value, depth: usize, out: &mut String) -> Result<(), String> {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => out.push_str(&number::format(*value)),
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Object(object) if object.is_empty() => out.push_str("{}"),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(depth + 1, out);
                to_json(item, depth + 1, out)?;
            }
            line(depth, out);
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (index, (name, item)) in object.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(depth + 1, out);
                out.push_str(&quoted(name));
                out.push_str(": ");
                to_json(item, depth + 1, out)?;
            }
            line(depth, out);
            out.push('}');
        }
    }
    bounded(out)
}

fn from_json(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("fromJSON was given an empty text".to_string());
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Ok(json.into()),
        Err(error) => Err(format!("fromJSON cannot read its text as JSON: {error}")),
    }
}

fn case(arguments: &[Value]) -> Result<Value, String> {
    let (pairs, default) = arguments.as_chunks::<2>();
    for [condition, value] in pairs {
        match condition {
            Value::Bool(true) => return Ok(value.clone()),
            Value::Bool(false) => {}
            other => {
                let kind = other.kind();
                return Err(format!(
                    "a condition of `case` must be true or false, and one is of kind {kind}"
                ));
            }
        }
    }
    Ok(default.first().cloned().unwrap_or_default())
}
