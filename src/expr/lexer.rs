//! Text to words of the expression language, each with its place.

use super::error::ExprError;
use super::number;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Dot,
    Star,
    Not,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    True,
    False,
    Null,
    Number(f64),
    String(String),
    Name,
}

/// A word and its bytes `start..end` in the whole text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub word: Word,
    pub start: usize,
    pub end: usize,
}

/// The words of `text[start..end]`.
pub(super) fn lex(text: &str, start: usize, end: usize) -> Result<Vec<Token>, ExprError> {
    let mut lexer = Lexer {
        text: &text[..end],
        at: start,
        tokens: Vec::new(),
    };
    while let Some(c) = lexer.peek() {
        lexer.next_token(c)?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next_token(&mut self, c: char) -> Result<(), ExprError> {
        if c.is_whitespace() {
            self.at += c.len_utf8();
            return Ok(());
        }
        match c {
            '(' => self.push(Word::LeftParen, 1),
            ')' => self.push(Word::RightParen, 1),
            '[' => self.push(Word::LeftBracket, 1),
            ']' => self.push(Word::RightBracket, 1),
            ',' => self.push(Word::Comma, 1),
            '*' => self.push(Word::Star, 1),
            '!' if self.follows('=') => self.push(Word::NotEqual, 2),
            '!' => self.push(Word::Not, 1),
            '<' if self.follows('=') => self.push(Word::LessEqual, 2),
            '<' => self.push(Word::Less, 1),
            '>' if self.follows('=') => self.push(Word::GreaterEqual, 2),
            '>' => self.push(Word::Greater, 1),
            '=' if self.follows('=') => self.push(Word::Equal, 2),
            '&' if self.follows('&') => self.push(Word::And, 2),
            '|' if self.follows('|') => self.push(Word::Or, 2),
            '.' if self.after_value() => self.push(Word::Dot, 1),
            '\'' => return self.string(),
            '.' | '-' | '+' | '0'..='9' => return self.number(),
            _ => return self.name(),
        }
        Ok(())
    }

    fn push(&mut self, word: Word, length: usize) {
        self.tokens.push(Token {
            word,
            start: self.at,
            end: self.at + length,
        });
        self.at += length;
    }

    fn follows(&self, expected: char) -> bool {
        self.text[self.at + 1..].starts_with(expected)
    }

    /// Whether a dot here reads a property; anywhere else it begins a number.
    fn after_value(&self) -> bool {
        match self.tokens.last() {
            Some(token) => matches!(
                token.word,
                Word::Name | Word::RightBracket | Word::RightParen | Word::Star
            ),
            None => false,
        }
    }

    /// The end of a word that begins at the cursor: at a blank or at a character that begins another word.
    fn word_end(&self, dots_inside: bool) -> usize {
        let mut chars = self.text[self.at..].char_indices();
        let first = chars.next().map_or(0, |(_, c)| c.len_utf8());
        for (offset, c) in chars {
            let boundary = matches!(c, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|');
            if (boundary && !(dots_inside && c == '.')) || c.is_whitespace() {
                return self.at + offset;
            }
        }
        if first == 0 { self.at } else { self.text.len() }
    }

    fn number(&mut self) -> Result<(), ExprError> {
        let end = self.word_end(true);
        let value = number::parse(&self.text[self.at..end]);
        if value.is_nan() {
            let hint = match self.text[self.at..end].strip_prefix('.') {
                Some(rest) if !rest.starts_with(|c: char| c.is_ascii_digit()) => {
                    "a property is read of a name, a call or a group"
                }
                Some(_) | None => "no number is written like this",
            };
            return Err(self.unexpected(end, hint));
        }
        self.push(Word::Number(value), end - self.at);
        Ok(())
    }

    fn string(&mut self) -> Result<(), ExprError> {
        let start = self.at + 1;
        let mut value = String::new();
        let mut from = start;
        while let Some(quote) = self.text[from..].find('\'') {
            value.push_str(&self.text[from..from + quote]);
            from += quote + 1;
            if !self.text[from..].starts_with('\'') {
                self.push(Word::String(value), from - self.at);
                return Ok(());
            }
            value.push('\'');
            from += 1;
        }
        Err(self.unexpected(self.text.len(), "the closing `'` is missing"))
    }

    fn name(&mut self) -> Result<(), ExprError> {
        let end = self.word_end(false);
        let name = &self.text[self.at..end];
        let property = matches!(self.tokens.last(), Some(Token { word: Word::Dot, .. }));
        let word = match name {
            _ if property => Word::Name,
            "true" => Word::True,
            "false" => Word::False,
            "null" => Word::Null,
            "NaN" => Word::Number(f64::NAN),
            "Infinity" => Word::Number(f64::INFINITY),
            _ => Word::Name,
        };
        if !is_name(name) {
            let hint = match name.chars().next() {
                Some('"') => "strings stand in single quotes",
                Some('=') => "equality is `==`",
                Some('&') => "and is `&&`",
                Some('|') => "or is `||`",
                Some('$') if name.starts_with("${") => "`${{` cannot stand inside an expression",
                Some(c) if c.is_ascii_punctuation() && c != '_' => "it is no operator of the language",
                _ => "names are made of letters, digits, `_` and `-`",
            };
            return Err(self.unexpected(end, hint));
        }
        self.push(word, end - self.at);
        Ok(())
    }

    fn unexpected(&self, end: usize, hint: &str) -> ExprError {
        let found = &self.text[self.at..end];
        ExprError::lexing(format!("unexpected symbol `{}`: {hint}", cut(found)), (self.at, end))
    }
}

/// Whether a text can stand as a name: a letter or `_`, then letters, digits, `_` and `-`, all of ASCII.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// At most 60 characters of a text's first line, for messages.
pub(super) fn cut(text: &str) -> String {
    let end = text.find(char::is_control).unwrap_or(text.len());
    let end = text[..end].char_indices().nth(60).map_or(end, |(at, _)| at);
    if end < text.len() {
        format!("{}…", &text[..end])
    } else {
        text.to_string()
    }
}
