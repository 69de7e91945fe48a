use std::io::Cursor;

use super::*;

/// The answers to lines, as the stream writes them.
fn answers(lines: &str) -> String {
    let mut output = Vec::new();
    stream(Cursor::new(lines), &mut output).expect("memory can be read and written");
    String::from_utf8(output).expect("answers are text")
}

#[test]
fn every_kind_of_question_has_its_answer() {
    let questions = r#"
{"id":1,"kind":"expr","expr":"repo.stars > 3 && repo.name","contexts":{"repo":{"stars":4,"name":"ferry"}}}
{"id":"two","kind":"expr","expr":"1 / 2"}
{"id":3,"kind":"expr","expr":"fromJSON('[1, 2.5, null]')","contexts":{}}
{"id":4,"kind":"expr","expr":"-Infinity"}
{"kind":"expr","expr":"success() && !cancelled()"}
{"kind":"expr","expr":"success()","contexts":{"job":{"status":"failure"}}}
{"kind":"expr","expr":"hashFiles('x')"}
{"kind":"expr","expr":"hashFiles('**')","cwd":"/no/such/directory"}
{"kind":"expr","expr":"nope.x"}
{"kind":"template","text":"v${{ 1 }} ${{ null }}","contexts":{}}
{"kind":"template","text":"${{ 1"}
{"kind":"paths","filter":"paths","patterns":["src/**"],"changed":["a","src/b"]}
{"kind":"paths","filter":"paths-ignore","patterns":["src/**"],"changed":["src/b"]}
{"kind":"paths","filter":"paths","patterns":["["],"changed":[]}
{"kind":"dockerignore","patterns":["*","!src"],"path":"src/x"}
{"kind":"gitlab-if","expr":"$A =~ /b/ && $B == null","variables":{"A":"abc","B":null}}
{"kind":"gitlab-if","expr":"$A =","variables":{}}
{"kind":"dockerfile-env","word":"${A:-x}/$B","env":{"B":"b"}}
{"kind":"dockerfile-env","word":"${","env":{}}
"#;
    insta::assert_snapshot!(answers(questions), @r#"
    {"id":1,"kind":"String","value":"ferry"}
    {"id":"two","error":"lexing","message":"unexpected symbol `/`: it is no operator of the language","start":2,"end":3}
    {"id":3,"kind":"Array","value":[1,2.5,null]}
    {"id":4,"kind":"Number","value":"-Infinity"}
    {"kind":"Boolean","value":true}
    {"kind":"Boolean","value":false}
    {"error":"evaluation","message":"hashFiles has no workspace here: the question gives no `cwd`","start":0,"end":14}
    {"kind":"String","value":""}
    {"error":"parsing","message":"unrecognized named-value `nope`: there is no such named-value here","start":0,"end":4}
    {"value":"v1 "}
    {"error":"lexing","message":"this `${{` has no closing `}}`","start":0,"end":5}
    {"value":true}
    {"value":false}
    {"error":"parsing","message":"pattern 1: `[` without its `]` in `[`"}
    {"value":false}
    {"value":true}
    {"error":"lexing","message":"unexpected symbol `=`: equality is `==`","start":3,"end":4}
    {"value":"x/b"}
    {"error":"parsing","message":"the closing `}` of `${` is missing"}
    "#);
}

#[test]
fn whatever_a_line_holds_it_has_an_answer_and_the_next_one_too() {
    let deep = format!("{{\"kind\":\"expr\",\"contexts\":{}1", "[".repeat(100_000));
    let lines = [
        "nonsense",
        "[]",
        "{}",
        "{\"id\":7}",
        "{\"id\":8,\"kind\":\"soup\"}",
        "{\"kind\":\"expr\"}",
        "\u{0}",
        &deep,
    ];
    let told = answers(&(lines.join("\n") + "\n{\"kind\":\"expr\",\"expr\":\"1\"}"));
    assert_eq!(told.lines().count(), lines.len() + 1, "{told}");
    let errors: Vec<&str> = told.lines().take(lines.len()).collect();
    assert!(
        errors.iter().all(|line| line.contains("\"error\":\"protocol\"")),
        "{told}"
    );
    assert!(
        errors[3].starts_with("{\"id\":7,") && errors[4].starts_with("{\"id\":8,"),
        "{told}"
    );
    assert_eq!(told.lines().last(), Some(r#"{"kind":"Number","value":1}"#));
}

#[test]
fn bytes_that_are_no_text_and_lines_without_bound_are_answered() {
    let mut input = b"{\"kind\":\"expr\",\"expr\":\"\xff\"}\n".to_vec();
    input.extend(std::iter::repeat_n(b' ', LINE_BYTES_MAX as usize + 5));
    input.extend(b"x\n{\"kind\":\"expr\",\"expr\":\"2\"}\n");
    let mut output = Vec::new();
    stream(Cursor::new(input), &mut output).expect("memory can be read and written");
    let told = String::from_utf8(output).expect("answers are text");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[1].contains("the line is longer than 16777216 bytes"), "{told}");
    assert_eq!(lines[2], r#"{"kind":"Number","value":2}"#);
}

#[test]
fn one_expression_is_shown_as_people_write_it() {
    let contexts = || Value::from(serde_json::json!({"repo": {"name": "ferry", "topics": ["sea"]}}));
    for (text, expected) in [
        ("repo.name", "ferry"),
        ("1.50", "1.5"),
        ("null", "null"),
        ("NaN", "NaN"),
        ("repo.name == 'FERRY'", "true"),
        ("repo.topics", "[\n  \"sea\"\n]"),
        ("${{ repo.name }}!", "ferry!"),
    ] {
        assert_eq!(evaluate(text, contexts()).as_deref(), Ok(expected), "{text}");
    }
    let errors = evaluate("rep.name == unknown()", contexts()).expect_err("two names do not exist");
    assert_eq!(errors.len(), 2);
    assert_eq!(
        condition("$repo", &Value::from(serde_json::json!({"repo": "x"}))).as_deref(),
        Ok("true")
    );
}
