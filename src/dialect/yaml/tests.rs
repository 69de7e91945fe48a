use std::fmt::Write;

use super::*;
use crate::diag::Sources;

fn read(text: &str) -> (Parsed, Sources) {
    let mut sources = Sources::default();
    let file = sources.add("ci.yml", text);
    (parse(file, text), sources)
}

/// The tree, one node a line, then the diagnostics as drawn.
fn show(text: &str) -> String {
    let (parsed, sources) = read(text);
    let mut out = String::new();
    for document in &parsed.documents {
        draw(document, 0, &mut out);
    }
    for diagnostic in &parsed.diagnostics {
        let _ = writeln!(out, "{}", diagnostic.render(&sources, false));
    }
    out
}

fn draw(node: &Node, indent: usize, out: &mut String) {
    let tag = node.tag.as_ref().map_or(String::new(), |tag| format!("{} ", tag.name));
    let alias = node.alias.map_or("", |_| "(alias) ");
    match &node.content {
        Content::Scalar(scalar) => {
            let _ = writeln!(out, "{alias}{tag}{:?} {}", scalar.text, node.what());
        }
        Content::List(items) => {
            let _ = writeln!(out, "{alias}{tag}list");
            for item in items.iter() {
                let _ = write!(out, "{:indent$}- ", "");
                draw(item, indent + 2, out);
            }
        }
        Content::Map(entries) => {
            let _ = writeln!(out, "{alias}{tag}mapping");
            for entry in entries.iter() {
                let merged = entry.merged.map_or("", |_| " (merged)");
                let _ = write!(out, "{:indent$}{}{merged}: ", "", entry.key);
                draw(&entry.value, indent + 2, out);
            }
        }
    }
}

#[test]
fn a_tree_keeps_text_as_it_was_written() {
    let text =
        "\u{feff}version: 3.10\r\non: [yes, true, ~, '7', 0x10, -1.5e3, .inf]\r\nempty:\r\nrun: |\r\n  a\r\n  b\r\n";
    insta::assert_snapshot!(show(text), @r#"
    mapping
    version: "3.10" a number
    on: list
      - "yes" text
      - "true" a boolean
      - "~" nothing
      - "7" text
      - "0x10" a number
      - "-1.5e3" a number
      - ".inf" a number
    empty: "" nothing
    run: "a\nb\n" text
    "#);
}

#[test]
fn anchors_merges_and_tags_are_worked_in() {
    let text = "
base: &base { image: rust, env: { A: 1 } }
more: &more
  image: go
  tries: 2
job:
  <<: [*base, *more]
  image: node
  needs: *base
  script: !reference [.setup, script]
  id: !!str 7
";
    insta::assert_snapshot!(show(text), @r#"
    mapping
    base: mapping
      image: "rust" text
      env: mapping
        A: "1" a number
    more: mapping
      image: "go" text
      tries: "2" a number
    job: mapping
      env (merged): mapping
        A: "1" a number
      tries (merged): "2" a number
      image: "node" text
      needs: (alias) mapping
        image: "rust" text
        env: mapping
          A: "1" a number
      script: !reference list
        - ".setup" text
        - "script" text
      id: !!str "7" text
    "#);
}

#[test]
fn what_is_wrong_is_named_with_both_places() {
    insta::assert_snapshot!(show("jobs:\n  a: 1\n  b: 2\n  a: 3\n<<: 4\nx: *nowhere\ny: &y [*y]\n[1, 2]: z\n"), @r#"
    mapping
    jobs: mapping
      a: "1" a number
      b: "2" a number
    x: "" nothing
    y: list
      - "" nothing
    : "z" text
    error[duplicate-key]: the key `a` stands twice in one mapping
     --> ci.yml:4:3
      |
    2 |   a: 1
      |   - first here
    3 |   b: 2
    4 |   a: 3
      |   ^ again here
      |
      = help: keep one of them; YAML has no way to mean both
    error[yaml-alias]: no anchor `&nowhere` stands before the alias `*nowhere`
     --> ci.yml:6:4
      |
    6 | x: *nowhere
      |    ^^^^^^^^ no such anchor
      |
      = help: text that begins with `*` needs quotes; an alias needs its anchor (`&name`) further up in the same file
    error[yaml-alias]: an alias stands inside the value that it stands for
     --> ci.yml:7:8
      |
    7 | y: &y [*y]
      |        ^^ would never end
    error[yaml-key]: a key must be text, not a list or a mapping
     --> ci.yml:8:1
      |
    8 | [1, 2]: z
      | ^^^^^^ used as a key
      |
      = help: text that begins with `[` or `{` needs quotes, as in "{{ name }}"
    error[yaml-merge]: `<<` takes a mapping or a list of mappings, not a number
     --> ci.yml:5:5
      |
    5 | <<: 4
      |     ^ no mapping
    "#);
}

#[test]
fn text_that_is_not_yaml_is_explained_in_a_users_words() {
    let cases = [
        "a:\n\t- b\n",
        "a: 'b\nc: d\n",
        "a: [b, c\nd: e\n",
        "a: @b\n",
        "a: b: c\n",
        "a:\n  b: 1\n c: 2\n",
        "a: \"\\d\"\n",
        "- a\nb: c\n",
        "a: {{ b }}\n",
        "a: %b\n",
        "\u{0}",
    ];
    let shown: Vec<String> = cases.iter().map(|text| show(text)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    error[yaml]: a tab stands where YAML wants spaces
     --> ci.yml:2:2
      |
    2 |     - b
      |     ^ here
      |
      = help: indent with spaces

    error[yaml]: a quote is opened and never closed
     --> ci.yml:2:1
      |
    2 | c: d
      | ^ here
      |
      = help: close it with the same quote

    error[yaml]: a `:` stands where no key can be
     --> ci.yml:2:2
      |
    2 | d: e
      |  ^ here
      |
      = help: put quotes around text that holds `: `, or begin the key on a line of its own

    error[yaml]: no value can begin with `@`
     --> ci.yml:1:4
      |
    1 | a: @b
      |    ^ here
      |
      = help: put quotes around the text

    error[yaml]: a `:` stands where no key can be
     --> ci.yml:1:5
      |
    1 | a: b: c
      |     ^ here
      |
      = help: put quotes around text that holds `: `, or begin the key on a line of its own

    error[yaml]: this line does not fit the lines above it
     --> ci.yml:3:2
      |
    3 |  c: 2
      |  ^ here
      |
      = help: keys of one mapping stand in one column; a key ends in `:`, a list item begins with `- `

    error[yaml]: this escape does not exist in double quotes
     --> ci.yml:1:4
      |
    1 | a: "\d"
      |    ^ here
      |
      = help: write `\\` for a backslash, or use single quotes

    error[yaml]: this line does not fit the lines above it
     --> ci.yml:2:1
      |
    2 | b: c
      | ^ here
      |
      = help: keys of one mapping stand in one column; a key ends in `:`, a list item begins with `- `

    mapping
    a: mapping
      : "" nothing
    error[yaml-key]: a key must be text, not a list or a mapping
     --> ci.yml:1:5
      |
    1 | a: {{ b }}
      |     ^^^^^ used as a key
      |
      = help: text that begins with `[` or `{` needs quotes, as in "{{ name }}"

    error[yaml]: no value can begin with `%`
     --> ci.yml:1:4
      |
    1 | a: %b
      |    ^ here
      |
      = help: put quotes around the text

    error[yaml]: no value can begin with `\u{0}`
     --> ci.yml:1:1
      |
    1 | ␀
      | ^ here
      |
      = help: put quotes around the text
    "#);
}

#[test]
fn bombs_end_in_one_clear_diagnostic() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let inner = format!("*a{}", level - 1);
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", [inner.as_str(); 9].join(", "));
    }
    let aliases = format!("a: &a 1\nb: [{}]\n", vec!["*a"; 2_000].join(","));
    let nested_block: String = (0..1_000).map(|depth| format!("{:depth$}a:\n", "")).collect();
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        let _ = writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1);
    }
    let cases = [
        laughs,
        aliases,
        "[".repeat(20_000),
        "{a: ".repeat(20_000),
        "- ".repeat(20_000),
        nested_block,
        chain,
        "[x,".to_owned() + &"x,".repeat(60_000) + "]",
        "a".repeat(FILE_BYTES_MAX + 1),
    ];
    let found: Vec<String> = cases
        .iter()
        .map(|text| {
            let (parsed, sources) = read(text);
            let lines: Vec<String> = parsed.diagnostics.iter().map(|one| one.one_line(&sources)).collect();
            lines.join("\n")
        })
        .collect();
    insta::assert_snapshot!(found.join("\n"), @"
    ci.yml:5:35: error[yaml-limit]: the file holds more than 50000 values, aliases counted as what they stand for
    ci.yml:2:3005: error[yaml-limit]: the file holds more than 1000 aliases
    ci.yml:1:256: error[yaml-limit]: the file nests more than 64 levels deep
    ci.yml:1:1021: error[yaml-limit]: the file nests more than 64 levels deep
    ci.yml:1:129: error[yaml-limit]: the file nests more than 64 levels deep
    ci.yml:65:65: error[yaml-limit]: the file nests more than 64 levels deep
    ci.yml:64:12: error[yaml-limit]: the file nests more than 64 levels deep
    ci.yml:1:100000: error[yaml-limit]: the file holds more than 50000 values, aliases counted as what they stand for
    ci.yml:1:1: error[yaml-limit]: the file has 1048577 bytes; at most 1048576 are read
    ");
}

#[test]
fn a_place_inside_a_scalar_is_found_in_the_file() {
    let text = "a: one two\nb: 'one two'\nc: |\n  zero\n    one two\n\n  three two\nd: >-\n  folded\n  two\ne: \"esc\\\"aped two\"\nf: |2-\r\n   x two\r\n";
    let (parsed, sources) = read(text);
    let mut out = String::new();
    for entry in parsed.documents[0].entries().unwrap_or_default() {
        let Some((scalar, _)) = entry.value.scalar() else {
            continue;
        };
        let at = scalar.text.rfind("two").unwrap_or(0);
        let span = place_within(text, &entry.value, at..at + 3);
        let shown = &text[span.start as usize..span.end as usize];
        let _ = writeln!(out, "{} {} {shown:?}", entry.key, sources.locate(span));
    }
    insta::assert_snapshot!(out, @r#"
    a ci.yml:1:8 "two"
    b ci.yml:2:9 "two"
    c ci.yml:7:9 "two"
    d ci.yml:10:3 "two"
    e ci.yml:11:15 "two"
    f ci.yml:13:6 "two"
    "#);
}
