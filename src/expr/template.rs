//! Text with expressions in it: `release-${{ github.ref_name }}`.

use super::error::ExprError;
use super::functions::bounded;
use super::node::{Node, NodeKind};
use super::parser::parse;
use super::value::Value;
use super::{Expr, Scope};

/// A text in which `${{ expression }}` stand for values.
///
/// Compared, shown and serialised by its source text.
#[derive(Clone)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Text(String),
    /// `offset`: where the expression's text begins in the template.
    Value {
        expression: Expr,
        offset: usize,
    },
}

impl Template {
    /// Reads a text. `}}` inside of an expression's string does not end it. Errors: as [`Expr::parse`], with byte
    /// ranges in `text`; an expression without end; an empty one.
    pub fn parse(text: &str) -> Result<Template, ExprError> {
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            match piece {
                Piece::Text(start, end) => parts.push(Part::Text(text[start..end].to_string())),
                Piece::Expression(start, end) => {
                    let expression = Expr::parse(&text[start..end]).map_err(|error| moved(error, start))?;
                    parts.push(Part::Value {
                        expression,
                        offset: start,
                    });
                }
            }
        }
        Ok(Template {
            text: text.to_string(),
            parts,
        })
    }

    /// A text that stands for itself, whatever it holds.
    pub fn literal(text: impl Into<String>) -> Template {
        let text = text.into();
        Template {
            parts: vec![Part::Text(text.clone())],
            text,
        }
    }

    /// The text, if nothing in it is to be evaluated.
    pub fn is_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            [Part::Value { .. }] | [_, _, ..] => None,
        }
    }

    /// The expression, if the template is one `${{ }}` and nothing else.
    pub fn as_expression(&self) -> Option<&Expr> {
        if let [Part::Value { expression, .. }] = self.parts.as_slice() {
            Some(expression)
        } else {
            None
        }
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text with every expression replaced by its value's text form.
    pub fn render(&self, scope: &dyn Scope) -> Result<String, ExprError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value { expression, offset } => {
                    let value = expression.evaluate(scope).map_err(|error| moved(error, *offset))?;
                    text.push_str(&value.to_string());
                    let span = (0, self.text.len());
                    bounded(&text).map_err(|message| ExprError::evaluation(message, span))?;
                }
            }
        }
        Ok(text)
    }

    /// The value itself if the template is one `${{ }}` and nothing else, otherwise the rendered text.
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        match self.parts.as_slice() {
            [Part::Value { expression, offset }] => expression.evaluate(scope).map_err(|error| moved(error, *offset)),
            [] | [Part::Text(_)] | [_, _, ..] => self.render(scope).map(Value::from),
        }
    }

    /// As [`Expr::contexts`], of all expressions.
    pub fn contexts(&self) -> Vec<String> {
        self.collect(Expr::contexts)
    }

    /// As [`Expr::references`], of all expressions.
    pub fn references(&self, context: &str) -> Vec<String> {
        self.collect(|expression| expression.references(context))
    }

    /// As [`Expr::reads_whole`], of any expression.
    pub fn reads_whole(&self, context: &str) -> bool {
        self.expressions()
            .any(|(expression, _)| expression.reads_whole(context))
    }

    /// As [`Expr::calls`], of any expression.
    pub fn calls(&self, function: &str) -> bool {
        self.expressions().any(|(expression, _)| expression.calls(function))
    }

    /// As [`Expr::check`], of all expressions, with byte ranges in the template.
    pub fn check(&self, contexts: &[&str], functions: &[&str]) -> Vec<ExprError> {
        let check = |(expression, offset): (&Expr, usize)| {
            let found = expression.check(contexts, functions);
            found
                .into_iter()
                .map(move |error| moved(error, offset))
                .collect::<Vec<_>>()
        };
        self.expressions().flat_map(check).collect()
    }

    /// As [`Expr::explain`], of all expressions.
    pub fn explain(&self, scope: &dyn Scope) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in self.expressions().flat_map(|(expression, _)| expression.explain(scope)) {
            if !found.contains(&pair) {
                found.push(pair);
            }
        }
        found
    }

    pub(super) fn expressions(&self) -> impl Iterator<Item = (&Expr, usize)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value { expression, offset } => Some((expression, *offset)),
        })
    }

    fn collect(&self, names: impl Fn(&Expr) -> Vec<String>) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.expressions().flat_map(|(expression, _)| names(expression)) {
            if !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }
}

impl Default for Template {
    fn default() -> Self {
        Template::literal("")
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.is_literal().is_some() == other.is_literal().is_some()
    }
}

impl Eq for Template {}

impl std::fmt::Debug for Template {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Template({:?})", self.text)
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl serde::Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// An error of an expression that begins at `offset` of a longer text.
fn moved(mut error: ExprError, offset: usize) -> ExprError {
    error.start += offset;
    error.end += offset;
    error
}

/// Byte ranges of a template: text between expressions, and expressions without their `${{` and `}}`.
enum Piece {
    Text(usize, usize),
    Expression(usize, usize),
}

fn pieces(text: &str) -> Result<Vec<Piece>, ExprError> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("${{") {
        let open = from + found;
        if open > from {
            pieces.push(Piece::Text(from, open));
        }
        let start = open + 3;
        let Some(end) = expression_end(text, start) else {
            let message = "this `${{` has no closing `}}`";
            return Err(ExprError::lexing(message, (open, text.len())));
        };
        if text[start..end].trim().is_empty() {
            return Err(ExprError::parsing(
                "an expression should stand between `${{` and `}}`",
                (open, end + 2),
            ));
        }
        pieces.push(Piece::Expression(start, end));
        from = end + 2;
    }
    if from < text.len() {
        pieces.push(Piece::Text(from, text.len()));
    }
    Ok(pieces)
}

/// Where the `}}` stands that ends the expression beginning at `start`: the first one outside of a string.
fn expression_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut in_string = false;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' => in_string = !in_string,
            b'}' if !in_string && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A template as one expression: itself if it is one `${{ }}` (blanks around it do not count), otherwise a call of
/// `format`. Byte ranges are those of `text`.
pub(super) fn as_node(text: &str) -> Result<Node, ExprError> {
    let mut pattern = String::new();
    let mut values = Vec::new();
    let mut only_blanks = true;
    for piece in pieces(text)? {
        match piece {
            Piece::Text(start, end) => {
                let part = &text[start..end];
                only_blanks &= part.trim().is_empty();
                pattern.push_str(&part.replace('{', "{{").replace('}', "}}"));
            }
            Piece::Expression(start, end) => {
                pattern.push_str(&format!("{{{}}}", values.len()));
                values.extend(parse(text, start, end)?);
            }
        }
    }
    if only_blanks && values.len() == 1 {
        return Ok(values.remove(0));
    }
    let span = (0, text.len());
    let mut arguments = vec![Node {
        kind: NodeKind::Literal(Value::from(pattern)),
        span,
    }];
    arguments.append(&mut values);
    Ok(Node {
        kind: NodeKind::Call {
            function: "format".to_string(),
            arguments,
        },
        span,
    })
}
