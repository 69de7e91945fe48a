use crate::expr::tests::here;
use crate::expr::{Expr, Template, Value};

fn rendered(text: &str) -> String {
    match Template::parse(text).and_then(|template| template.render(&here())) {
        Ok(text) => format!("'{text}'"),
        Err(error) => format!(
            "{} at {}..{}: {}",
            error.kind.name(),
            error.start,
            error.end,
            error.message
        ),
    }
}

#[test]
fn values_are_put_into_the_text() {
    for (text, expected) in [
        ("", "''"),
        ("plain $text {{ with }} braces", "'plain $text {{ with }} braces'"),
        ("${{repo.name}}", "'ferry'"),
        ("v${{ 1 }}.${{ 2 }}", "'v1.2'"),
        (
            "[${{ null }}|${{ true }}|${{ 0.50 }}|${{ repo }}|${{ repo.topics }}]",
            "'[|true|0.5|Object|Array]'",
        ),
        ("${{ '}}' }} and ${{ 'it''s }}' }}", "'}} and it's }}'"),
        ("$${{ 1 }}}}", "'$1}}'"),
        ("${{\n  repo.name\n}}\n", "'ferry\n'"),
        ("$ {{ 1 }}", "'$ {{ 1 }}'"),
    ] {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn a_template_that_is_not_well_formed_says_where() {
    insta::assert_snapshot!(
        ["a ${{ 1", "${{ 'x }}", "a ${{ }} b", "${{}}", "x ${{ repo. }}"].map(rendered).join("\n"),
        @r"
    lexing at 2..7: this `${{` has no closing `}}`
    lexing at 0..9: this `${{` has no closing `}}`
    parsing at 2..8: an expression should stand between `${{` and `}}`
    parsing at 0..5: an expression should stand between `${{` and `}}`
    parsing at 11..11: unexpected end of expression: a name or `*` should follow
    "
    );
}

#[test]
fn a_lone_expression_keeps_its_value() {
    let value = |text: &str| Template::parse(text).and_then(|template| template.value(&here()));
    assert_eq!(value("${{ repo.stars }}"), Ok(Value::Number(12.0)));
    assert_eq!(value("${{ repo.missing }}"), Ok(Value::Null));
    assert_eq!(value(" ${{ repo.stars }}"), Ok(Value::from(" 12")));
    assert_eq!(value("plain"), Ok(Value::from("plain")));
    assert!(matches!(value("${{ repo.topics }}"), Ok(Value::Array(_))));
}

#[test]
fn a_literal_is_never_evaluated() {
    let literal = Template::literal("${{ repo.name }}");
    assert_eq!(literal.is_literal(), Some("${{ repo.name }}"));
    assert_eq!(literal.render(&here()).as_deref(), Ok("${{ repo.name }}"));
    let template = Template::parse("${{ repo.name }}").expect("parses");
    assert_eq!(template.is_literal(), None);
    assert_ne!(literal, template);
    assert_eq!(Template::parse("plain").expect("parses"), Template::literal("plain"));
    assert_eq!(Template::default().is_literal(), Some(""));
}

#[test]
fn a_condition_may_stand_with_or_without_its_braces() {
    for (text, expected) in [
        ("repo.stars > 10", true),
        ("${{ repo.stars > 10 }}", true),
        ("  ${{ repo.private }}  ", false),
        // Text around the braces makes a string of it, and that is true.
        ("${{ repo.private }} == true", true),
        ("!${{ repo.stars }}", true),
        ("{0} ${{ false }}", true),
        ("", false),
    ] {
        let condition = Expr::condition(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let value = condition
            .evaluate(&here())
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.is_truthy(), expected, "{text} gives {value:?}");
        assert_eq!(condition.text(), text);
    }
    let error = Expr::condition("${{ repo.private && }}").expect_err("not well formed");
    assert_eq!((error.start, error.end), (19, 19));
    let condition = Expr::condition("{ ${{ 1 }}").and_then(|condition| condition.evaluate(&here()));
    assert_eq!(condition, Ok(Value::from("{ 1")));
}
