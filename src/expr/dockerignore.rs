//! `.dockerignore`: which paths of a build context are left out.
//!
//! Source: Docker's "Dockerfile reference", ".dockerignore file", and the behaviour of moby's pattern matcher: Go's
//! `filepath.Match` plus `**`; the last pattern that matches a path or one of its parents decides.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Largest compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The patterns of one file.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    re_includes: bool,
    matcher: Matcher,
}

/// How a pattern is matched; the simple ways are also the odd ones of the original, which are kept.
#[derive(Debug, Clone)]
enum Matcher {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Regex(Regex),
}

/// A line that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IgnoreError {
    /// Line of the text, or place in the list of patterns, counted from 1.
    pub line: usize,
    pub message: String,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`: one pattern a line, `#` at a line's start begins a comment.
    pub fn parse(text: &str) -> Result<Ignore, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (bang, body) = match line.strip_prefix('!') {
                Some(body) => ("!", body.trim()),
                None => ("", line),
            };
            // Patterns are relative to the context's root, with or without a slash in front.
            let body = match clean(body).as_str() {
                _ if body.is_empty() => String::new(),
                "/" => "/".to_string(),
                cleaned => cleaned.strip_prefix('/').unwrap_or(cleaned).to_string(),
            };
            patterns.extend(Pattern::parse(&format!("{bang}{body}"), index + 1)?);
        }
        Ok(Ignore { patterns })
    }

    /// Takes patterns one by one; empty ones are left out.
    pub fn from_patterns<S: AsRef<str>>(patterns: &[S]) -> Result<Ignore, IgnoreError> {
        let mut parsed = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            parsed.extend(Pattern::parse(pattern.as_ref(), index + 1)?);
        }
        Ok(Ignore { patterns: parsed })
    }

    /// Whether a path, relative to the context's root and with `/`, is left out.
    pub fn is_ignored(&self, path: &str) -> bool {
        let path = match (clean(path), path.ends_with('/')) {
            // The context's root itself is never left out.
            (cleaned, _) if cleaned == "." => return false,
            (cleaned, true) if cleaned != "/" => cleaned + "/",
            (cleaned, _) => cleaned,
        };
        let mut ignored = false;
        for pattern in &self.patterns {
            // An exclusion matters only for what is ignored so far, and the other way round.
            if pattern.re_includes == ignored && pattern.matches_with_parents(&path) {
                ignored = !pattern.re_includes;
            }
        }
        ignored
    }

    /// Whether any pattern begins with `!`, so that a walk must look into ignored directories.
    pub fn re_includes(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.re_includes)
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

impl Pattern {
    fn parse(text: &str, line: usize) -> Result<Option<Pattern>, IgnoreError> {
        let wrong = |message: String| Err(IgnoreError { line, message });
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return wrong(format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let cleaned = clean(text);
        let (re_includes, body) = match cleaned.strip_prefix('!') {
            Some("") => return wrong("`!` alone excludes nothing".to_string()),
            Some(body) => (true, body),
            None => (false, cleaned.as_str()),
        };
        match Matcher::parse(body) {
            Ok(matcher) => Ok(Some(Pattern { re_includes, matcher })),
            Err(message) => wrong(message),
        }
    }

    fn matches_with_parents(&self, path: &str) -> bool {
        let parents = path
            .match_indices('/')
            .map(|(at, _)| &path[..at])
            .filter(|parent| !parent.is_empty());
        self.matcher.matches(path) || parents.into_iter().any(|parent| self.matcher.matches(parent))
    }
}

impl Matcher {
    fn parse(pattern: &str) -> Result<Matcher, String> {
        let mut regex = String::new();
        let mut kind = Kind::Exact;
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let first = rest.len() == pattern.len();
            if let Some(behind) = rest.strip_prefix("**") {
                rest = behind.strip_prefix('/').unwrap_or(behind);
                if !rest.is_empty() {
                    regex.push_str("(?:.*/)?");
                    kind = Kind::Regex;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    regex.push_str(".*");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '*' => {
                    regex.push_str("[^/]*");
                    kind = Kind::Regex;
                }
                '?' => {
                    regex.push_str("[^/]");
                    kind = Kind::Regex;
                }
                '[' => {
                    rest = class(rest, &mut regex)
                        .ok_or_else(|| format!("the `[...]` in `{pattern}` is not well formed"))?;
                    kind = Kind::Regex;
                }
                '\\' => {
                    let Some(escaped) = rest.chars().next() else {
                        return Err(format!("a `\\` at the end of `{pattern}` escapes nothing"));
                    };
                    regex.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
                    rest = &rest[escaped.len_utf8()..];
                    kind = Kind::Regex;
                }
                _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        Ok(match kind {
            Kind::Exact => Matcher::Exact(pattern.to_string()),
            Kind::Prefix => Matcher::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_string()),
            Kind::Suffix => Matcher::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_string()),
            Kind::Regex => Matcher::Regex(
                RegexBuilder::new(&format!("^(?:{regex})$"))
                    .size_limit(COMPILED_BYTES_MAX)
                    .build()
                    .map_err(|_| format!("the pattern `{pattern}` is too large"))?,
            ),
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix('/').is_some_and(|whole| path == whole)
            }
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// Writes the class whose `[` was read; gives what follows its `]`, or none if it is not well formed.
fn class<'a>(mut rest: &'a str, regex: &mut String) -> Option<&'a str> {
    regex.push('[');
    if let Some(behind) = rest.strip_prefix('^') {
        regex.push('^');
        rest = behind;
    }
    let mut members = 0;
    loop {
        if members > 0
            && let Some(behind) = rest.strip_prefix(']')
        {
            regex.push(']');
            return Some(behind);
        }
        let (low, behind) = member(rest)?;
        let (high, behind) = match behind.strip_prefix('-') {
            Some(behind) => member(behind)?,
            None => (low, behind),
        };
        if low > high {
            return None;
        }
        regex.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)));
        rest = behind;
        members += 1;
    }
}

/// One character of a class, escaped or not.
fn member(rest: &str) -> Option<(char, &str)> {
    let mut chars = rest.chars();
    let c = match chars.next()? {
        '-' | ']' => return None,
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}

/// The shortest path that means the same, as Go's `filepath.Clean`: no doubled slashes, no `.`, no resolvable `..`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_string(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests;
