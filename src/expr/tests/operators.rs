use super::{answer, check, here};
use crate::expr::{Expr, Value};

#[test]
fn literals_stand_for_themselves() {
    check(&[
        ("", "null"),
        ("  \n\t ", "null"),
        ("null", "null"),
        ("true", "true"),
        (" false ", "false"),
        ("42", "42"),
        ("-0.5", "-0.5"),
        ("+.5", "0.5"),
        ("5.", "5"),
        ("0x1F", "31"),
        ("0o21", "17"),
        ("2e3", "2000"),
        ("25E-1", "2.5"),
        ("-Infinity", "-Infinity"),
        ("NaN", "NaN"),
        ("''", "''"),
        ("'it''s ''quoted'''", "'it's 'quoted''"),
        ("'ünïcödé ✓'", "'ünïcödé ✓'"),
    ]);
}

#[test]
fn what_binds_tighter_is_done_first() {
    check(&[
        ("1 || 0 && 0", "1"),
        ("(1 || 0) && 0", "0"),
        ("0 && 1 || 2", "2"),
        ("1 < 2 == true", "true"),
        ("true == 1 < 2", "true"),
        ("!0 == 1", "true"),
        ("!(0 == 1)", "true"),
        ("!!'a'", "true"),
        ("3 > 2 > 1", "false"),
        ("1 == 1 != 0", "true"),
        ("!repo.private && repo.stars", "12"),
        ("'b' == 'a' || 'c'", "'c'"),
    ]);
}

#[test]
fn and_and_or_give_values_and_stop_early() {
    check(&[
        ("repo.private && 'yes' || 'no'", "'no'"),
        ("repo.name && 'yes' || 'no'", "'yes'"),
        ("0 || '' || null", "null"),
        ("1 && 'a' && 2", "2"),
        ("1 && 0 && 2", "0"),
        ("false && fails()", "false"),
        ("true || fails()", "true"),
        ("empty.list && 'lists are true'", "'lists are true'"),
        ("NaN || 'NaN is false'", "'NaN is false'"),
    ]);
    let scope = here();
    let expression = Expr::parse("false && success() || true || failure()").expect("parses");
    assert_eq!(expression.evaluate(&scope), Ok(Value::Bool(true)));
    assert!(scope.calls.borrow().is_empty(), "called {:?}", scope.calls.borrow());
}

#[test]
fn unlike_kinds_are_compared_as_numbers() {
    check(&[
        ("1 == '1.0'", "true"),
        ("'0x10' == 16", "true"),
        ("' 7 ' == 7", "true"),
        ("'' == 0", "true"),
        ("null == 0", "true"),
        ("null == ''", "true"),
        ("null == false", "true"),
        ("true == 1", "true"),
        ("true == 'true'", "false"),
        ("'seven' == 7", "false"),
        ("NaN == NaN", "false"),
        ("NaN != NaN", "true"),
        ("'x' < 1", "false"),
        ("'x' > 1", "false"),
        ("'2' > 1", "true"),
        ("null >= null", "true"),
        ("null > null", "false"),
        ("true > false", "true"),
        ("1 <= NaN", "false"),
        ("Infinity > 1e300", "true"),
    ]);
}

#[test]
fn text_is_compared_without_regard_to_case() {
    check(&[
        ("'Ferry' == 'FERRY'", "true"),
        ("'a' < 'B'", "true"),
        ("'ÄÖ' == 'äö'", "true"),
        ("'ς' == 'Σ'", "true"),
        ("'ЖЗ' == 'жз'", "true"),
        ("'ı' == 'I'", "false"),
        ("'ſ' == 's'", "false"),
        ("'ß' == 'SS'", "false"),
        ("'Z' > '['", "false"),
        // U+FF5E before U+1F6A2: text is ordered by UTF-16 units, where the ship begins with D83D.
        ("'\u{ff5e}' > '\u{1f6a2}'", "true"),
    ]);
}

#[test]
fn a_collection_equals_only_itself() {
    check(&[
        ("repo == repo", "true"),
        ("repo.topics == repo.topics", "true"),
        ("needs != needs", "false"),
        ("empty.list == matrix.os", "false"),
        ("fromJSON('[]') == fromJSON('[]')", "false"),
        ("fromJSON('{}') != fromJSON('{}')", "true"),
        ("repo.topics == 'Array'", "false"),
        ("empty.list == 0", "false"),
        ("empty.object != null", "true"),
        ("fromJSON('[]') < 1", "false"),
    ]);
}

#[test]
fn names_and_places_are_looked_up() {
    check(&[
        ("repo.name", "'ferry'"),
        ("REPO.NAME", "'ferry'"),
        ("repo['owner']", "'harbour'"),
        ("repo.topics[1]", "'ship'"),
        ("repo.topics['2']", "'Port'"),
        ("repo.topics[1.9]", "'ship'"),
        ("repo.topics[null]", "'sea'"),
        ("repo.topics[true]", "'ship'"),
        ("repo.topics[3]", "null"),
        ("repo.topics[-1]", "null"),
        ("repo.topics[NaN]", "null"),
        ("repo.topics['x']", "null"),
        ("repo[2]", "'two'"),
        ("repo[null]", "'nameless'"),
        ("repo['*']", "'star'"),
        ("repo[repo.topics]", "null"),
        ("repo.missing.deeper['still']", "null"),
        ("repo.name.length", "null"),
        ("nothing.at.all", "null"),
        ("repo.hooks[0].events[1]", "'tag'"),
        ("repo.hooks [ 0 ] . name", "'ci'"),
        ("(repo).name", "'ferry'"),
        ("fromJSON('{\"a\":{\"b\":[7]}}').a.b[0]", "7"),
        ("repo.true", "null"),
    ]);
}

#[test]
fn a_star_reads_from_every_item() {
    check(&[
        ("repo.topics.*", r#"["sea","ship","Port"]"#),
        ("repo.hooks.*.name", r#"["ci","chat"]"#),
        ("repo.hooks[*]['url']", r#"["https://chat.example"]"#),
        ("repo.hooks.*.events.*", r#"["push","tag","push"]"#),
        ("repo.hooks.*.events[1]", r#"["tag"]"#),
        ("needs.*.result", r#"["success","failure"]"#),
        ("matrix.grid.*[0]", "[1,4]"),
        ("matrix.grid.*.*", "[1,2,3,4]"),
        ("matrix.grid.*[-1]", "[]"),
        ("repo.name.*", "[]"),
        ("nothing.*.x", "[]"),
        ("empty.list.*.x.y", "[]"),
        ("repo.hooks.*.missing", "[]"),
        ("repo.topics.*.name", "[]"),
    ]);
}

#[test]
fn where_github_has_nothing_to_give_the_plain_reading_counts() {
    check(&[
        // The parentheses end the filter: the first of the names, not the first letter of each.
        ("(repo.hooks.*.name)[1]", "'chat'"),
        // The filter goes on where its items can be looked into.
        ("(matrix.grid.*)[0]", "[1,4]"),
        ("repo.hooks.name", r#"["ci","chat"]"#),
        ("repo.hooks.missing", "null"),
    ]);
}

#[test]
fn secrets_are_not_compared_as_a_whole() {
    assert_eq!(
        answer("secrets == needs"),
        "evaluation: the `secrets` context is compared as a whole, which tells nothing: name one secret of it"
    );
    check(&[("secrets.token == 'S3CRET'", "true"), ("!secrets", "false")]);
}

#[test]
fn a_case_sensitive_object_tells_names_apart() {
    let mut env = crate::expr::Object::case_sensitive();
    env.insert("Path", "one");
    env.insert("PATH", "two");
    assert_eq!(env.get("PATH"), Some(&Value::from("two")));
    assert_eq!(env.get("path"), None);
    let mut object = crate::expr::Object::new();
    object.insert("Path", "one");
    object.insert("PATH", "two");
    assert_eq!(object.iter().collect::<Vec<_>>(), [("PATH", &Value::from("two"))]);
}
