//! The one error type of the expression language.

/// Where an expression went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExprErrorKind {
    /// A character or word that is no part of the language.
    Lexing,
    /// Words in an order that means nothing, a name that does not exist, a wrong number of arguments, too deep.
    Parsing,
    /// The expression is well formed; its values are not what it needs.
    Evaluation,
}

impl ExprErrorKind {
    /// `lexing`, `parsing` or `evaluation`.
    pub fn name(self) -> &'static str {
        match self {
            ExprErrorKind::Lexing => "lexing",
            ExprErrorKind::Parsing => "parsing",
            ExprErrorKind::Evaluation => "evaluation",
        }
    }
}

/// What is wrong with an expression, and where: `start..end` are bytes of the text that was given to the parser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    pub kind: ExprErrorKind,
    pub message: String,
    pub start: usize,
    pub end: usize,
}

impl ExprError {
    pub(super) fn lexing(message: impl Into<String>, span: (usize, usize)) -> Self {
        ExprError {
            kind: ExprErrorKind::Lexing,
            message: message.into(),
            start: span.0,
            end: span.1,
        }
    }

    pub(super) fn parsing(message: impl Into<String>, span: (usize, usize)) -> Self {
        ExprError {
            kind: ExprErrorKind::Parsing,
            message: message.into(),
            start: span.0,
            end: span.1,
        }
    }

    pub(super) fn evaluation(message: impl Into<String>, span: (usize, usize)) -> Self {
        ExprError {
            kind: ExprErrorKind::Evaluation,
            message: message.into(),
            start: span.0,
            end: span.1,
        }
    }
}
