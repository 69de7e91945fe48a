use super::{answer, check};

#[test]
fn text_functions_ignore_case_and_take_any_simple_value() {
    check(&[
        ("contains('Container', 'TAIN')", "true"),
        ("contains('Container', 'x')", "false"),
        ("contains('anything', '')", "true"),
        ("contains(12345, 34)", "true"),
        ("contains(null, '')", "true"),
        ("contains(repo, 'ferry')", "false"),
        ("contains('Array', repo.topics)", "false"),
        ("startsWith('refs/heads/main', 'REFS/')", "true"),
        ("startsWith(1200, 12)", "true"),
        ("startsWith(repo.topics, 'A')", "false"),
        ("endsWith('main.RS', '.rs')", "true"),
        ("endsWith(true, 'UE')", "true"),
        ("endsWith('x', null)", "true"),
    ]);
}

#[test]
fn contains_looks_for_an_item_by_the_rules_of_equality() {
    check(&[
        ("contains(repo.topics, 'port')", "true"),
        ("contains(repo.topics, 'por')", "false"),
        ("contains(fromJSON('[1,2]'), '2')", "true"),
        ("contains(fromJSON('[null]'), 0)", "true"),
        ("contains(needs.*.result, 'failure')", "true"),
        ("contains(empty.list, '')", "false"),
        ("contains(fromJSON('[{}]'), fromJSON('{}'))", "false"),
    ]);
}

#[test]
fn format_fills_in_and_escapes_braces() {
    check(&[
        ("format('{1}-{0}-{1}', 'a', 'b')", "'b-a-b'"),
        ("format('{{{0}}} {{}}', 7)", "'{7} {}'"),
        ("format('{0}', '{1}')", "'{1}'"),
        ("format('{0}|{1}|{2}', null, true, repo)", "'|true|Object'"),
        ("format(1.50)", "'1.5'"),
        ("format('{00}', 'x')", "'x'"),
        ("format('{0:d}', 'x')", "'x'"),
        ("format('ü{0}ü', 'ö')", "'üöü'"),
    ]);
    for wrong in ["{", "}", "{0", "0}", "{}", "{a}", "{-1}", "{0}}", "{{0}", "}{"] {
        let text = format!("format('{wrong}', 'x')");
        assert!(
            answer(&text).starts_with("evaluation: the format string is invalid"),
            "{text}: {}",
            answer(&text)
        );
    }
    let text = "format('{99999999999999999999}', 1)";
    assert!(
        answer(text).starts_with("evaluation: the format string references more"),
        "{}",
        answer(text)
    );
}

#[test]
fn join_takes_lists_and_simple_values() {
    check(&[
        ("join(repo.topics)", "'sea,ship,Port'"),
        ("join(repo.topics, ' + ')", "'sea + ship + Port'"),
        ("join(repo.hooks.*.name, '')", "'cichat'"),
        ("join(fromJSON('[1,null,true,[],{}]'), 0)", "'100true0Array0Object'"),
        ("join('alone', '-')", "'alone'"),
        ("join(null)", "''"),
        ("join(repo)", "''"),
        ("join(repo.topics, repo)", "'sea,ship,Port'"),
    ]);
}

#[test]
fn json_goes_in_and_out() {
    check(&[
        (
            "fromJSON(' {\"a\": [1, 2.5, \"x\", null]} ')",
            r#"{"a":[1,2.5,"x",null]}"#,
        ),
        ("fromJSON('\"text\"')", "'text'"),
        ("fromJSON('0')", "0"),
        ("fromJSON(true)", "true"),
        ("fromJSON('{\"Key\":1,\"KEY\":2}').key", "1"),
        ("toJSON('a\"b\\c')", r#"'"a\"b\\c"'"#),
        ("toJSON(null)", "'null'"),
        ("toJSON(empty.list)", "'[]'"),
        ("toJSON(1.0)", "'1'"),
        ("fromJSON(toJSON(repo.hooks))[1].name", "'chat'"),
    ]);
    insta::assert_snapshot!(answer("toJSON(fromJSON('{\"b\":[1,{\"ü\":[]}],\"a\":{}}'))"), @r#"
    '{
      "b": [
        1,
        {
          "ü": []
        }
      ],
      "a": {}
    }'
    "#);
    for wrong in ["''", "'  '", "'{'", "'[1,]'", "'{''a'':1}'", "'nul'", "repo"] {
        let text = format!("fromJSON({wrong})");
        assert!(
            answer(&text).starts_with("evaluation: fromJSON"),
            "{text}: {}",
            answer(&text)
        );
    }
}

#[test]
fn case_takes_the_first_condition_that_holds() {
    check(&[
        (
            "case(repo.stars > 10, 'loved', repo.stars > 0, 'known', 'new')",
            "'loved'",
        ),
        (
            "case(repo.stars > 99, 'loved', repo.stars > 0, 'known', 'new')",
            "'known'",
        ),
        ("case(false, 1, repo.private, 2, null)", "null"),
        ("CASE(true, repo.topics, 0)", r#"["sea","ship","Port"]"#),
    ]);
    for wrong in ["1", "'true'", "null", "repo"] {
        let text = format!("case({wrong}, 'a', 'b')");
        assert!(
            answer(&text).starts_with("evaluation: a condition of `case`"),
            "{text}: {}",
            answer(&text)
        );
    }
}

#[test]
fn other_functions_are_the_scopes() {
    check(&[
        ("success() && !FAILURE()", "true"),
        ("fails()", "evaluation: it always does"),
        (
            "hashFiles('x')",
            "parsing: unrecognized function `hashFiles`: here are case, contains, endsWith, format, \
          fromJSON, join, startsWith, toJSON",
        ),
    ]);
}

#[test]
fn a_text_cannot_grow_beyond_its_bound() {
    let mut text = "repo.name".to_string();
    for _ in 0..24 {
        text = format!("format('{{0}}{{0}}{{0}}{{0}}', {text})");
    }
    assert_eq!(answer(&text), "evaluation: the text grows beyond 10 MiB");
}
