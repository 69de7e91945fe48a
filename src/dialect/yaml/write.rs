//! From a tree back to text: block notation, aliases and merge keys as what they stand for, comments gone.

use super::{Content, Entry, Meaning, Node, Scalar, meaning};

/// Spaces by which a collection stands in from what holds it.
const INDENT: usize = 2;

/// A document that [`super::parse`] reads as the same tree. Depth is bounded by [`super::DEPTH_MAX`].
pub fn write(node: &Node) -> String {
    let mut out = String::new();
    let tagged = tag_of(node).is_some();
    match &node.content {
        Content::Map(entries) if !entries.is_empty() && !tagged => map(&mut out, entries, 0, Begin::OnItsOwnLine),
        Content::List(items) if !items.is_empty() && !tagged => list(&mut out, items, 0, Begin::OnItsOwnLine),
        Content::Map(_) | Content::List(_) | Content::Scalar(_) => {
            out.push_str("---");
            value(&mut out, node, 0);
        }
    }
    out
}

/// Whether two trees say the same, wherever it stands in their files.
pub fn same(one: &Node, other: &Node) -> bool {
    if tag_of(one) != tag_of(other) {
        return false;
    }
    match (&one.content, &other.content) {
        (Content::Scalar(left), Content::Scalar(right)) => {
            let kind = |node: &Node, scalar: &Scalar| std::mem::discriminant(&node.meaning_of(scalar));
            left.text == right.text && kind(one, left) == kind(other, right)
        }
        (Content::List(left), Content::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(left, right)| same(left, right))
        }
        (Content::Map(left), Content::Map(right)) => {
            let pair = |(left, right): (&Entry, &Entry)| left.key == right.key && same(&left.value, &right.value);
            left.len() == right.len() && left.iter().zip(right.iter()).all(pair)
        }
        (Content::Scalar(_) | Content::List(_) | Content::Map(_), _) => false,
    }
}

/// Where a collection's first line begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    OnItsOwnLine,
    BehindADash,
}

fn map(out: &mut String, entries: &[Entry], indent: usize, begin: Begin) {
    for (nth, entry) in entries.iter().enumerate() {
        if nth > 0 || begin == Begin::OnItsOwnLine {
            spaces(out, indent);
        }
        match is_plain(&entry.key) {
            true => out.push_str(&entry.key),
            false => quoted(out, &entry.key),
        }
        out.push(':');
        value(out, &entry.value, indent);
    }
}

fn list(out: &mut String, items: &[Node], indent: usize, begin: Begin) {
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 || begin == Begin::OnItsOwnLine {
            spaces(out, indent);
        }
        out.push('-');
        let tagged = tag_of(item).is_some();
        match &item.content {
            Content::Map(entries) if !entries.is_empty() && !tagged => {
                out.push(' ');
                map(out, entries, indent + INDENT, Begin::BehindADash);
            }
            Content::List(items) if !items.is_empty() && !tagged => {
                out.push(' ');
                list(out, items, indent + INDENT, Begin::BehindADash);
            }
            Content::Map(_) | Content::List(_) | Content::Scalar(_) => value(out, item, indent),
        }
    }
}

/// What follows `key:` or `-`, line end included. `indent` is that of the key or the dash.
fn value(out: &mut String, node: &Node, indent: usize) {
    if let Some(tag) = tag_of(node) {
        out.push(' ');
        out.push_str(tag);
    }
    match &node.content {
        Content::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Content::List(items) if items.is_empty() => out.push_str(" []\n"),
        Content::Map(entries) => {
            out.push('\n');
            map(out, entries, indent + INDENT, Begin::OnItsOwnLine);
        }
        Content::List(items) => {
            out.push('\n');
            list(out, items, indent + INDENT, Begin::OnItsOwnLine);
        }
        Content::Scalar(scalar) => match node.meaning_of(scalar) {
            Meaning::Text => text(out, &scalar.text, indent + INDENT),
            Meaning::Null if scalar.text.is_empty() => out.push('\n'),
            Meaning::Null | Meaning::Bool(_) | Meaning::Number(_) => {
                out.push(' ');
                out.push_str(&scalar.text);
                out.push('\n');
            }
        },
    }
}

fn text(out: &mut String, text: &str, indent: usize) {
    out.push(' ');
    if is_plain(text) {
        out.push_str(text);
        out.push('\n');
    } else if is_block(text) {
        block(out, text, indent);
    } else {
        quoted(out, text);
        out.push('\n');
    }
}

/// The tag, where it is none of YAML's own: those are told by how the value is written.
fn tag_of(node: &Node) -> Option<&str> {
    let tag = node.tag.as_ref().map(|tag| &*tag.name)?;
    (tag != "!" && !tag.starts_with("!!")).then_some(tag)
}

/// Whether a text may stand without quotes and stays that text.
fn is_plain(text: &str) -> bool {
    const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@`=<";
    meaning(text) == Meaning::Text
        && !text.starts_with(|first: char| INDICATORS.contains(first))
        && text.trim() == text
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
        && text.chars().all(is_printable)
}

/// Whether a text may stand as a block of lines, as scripts do.
fn is_block(text: &str) -> bool {
    let body = text.trim_end_matches('\n');
    let blank = |line: &str| !line.is_empty() && line.trim().is_empty();
    text.contains('\n')
        && !body.is_empty()
        && !body.starts_with(char::is_whitespace)
        && !body.lines().any(blank)
        && body.chars().all(|c| matches!(c, '\n' | '\t') || is_printable(c))
}

/// Not a control character, nor one that some readers take for a line end or a byte order mark.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn block(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push_str(match ends {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in body.split('\n') {
        if !line.is_empty() {
            spaces(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

/// Single quotes where nothing needs an escape, else double quotes.
fn quoted(out: &mut String, text: &str) {
    if text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            printable if is_printable(printable) => out.push(printable),
            other => out.push_str(&format!("\\u{:04X}", u32::from(other))),
        }
    }
    out.push('"');
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::dialect::yaml::parse;

    fn tree(text: &str) -> Node {
        let mut parsed = parse(FileId::default(), text);
        assert!(parsed.diagnostics.is_empty(), "{text}");
        parsed.documents.remove(0)
    }

    #[test]
    fn aliases_and_merges_are_written_as_what_they_stand_for() {
        let text = "a: &a {x: 1, y: [&s 'two: 2', *s]}\nb: {<<: *a, x: 9}\nc: *a\n";
        insta::assert_snapshot!(write(&tree(text)), @r"
        a:
          x: 1
          y:
            - 'two: 2'
            - 'two: 2'
        b:
          y:
            - 'two: 2'
            - 'two: 2'
          x: 9
        c:
          x: 1
          y:
            - 'two: 2'
            - 'two: 2'
        ");
    }

    #[test]
    fn what_is_written_is_read_as_the_same_tree() {
        let documents = [
            "plain: a b\nempty:\nnull: ~\nyes: true\ntext: 'true'\nversion: 3.10\nquoted: \"3.10\"\ntagged: !!str 7\n",
            "list: [[1, [2]], {}, [], '', null, {a: {b: c}}]\n",
            "- - a\n  - b: c\n    d: e\n-\n  - {x: [1]}\n",
            "script: |\n  one\n    two # not a comment\n\n  three\nkeep: |+\n  a\n\n\nstrip: |-\n  a\n  b\nfolded: >\n  a\n  b\n",
            "odd: [' lead', 'trail ', 'a: b', 'a #b', 'end:', '- a', '#', '*a', '&a', '!a', '@', '`', '%', \"it's\", '...', '---']\n",
            "escapes: [\"a\\tb\", \"\\r\\n\", \"\\u0007\", \"\\n\", \" \\n a\", \"a\\n  \\nb\", \"\\u2028\", \"\\uFEFF\", 'back\\slash \"q\"', \"\\\\\\r\\\"\"]\n",
            "'odd: key': 1\n'': 2\n'true': 3\n? 4\n: 5\n'- x': 6\n",
            "expression: ${{ a == 'b' && c }}\nlist:\n  - ${{ x }}\n",
            "custom: !reference [a, b]\nmap: !x {a: b}\nscalar: !y z\nitems: [!z {a: b}]\n",
            "just text",
            "[]",
            "'7'",
        ];
        for document in documents {
            let before = tree(document);
            let written = write(&before);
            assert!(same(&before, &tree(&written)), "{document}\nbecame\n{written}");
        }
    }

    #[test]
    fn trees_that_say_different_things_are_told_apart() {
        for (one, other) in [
            ("a: 1", "a: '1'"),
            ("a: 1", "b: 1"),
            ("[1]", "[1, 1]"),
            ("a:", "a: []"),
            ("!x a", "a"),
        ] {
            assert!(!same(&tree(one), &tree(other)), "{one} and {other}");
        }
    }
}
