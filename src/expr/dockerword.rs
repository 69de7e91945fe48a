//! Words of a Dockerfile: quotes, escapes, `$name` and `${name...}`.
//!
//! Source: Docker's "Dockerfile reference", "Environment replacement", and the behaviour of BuildKit's shell lexer.

use regex::NoExpand;

use super::re2;

/// Deepest nesting of `${...${...}}`.
pub const DEPTH_MAX: usize = 100;

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordError(String);

/// Looks up a variable: none if it is not set.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The word's text: quotes and escapes removed, variables replaced; a variable that is not set is empty.
/// `escape` is the Dockerfile's escape character, `\` unless a directive says otherwise.
pub fn expand(word: &str, variables: Variables<'_>, escape: char) -> Result<String, WordError> {
    let mut lexer = Lexer {
        rest: word,
        variables,
        escape,
        raw_escapes: false,
        depth: 0,
    };
    Ok(lexer.until(None)?.text)
}

/// The words that the text splits into at blanks outside of quotes, after variables were replaced.
pub fn expand_words(text: &str, variables: Variables<'_>, escape: char) -> Result<Vec<String>, WordError> {
    let mut lexer = Lexer {
        rest: text,
        variables,
        escape,
        raw_escapes: false,
        depth: 0,
    };
    Ok(lexer.until(None)?.finished())
}

struct Lexer<'a> {
    rest: &'a str,
    variables: Variables<'a>,
    escape: char,
    /// Escape characters stay in the text, for patterns that read them later.
    raw_escapes: bool,
    depth: usize,
}

/// The text as a whole, and the words it splits into.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: Option<String>,
}

impl Output {
    fn quoted(&mut self, part: &str) {
        self.text.push_str(part);
        self.word.get_or_insert_default().push_str(part);
    }

    fn plain(&mut self, part: &str) {
        self.text.push_str(part);
        for c in part.chars() {
            if !c.is_whitespace() {
                self.word.get_or_insert_default().push(c);
            } else if self.word.as_ref().is_some_and(|word| !word.is_empty()) {
                self.words.extend(self.word.take());
            }
        }
    }

    fn finished(mut self) -> Vec<String> {
        self.words.extend(self.word.take().filter(|word| !word.is_empty()));
        self.words
    }
}

fn error<T>(message: impl Into<String>) -> Result<T, WordError> {
    Err(WordError(message.into()))
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Reads up to and without `stop`, or up to the end where there is none.
    fn until(&mut self, stop: Option<char>) -> Result<Output, WordError> {
        let mut out = Output::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return Ok(out);
            }
            match c {
                '\'' => out.quoted(&self.single_quoted()?),
                '"' => out.quoted(&self.double_quoted()?),
                '$' => out.plain(&self.dollar()?),
                _ => {
                    self.next();
                    if c != self.escape {
                        out.plain(c.encode_utf8(&mut [0; 4]));
                        continue;
                    }
                    if self.raw_escapes {
                        out.quoted(c.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(escaped) = self.next() {
                        out.quoted(escaped.encode_utf8(&mut [0; 4]));
                    }
                }
            }
        }
        match stop {
            None => Ok(out),
            Some(stop) => error(format!("the closing `{stop}` is missing")),
        }
    }

    fn until_raw(&mut self, stop: char, raw_escapes: bool) -> Result<String, WordError> {
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let out = self.until(Some(stop));
        self.raw_escapes = before;
        Ok(out?.text)
    }

    fn single_quoted(&mut self) -> Result<String, WordError> {
        self.next();
        let Some((inner, behind)) = self.rest.split_once('\'') else {
            return error("the closing single quote is missing");
        };
        self.rest = behind;
        Ok(inner.to_string())
    }

    fn double_quoted(&mut self) -> Result<String, WordError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return error("the closing double quote is missing"),
                Some('"') => {
                    self.next();
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.next();
                    if c != self.escape {
                        text.push(c);
                        continue;
                    }
                    if self.raw_escapes {
                        text.push(c);
                    }
                    match self.peek() {
                        // Only these can be escaped inside of double quotes.
                        Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.escape => {
                            self.next();
                            text.push(escaped);
                        }
                        Some(_) => text.push(c),
                        None => {}
                    }
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, WordError> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_string()
            } else {
                self.value(&name).unwrap_or_default()
            });
        }
        self.next();
        match self.peek() {
            None => return error("the closing `}` of `${` is missing"),
            Some('{' | '}' | ':') => return error("a variable's name should follow `${`"),
            Some(_) => {}
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return error(format!("`${{` is nested deeper than {DEPTH_MAX} levels"));
        }
        let name = self.name();
        if name.is_empty() {
            return error("a variable's name should follow `${`");
        }
        let value = self.modified(&name);
        self.depth -= 1;
        value
    }

    /// What follows the name in `${name`, up to its `}`.
    fn modified(&mut self, name: &str) -> Result<String, WordError> {
        let first = self.next();
        let (operator, empty_counts_as_unset) = match first {
            Some('}') => return Ok(self.value(name).unwrap_or_default()),
            Some(':') => (self.next(), true),
            other => (other, false),
        };
        match operator {
            None => error(format!("the closing `}}` of `${{{name}` is missing")),
            Some('/') if !empty_counts_as_unset => self.replaced(name),
            Some(operator @ ('+' | '-' | '?' | '#' | '%')) => {
                let raw = matches!(operator, '#' | '%');
                let word = self.until_raw('}', raw)?;
                let set = self
                    .value(name)
                    .filter(|value| !(empty_counts_as_unset && value.is_empty()));
                match operator {
                    '-' => Ok(set.unwrap_or(word)),
                    '+' => Ok(set.map(|_| word).unwrap_or_default()),
                    '?' => match set {
                        Some(value) => Ok(value),
                        None if word.is_empty() => error(format!(
                            "`{name}` is not set{}",
                            if empty_counts_as_unset { " or empty" } else { "" }
                        )),
                        None => error(format!("{name}: {word}")),
                    },
                    _ => trimmed(&self.value(name).unwrap_or_default(), operator, &word),
                }
            }
            Some(other) => {
                let colon = if empty_counts_as_unset { ":" } else { "" };
                error(format!(
                    "`{colon}{other}` behind `${{{name}` is no modifier: there are - + ? # % and /"
                ))
            }
        }
    }

    /// `${name/pattern/replacement}`, `${name//pattern/replacement}`
    fn replaced(&mut self, name: &str) -> Result<String, WordError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.until_raw('/', true)?;
        let replacement = self.until_raw('}', true)?;
        let value = self.value(name).unwrap_or_default();
        let regex = shell_pattern(&pattern, ".*")?;
        let times = if all { 0 } else { 1 };
        Ok(regex.replacen(&value, times, NoExpand(&replacement)).into_owned())
    }

    /// Letters, digits and `_`; digits only if it begins with one; or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let length = match self.peek() {
            Some(c) if c.is_numeric() => self.rest.find(|c: char| !c.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            Some(_) | None => self.rest.find(|c: char| !letter(c)),
        };
        let (name, rest) = self.rest.split_at(length.unwrap_or(self.rest.len()));
        self.rest = rest;
        name.to_string()
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.variables)(name)
    }
}

/// `${name#pattern}` and `${name%pattern}` take the shortest match off the start or end, doubled the longest.
fn trimmed(value: &str, operator: char, pattern: &str) -> Result<String, WordError> {
    let (longest, pattern) = match pattern.strip_prefix(operator) {
        Some(pattern) => (true, pattern),
        None => (false, pattern),
    };
    let regex = shell_pattern(pattern, ".*")?;
    let whole = regex::Regex::new(&format!("^(?:{})$", regex.as_str()))
        .map_err(|_| WordError(format!("the pattern `{pattern}` is too large")))?;
    let mut cuts: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
    // A prefix grows with the cut and a suffix shrinks: begin with the longest or the shortest one.
    if longest == (operator == '#') {
        cuts.reverse();
    }
    for cut in cuts {
        let (head, tail) = value.split_at(cut);
        match operator {
            '#' if whole.is_match(head) => return Ok(tail.to_string()),
            '%' if whole.is_match(tail) => return Ok(head.to_string()),
            _ => {}
        }
    }
    Ok(value.to_string())
}

/// A shell pattern with `*` and `?` as a regular expression.
fn shell_pattern(pattern: &str, star: &str) -> Result<regex::Regex, WordError> {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(star),
            '?' => out.push('.'),
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => {
                    out.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
                }
                Some(other) => return error(format!("`\\{other}` in the pattern `{pattern}` escapes nothing")),
                None => return error(format!("a `\\` at the end of the pattern `{pattern}` escapes nothing")),
            },
            _ => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    re2::compile(&out, re2::Flags::default())
        .map_err(|problem| WordError(format!("the pattern `{pattern}`: {problem}")))
}

#[cfg(test)]
mod tests;
