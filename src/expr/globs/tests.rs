use super::*;

fn patterns(list: &[&str]) -> Patterns {
    Patterns::parse(list).unwrap_or_else(|(index, message)| panic!("{list:?}[{index}]: {message}"))
}

#[test]
fn a_pattern_matches_the_whole_name() {
    for (pattern, yes, no) in [
        ("main", vec!["main"], vec!["main2", "xmain", "feature/main", "Main"]),
        (
            "release/*",
            vec!["release/1", "release/"],
            vec!["release", "release/1/2"],
        ),
        (
            "release/**",
            vec!["release/1", "release/1/2"],
            vec!["release", "prerelease/1"],
        ),
        ("*", vec!["main", ""], vec!["a/b"]),
        ("**", vec!["main", "a/b/c", ""], vec![]),
        ("*-fix", vec!["quick-fix", "-fix"], vec!["a/quick-fix", "fix"]),
        ("**-fix", vec!["a/quick-fix"], vec!["fix"]),
        ("v[0-9].[0-9]+", vec!["v1.2", "v1.23"], vec!["v1.", "v12.3", "vx.1"]),
        ("colou?r", vec!["color", "colour"], vec!["colouur"]),
        ("go+gle", vec!["gogle", "gooogle"], vec!["ggle"]),
        ("[ab]c?d+", vec!["ad", "bcdd"], vec!["cd", "ac"]),
        ("[A-Cx-z0]", vec!["B", "y", "0"], vec!["D", "w", "1", "-"]),
        ("**/*.rs", vec!["lib.rs", "src/lib.rs", "a/b/c.rs"], vec!["src/lib.rss"]),
        (
            "src/**/tests/*",
            vec!["src/tests/a", "src/x/y/tests/a"],
            vec!["src/testsa", "src/tests/a/b"],
        ),
        ("**/docs/**", vec!["docs/a", "x/docs/a/b"], vec!["docs", "xdocs/a"]),
        ("a**b", vec!["ab", "a/x/b"], vec!["a/x"]),
        ("a.b", vec!["a.b"], vec!["axb"]),
        ("a(b|c)$^{2}", vec!["a(b|c)$^{2}"], vec!["ab"]),
        (r"\!important", vec!["!important"], vec!["important"]),
        (r"what\?", vec!["what?"], vec!["what", "wha"]),
        (r"\*\[x\]", vec!["*[x]"], vec!["y[x]"]),
        ("?x", vec!["?x"], vec!["x"]),
        ("größe-*", vec!["größe-1"], vec!["grösse-1"]),
    ] {
        let list = patterns(&[pattern]);
        yes.iter()
            .for_each(|name| assert!(list.matches(name), "`{pattern}` should match `{name}`"));
        no.iter()
            .for_each(|name| assert!(!list.matches(name), "`{pattern}` should not match `{name}`"));
    }
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let list = patterns(&["release/**", "!release/**-alpha", "release/2-alpha"]);
    assert_eq!(list.verdict("release/1"), Verdict::Taken(0));
    assert_eq!(list.verdict("release/1-alpha"), Verdict::TakenBack(1));
    assert_eq!(list.verdict("release/2-alpha"), Verdict::Taken(2));
    assert_eq!(list.verdict("main"), Verdict::Unmatched);
    assert_eq!(list.decide("release/1-alpha"), None);
    assert_eq!(list.text(1), Some("!release/**-alpha"));
    assert!(
        !patterns(&["!main"]).matches("dev"),
        "a list of exclusions only takes nothing in"
    );
}

#[test]
fn paths_run_where_one_changed_path_is_wanted() {
    let list = patterns(&["src/**", "!src/**/*.md"]);
    assert_eq!(
        list.paths_match(&["README.md", "src/a/notes.md", "src/lib.rs"]),
        Some(PathMatch { pattern: 0, path: 2 })
    );
    assert_eq!(list.paths_match(&["README.md", "src/notes.md"]), None);
    assert_eq!(list.paths_match::<&str>(&[]), None);
}

#[test]
fn paths_ignore_runs_where_one_changed_path_is_not_ignored() {
    let list = patterns(&["docs/**", "**.md"]);
    assert_eq!(list.paths_ignore_match(&["docs/a", "x/y.md"]), None);
    assert_eq!(list.paths_ignore_match(&["docs/a", "src/lib.rs"]), Some(1));
    assert_eq!(list.ignored_by("x/y.md"), Some(1));
    let all_but = patterns(&["!src/**"]);
    assert_eq!(all_but.paths_ignore_match(&["README"]), None);
    assert_eq!(all_but.paths_ignore_match(&["README", "src/a"]), Some(1));
}

#[test]
fn a_wrong_pattern_is_named_with_its_place() {
    let wrong = [
        "",
        "!",
        "a[",
        "a[]b",
        "a[b",
        "[a-]",
        "[-a]",
        "[z-a]",
        "[a-9]",
        "[a_b]",
        "[^a]",
        "a\\",
        &"a".repeat(5000),
    ];
    let told: Vec<String> = wrong
        .iter()
        .map(|pattern| match Patterns::parse(&["fine", pattern]) {
            Ok(_) => format!("{pattern} is accepted"),
            Err((index, message)) => format!("{index}: {message}"),
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    1: the pattern is empty
    1: the pattern is empty
    1: `[` without its `]` in `a[`
    1: there is nothing in `[]` of `a[]b`
    1: `[` without its `]` in `a[b`
    1: the range `a-` has no end in `[a-]` of `[a-]`
    1: `-` is neither a letter nor a digit in `[-a]` of `[-a]`
    1: `z-a` is no range of letters or digits in `[z-a]` of `[z-a]`
    1: `a-9` is no range of letters or digits in `[a-9]` of `[a-9]`
    1: `_` is neither a letter nor a digit in `[a_b]` of `[a_b]`
    1: `^` is neither a letter nor a digit in `[^a]` of `[^a]`
    1: a `\` at the end of `a\` escapes nothing
    1: the pattern is longer than 4096 bytes
    ");
}
