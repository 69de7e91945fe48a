use crate::diag::{Diagnostic, Sources, Span};
use crate::expr::tests::{answer, here};
use crate::expr::{EXPRESSION_DEPTH_MAX, EXPRESSION_LENGTH_MAX, Expr, ExprErrorKind, Template};

/// Every error of the texts, as a user sees it.
fn drawn(texts: &[&str]) -> String {
    let draw = |text: &&str| {
        let error = match Expr::parse(text).and_then(|expression| expression.evaluate(&here())) {
            Ok(value) => return format!("{text} gives {value}"),
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
    texts.iter().map(draw).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_wrong_character_is_a_lexing_error_at_its_place() {
    insta::assert_snapshot!(drawn(&[
        "repo.name == \"main\"",
        "repo.name = 'main'",
        "repo.name & true",
        "repo.name | true",
        "'unclosed",
        "-0x1F",
        "1.2.3",
        "12px",
        ".github",
        "repo#name",
        "ünïcode",
        "1 == ${{ 2 }}",
        "'text'.length",
    ]), @r#"
    error[lexing]: unexpected symbol `"main"`: strings stand in single quotes
    1 | repo.name == "main"
      |              ^^^^^^
    error[lexing]: unexpected symbol `=`: equality is `==`
    1 | repo.name = 'main'
      |           ^
    error[lexing]: unexpected symbol `&`: and is `&&`
    1 | repo.name & true
      |           ^
    error[lexing]: unexpected symbol `|`: or is `||`
    1 | repo.name | true
      |           ^
    error[lexing]: unexpected symbol `'unclosed`: the closing `'` is missing
    1 | 'unclosed
      | ^^^^^^^^^
    error[lexing]: unexpected symbol `-0x1F`: no number is written like this
    1 | -0x1F
      | ^^^^^
    error[lexing]: unexpected symbol `1.2.3`: no number is written like this
    1 | 1.2.3
      | ^^^^^
    error[lexing]: unexpected symbol `12px`: no number is written like this
    1 | 12px
      | ^^^^
    error[lexing]: unexpected symbol `.github`: a property is read of a name, a call or a group
    1 | .github
      | ^^^^^^^
    error[lexing]: unexpected symbol `repo#name`: names are made of letters, digits, `_` and `-`
    1 | repo#name
      | ^^^^^^^^^
    error[lexing]: unexpected symbol `ünïcode`: names are made of letters, digits, `_` and `-`
    1 | ünïcode
      | ^^^^^^^
    error[lexing]: unexpected symbol `${{`: `${{` cannot stand inside an expression
    1 | 1 == ${{ 2 }}
      |      ^^^
    error[lexing]: unexpected symbol `.length`: a property is read of a name, a call or a group
    1 | 'text'.length
      |       ^^^^^^^
    "#);
}

#[test]
fn a_wrong_order_is_a_parsing_error_at_its_place() {
    insta::assert_snapshot!(drawn(&[
        "== 1",
        "1 ==",
        "1 2",
        "(1",
        "(1, 2)",
        "repo.",
        "repo.[0]",
        "repo.2",
        "repo[",
        "repo[]",
        "repo['name'",
        "contains('a', 'b'",
        "contains(,)",
        "contains('a',)",
        "success()()",
        "!",
        "true &&",
        "*",
        "contains('a')",
        "startsWith('a', 'b', 'c')",
        "case(true, 1)",
        "case(true, 1, false, 2)",
        "always(1)",
        "repos.name",
    ]), @r"
    error[parsing]: unexpected symbol `==`: a value should stand here
    1 | == 1
      | ^^
    error[parsing]: unexpected end of expression: a value should follow
    1 | 1 ==
      |     ^
    error[parsing]: unexpected symbol `2`: an operator or the end should stand here
    1 | 1 2
      |   ^
    error[parsing]: unexpected end of expression: `)` should follow
    1 | (1
      |   ^
    error[parsing]: unexpected symbol `,`: `)` should stand here
    1 | (1, 2)
      |   ^
    error[parsing]: unexpected end of expression: a name or `*` should follow
    1 | repo.
      |      ^
    error[parsing]: unexpected symbol `[`: a name or `*` should stand here
    1 | repo.[0]
      |      ^
    error[parsing]: unexpected symbol `2`: a name or `*` should stand here
    1 | repo.2
      |      ^
    error[parsing]: unexpected end of expression: a value should follow
    1 | repo[
      |      ^
    error[parsing]: unexpected symbol `]`: a value should stand here
    1 | repo[]
      |      ^
    error[parsing]: unexpected end of expression: `]` should follow
    1 | repo['name'
      |            ^
    error[parsing]: unexpected end of expression: `,` or `)` should follow
    1 | contains('a', 'b'
      |                  ^
    error[parsing]: unexpected symbol `,`: a value should stand here
    1 | contains(,)
      |          ^
    error[parsing]: unexpected symbol `)`: a value should stand here
    1 | contains('a',)
      |              ^
    error[parsing]: unexpected symbol `(`: an operator or the end should stand here
    1 | success()()
      |          ^
    error[parsing]: unexpected end of expression: a value should follow
    1 | !
      |  ^
    error[parsing]: unexpected end of expression: a value should follow
    1 | true &&
      |        ^
    error[parsing]: unexpected symbol `*`: a value should stand here
    1 | *
      | ^
    error[parsing]: too few parameters: `contains` takes 2, 1 given
    1 | contains('a')
      | ^^^^^^^^^^^^^
    error[parsing]: too many parameters: `startsWith` takes 2, 3 given
    1 | startsWith('a', 'b', 'c')
      | ^^^^^^^^^^^^^^^^^^^^^^^^^
    error[parsing]: too few parameters: `case` takes at least 3, 2 given
    1 | case(true, 1)
      | ^^^^^^^^^^^^^
    error[parsing]: `case` takes an odd number of parameters: pairs of condition and value, then the value for none of them
    1 | case(true, 1, false, 2)
      | ^^^^^^^^^^^^^^^^^^^^^^^
    error[parsing]: too many parameters: `always` takes 0, 1 given
    1 | always(1)
      | ^^^^^^^^^
    error[parsing]: unrecognized named-value `repos`: there is no such named-value here
    1 | repos.name
      | ^^^^^
    ");
}

#[test]
fn nesting_has_a_limit() {
    let groups = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    let indexes = |depth: usize| format!("nothing{}", ".x".repeat(depth));
    let nots = |depth: usize| format!("{}true", "!".repeat(depth));
    for nested in [groups, indexes, nots] {
        let deepest = nested(EXPRESSION_DEPTH_MAX - 1);
        assert!(Expr::parse(&deepest).is_ok(), "{deepest}");
        let error = Expr::parse(&nested(EXPRESSION_DEPTH_MAX)).expect_err("one more is refused");
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ExprErrorKind::Parsing, "the expression is nested deeper than 50 levels")
        );
    }
}

#[test]
fn rows_of_operators_are_not_nested() {
    for operator in ["&&", "||", "==", "<", "!="] {
        let row = format!("1{}", format!("{operator}1").repeat(2000));
        assert!(!answer(&row).contains(':'), "{operator}: {}", answer(&row));
    }
}

#[test]
fn length_has_a_limit() {
    let text = |length: usize| format!("'{}'", "x".repeat(length - 2));
    assert!(Expr::parse(&text(EXPRESSION_LENGTH_MAX)).is_ok());
    let error = Expr::parse(&text(EXPRESSION_LENGTH_MAX + 1)).expect_err("too long");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ExprErrorKind::Lexing, "the expression is longer than 21000 characters")
    );
}

#[test]
fn names_that_do_not_exist_are_found_all_at_once() {
    let expression = Expr::parse("repos.name == 'x' && sucess() && fromJSN(need.a) && repo.x").expect("parses");
    let found = expression.check(&["repo", "needs"], &["success", "failure"]);
    let found: Vec<String> = found
        .iter()
        .map(|error| format!("{}..{} {}", error.start, error.end, error.message))
        .collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    0..5 unrecognized named-value `repos`: did you mean `repo`?
    21..27 unrecognized function `sucess`: did you mean `success`?
    33..40 unrecognized function `fromJSN`: did you mean `fromJSON`?
    41..45 unrecognized named-value `need`: did you mean `needs`?
    ");
    assert_eq!(expression.check(&["repos", "repo", "NEED"], &["sucess", "fromjsn"]), []);
}

#[test]
fn positions_in_a_template_are_those_of_its_text() {
    let text = "release ${{ repo.name }} of ${{ repos.name }}";
    let template = Template::parse(text).expect("parses");
    let found = template.check(&["repo"], &[]);
    assert_eq!(
        found
            .iter()
            .map(|error| &text[error.start..error.end])
            .collect::<Vec<_>>(),
        ["repos"]
    );
    let error = template.render(&here()).expect_err("no such context");
    assert_eq!(&text[error.start..error.end], "repos");
    let error = Template::parse("a ${{ 1 2 }}").expect_err("two values");
    assert_eq!((error.start, error.end), (8, 9));
}
