use super::*;

fn ignores(patterns: &[&str], path: &str) -> bool {
    Ignore::from_patterns(patterns)
        .unwrap_or_else(|error| panic!("{patterns:?}: {error}"))
        .is_ignored(path)
}

#[test]
fn a_pattern_ignores_a_path_and_all_below_it() {
    for (pattern, yes, no) in [
        (
            "target",
            vec!["target", "target/", "target/debug/x"],
            vec!["src/target", "targets", "tar"],
        ),
        ("/target", vec![], vec!["target"]),
        ("*.log", vec!["a.log", ".log", "a.log/b"], vec!["dir/a.log", "a.logs"]),
        ("**/*.log", vec!["a.log", "dir/a.log", "a/b/c.log"], vec!["a.logs"]),
        (
            "**/node_modules",
            vec!["node_modules/x", "web/node_modules/y/z"],
            vec!["my_node_modules"],
        ),
        ("**.tmp", vec!["a.tmp", "x/y.tmp"], vec!["a.tmpx"]),
        ("docs/**", vec!["docs/a", "docs/a/b"], vec!["docs", "xdocs/a"]),
        ("docs/*", vec!["docs/a", "docs/a/b"], vec!["docs"]),
        ("a/**/z", vec!["a/z", "a/b/z", "a/b/c/z/x"], vec!["az", "a/bz"]),
        ("?.txt", vec!["a.txt", "ä.txt"], vec!["ab.txt", "/.txt", ".txt"]),
        ("[a-c]x", vec!["ax", "cx"], vec!["dx", "x"]),
        ("[^a-c]x", vec!["dx"], vec!["ax"]),
        (r"[\]-]x", vec!["]x"], vec!["ax"]),
        (r"a\*b", vec!["a*b"], vec!["axb"]),
        ("a.(b)+{c}|$", vec!["a.(b)+{c}|$"], vec!["ax(b)+{c}|$"]),
        ("./a//b/../c/", vec!["a/c", "a/c/d"], vec!["a/b"]),
        ("**", vec!["a", "a/b", ".git"], vec![".", "./"]),
        (" spaced ", vec!["spaced"], vec![" spaced "]),
    ] {
        if pattern == r"[\]-]x" {
            assert!(Ignore::from_patterns(&[pattern]).is_err());
            continue;
        }
        yes.iter()
            .for_each(|path| assert!(ignores(&[pattern], path), "`{pattern}` should ignore `{path}`"));
        no.iter()
            .for_each(|path| assert!(!ignores(&[pattern], path), "`{pattern}` should not ignore `{path}`"));
    }
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let list = ["*", "!src", "src/**/*.bak", "!src/keep.bak"];
    for (path, ignored) in [
        ("README", true),
        ("src", false),
        ("src/lib.rs", false),
        ("src/a/b.bak", true),
        ("src/keep.bak", false),
        ("srcs/lib.rs", true),
    ] {
        assert_eq!(ignores(&list, path), ignored, "{path}");
    }
    assert!(
        !ignores(&["!src"], "src"),
        "nothing was ignored that could be taken back"
    );
}

#[test]
fn a_file_is_read_line_by_line() {
    let text =
        "\u{feff}# a comment\r\n\n  /target/  \n! /target/keep\n#not this\n*.log\n  # a pattern, for it is indented\n";
    let ignore = Ignore::parse(text).expect("parses");
    assert!(ignore.re_includes());
    for (path, ignored) in [
        ("target/x", true),
        ("target/keep", false),
        ("a.log", true),
        ("#not this", false),
        ("# a pattern, for it is indented", true),
    ] {
        assert_eq!(ignore.is_ignored(path), ignored, "{path}");
    }
    assert!(Ignore::parse("\n# nothing\n").expect("parses").is_empty());
    assert!(!Ignore::parse("a\nb").expect("parses").re_includes());
}

#[test]
fn a_wrong_pattern_is_named_with_its_line() {
    let told: Vec<String> = ["!", "a[", "[]", "[a", "[z-a]", "[a-]", "a\\", &"a".repeat(5000)]
        .iter()
        .map(|pattern| match Ignore::parse(&format!("fine\n{pattern}")) {
            Ok(_) => format!("{pattern} is accepted"),
            Err(error) => format!("{}: {error}", error.line),
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    2: `!` alone excludes nothing
    2: the `[...]` in `a[` is not well formed
    2: the `[...]` in `[]` is not well formed
    2: the `[...]` in `[a` is not well formed
    2: the `[...]` in `[z-a]` is not well formed
    2: the `[...]` in `[a-]` is not well formed
    2: a `\` at the end of `a\` escapes nothing
    2: the pattern is longer than 4096 bytes
    ");
}
