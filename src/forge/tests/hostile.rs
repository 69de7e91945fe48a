//! Whatever is sent, an answer or an error that names the place: never a panic.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn headers(kind: ForgeKind, happened: &Happened) -> HeaderMap {
    let event = happened.hook().event_name(kind);
    let name = match kind {
        ForgeKind::GitHub => "X-GitHub-Event",
        ForgeKind::GitLab => "X-Gitlab-Event",
        ForgeKind::Gitea => "X-Gitea-Event",
    };
    header_map(&[(name, event)])
}

fn told(kind: ForgeKind, happened: &Happened, body: &[u8]) -> String {
    match forge_of(kind).parse(&headers(kind, happened), body) {
        Ok(understood) => format!("{:?} run={}", understood.kind, understood.run()),
        Err(error) => format!("{} {}", error.status(), error.tell()),
    }
}

#[test]
fn a_wrong_payload_is_refused_with_its_place() {
    let with = |pointer: &str, value: Value| {
        let mut payload = push().payload(ForgeKind::GitHub);
        *payload.pointer_mut(pointer).unwrap() = value;
        payload.to_string()
    };
    let request_with = |pointer: &str, value: Value| {
        let mut payload = pull_request().payload(ForgeKind::GitHub);
        *payload.pointer_mut(pointer).unwrap() = value;
        told(ForgeKind::GitHub, &pull_request(), payload.to_string().as_bytes())
    };
    let mut rows: Vec<String> = [
        String::new(),
        "null".into(),
        "[]".into(),
        "{".into(),
        "{}".into(),
        "\u{feff}{}".into(),
        format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        r#"{"ref":"\ud800"}"#.into(),
        with("/ref", json!(7)),
        with("/ref", json!("main")),
        with("/ref", json!("refs/heads/")),
        with("/ref", json!("refs/heads/a b")),
        with("/ref", json!("refs/heads/a\nb")),
        with("/ref", json!("refs/heads/a\u{0}b")),
        with("/ref", json!("refs/heads/../x")),
        with("/ref", json!(format!("refs/heads/{}", "x".repeat(5000)))),
        with("/after", json!("main")),
        with("/after", json!(null)),
        with("/before", json!({})),
        with("/commits", json!({})),
        with("/commits/0", json!("x")),
        with("/commits/0/modified", json!("x")),
        with("/commits/0/modified/0", json!(1)),
        with("/deleted", json!("yes")),
        with("/repository", json!(null)),
        with("/repository", json!("x")),
        with("/repository/full_name", json!("no owner")),
        with("/repository/full_name", json!("../../etc")),
        with("/repository/full_name", json!("-o/x")),
        with("/repository/full_name", json!("a/b\n")),
        with("/sender", json!([1, 2])),
        with("/head_commit", json!(true)),
    ]
    .iter()
    .map(|body| told(ForgeKind::GitHub, &push(), body.as_bytes()))
    .collect();
    rows.push(request_with("/pull_request", json!([])));
    rows.push(request_with("/number", json!(-1)));
    rows.push(request_with("/pull_request/head/sha", json!("x")));
    rows.push(request_with("/pull_request/labels", json!([1])));
    rows.push(told(ForgeKind::GitLab, &push(), br#"{"object_kind":1}"#));
    rows.push(told(ForgeKind::GitLab, &push(), br#"{"object_kind":"push"}"#));
    rows.push(told(
        ForgeKind::GitLab,
        &pull_request(),
        br#"{"object_kind":"merge_request"}"#,
    ));
    insta::assert_snapshot!(rows.join("\n"), @r#"
    400 the body is not JSON: EOF while parsing a value at line 1 column 0; choose application/json in the forge's webhook settings
    400 the payload is wrong at `/`: expected an object, found null; deliver the forge's own payload
    400 the payload is wrong at `/`: expected an object, found a list of 0; deliver the forge's own payload
    400 the body is not JSON: EOF while parsing an object at line 1 column 1; choose application/json in the forge's webhook settings
    400 the payload is wrong at `/repository/full_name`: expected a repository as `owner/name`, found nothing; deliver the forge's own payload
    400 the body is not JSON: expected value at line 1 column 1; choose application/json in the forge's webhook settings
    400 the body is not JSON: recursion limit exceeded at line 1 column 128; choose application/json in the forge's webhook settings
    400 the body is not JSON: unexpected end of hex escape at line 1 column 15; choose application/json in the forge's webhook settings
    400 the payload is wrong at `/ref`: expected text, found the number 7; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected a full ref: refs/heads/… or refs/tags/…, found "main"; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected the name of a git ref, found "refs/heads/"; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected the name of a git ref, found "refs/heads/a b"; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected the name of a git ref, found "refs/heads/a\nb"; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected the name of a git ref, found "refs/heads/a\0b"; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected the name of a git ref, found "refs/heads/../x"; deliver the forge's own payload
    400 the payload is wrong at `/ref`: expected the name of a git ref, found "refs/heads/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"; deliver the forge's own payload
    400 the payload is wrong at `/after`: expected a commit id of 40 or 64 hex digits, found "main"; deliver the forge's own payload
    400 the payload is wrong at `/after`: expected a commit id, found null; deliver the forge's own payload
    400 the payload is wrong at `/before`: expected text, found an object; deliver the forge's own payload
    400 the payload is wrong at `/commits`: expected a list, found an object; deliver the forge's own payload
    400 the payload is wrong at `/commits/0`: expected an object, found "x"; deliver the forge's own payload
    400 the payload is wrong at `/commits/0/modified`: expected a list, found "x"; deliver the forge's own payload
    400 the payload is wrong at `/commits/0/modified/0`: expected text, found the number 1; deliver the forge's own payload
    400 the payload is wrong at `/deleted`: expected true or false, found "yes"; deliver the forge's own payload
    400 the payload is wrong at `/repository/full_name`: expected a repository as `owner/name`, found nothing; deliver the forge's own payload
    400 the payload is wrong at `/repository`: expected an object, found "x"; deliver the forge's own payload
    400 the payload is wrong at `/repository/full_name`: expected a repository as `owner/name`, found "no owner"; deliver the forge's own payload
    400 the payload is wrong at `/repository/full_name`: expected a repository as `owner/name`, found "../../etc"; deliver the forge's own payload
    400 the payload is wrong at `/repository/full_name`: expected a repository as `owner/name`, found "-o/x"; deliver the forge's own payload
    400 the payload is wrong at `/repository/full_name`: expected a repository as `owner/name`, found "a/b\n"; deliver the forge's own payload
    400 the payload is wrong at `/sender`: expected an object, found a list of 2; deliver the forge's own payload
    400 the payload is wrong at `/head_commit`: expected an object, found true; deliver the forge's own payload
    400 the payload is wrong at `/pull_request`: expected an object, found a list of 0; deliver the forge's own payload
    400 the payload is wrong at `/number`: expected a whole number, found the number -1; deliver the forge's own payload
    400 the payload is wrong at `/pull_request/head/sha`: expected a commit id of 40 or 64 hex digits, found "x"; deliver the forge's own payload
    400 the payload is wrong at `/pull_request/labels/0`: expected an object, found the number 1; deliver the forge's own payload
    400 the payload is wrong at `/object_kind`: expected text, found the number 1; deliver the forge's own payload
    400 the payload is wrong at `/project/path_with_namespace`: expected a project as `group/name`, found nothing; deliver the forge's own payload
    400 the payload is wrong at `/object_attributes/target/path_with_namespace`: expected a project as `group/name`, found nothing; deliver the forge's own payload
    "#);
}

#[test]
fn a_delivery_that_does_not_say_what_it_is_is_refused() {
    let none = HeaderMap::new();
    let twice = header_map(&[("X-GitHub-Event", "push"), ("X-GitHub-Event", "ping")]);
    let long = header_map(&[("X-GitHub-Event", "push"), ("X-GitHub-Delivery", &"1".repeat(201))]);
    let gitea = header_map(&[("X-GitHub-Event", "push"), ("X-Gitea-Event", "push")]);
    let rows: Vec<String> = [
        (ForgeKind::GitHub, &gitea),
        (ForgeKind::GitHub, &none),
        (ForgeKind::GitLab, &none),
        (ForgeKind::Gitea, &none),
    ]
    .into_iter()
    .chain([(ForgeKind::GitHub, &twice), (ForgeKind::GitHub, &long)])
    .map(|(kind, headers)| forge_of(kind).parse(headers, b"{}").unwrap_err())
    .map(|error| format!("{} {error}", error.status()))
    .collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    400 this is a delivery of gitea to the hook of github
    400 the delivery does not say what it is: it has no X-GitHub-Event header
    400 the delivery does not say what it is: it has no X-Gitlab-Event header
    400 the delivery does not say what it is: it has no X-Gitea-Event header
    400 the header X-GitHub-Event cannot be read: it is there more than once
    400 the header X-GitHub-Delivery cannot be read: a delivery id is at most 200 bytes
    ");
}

/// Any JSON value, small.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("a".repeat(40))),
        Just(json!("refs/heads/x")),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,6}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

/// All places in a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_payload_panics(
        kind in prop::sample::select(ForgeKind::ALL.to_vec()),
        which in 0..3usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4),
    ) {
        let happened = vec![push(), tag(), pull_request()].swap_remove(which);
        let mut payload = happened.payload(kind);
        for (index, value) in changes {
            let mut all = Vec::new();
            places(&payload, "", &mut all);
            *payload.pointer_mut(index.get(&all).as_str()).unwrap() = value;
        }
        let body = payload.to_string();
        match FORGES.with(|forges| forges[kind as usize].parse(&headers(kind, &happened), body.as_bytes())) {
            Ok(understood) => prop_assert!(!understood.reason.is_empty()),
            Err(error) => prop_assert_eq!(error.status(), 400),
        }
    }
}

thread_local! {
    static FORGES: Vec<Box<dyn Forge>> = ForgeKind::ALL.into_iter().map(forge_of).collect();
}

#[test]
fn words_of_the_sender_are_told_short_and_tame() {
    let word = format!("\u{1b}]52;c;x\u{7}{}", "y".repeat(100));
    let mut payload = pull_request().payload(ForgeKind::GitHub);
    payload["action"] = json!(word);
    let body = payload.to_string();
    let understood = forge_of(ForgeKind::GitHub).parse(&headers(ForgeKind::GitHub, &pull_request()), body.as_bytes());
    let reason = understood.unwrap().reason;
    assert!(reason.len() < 200 && !reason.contains(char::is_control), "{reason:?}");
}

#[test]
fn a_huge_message_is_cut_but_still_searched() {
    let mut payload = push().payload(ForgeKind::GitHub);
    payload["head_commit"]["message"] = json!(format!("{}[skip ci]", "é".repeat(100_000)));
    let headers = headers(ForgeKind::GitHub, &push());
    let understood = forge_of(ForgeKind::GitHub)
        .parse(&headers, payload.to_string().as_bytes())
        .unwrap();
    let crate::forge::Start::SkippedByAuthor(trigger) = understood.start else {
        panic!("{:?}", understood.start)
    };
    assert_eq!(trigger.message.len(), 64 * 1024);
}
