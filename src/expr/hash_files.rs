//! `hashFiles`: one digest for all files that match.
//!
//! Source: GitHub's `hashFiles` and the patterns of `@actions/glob`: `*` and `?` within a path's segment, `**` as a
//! whole segment, `[...]`, `\`; a pattern also means everything below what it matches; `!` takes matches back; patterns
//! apply in order. The digest is the SHA-256 of the files' SHA-256 in the order of the walk, in hex.

use std::cmp::Ordering;
use std::io::{self, Read};

use regex::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Largest compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The files of a workspace.
pub trait Files {
    /// Paths of all files (not directories), relative to the workspace and with `/`, in any order.
    fn paths(&self) -> io::Result<Vec<String>>;

    /// The contents of one of [`Files::paths`].
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;

    /// The workspace's absolute path as a job knows it, so that patterns may begin with it.
    fn root(&self) -> Option<&str> {
        None
    }
}

/// The digest, or the empty text if no file matches. Each of `patterns` may hold several, one a line; empty lines and
/// those beginning with `#` do not count. Errors: one line of text.
pub fn hash_files<S: AsRef<str>>(files: &dyn Files, patterns: &[S]) -> Result<String, String> {
    let patterns = patterns
        .iter()
        .flat_map(|text| text.as_ref().lines())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| Pattern::parse(line, files.root()).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    if !patterns.iter().any(|pattern| !pattern.negative) {
        return Ok(String::new());
    }
    let paths = files
        .paths()
        .map_err(|error| format!("the workspace cannot be read: {error}"))?;
    let mut digest = Sha256::new();
    let mut any = false;
    for path in in_walk_order(paths, &patterns) {
        let one = digest_of(files, &path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
        digest.update(one);
        any = true;
    }
    Ok(if any {
        hex::encode(digest.finalize())
    } else {
        String::new()
    })
}

/// The files that match, in the order in which a walk from the patterns' fixed beginnings meets them: beginnings in the
/// order of the patterns, and below each the names of every directory in the order of their bytes.
fn in_walk_order(paths: Vec<String>, patterns: &[Pattern]) -> Vec<String> {
    let mut starts: Vec<&str> = Vec::new();
    for pattern in patterns.iter().filter(|pattern| !pattern.negative) {
        if !starts.contains(&pattern.start.as_str()) {
            starts.push(&pattern.start);
        }
    }
    // A beginning inside of another one is met by that one's walk.
    let outermost: Vec<&str> = starts
        .iter()
        .copied()
        .filter(|start| !starts.iter().any(|other| other != start && is_below(start, other)))
        .collect();
    let mut found: Vec<(usize, String)> = paths
        .into_iter()
        .filter(|path| is_wanted(path, patterns))
        .filter_map(|path| {
            let walk = outermost
                .iter()
                .position(|start| path == *start || is_below(&path, start))?;
            Some((walk, path))
        })
        .collect();
    found.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| by_segments(&left.1, &right.1)));
    found.dedup();
    found.into_iter().map(|(_, path)| path).collect()
}

fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn by_segments(left: &str, right: &str) -> Ordering {
    left.split('/')
        .map(str::as_bytes)
        .cmp(right.split('/').map(str::as_bytes))
}

fn is_wanted(path: &str, patterns: &[Pattern]) -> bool {
    patterns.iter().fold(false, |wanted, pattern| match pattern.negative {
        false => wanted || pattern.regex.is_match(path),
        true => wanted && !pattern.regex.is_match(path),
    })
}

fn digest_of(files: &dyn Files, path: &str) -> io::Result<[u8; 32]> {
    let mut file = files.open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(length) => digest.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[derive(Debug)]
struct Pattern {
    negative: bool,
    /// The path before the first segment with a wildcard: where the walk begins. Empty: at the root.
    start: String,
    regex: Regex,
}

impl Pattern {
    /// None: the pattern lies outside of the workspace, where nothing is looked at.
    fn parse(line: &str, root: Option<&str>) -> Result<Option<Pattern>, String> {
        if line.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let mut body = line;
        let mut negative = false;
        while let Some(rest) = body.strip_prefix('!') {
            negative = !negative;
            body = rest.trim();
        }
        let Some(body) = inside(body, root) else {
            return Ok(None);
        };
        let mut segments: Vec<&str> = body.split('/').filter(|segment| !segment.is_empty()).collect();
        if segments.first() == Some(&".") {
            segments.remove(0);
        }
        if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err(format!("the pattern `{line}` may not hold `.` or `..` as a segment"));
        }
        let mut start: Vec<String> = Vec::new();
        let mut fixed = true;
        let mut regex = String::from("(?s)^");
        for (index, segment) in segments.iter().enumerate() {
            let last = index + 1 == segments.len();
            if *segment == "**" {
                fixed = false;
                regex.push_str(if last { "[^/]+" } else { "(?:[^/]+/)*" });
                continue;
            }
            let (text, wild) = translate(segment);
            fixed &= !wild;
            if fixed {
                start.push(unescaped(segment));
            }
            regex.push_str(&text);
            if !last {
                regex.push('/');
            }
        }
        // Everything below what a pattern matches belongs to it.
        regex.push_str(match (segments.is_empty(), body.ends_with('/')) {
            (true, _) => ".+$",
            (false, true) => "/.+$",
            (false, false) => "(?:/.+)?$",
        });
        let regex = RegexBuilder::new(&regex)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|_| format!("the pattern `{line}` is too large or not well formed"))?;
        Ok(Some(Pattern {
            negative,
            start: start.join("/"),
            regex,
        }))
    }
}

/// The pattern relative to the workspace; none if it lies outside.
fn inside<'a>(body: &'a str, root: Option<&str>) -> Option<&'a str> {
    if body.starts_with("~/") || body == "~" {
        return None;
    }
    if !body.starts_with('/') {
        return Some(body);
    }
    let rest = body.strip_prefix(root?.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
}

fn unescaped(segment: &str) -> String {
    let mut text = String::new();
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    text
}

/// One segment as a regular expression, and whether it holds a wildcard.
fn translate(segment: &str) -> (String, bool) {
    let mut regex = String::new();
    let mut wild = false;
    let mut rest = segment;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let literal = match c {
            '*' => {
                regex.push_str("[^/]*");
                wild = true;
                continue;
            }
            '?' => {
                regex.push_str("[^/]");
                wild = true;
                continue;
            }
            '[' => match class(rest) {
                Some((class, behind)) => {
                    regex.push_str(&class);
                    rest = behind;
                    wild = true;
                    continue;
                }
                None => '[',
            },
            '\\' => match rest.chars().next() {
                Some(escaped) => {
                    rest = &rest[escaped.len_utf8()..];
                    escaped
                }
                None => '\\',
            },
            _ => c,
        };
        regex.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }
    (regex, wild)
}

/// A class whose `[` was read, as a regular expression, and what follows its `]`; none if it is no class.
fn class(rest: &str) -> Option<(String, &str)> {
    let (negated, body) = match rest.strip_prefix(['!', '^']) {
        Some(body) => ("^", body),
        None => ("", rest),
    };
    // A `]` in the first place stands for itself.
    let first = usize::from(body.starts_with(']'));
    let close = first + body[first..].find(']')?;
    let chars: Vec<char> = body[..close].chars().collect();
    let hex = |c: char| format!(r"\x{{{:x}}}", u32::from(c));
    let mut members = String::new();
    let mut at = 0;
    while let Some(&low) = chars.get(at) {
        match (chars.get(at + 1), chars.get(at + 2)) {
            (Some('-'), Some(&high)) if low <= high => {
                members.push_str(&format!("{}-{}", hex(low), hex(high)));
                at += 3;
            }
            (Some('-'), Some(_)) => return None,
            (_, _) => {
                members.push_str(&hex(low));
                at += 1;
            }
        }
    }
    // What is not listed still is no slash.
    (!members.is_empty()).then(|| (format!("[[{negated}{members}]&&[^/]]"), &body[close + 1..]))
}

#[cfg(test)]
pub(super) mod tests;
