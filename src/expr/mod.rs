//! The small languages of pipeline files: GitHub's expressions and templates, path and branch globs, `.dockerignore`,
//! GitLab's `rules:if`, Dockerfile words and `hashFiles`.
//!
//! Everything here is a pure function of its text and of what is handed in: values through [`Scope`], files through
//! [`hash_files::Files`]. It must not know what a context means, which dialect asks, nor any clock, network or disk.

pub mod dockerignore;
pub mod dockerword;
mod error;
mod evaluate;
mod functions;
pub mod gitlab_if;
pub mod globs;
pub mod hash_files;
mod lexer;
mod node;
mod number;
mod parser;
mod re2;
mod reads;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

pub use error::{ExprError, ExprErrorKind};
pub use functions::{BUILT_IN, STATUS};
pub use reads::Reads;
pub use template::Template;
pub use value::{Object, Value};

use node::Node;

/// Longest expression that is read, in UTF-16 code units, as on GitHub.
pub const EXPRESSION_LENGTH_MAX: usize = 21_000;

/// Deepest nesting of an expression (calls, groups, indexes, `!`, `&&`, `||`), as on GitHub.
pub const EXPRESSION_DEPTH_MAX: usize = 50;

/// What an expression can see: contexts by name, and functions beyond the built-in ones.
pub trait Scope {
    /// The context of that name (matched without case), or none if there is no such context here.
    /// Hand out clones of one stored [`Value`]: an object equals only itself, and that is told by its address.
    fn context(&self, name: &str) -> Option<Value>;

    /// Calls a function that is not built in (`success`, `hashFiles`, ...; matched without case).
    /// None: there is no such function here. `Some(Err(text))`: it exists and failed.
    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>>;
}

/// A scope without contexts and functions.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyScope;

impl Scope for EmptyScope {
    fn context(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, _: &str, _: &[Value]) -> Option<Result<Value, String>> {
        None
    }
}

/// A parsed expression of the GitHub expression language, without its `${{ }}`.
///
/// Source: GitHub's "Evaluate expressions in workflows and actions". Cheap to clone.
#[derive(Clone)]
pub struct Expr {
    text: Arc<str>,
    /// None: the text is empty, which stands for `null`.
    root: Option<Arc<Node>>,
}

impl Expr {
    /// Reads `text`. Contexts and functions are names only; [`Expr::check`] says which of them do not exist.
    /// Errors: lexing and parsing errors with byte ranges in `text`.
    pub fn parse(text: &str) -> Result<Expr, ExprError> {
        let root = parser::parse(text, 0, text.len())?;
        Ok(Expr {
            text: text.into(),
            root: root.map(Arc::new),
        })
    }

    /// Reads the value of an `if:` key, where `${{ }}` may stand around the whole or be left out. Text around a
    /// `${{ }}` makes a string of the whole, as on GitHub (and a string that is not empty is true).
    pub fn condition(text: &str) -> Result<Expr, ExprError> {
        if !text.contains("${{") {
            return Expr::parse(text);
        }
        let root = template::as_node(text)?;
        Ok(Expr {
            text: text.into(),
            root: Some(Arc::new(root)),
        })
    }

    /// The source, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The expression's value. Errors: evaluation errors, and names that the scope does not have.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        match &self.root {
            Some(root) => evaluate::evaluate(root, scope),
            None => Ok(Value::Null),
        }
    }

    /// Names of the contexts that are read, lower case, in order of first use.
    pub fn contexts(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.visit(&mut |node| node.collect_context(&mut found));
        found
    }

    /// What is read of one context by a name known from the text: `secrets.TOKEN`, `secrets['TOKEN']` give `TOKEN`.
    pub fn references(&self, context: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.visit(&mut |node| node.collect_reference(context, &mut found));
        found
    }

    /// Whether a context is also read as a whole or by a computed name (`toJSON(secrets)`, `secrets[matrix.name]`),
    /// so that [`Expr::references`] does not tell everything.
    pub fn reads_whole(&self, context: &str) -> bool {
        let mut whole = self.root.as_ref().is_some_and(|root| root.is_context(context));
        self.visit(&mut |node| whole |= node.reads_whole(context));
        whole
    }

    /// Whether the function is called anywhere (matched without case).
    pub fn calls(&self, function: &str) -> bool {
        let mut found = false;
        self.visit(&mut |node| found |= node.is_call(function));
        found
    }

    /// Names that do not exist: contexts outside of `contexts`, functions that are neither built in nor in `functions`.
    pub fn check(&self, contexts: &[&str], functions: &[&str]) -> Vec<ExprError> {
        let mut found = Vec::new();
        self.visit(&mut |node| node.check(contexts, functions, &mut found));
        found
    }

    /// What the expression read and what it found, for "why did this not run": pairs of source text and value, each
    /// text once. Values out of `secrets` are shown as `***`.
    pub fn explain(&self, scope: &dyn Scope) -> Vec<(String, String)> {
        match &self.root {
            Some(root) => evaluate::explain(root, &self.text, scope),
            None => Vec::new(),
        }
    }

    fn visit(&self, see: &mut dyn FnMut(&Node)) {
        if let Some(root) = &self.root {
            root.visit(see);
        }
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expr {}

impl std::fmt::Debug for Expr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Expr({:?})", self.text)
    }
}

impl std::fmt::Display for Expr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

/// As its source text.
impl serde::Serialize for Expr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
