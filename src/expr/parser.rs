//! Words to a tree: a Pratt parser with GitHub's limits.

use super::error::ExprError;
use super::functions;
use super::lexer::{Token, Word, cut, lex};
use super::node::{Comparison, Key, Node, NodeKind};
use super::value::Value;
use super::{EXPRESSION_DEPTH_MAX, EXPRESSION_LENGTH_MAX};

enum Infix {
    Or,
    And,
    Compare(Comparison),
}

impl Infix {
    /// What binds tighter has the higher rank.
    fn rank(&self) -> u8 {
        match self {
            Infix::Or => 1,
            Infix::And => 2,
            Infix::Compare(comparison) => comparison.rank(),
        }
    }
}

/// The tree of `text[start..end]`; none for nothing but blanks.
pub(super) fn parse(text: &str, start: usize, end: usize) -> Result<Option<Node>, ExprError> {
    if text[start..end].encode_utf16().count() > EXPRESSION_LENGTH_MAX {
        let message = format!("the expression is longer than {EXPRESSION_LENGTH_MAX} characters");
        return Err(ExprError::lexing(message, (start, end)));
    }
    let tokens = lex(text, start, end)?;
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
        end,
    };
    if parser.tokens.is_empty() {
        return Ok(None);
    }
    let root = parser.expression()?;
    match parser.peek() {
        None => Ok(Some(root)),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Word> {
        self.tokens.get(self.at).map(|token| &token.word)
    }

    fn take(&mut self, word: &Word) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &Word, wanted: &str) -> Result<(), ExprError> {
        if self.take(word) {
            Ok(())
        } else {
            Err(self.unexpected(wanted))
        }
    }

    /// Where the next word begins; the end of the text if there is none.
    fn here(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |token| token.start)
    }

    /// Where the last word that was taken ended.
    fn behind(&self) -> usize {
        match self.at.checked_sub(1).and_then(|before| self.tokens.get(before)) {
            Some(token) => token.end,
            None => self.here(),
        }
    }

    fn unexpected(&self, wanted: &str) -> ExprError {
        match self.tokens.get(self.at) {
            Some(token) => {
                let found = cut(&self.text[token.start..token.end]);
                let message = format!("unexpected symbol `{found}`: {wanted} should stand here");
                ExprError::parsing(message, (token.start, token.end))
            }
            None => {
                let at = self.behind();
                let message = format!("unexpected end of expression: {wanted} should follow");
                ExprError::parsing(message, (at, at))
            }
        }
    }

    fn deeper(&mut self) -> Result<(), ExprError> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            let at = self.here();
            let message = format!("the expression is nested deeper than {EXPRESSION_DEPTH_MAX} levels");
            return Err(ExprError::parsing(message, (at, self.end.max(at))));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<Node, ExprError> {
        self.deeper()?;
        let node = self.operators(0)?;
        self.depth -= 1;
        Ok(node)
    }

    /// Operands joined by operators that rank higher than `above`.
    fn operators(&mut self, above: u8) -> Result<Node, ExprError> {
        let mut left = self.operand()?;
        while let Some(infix) = self.infix() {
            if infix.rank() <= above {
                break;
            }
            self.at += 1;
            left = match infix {
                Infix::Compare(comparison) => {
                    let right = self.operators(comparison.rank())?;
                    join_comparison(left, comparison, right)
                }
                Infix::And => {
                    self.deeper()?;
                    let right = self.operators(infix.rank())?;
                    self.depth -= 1;
                    join_all(left, right)
                }
                Infix::Or => {
                    self.deeper()?;
                    let right = self.operators(infix.rank())?;
                    self.depth -= 1;
                    join_any(left, right)
                }
            };
        }
        Ok(left)
    }

    fn infix(&self) -> Option<Infix> {
        Some(match self.peek()? {
            Word::Or => Infix::Or,
            Word::And => Infix::And,
            Word::Equal => Infix::Compare(Comparison::Equal),
            Word::NotEqual => Infix::Compare(Comparison::NotEqual),
            Word::Less => Infix::Compare(Comparison::Less),
            Word::LessEqual => Infix::Compare(Comparison::LessEqual),
            Word::Greater => Infix::Compare(Comparison::Greater),
            Word::GreaterEqual => Infix::Compare(Comparison::GreaterEqual),
            Word::LeftParen
            | Word::RightParen
            | Word::LeftBracket
            | Word::RightBracket
            | Word::Comma
            | Word::Dot
            | Word::Star
            | Word::Not
            | Word::True
            | Word::False
            | Word::Null
            | Word::Number(_)
            | Word::String(_)
            | Word::Name => return None,
        })
    }

    fn operand(&mut self) -> Result<Node, ExprError> {
        let start = self.here();
        if self.take(&Word::Not) {
            self.deeper()?;
            let inner = self.operand()?;
            self.depth -= 1;
            let span = (start, inner.span.1);
            return Ok(Node {
                kind: NodeKind::Not(Box::new(inner)),
                span,
            });
        }
        let node = self.primary()?;
        match node.kind {
            NodeKind::Group(_) | NodeKind::Call { .. } | NodeKind::Context(_) => self.indexes(node),
            // A literal takes no index: `'a'.b` is an unexpected symbol.
            NodeKind::Literal(_)
            | NodeKind::Index { .. }
            | NodeKind::Not(_)
            | NodeKind::All(_)
            | NodeKind::Any(_)
            | NodeKind::Compare { .. } => Ok(node),
        }
    }

    fn indexes(&mut self, mut node: Node) -> Result<Node, ExprError> {
        let before = self.depth;
        loop {
            let key = if self.take(&Word::Dot) {
                self.property()?
            } else if self.take(&Word::LeftBracket) {
                self.bracketed()?
            } else {
                break;
            };
            self.deeper()?;
            let span = (node.span.0, self.behind());
            node = Node {
                kind: NodeKind::Index {
                    of: Box::new(node),
                    key,
                },
                span,
            };
        }
        self.depth = before;
        Ok(node)
    }

    fn property(&mut self) -> Result<Key, ExprError> {
        match self.tokens.get(self.at) {
            Some(Token { word: Word::Star, .. }) => {
                self.at += 1;
                Ok(Key::Star)
            }
            Some(Token {
                word: Word::Name,
                start,
                end,
            }) => {
                let name = self.text[*start..*end].to_string();
                self.at += 1;
                Ok(Key::Name(name))
            }
            _ => Err(self.unexpected("a name or `*`")),
        }
    }

    fn bracketed(&mut self) -> Result<Key, ExprError> {
        let key = if self.take(&Word::Star) {
            Key::Star
        } else {
            Key::Computed(Box::new(self.expression()?))
        };
        self.expect(&Word::RightBracket, "`]`")?;
        Ok(key)
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let Some(token) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected("a value"));
        };
        let span = (token.start, token.end);
        let literal = |value| {
            Ok(Node {
                kind: NodeKind::Literal(value),
                span,
            })
        };
        self.at += 1;
        match token.word {
            Word::True => literal(Value::Bool(true)),
            Word::False => literal(Value::Bool(false)),
            Word::Null => literal(Value::Null),
            Word::Number(value) => literal(Value::Number(value)),
            Word::String(text) => literal(Value::String(text.into())),
            Word::Name => {
                let name = self.text[token.start..token.end].to_string();
                if self.take(&Word::LeftParen) {
                    return self.call(name, span);
                }
                Ok(Node {
                    kind: NodeKind::Context(name),
                    span,
                })
            }
            Word::LeftParen => {
                let inner = self.expression()?;
                self.expect(&Word::RightParen, "`)`")?;
                Ok(Node {
                    kind: NodeKind::Group(Box::new(inner)),
                    span: (token.start, self.behind()),
                })
            }
            Word::RightParen
            | Word::LeftBracket
            | Word::RightBracket
            | Word::Comma
            | Word::Dot
            | Word::Star
            | Word::Not
            | Word::Equal
            | Word::NotEqual
            | Word::Less
            | Word::LessEqual
            | Word::Greater
            | Word::GreaterEqual
            | Word::And
            | Word::Or => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn call(&mut self, function: String, name: (usize, usize)) -> Result<Node, ExprError> {
        let mut arguments = Vec::new();
        if !self.take(&Word::RightParen) {
            loop {
                arguments.push(self.expression()?);
                if self.take(&Word::RightParen) {
                    break;
                }
                self.expect(&Word::Comma, "`,` or `)`")?;
            }
        }
        let span = (name.0, self.behind());
        if let Some(problem) = functions::wrong_count(&function, arguments.len()) {
            return Err(ExprError::parsing(problem, span));
        }
        Ok(Node {
            kind: NodeKind::Call { function, arguments },
            span,
        })
    }
}

/// A comparison of the same rank joins the row on its left.
fn join_comparison(left: Node, comparison: Comparison, right: Node) -> Node {
    let span = (left.span.0, right.span.1);
    let same_rank = matches!(&left.kind, NodeKind::Compare { rest, .. }
        if rest.iter().all(|(other, _)| other.rank() == comparison.rank()));
    let (first, mut rest) = match left {
        Node {
            kind: NodeKind::Compare { first, rest },
            ..
        } if same_rank => (first, rest),
        other => (Box::new(other), Vec::new()),
    };
    rest.push((comparison, right));
    Node {
        kind: NodeKind::Compare { first, rest },
        span,
    }
}

fn join_all(left: Node, right: Node) -> Node {
    let span = (left.span.0, right.span.1);
    let mut operands = match left {
        Node {
            kind: NodeKind::All(operands),
            ..
        } => operands,
        other => vec![other],
    };
    operands.push(right);
    Node {
        kind: NodeKind::All(operands),
        span,
    }
}

fn join_any(left: Node, right: Node) -> Node {
    let span = (left.span.0, right.span.1);
    let mut operands = match left {
        Node {
            kind: NodeKind::Any(operands),
            ..
        } => operands,
        other => vec![other],
    };
    operands.push(right);
    Node {
        kind: NodeKind::Any(operands),
        span,
    }
}
