//! The text of a condition to its tree.

use regex::Regex;

use super::{Comparison, DEPTH_MAX, Node, NodeKind};
use crate::expr::error::ExprError;
use crate::expr::lexer::cut;
use crate::expr::re2;

/// The tree of a whole text.
pub(super) fn parse(text: &str) -> Result<Node, ExprError> {
    let mut parser = Parser {
        text,
        tokens: lex(text)?,
        at: 0,
        depth: 0,
    };
    let root = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok(root),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

/// A text that is an expression with slashes and flags and nothing else.
pub(super) fn whole_pattern(source: &str) -> Option<Result<Regex, String>> {
    let inner = source.strip_prefix('/')?;
    let (body, flags) = inner.rsplit_once('/')?;
    let flags = read_flags(flags)?;
    Some(re2::compile(&body.replace(r"\/", "/"), flags))
}

fn read_flags(letters: &str) -> Option<re2::Flags> {
    let mut flags = re2::Flags::default();
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = true,
            's' => flags.dot_all = true,
            'm' => flags.multi_line = true,
            'U' => flags.ungreedy = true,
            _ => return None,
        }
    }
    Some(flags)
}

#[derive(Debug, Clone)]
enum Word {
    Open,
    Close,
    Not,
    And,
    Or,
    Compare(Comparison),
    Value(NodeKind),
}

#[derive(Debug, Clone)]
struct Token {
    word: Word,
    span: (usize, usize),
}

fn lex(text: &str) -> Result<Vec<Token>, ExprError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (word, length) = next_word(text, at)?;
        tokens.push(Token {
            word,
            span: (at, at + length),
        });
        at += length;
    }
    Ok(tokens)
}

/// The word that begins at `at`, and its length.
fn next_word(text: &str, at: usize) -> Result<(Word, usize), ExprError> {
    let rest = &text[at..];
    for (sign, word) in [
        ("(", Word::Open),
        (")", Word::Close),
        ("==", Word::Compare(Comparison::Equal)),
        ("=~", Word::Compare(Comparison::Matches)),
        ("!=", Word::Compare(Comparison::NotEqual)),
        ("!~", Word::Compare(Comparison::NotMatches)),
        ("!", Word::Not),
        ("&&", Word::And),
        ("||", Word::Or),
    ] {
        if rest.starts_with(sign) {
            return Ok((word, sign.len()));
        }
    }
    let wrong = |length: usize, message: String| Err(ExprError::lexing(message, (at, at + length)));
    if rest.starts_with(['"', '\'']) {
        let quote = &rest[..1];
        return match rest[1..].find(quote) {
            Some(end) => Ok((Word::Value(NodeKind::Text(rest[1..=end].to_string())), end + 2)),
            None => wrong(rest.len(), format!("the closing `{quote}` is missing")),
        };
    }
    if let Some(behind) = rest.strip_prefix('$') {
        return variable(behind).ok_or(()).or_else(|()| {
            let message = "the name of a variable should follow `$`, made of letters, digits and `_`";
            wrong(1, message.to_string())
        });
    }
    if rest.starts_with('/') {
        return pattern(rest).map_err(|(length, message)| ExprError::lexing(message, (at, at + length)));
    }
    let length = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    match &rest[..length] {
        "null" => Ok((Word::Value(NodeKind::Null), length)),
        "true" => Ok((Word::Value(NodeKind::Bool(true)), length)),
        "false" => Ok((Word::Value(NodeKind::Bool(false)), length)),
        "" => {
            let found: String = rest.chars().take(1).collect();
            let hint = match found.as_str() {
                "=" => "equality is `==`",
                "&" => "and is `&&`",
                "|" => "or is `||`",
                _ => "it is no part of the language",
            };
            wrong(found.len(), format!("unexpected symbol `{found}`: {hint}"))
        }
        word => wrong(
            length,
            format!(
                "unexpected word `{}`: a text stands in quotes, a variable begins with `$`",
                cut(word)
            ),
        ),
    }
}

/// `NAME` or `{NAME}` behind a `$`.
fn variable(behind: &str) -> Option<(Word, usize)> {
    let braced = behind.strip_prefix('{');
    let name = braced.unwrap_or(behind);
    let length = name
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    if length == 0 || (braced.is_some() && !name[length..].starts_with('}')) {
        return None;
    }
    let around = if braced.is_some() { 3 } else { 1 };
    Some((
        Word::Value(NodeKind::Variable(name[..length].to_string())),
        length + around,
    ))
}

/// `/regex/flags`, where `\/` stands for a slash.
fn pattern(rest: &str) -> Result<(Word, usize), (usize, String)> {
    let bytes = rest.as_bytes();
    let Some(close) = (1..bytes.len()).find(|at| bytes[*at] == b'/' && bytes[at - 1] != b'\\') else {
        return Err((
            rest.len(),
            "the closing `/` of the regular expression is missing".to_string(),
        ));
    };
    let behind = &rest[close + 1..];
    let letters = behind
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(behind.len());
    let length = close + 1 + letters;
    let Some(flags) = read_flags(&behind[..letters]) else {
        let found = cut(&behind[..letters]);
        let message = format!(
            "`{found}` are no flags of a regular expression: there are i, s, m and U; a slash inside of it is written `\\/`"
        );
        return Err((length, message));
    };
    if close == 1 {
        return Err((length, "the regular expression is empty".to_string()));
    }
    match re2::compile(&rest[1..close].replace(r"\/", "/"), flags) {
        Ok(regex) => Ok((Word::Value(NodeKind::Pattern(regex)), length)),
        Err(problem) => Err((length, format!("the regular expression is not well formed: {problem}"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn unexpected(&self, wanted: &str) -> ExprError {
        match self.tokens.get(self.at) {
            Some(token) => {
                let found = cut(&self.text[token.span.0..token.span.1]);
                ExprError::parsing(format!("unexpected `{found}`: {wanted} should stand here"), token.span)
            }
            None => {
                let end = self.text.trim_end().len();
                ExprError::parsing(
                    format!("unexpected end of condition: {wanted} should follow"),
                    (end, end),
                )
            }
        }
    }

    fn take(&mut self, wanted: fn(&Word) -> bool) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|token| wanted(&token.word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Node, ExprError> {
        let first = self.all()?;
        let mut operands = vec![first];
        while self.take(|word| matches!(word, Word::Or)) {
            operands.push(self.all()?);
        }
        Ok(joined(operands, NodeKind::Any))
    }

    fn all(&mut self) -> Result<Node, ExprError> {
        let first = self.comparison()?;
        let mut operands = vec![first];
        while self.take(|word| matches!(word, Word::And)) {
            operands.push(self.comparison()?);
        }
        Ok(joined(operands, NodeKind::All))
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let first = self.operand()?;
        let mut rest = Vec::new();
        while let Some(Token {
            word: Word::Compare(comparison),
            ..
        }) = self.tokens.get(self.at)
        {
            let comparison = *comparison;
            self.at += 1;
            rest.push((comparison, self.operand()?));
        }
        let Some((_, last)) = rest.last() else { return Ok(first) };
        let span = (first.span.0, last.span.1);
        Ok(Node {
            kind: NodeKind::Compare {
                first: Box::new(first),
                rest,
            },
            span,
        })
    }

    fn operand(&mut self) -> Result<Node, ExprError> {
        let Some(token) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected("a value"));
        };
        self.at += 1;
        match token.word {
            Word::Value(kind) => Ok(Node { kind, span: token.span }),
            Word::Not => {
                self.deeper(token.span)?;
                let inner = self.operand()?;
                self.depth -= 1;
                let span = (token.span.0, inner.span.1);
                Ok(Node {
                    kind: NodeKind::Not(Box::new(inner)),
                    span,
                })
            }
            Word::Open => {
                self.deeper(token.span)?;
                let inner = self.any()?;
                self.depth -= 1;
                if !self.take(|word| matches!(word, Word::Close)) {
                    return Err(self.unexpected("`)`"));
                }
                Ok(inner)
            }
            Word::Close | Word::And | Word::Or | Word::Compare(_) => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn deeper(&mut self, span: (usize, usize)) -> Result<(), ExprError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the condition is nested deeper than {DEPTH_MAX} levels");
            return Err(ExprError::parsing(message, span));
        }
        Ok(())
    }
}

fn joined(mut operands: Vec<Node>, join: fn(Vec<Node>) -> NodeKind) -> Node {
    if operands.len() == 1 {
        return operands.remove(0);
    }
    let start = operands.first().map_or(0, |node| node.span.0);
    let end = operands.last().map_or(start, |node| node.span.1);
    Node {
        kind: join(operands),
        span: (start, end),
    }
}
