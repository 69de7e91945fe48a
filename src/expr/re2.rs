//! RE2's syntax, which GitLab, Docker and Go use, as the `regex` crate's. Both match in linear time; they differ in a
//! few corners of the notation.

use regex::{Regex, RegexBuilder};

/// Largest compiled expression, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Options of an expression, as written behind its closing slash or in `(?...)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub ignore_case: bool,
    /// `^` and `$` also match at line ends.
    pub multi_line: bool,
    /// `.` also matches a line end.
    pub dot_all: bool,
    pub ungreedy: bool,
}

/// Compiles an RE2 expression. Errors: one line of text that says what is wrong with it.
pub(super) fn compile(pattern: &str, flags: Flags) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .swap_greed(flags.ungreedy)
        .size_limit(COMPILED_BYTES_MAX)
        .nest_limit(100)
        .build()
        .map_err(|error| reason(&error))
}

fn reason(error: &regex::Error) -> String {
    match error {
        // The last line of the drawing names the mistake.
        regex::Error::Syntax(text) => match text.lines().last() {
            Some(line) => line.trim_start_matches("error: ").to_string(),
            None => "it is not well formed".to_string(),
        },
        regex::Error::CompiledTooBig(_) => format!("it compiles to more than {COMPILED_BYTES_MAX} bytes"),
        _ => "it cannot be compiled".to_string(),
    }
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, false, &mut out),
            '[' => rest = class(rest, &mut out),
            '{' if !is_repetition(rest) => out.push_str(r"\{"),
            _ => out.push(c),
        }
    }
    out
}

/// Whether `{` begins a repetition; otherwise RE2 takes it for itself.
fn is_repetition(rest: &str) -> bool {
    let Some((inner, _)) = rest.split_once('}') else {
        return false;
    };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// Writes what stands behind a backslash; gives what follows it.
fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(c) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let behind = &rest[c.len_utf8()..];
    match c {
        // RE2's Perl classes and word boundaries know ASCII only.
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => out.push_str(r"(?-u:\B)"),
        'Q' if !in_class => {
            let (quoted, behind) = behind.split_once(r"\E").unwrap_or((behind, ""));
            out.push_str(&regex::escape(quoted));
            return behind;
        }
        _ if !c.is_ascii_alphanumeric() => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        _ => {
            out.push('\\');
            out.push(c);
        }
    }
    behind
}

/// Writes a bracket class whose `[` was read; gives what follows its `]`.
fn class<'a>(mut rest: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    // A `]` in the first place stands for itself.
    if let Some(behind) = rest.strip_prefix(']') {
        out.push_str(r"\]");
        rest = behind;
    }
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            ']' => {
                out.push(']');
                return behind;
            }
            '\\' => escape(behind, true, out),
            '[' => match posix(rest) {
                Some(name) => {
                    out.push_str(name);
                    &rest[name.len()..]
                }
                None => {
                    out.push_str(r"\[");
                    behind
                }
            },
            // `&&`, `--` and `~~` are operators of the crate only.
            '&' | '~' => {
                out.push('\\');
                out.push(c);
                behind
            }
            '-' if behind.starts_with('-') => {
                out.push_str(r"\-");
                behind
            }
            _ => {
                out.push(c);
                behind
            }
        };
    }
    rest
}

/// The POSIX class (`[:digit:]`) that the text begins with.
fn posix(text: &str) -> Option<&str> {
    let end = text.strip_prefix("[:")?.find(":]")? + 4;
    let name = &text[2..end - 2];
    let letters = name.strip_prefix('^').unwrap_or(name);
    (!letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_lowercase())).then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_re2_accepts_means_the_same_here() {
        for (pattern, yes, no) in [
            (r"^[[:digit:]]+\.[[:alpha:]_]+$", "12.a_b", "12-ab"),
            (r"^\d+$", "12", "\u{0663}"),
            (r"^\w\W\s\S$", "a- b", "é- b"),
            (r"^[\d\-x]+$", "1-x", "y"),
            (r"^a\/b\<c$", "a/b<c", "ab"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]a]$", "b", "]"),
            (r"^[[a]+$", "[a", "b"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^a{2}$", "aa", "a"),
            (r"^{x}$", "{x}", "x"),
            (r"^\Qa.b\E+$", "a.bb", "acb"),
            (r"(?P<n>a)(?i)B", "ab", "cb"),
        ] {
            let regex = compile(pattern, Flags::default()).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(regex.is_match(yes), "{pattern} on {yes}");
            assert!(!regex.is_match(no), "{pattern} on {no}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_in_one_line() {
        insta::assert_snapshot!(["(", "a**+?)", "[a", r"(?=x)", r"\1", "x{1000000}{1000}"].map(|pattern| {
            format!("{pattern}: {}", compile(pattern, Flags::default()).err().unwrap_or_default())
        }).join("\n"), @r"
        (: unclosed group
        a**+?): unopened group
        [a: unclosed character class
        (?=x): look-around, including look-ahead and look-behind, is not supported
        \1: backreferences are not supported
        x{1000000}{1000}: it compiles to more than 1048576 bytes
        ");
    }
}
