//! GitHub's filter patterns for branches, tags and paths.
//!
//! `*` any characters but `/`, `**` any characters, `?` the character before it or nothing, `+` the character before it
//! once or more, `[a-z]` one letter or digit, `\` the next character itself, `!` in front: what matches is taken back.
//! Source: GitHub's "Workflow syntax", "Filter pattern cheat sheet". Matching takes time linear in the name's length.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Largest compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A list of patterns, in the order of the file.
#[derive(Debug, Clone)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    negative: bool,
    regex: Regex,
}

/// The pattern that decided on a name, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The pattern of this index matched, and none behind it took the name back.
    Taken(usize),
    /// The `!` pattern of this index took the name back.
    TakenBack(usize),
    /// No pattern matched.
    Unmatched,
}

/// A changed path that a `paths` filter wants: indexes of the pattern and of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathMatch {
    pub pattern: usize,
    pub path: usize,
}

impl Patterns {
    /// Compiles the patterns. Errors: the index of the first wrong one, and what is wrong with it.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Patterns, (usize, String)> {
        let compile = |(index, text): (usize, &S)| Pattern::parse(text.as_ref()).map_err(|message| (index, message));
        let patterns = patterns.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Patterns { patterns })
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The pattern's text as it was written.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.patterns.get(index).map(|pattern| pattern.text.as_str())
    }

    /// For `branches`, `tags` and `paths`: the last pattern that matches decides.
    pub fn verdict(&self, name: &str) -> Verdict {
        let mut matching = self
            .patterns
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, pattern)| pattern.regex.is_match(name));
        match matching.next() {
            Some((index, pattern)) if pattern.negative => Verdict::TakenBack(index),
            Some((index, _)) => Verdict::Taken(index),
            None => Verdict::Unmatched,
        }
    }

    /// The index of the pattern that takes the name in, if it is in.
    pub fn decide(&self, name: &str) -> Option<usize> {
        match self.verdict(name) {
            Verdict::Taken(index) => Some(index),
            Verdict::TakenBack(_) | Verdict::Unmatched => None,
        }
    }

    pub fn matches(&self, name: &str) -> bool {
        self.decide(name).is_some()
    }

    /// For `branches-ignore`, `tags-ignore` and `paths-ignore`: the first pattern that ignores the name. Each pattern
    /// counts for itself; `!x` ignores everything but `x`.
    pub fn ignored_by(&self, name: &str) -> Option<usize> {
        self.patterns
            .iter()
            .position(|pattern| pattern.regex.is_match(name) != pattern.negative)
    }

    /// `paths`: the first changed path that is wanted. None: the workflow does not run.
    pub fn paths_match<S: AsRef<str>>(&self, changed: &[S]) -> Option<PathMatch> {
        changed
            .iter()
            .enumerate()
            .find_map(|(path, name)| self.decide(name.as_ref()).map(|pattern| PathMatch { pattern, path }))
    }

    /// `paths-ignore`: the index of the first changed path that is not ignored. None: the workflow does not run.
    pub fn paths_ignore_match<S: AsRef<str>>(&self, changed: &[S]) -> Option<usize> {
        changed.iter().position(|name| self.ignored_by(name.as_ref()).is_none())
    }
}

/// As a file lists them: `[main, release/**]`.
impl std::fmt::Display for Patterns {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<&str> = self.patterns.iter().map(|pattern| pattern.text.as_str()).collect();
        write!(out, "[{}]", texts.join(", "))
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.patterns
            .iter()
            .map(|pattern| &pattern.text)
            .eq(other.patterns.iter().map(|pattern| &pattern.text))
    }
}

/// As the list of their texts.
impl serde::Serialize for Patterns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.patterns.iter().map(|pattern| &pattern.text))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let (negative, body) = match text.strip_prefix('!') {
            Some(body) => (true, body),
            None => (false, text),
        };
        if body.is_empty() {
            return Err("the pattern is empty".to_string());
        }
        let regex = RegexBuilder::new(&translate(body)?)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|_| format!("the pattern `{text}` is too large"))?;
        Ok(Pattern {
            text: text.to_string(),
            negative,
            regex,
        })
    }
}

/// The pattern as a regular expression.
fn translate(pattern: &str) -> Result<String, String> {
    // Each item is what one `?` or `+` behind it repeats.
    let mut items: Vec<String> = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let at_segment_start = rest.len() == pattern.len() || pattern[..pattern.len() - rest.len()].ends_with('/');
        if at_segment_start && let Some(behind) = rest.strip_prefix("**/") {
            items.push("(?:.*/)?".to_string());
            rest = behind;
            continue;
        }
        if let Some(behind) = rest.strip_prefix("**") {
            items.push(".*".to_string());
            rest = behind;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => items.push("[^/]*".to_string()),
            '?' | '+' => match items.pop() {
                Some(item) => items.push(format!("(?:{item}){c}")),
                None => items.push(regex::escape(&c.to_string())),
            },
            '[' => {
                let Some((inner, behind)) = rest.split_once(']') else {
                    return Err(format!("`[` without its `]` in `{pattern}`"));
                };
                items.push(class(inner, pattern)?);
                rest = behind;
            }
            '\\' => {
                let Some(escaped) = rest.chars().next() else {
                    return Err(format!("a `\\` at the end of `{pattern}` escapes nothing"));
                };
                items.push(regex::escape(&escaped.to_string()));
                rest = &rest[escaped.len_utf8()..];
            }
            _ => items.push(regex::escape(&c.to_string())),
        }
    }
    Ok(format!("(?s)^(?:{})$", items.concat()))
}

/// What stands between `[` and `]`: letters, digits and ranges of them.
fn class(inner: &str, pattern: &str) -> Result<String, String> {
    let wrong = |what: String| Err(format!("{what} in `[{inner}]` of `{pattern}`"));
    if inner.is_empty() {
        return wrong("there is nothing".to_string());
    }
    let chars: Vec<char> = inner.chars().collect();
    let mut class = String::from("[");
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        if !first.is_ascii_alphanumeric() {
            return wrong(format!("`{first}` is neither a letter nor a digit"));
        }
        if chars.get(at + 1) != Some(&'-') {
            class.push(first);
            at += 1;
            continue;
        }
        let Some(&last) = chars.get(at + 2) else {
            return wrong(format!("the range `{first}-` has no end"));
        };
        let digits = first.is_ascii_digit() && last.is_ascii_digit();
        let letters = first.is_ascii_alphabetic() && last.is_ascii_alphabetic();
        if !(digits || letters) || first > last {
            return wrong(format!("`{first}-{last}` is no range of letters or digits"));
        }
        class.extend([first, '-', last]);
        at += 3;
    }
    class.push(']');
    Ok(class)
}

#[cfg(test)]
mod tests;
