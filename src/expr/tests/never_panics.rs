//! Whatever a file holds, reading it ends with a value or an error whose place lies in the text.

use proptest::prelude::*;

use crate::expr::dockerignore::Ignore;
use crate::expr::gitlab_if::Condition;
use crate::expr::globs::Patterns;
use crate::expr::tests::here;
use crate::expr::{Expr, ExprError, Template, Value, dockerword};

/// Texts that are often nearly right.
fn nearly(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => prop::sample::select(words).prop_map(str::to_string),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z0-9_.]{0,4}",
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

const EXPRESSION: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "*",
    "!",
    "!=",
    "==",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    " ",
    "'",
    "''",
    "'a'",
    "1",
    "-1",
    "0x",
    "1e3",
    "true",
    "null",
    "NaN",
    "repo",
    ".name",
    ".*",
    "[0]",
    "['x']",
    "format(",
    "contains(",
    "toJSON(",
    "fromJSON(",
    "join(",
    "case(",
    "'{0}'",
    "success()",
    "${{",
    "}}",
    "\n",
    "é",
];

const CONDITION: &[&str] = &[
    "(",
    ")",
    "!",
    "!=",
    "!~",
    "==",
    "=~",
    "&&",
    "||",
    " ",
    "\"",
    "'",
    "\"a\"",
    "'/b/'",
    "$A",
    "$B",
    "${A}",
    "$",
    "null",
    "true",
    "/a/",
    "/",
    "/i",
    "\\/",
    "[",
    "[:digit:]",
    "{",
    "(?",
    "é",
];

const PATTERN: &[&str] = &[
    "*", "**", "**/", "/", "?", "+", "[", "]", "[a-z]", "[^", "-", "!", "\\", "a", "b", ".", "..", "é", " ", "{", "|",
];

const WORD: &[&str] = &[
    "$", "${", "}", "A", "B", ":", "-", "+", "?", "#", "##", "%", "%%", "/", "//", "*", "\\", "'", "\"", " ", "x", "1",
    "é",
];

fn place_is_inside(text: &str, error: &ExprError) {
    assert!(
        error.start <= error.end && error.end <= text.len(),
        "{text:?}: {error:?}"
    );
    assert!(
        text.get(error.start..error.end).is_some(),
        "{text:?}: {error:?} cuts a character"
    );
    assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error:?}");
}

fn read_all(text: &str) {
    match Expr::parse(text) {
        Ok(expression) => {
            if let Err(error) = expression.evaluate(&here()) {
                place_is_inside(text, &error);
            }
            expression
                .check(&["repo"], &[])
                .iter()
                .for_each(|error| place_is_inside(text, error));
            expression.explain(&here());
            expression.references("repo");
        }
        Err(error) => place_is_inside(text, &error),
    }
    match Template::parse(text) {
        Ok(template) => {
            if let Err(error) = template.render(&here()) {
                place_is_inside(text, &error);
            }
        }
        Err(error) => place_is_inside(text, &error),
    }
    match Expr::condition(text).and_then(|condition| condition.evaluate(&here())) {
        Ok(_) => {}
        Err(error) => place_is_inside(text, &error),
    }
    let variables = |name: &str| (name == "A").then(|| "/a(/".to_string());
    match Condition::parse(text).and_then(|condition| condition.evaluate(&variables)) {
        Ok(_) => {}
        Err(error) => place_is_inside(text, &error),
    }
    let _ = dockerword::expand(text, &variables, '\\');
    let _ = dockerword::expand_words(text, &variables, '`');
}

fn match_all(pattern: &str, name: &str) {
    if let Ok(patterns) = Patterns::parse(&[pattern]) {
        patterns.verdict(name);
        patterns.ignored_by(name);
    }
    if let Ok(ignore) = Ignore::from_patterns(&[pattern]) {
        ignore.is_ignored(name);
    }
    let _ = Ignore::parse(pattern).map(|ignore| ignore.is_ignored(name));
    let files = super::super::hash_files::tests::InMemory::new(&[(name, "")]);
    let _ = super::super::hash_files::hash_files(&files, &[pattern]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        read_all(&text);
    }

    #[test]
    fn any_nearly_right_text_is_read(text in prop_oneof![nearly(EXPRESSION), nearly(CONDITION), nearly(WORD)]) {
        read_all(&text);
    }

    #[test]
    fn any_pattern_meets_any_name(pattern in nearly(PATTERN), name in nearly(PATTERN)) {
        match_all(&pattern, &name);
        match_all(&pattern, &pattern);
    }

    #[test]
    fn a_text_without_special_characters_matches_itself_only(name in "[a-z][a-z/_-]{0,20}[a-z]", other in "[a-z]{1,5}") {
        let patterns = Patterns::parse(&[name.as_str()]).expect("nothing in it is special");
        prop_assert!(patterns.matches(&name));
        let longer = format!("{name}{other}");
        prop_assert!(!patterns.matches(&longer));
    }

    #[test]
    fn json_survives_the_way_through_a_value(number in any::<i32>(), text in any::<String>(), flag in any::<bool>()) {
        let json = serde_json::json!({"a": [number, text, flag, null], "b": {"c": text}});
        prop_assert_eq!(Value::from(json.clone()).to_json(), json);
    }

    #[test]
    fn a_number_is_read_as_it_is_written(number in -1_000_000_000_000i64..1_000_000_000_000) {
        let value = Value::from(number);
        prop_assert_eq!(Value::from(value.to_string()).to_number(), value.to_number());
    }
}

#[test]
fn patterns_made_to_backtrack_are_matched_all_the_same() {
    let name = "a".repeat(20_000);
    for pattern in [
        "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b".to_string(),
        "**a**a**a**a**a**a**a**a**a**a**b".to_string(),
        "a?".repeat(500) + "b",
        "a+".repeat(500) + "b",
        "**/".repeat(500) + "b",
        "[a-z]+".repeat(200) + "!",
        "a".to_string() + &"+".repeat(1000),
    ] {
        match_all(&pattern, &name);
    }
    let condition = Condition::parse("$A =~ /^(a+)+(a|aa)*(a*)*b$/").expect("parses");
    assert_eq!(condition.evaluate(&|_| Some(name.clone())), Ok(false));
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for open in [
        "(", "!", "[", "a(", "a[", "toJSON(", "${", "${a:-", "\"${a:-", "!!", "(!",
    ] {
        read_all(&open.repeat(10_000));
    }
    for (open, close) in [("(", ")"), ("${a:-", "}")] {
        read_all(&format!("{}x{}", open.repeat(4000), close.repeat(4000)));
    }
}
