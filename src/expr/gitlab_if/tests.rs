use super::*;
use crate::diag::{Diagnostic, Sources, Span};

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "BRANCH" => "release/1.2",
        "EMPTY" => "",
        "BLANK" => "  ",
        "YES" => "true",
        "PATTERN" => r"/^RELEASE\/\d/i",
        "BROKEN" => "/a(/",
        "PLAIN" => "release",
        "LINES" => "one\ntwo",
        _ => return None,
    };
    Some(value.to_string())
}

fn check(table: &[(&str, bool)]) {
    for (text, expected) in table {
        let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let answer = condition
            .evaluate(&variables)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(answer, *expected, "{text}");
    }
}

#[test]
fn a_variable_alone_holds_if_it_has_a_value() {
    check(&[
        ("$BRANCH", true),
        ("${BRANCH}", true),
        ("$EMPTY", false),
        ("$BLANK", false),
        ("$UNSET", false),
        ("!$UNSET", true),
        ("!!$BRANCH", true),
        ("true", true),
        ("!false", true),
        ("null", false),
        ("'text'", true),
        ("\"\"", false),
    ]);
}

#[test]
fn values_are_compared_as_they_are() {
    check(&[
        ("$BRANCH == 'release/1.2'", true),
        ("$BRANCH == \"Release/1.2\"", false),
        ("$BRANCH != ''", true),
        ("$EMPTY == ''", true),
        ("$EMPTY == null", false),
        ("$UNSET == null", true),
        ("$UNSET == ''", false),
        ("$UNSET != null", false),
        ("null==null", true),
        ("'$BRANCH' == $BRANCH", false),
        ("$YES == 'true'", true),
        ("$YES == true", true),
        ("$BRANCH == $BRANCH", true),
        ("$UNSET == $ALSO_UNSET", true),
        ("'it is \"quoted\"' == \"x\"", false),
    ]);
}

#[test]
fn a_pattern_is_looked_for_anywhere_in_the_text() {
    check(&[
        ("$BRANCH =~ /release/", true),
        ("$BRANCH =~ /^release$/", false),
        ("$BRANCH=~/^release\\/\\d+\\.\\d+$/", true),
        ("$BRANCH =~ /RELEASE/", false),
        ("$BRANCH =~ /RELEASE/i", true),
        ("$BRANCH !~ /^feature/", true),
        ("$BRANCH !~ /release/", false),
        ("$UNSET =~ /x/", false),
        ("$UNSET !~ /x/", true),
        ("$UNSET =~ /^$/", true),
        ("$LINES =~ /^two$/", false),
        ("$LINES =~ /^two$/m", true),
        ("$LINES =~ /one.two/", false),
        ("$LINES =~ /one.two/s", true),
        ("$BRANCH =~ /^[[:alpha:]]+\\//", true),
        ("$BRANCH =~ /^(?<kind>\\w+)\\/(?P<v>.*)$/U", true),
        ("$BRANCH =~ $PATTERN", true),
        ("$BRANCH =~ '/release/'", true),
        ("$BRANCH =~ '/release/1/'", true),
        ("$BRANCH =~ $UNSET", false),
        ("$BRANCH !~ $UNSET", true),
    ]);
}

#[test]
fn and_binds_tighter_than_or_and_comparison_tightest() {
    check(&[
        ("$BRANCH || $UNSET && $EMPTY", true),
        ("($BRANCH || $UNSET) && $EMPTY", false),
        ("$EMPTY || $BRANCH", true),
        ("$EMPTY && $BRANCH", false),
        ("$UNSET == null && $BRANCH =~ /release/ || false", true),
        ("$BRANCH == 'x' || $BRANCH == 'release/1.2'", true),
        ("!$EMPTY && ($UNSET || ($YES))", true),
        ("!($BRANCH && $YES)", false),
        ("$BRANCH == 'x' == false", true),
        ("$UNSET && $BRANCH =~ $BROKEN", false),
    ]);
}

#[test]
fn what_is_not_well_formed_is_drawn_at_its_place() {
    let wrong = [
        "",
        "$",
        "$A ==",
        "== $A",
        "$A $B",
        "($A",
        "$A)",
        "$A = 'x'",
        "$A & $B",
        "$A == 'x",
        "branch == 'x'",
        "$A =~ /x",
        "$A =~ /a/b/",
        "$A =~ /x/g",
        "$A =~ /(/",
        "$A =~ //",
        "$A == 1",
        "$BRANCH =~ $BROKEN",
        "$BRANCH =~ $PLAIN",
        "$BRANCH =~ 'release'",
        "$BRANCH =~ true",
        "$A && ||",
    ];
    let draw = |text: &&str| {
        let error = match Condition::parse(text).and_then(|condition| condition.evaluate(&variables)) {
            Ok(value) => return format!("{text} is {value}"),
            Err(error) => error,
        };
        let mut sources = Sources::default();
        let file = sources.add("ci.yml", *text);
        let span = Span::new(file, error.start, error.end);
        let rendered = Diagnostic::error(error.kind.name(), &error.message)
            .at(span, "")
            .render(&sources, false);
        let lines: Vec<&str> = rendered
            .lines()
            .filter(|line| !line.contains("-->") && line.trim() != "|")
            .collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(wrong.iter().map(draw).collect::<Vec<_>>().join("\n"), @r"
    error[parsing]: unexpected end of condition: a value should follow
    1 |
      | ^
    error[lexing]: the name of a variable should follow `$`, made of letters, digits and `_`
    1 | $
      | ^
    error[parsing]: unexpected end of condition: a value should follow
    1 | $A ==
      |      ^
    error[parsing]: unexpected `==`: a value should stand here
    1 | == $A
      | ^^
    error[parsing]: unexpected `$B`: an operator or the end should stand here
    1 | $A $B
      |    ^^
    error[parsing]: unexpected end of condition: `)` should follow
    1 | ($A
      |    ^
    error[parsing]: unexpected `)`: an operator or the end should stand here
    1 | $A)
      |   ^
    error[lexing]: unexpected symbol `=`: equality is `==`
    1 | $A = 'x'
      |    ^
    error[lexing]: unexpected symbol `&`: and is `&&`
    1 | $A & $B
      |    ^
    error[lexing]: the closing `'` is missing
    1 | $A == 'x
      |       ^^
    error[lexing]: unexpected word `branch`: a text stands in quotes, a variable begins with `$`
    1 | branch == 'x'
      | ^^^^^^
    error[lexing]: the closing `/` of the regular expression is missing
    1 | $A =~ /x
      |       ^^
    error[lexing]: `b` are no flags of a regular expression: there are i, s, m and U; a slash inside of it is written `\/`
    1 | $A =~ /a/b/
      |       ^^^^
    error[lexing]: `g` are no flags of a regular expression: there are i, s, m and U; a slash inside of it is written `\/`
    1 | $A =~ /x/g
      |       ^^^^
    error[lexing]: the regular expression is not well formed: unclosed group
    1 | $A =~ /(/
      |       ^^^
    error[lexing]: the regular expression is empty
    1 | $A =~ //
      |       ^^
    error[lexing]: unexpected word `1`: a text stands in quotes, a variable begins with `$`
    1 | $A == 1
      |       ^
    error[evaluation]: `/a(/` is no regular expression: unclosed group
    1 | $BRANCH =~ $BROKEN
      |            ^^^^^^^
    error[evaluation]: `release` is no regular expression: it should stand between slashes, as /release/
    1 | $BRANCH =~ $PLAIN
      |            ^^^^^^
    error[evaluation]: `release` is no regular expression: it should stand between slashes, as /release/
    1 | $BRANCH =~ 'release'
      |            ^^^^^^^^^
    error[evaluation]: a regular expression should stand here, as /text/
    1 | $BRANCH =~ true
      |            ^^^^
    error[parsing]: unexpected `||`: a value should stand here
    1 | $A && ||
      |       ^^
    ");
}

#[test]
fn it_tells_which_variables_it_read() {
    let condition = Condition::parse("$BRANCH =~ /x/ && ($UNSET == null || $BRANCH)").expect("parses");
    assert_eq!(condition.variables(), ["BRANCH", "UNSET"]);
    assert_eq!(
        condition.explain(&variables),
        [
            ("$BRANCH".to_string(), "'release/1.2'".to_string()),
            ("$UNSET".to_string(), "null".to_string())
        ]
    );
    assert_eq!(condition.text(), "$BRANCH =~ /x/ && ($UNSET == null || $BRANCH)");
}
