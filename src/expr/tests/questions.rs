//! What can be asked of an expression without evaluating it, and after.

use crate::expr::tests::here;
use crate::expr::{Expr, Template};

fn parsed(text: &str) -> Expr {
    Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn contexts_are_named_once_in_order() {
    let expression = parsed("needs.a.result == 'x' && REPO.name || contains(matrix[needs.b], repo)");
    assert_eq!(expression.contexts(), ["needs", "repo", "matrix"]);
    assert_eq!(parsed("1 == 1").contexts(), [""; 0]);
}

#[test]
fn references_name_what_is_read_of_a_context() {
    let expression = parsed("secrets.TOKEN || Secrets['KEY'] || (secrets).OTHER.x || secrets.TOKEN || repo.secrets.NO");
    assert_eq!(expression.references("secrets"), ["TOKEN", "KEY", "OTHER"]);
    assert!(!expression.reads_whole("secrets"));
    for whole in [
        "secrets",
        "toJSON(secrets)",
        "secrets[matrix.name]",
        "secrets.*",
        "secrets == 1",
        "true && (secrets)",
        "repo[secrets]",
    ] {
        assert!(parsed(whole).reads_whole("secrets"), "{whole}");
    }
}

#[test]
fn calls_are_found_anywhere() {
    let expression = parsed("!(repo.x == format('{0}', Always()))");
    assert!(expression.calls("always") && expression.calls("FORMAT"));
    assert!(!expression.calls("success"));
}

#[test]
fn an_explanation_shows_what_was_read_but_no_secret() {
    let expression = parsed(
        "repo.name == 'x' && !needs.lint.result && success() && contains(repo.topics, secrets.TOKEN) \
         && secrets.MISSING && format('{0}', repo.name) && nothing.x && repo.stars > 3 && absent.y",
    );
    let shown: Vec<String> = expression
        .explain(&here())
        .into_iter()
        .map(|(text, value)| format!("{text} is {value}"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    repo.name is 'ferry'
    needs.lint.result is 'failure'
    success() is true
    repo.topics is ["sea","ship","Port"]
    secrets.TOKEN is ***
    secrets.MISSING is null
    nothing.x is null
    repo.stars is 12
    absent.y is unrecognized named-value `absent`: there is no such named-value here
    "#);
}

#[test]
fn a_template_answers_for_all_its_expressions() {
    let template =
        Template::parse("${{ secrets.A }}-${{ repo.name }}-${{ secrets.B }}${{ always() }}").expect("parses");
    assert_eq!(template.contexts(), ["secrets", "repo"]);
    assert_eq!(template.references("secrets"), ["A", "B"]);
    assert!(template.calls("always") && !template.calls("success"));
    assert!(!template.reads_whole("secrets"));
    assert_eq!(
        template.explain(&here())[1],
        ("repo.name".to_string(), "'ferry'".to_string())
    );
}

#[test]
fn an_expression_is_its_text_to_the_outside() {
    let expression = parsed("1  ==  1");
    assert_eq!(expression.to_string(), "1  ==  1");
    assert_eq!(serde_json::to_string(&expression).expect("serialises"), "\"1  ==  1\"");
    assert_eq!(expression, expression.clone());
}
