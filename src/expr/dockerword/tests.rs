use super::*;

fn variables(name: &str) -> Option<String> {
    match name {
        "USER" => Some("ann".to_string()),
        "EMPTY" => Some(String::new()),
        "FILE" => Some("src/lib.tar.gz".to_string()),
        "WORDS" => Some("a  b".to_string()),
        "über" => Some("above".to_string()),
        _ => None,
    }
}

fn expanded(word: &str) -> String {
    match expand(word, &variables, '\\') {
        Ok(text) => text,
        Err(error) => format!("error: {error}"),
    }
}

fn check(table: &[(&str, &str)]) {
    for (word, expected) in table {
        assert_eq!(expanded(word), *expected, "{word}");
    }
}

#[test]
fn quotes_and_escapes_are_removed() {
    check(&[
        ("", ""),
        ("plain text", "plain text"),
        ("'single $USER \\'", "single $USER \\"),
        ("\"double $USER 'x'\"", "double ann 'x'"),
        (r#""a\"b\$c\\d\e""#, r#"a"b$c\d\e"#),
        (r"a\b\ c\$USER", "ab c$USER"),
        ("trailing\\", "trailing"),
        ("pre'fix'ed", "prefixed"),
        ("\"\"''", ""),
    ]);
    assert_eq!(
        expand("C:\\dir `$USER $USER", &variables, '`').as_deref(),
        Ok("C:\\dir $USER ann")
    );
}

#[test]
fn variables_are_replaced() {
    check(&[
        ("$USER/$USER.d", "ann/ann.d"),
        ("${USER}s $USERs", "anns "),
        ("$über", "above"),
        ("$UNSET|${UNSET}|", "||"),
        ("$1x $12x", "x x"),
        ("$@$#$?$-$$$!$*", ""),
        ("cost: 5$ or $, or $.", "cost: 5$ or $, or $."),
        ("$", "$"),
    ]);
}

#[test]
fn a_default_an_alternative_and_a_demand_look_at_unset_and_with_a_colon_at_empty() {
    check(&[
        ("${USER:-x}|${EMPTY:-x}|${UNSET:-x}", "ann|x|x"),
        ("${USER-x}|${EMPTY-x}|${UNSET-x}", "ann||x"),
        ("${USER:+x}|${EMPTY:+x}|${UNSET:+x}", "x||"),
        ("${USER+x}|${EMPTY+x}|${UNSET+x}", "x|x|"),
        ("${USER?}${EMPTY?}", "ann"),
        ("${UNSET:-${EMPTY:-$USER}}", "ann"),
        ("${UNSET:-'a}b'\"$USER\"\\}}", "a}bann}"),
        ("${UNSET:-{a}}", "{a}"),
        ("${UNSET?}", "error: `UNSET` is not set"),
        ("${EMPTY:?}", "error: `EMPTY` is not set or empty"),
        ("${UNSET:?give $USER one}", "error: UNSET: give ann one"),
    ]);
}

#[test]
fn patterns_cut_and_replace() {
    check(&[
        ("${FILE#*/}", "lib.tar.gz"),
        ("${FILE%.*}", "src/lib.tar"),
        ("${FILE%%.*}", "src/lib"),
        ("${FILE#*.}", "tar.gz"),
        ("${FILE##*.}", "gz"),
        ("${FILE#x}", "src/lib.tar.gz"),
        ("${FILE%gz}", "src/lib.tar."),
        ("${FILE#s?c}", "/lib.tar.gz"),
        ("${FILE/./-}", "src/lib-tar.gz"),
        ("${FILE//./-}", "src/lib-tar-gz"),
        ("${FILE/\\//:}", "src:lib.tar.gz"),
        ("${FILE//[a-z]/x}", "src/lib.tar.gz"),
        ("${FILE/a*/$USER}", "src/lib.tann"),
        ("${FILE//./}", "src/libtargz"),
        ("${UNSET#x}${UNSET/a/b}", ""),
    ]);
}

#[test]
fn what_is_not_well_formed_is_told() {
    let wrong = [
        "'a",
        "\"a",
        "${",
        "${}",
        "${USER",
        "${:-x}",
        "${{x}}",
        "${USER:=x}",
        "${USER=x}",
        "${USER:x}",
        "${USER:}",
        "${.}",
        "${USER:-x",
        "${UNSET:-'}",
        "${FILE/a}",
        "${FILE/a/b",
        "${FILE#\\a}",
    ];
    let told: Vec<String> = wrong.iter().map(|word| format!("{word}  {}", expanded(word))).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    'a  error: the closing single quote is missing
    "a  error: the closing double quote is missing
    ${  error: the closing `}` of `${` is missing
    ${}  error: a variable's name should follow `${`
    ${USER  error: the closing `}` of `${USER` is missing
    ${:-x}  error: a variable's name should follow `${`
    ${{x}}  error: a variable's name should follow `${`
    ${USER:=x}  error: `:=` behind `${USER` is no modifier: there are - + ? # % and /
    ${USER=x}  error: `=` behind `${USER` is no modifier: there are - + ? # % and /
    ${USER:x}  error: `:x` behind `${USER` is no modifier: there are - + ? # % and /
    ${USER:}  error: `:}` behind `${USER` is no modifier: there are - + ? # % and /
    ${.}  error: a variable's name should follow `${`
    ${USER:-x  error: the closing `}` is missing
    ${UNSET:-'}  error: the closing single quote is missing
    ${FILE/a}  error: the closing `/` is missing
    ${FILE/a/b  error: the closing `}` is missing
    ${FILE#\a}  error: `\a` in the pattern `\a` escapes nothing
    "#);
}

#[test]
fn words_split_at_blanks_outside_of_quotes() {
    for (text, expected) in [
        ("a b", vec!["a", "b"]),
        ("  a\t 'b c'\\ d \"\" ", vec!["a", "b c d"]),
        ("x$WORDS", vec!["xa", "b"]),
        ("x\"$WORDS\"", vec!["xa  b"]),
        ("$EMPTY", vec![]),
    ] {
        assert_eq!(
            expand_words(text, &variables, '\\').expect("expands"),
            expected,
            "{text}"
        );
    }
}
