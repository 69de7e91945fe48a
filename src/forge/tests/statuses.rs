//! Statuses over real HTTP, to a forge's stand-in on the loopback that answers what it is told to.

use super::*;
use crate::event::Trigger;
use crate::forge::{ForgeError, StatusState, StatusUpdate};
use crate::secret::Secret;
use serde_json::Value;
use std::fmt::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the stand-in was sent: request line, headers, JSON.
struct Sent {
    line: String,
    headers: String,
    body: Value,
}

impl Sent {
    fn header(&self, name: &str) -> &str {
        let value = |line: &'_ str| {
            line.split_once(':')
                .is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        self.headers
            .lines()
            .find(|line| value(line))
            .map_or("", |line| line[name.len() + 1..].trim())
    }
}

/// Serves one connection for each answer, in order; gives back what was sent.
async fn stand_in(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<Sent>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let head_end = loop {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..count]);
                if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at;
                }
            };
            let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
            let (line, headers) = head.split_once("\r\n").unwrap();
            let mut sent = Sent {
                line: line.to_owned(),
                headers: headers.to_owned(),
                body: Value::Null,
            };
            let length: usize = sent.header("content-length").parse().unwrap();
            let mut body = bytes[head_end + 4..].to_vec();
            while body.len() < length {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).await.unwrap();
                body.extend_from_slice(&chunk[..count]);
            }
            sent.body = serde_json::from_slice(&body).unwrap();
            requests.push(sent);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        requests
    });
    (base, served)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn trigger(kind: ForgeKind) -> Trigger {
    let happened = push();
    let name = match kind {
        ForgeKind::GitHub => "X-GitHub-Event",
        ForgeKind::GitLab => "X-Gitlab-Event",
        ForgeKind::Gitea => "X-Gitea-Event",
    };
    let headers = header_map(&[(name, happened.hook().event_name(kind))]);
    let body = happened.payload(kind).to_string();
    forge_of(kind)
        .parse(&headers, body.as_bytes())
        .unwrap()
        .trigger()
        .unwrap()
        .clone()
}

fn update(kind: ForgeKind, state: StatusState) -> StatusUpdate {
    let page = Some("https://ci.example/pipelines/4".to_owned());
    StatusUpdate::of(&trigger(kind), state, "drydock/web", "2 of 3 jobs passed", page)
}

async fn set(kind: ForgeKind, base: &str, update: &StatusUpdate) -> Result<(), ForgeError> {
    let connection = Connection::new(base, Some(Secret::new("token-1"))).unwrap();
    forge(kind, connection).set_status(update).await
}

const STATES: [StatusState; 8] = [
    StatusState::Queued,
    StatusState::Waiting,
    StatusState::Running,
    StatusState::Passed,
    StatusState::Failed,
    StatusState::Cancelled,
    StatusState::Skipped,
    StatusState::Lost,
];

#[tokio::test]
async fn each_forge_is_told_in_its_own_words() {
    let mut table = String::new();
    for kind in ForgeKind::ALL {
        let (base, served) = stand_in(vec![answer("201 Created", "", "{}"); STATES.len()]).await;
        for state in STATES {
            set(kind, &base, &update(kind, state)).await.unwrap();
        }
        let sent = served.await.unwrap();
        let first = &sent[0];
        writeln!(table, "{}", first.line.replace(&"a".repeat(40), "aaaa")).unwrap();
        for name in [
            "authorization",
            "private-token",
            "accept",
            "x-github-api-version",
            "content-type",
        ] {
            if !first.header(name).is_empty() {
                writeln!(table, "{name}: {}", first.header(name)).unwrap();
            }
        }
        writeln!(table, "{}", first.body).unwrap();
        let words: Vec<String> = STATES
            .iter()
            .zip(&sent)
            .map(|(state, sent)| format!("{state:?}={}", sent.body["state"]))
            .collect();
        writeln!(table, "{}\n", words.join(" ")).unwrap();
    }
    insta::assert_snapshot!(table, @r#"
    POST /repos/team/web/statuses/aaaa HTTP/1.1
    authorization: Bearer token-1
    accept: application/vnd.github+json
    x-github-api-version: 2022-11-28
    content-type: application/json
    {"state":"pending","context":"drydock/web","description":"2 of 3 jobs passed","target_url":"https://ci.example/pipelines/4"}
    Queued="pending" Waiting="pending" Running="pending" Passed="success" Failed="failure" Cancelled="error" Skipped="success" Lost="error"

    POST /api/v4/projects/team%2Fweb/statuses/aaaa HTTP/1.1
    private-token: token-1
    accept: */*
    content-type: application/json
    {"state":"pending","name":"drydock/web","description":"2 of 3 jobs passed","ref":"main","target_url":"https://ci.example/pipelines/4"}
    Queued="pending" Waiting="pending" Running="running" Passed="success" Failed="failed" Cancelled="canceled" Skipped="skipped" Lost="failed"

    POST /api/v1/repos/team/web/statuses/aaaa HTTP/1.1
    authorization: token token-1
    accept: */*
    content-type: application/json
    {"state":"pending","context":"drydock/web","description":"2 of 3 jobs passed","target_url":"https://ci.example/pipelines/4"}
    Queued="pending" Waiting="pending" Running="pending" Passed="success" Failed="failure" Cancelled="error" Skipped="success" Lost="error"
    "#);
}

#[tokio::test]
async fn names_are_encoded_and_long_texts_cut() {
    let mut long = update(ForgeKind::GitLab, StatusState::Failed);
    long.repo = "team/sub group/web".into();
    long.description = format!("line\none {}", "ü".repeat(300));
    long.target_url = Some(format!("https://ci.example/{}", "x".repeat(300)));
    let mut lines = String::new();
    for (kind, path) in [
        (ForgeKind::GitHub, "/api/v3/"),
        (ForgeKind::GitLab, "/git"),
        (ForgeKind::GitLab, "/git/api/v4"),
        (ForgeKind::Gitea, ""),
        (ForgeKind::Gitea, "/api/v1/"),
    ] {
        let (base, served) = stand_in(vec![answer("200 OK", "", "")]).await;
        set(kind, &format!("{base}{path}"), &long).await.unwrap();
        let sent = served.await.unwrap().remove(0);
        let description = sent.body["description"].as_str().unwrap();
        let line = sent.line.replace(&"a".repeat(40), "aaaa");
        let link = sent.body.get("target_url").is_some();
        writeln!(
            lines,
            "{line} link={link} {} characters: {}…",
            description.chars().count(),
            &description[..9]
        )
        .unwrap();
        assert!(description.ends_with("ü…"));
    }
    insta::assert_snapshot!(lines, @"
    POST /api/v3/repos/team/sub%20group/web/statuses/aaaa HTTP/1.1 link=true 140 characters: line one …
    POST /git/api/v4/projects/team%2Fsub%20group%2Fweb/statuses/aaaa HTTP/1.1 link=false 255 characters: line one …
    POST /git/api/v4/projects/team%2Fsub%20group%2Fweb/statuses/aaaa HTTP/1.1 link=false 255 characters: line one …
    POST /api/v1/repos/team/sub%20group/web/statuses/aaaa HTTP/1.1 link=true 255 characters: line one …
    POST /api/v1/repos/team/sub%20group/web/statuses/aaaa HTTP/1.1 link=true 255 characters: line one …
    ");
}

#[tokio::test]
async fn every_answer_says_who_must_act_and_when() {
    let date = "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n";
    let answers = [
        ("401 Unauthorized", String::new(), r#"{"message":"Bad credentials"}"#),
        (
            "403 Forbidden",
            String::new(),
            r#"{"message":"Resource not accessible by integration"}"#,
        ),
        (
            "403 Forbidden",
            String::new(),
            r#"{"message":"You have exceeded a secondary rate limit"}"#,
        ),
        (
            "403 Forbidden",
            format!("{date}x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1795348860\r\n"),
            r#"{"message":"API rate limit exceeded"}"#,
        ),
        ("404 Not Found", String::new(), r#"{"message":"404 Project Not Found"}"#),
        (
            "422 Unprocessable Entity",
            String::new(),
            r#"{"message":"Validation Failed"}"#,
        ),
        (
            "400 Bad Request",
            String::new(),
            r#"{"message":{"description":["is too long"]}}"#,
        ),
        ("429 Too Many Requests", "Retry-After: 17\r\n".into(), ""),
        (
            "503 Service Unavailable",
            format!("{date}Retry-After: Sun, 22 Nov 2026 12:01:30 GMT\r\n"),
            "<h1>busy</h1>\n",
        ),
        ("500 Internal Server Error", String::new(), ""),
        ("302 Found", "Location: https://elsewhere.example/\r\n".into(), ""),
    ];
    let mut rows = String::new();
    for (status, headers, body) in answers {
        let (base, served) = stand_in(vec![answer(status, &headers, body)]).await;
        let error = set(
            ForgeKind::GitHub,
            &base,
            &update(ForgeKind::GitHub, StatusState::Passed),
        )
        .await
        .unwrap_err();
        served.await.unwrap();
        let said = error.to_string();
        let (_, said) = said.split_once(" answered ").unwrap();
        writeln!(rows, "{:?} {:?} {said}", error.blame(), error.retry_after()).unwrap();
    }
    insta::assert_snapshot!(rows, @r#"
    Settings None 401: Bad credentials; the token is wrong, expired or revoked
    Settings None 403: Resource not accessible by integration; the token may not set statuses on this repository
    Forge None 403, try later: You have exceeded a secondary rate limit
    Forge Some(60s) 403, try later: API rate limit exceeded
    Settings None 404: 404 Project Not Found; the forge knows no such repository or commit, or the token may not see it
    Update None 422: Validation Failed; the forge will not take this status; it may have too many for this commit
    Update None 400: {"description":["is too long"]}; the forge will not take this status
    Forge Some(17s) 429, try later: (nothing)
    Forge Some(90s) 503, try later: <h1>busy</h1>
    Forge None 500, try later: (nothing)
    Settings None 302: (nothing); the forge's address leads elsewhere; configure the address it leads to
    "#);
}

#[tokio::test]
async fn a_connection_that_fails_is_the_forges_fault_and_shows_no_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = set(ForgeKind::Gitea, &base, &update(ForgeKind::Gitea, StatusState::Passed))
        .await
        .unwrap_err();
    assert_eq!(error.blame(), crate::forge::Blame::Forge);
    assert!(!format!("{error:?}").contains("token-1"), "{error:?}");

    let connection = Connection::new(&base, None).unwrap();
    let refused = forge(ForgeKind::Gitea, connection)
        .set_status(&update(ForgeKind::Gitea, StatusState::Passed))
        .await;
    assert_eq!(refused.unwrap_err().blame(), crate::forge::Blame::Settings);
}

#[test]
fn an_address_that_cannot_be_one_is_refused() {
    let rows: Vec<String> = [
        "",
        "forge.example",
        "ftp://forge.example",
        "https://maria:hunter22@forge.example",
        "data:x",
    ]
    .iter()
    .map(|base| {
        Connection::new(base, None)
            .err()
            .map_or("fine".to_owned(), |error| error.to_string())
    })
    .collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    the configured address cannot be used: the forge's address cannot be read: relative URL without a base
    the configured address cannot be used: the forge's address cannot be read: relative URL without a base
    the configured address cannot be used: the forge's address must be http or https
    https://forge.example/ cannot be used: the forge's address may carry no credentials
    the configured address cannot be used: the forge's address must be http or https
    ");
}

#[tokio::test]
async fn gitlab_may_have_the_state_already_or_not_know_skipped() {
    let transition = |from: &str| {
        let said = format!(
            r#"{{"message":"Cannot transition status via :run from :{from} (Reason(s): Status cannot transition via \"run\")"}}"#
        );
        answer("400 Bad Request", "", &said)
    };
    let invalid = || {
        answer(
            "400 Bad Request",
            "",
            r#"{"error":"state does not have a valid value"}"#,
        )
    };
    let created = || answer("201 Created", "", "{}");
    for (state, answers, expected) in [
        (StatusState::Running, vec![transition("running")], Ok(vec!["running"])),
        (StatusState::Running, vec![transition("success")], Ok(vec!["running"])),
        (StatusState::Passed, vec![transition("success")], Ok(vec!["success"])),
        (StatusState::Failed, vec![transition("success")], Err(vec!["failed"])),
        (
            StatusState::Skipped,
            vec![invalid(), created()],
            Ok(vec!["skipped", "success"]),
        ),
        (StatusState::Skipped, vec![transition("skipped")], Ok(vec!["skipped"])),
        (StatusState::Passed, vec![invalid()], Err(vec!["success"])),
    ] {
        let (base, served) = stand_in(answers).await;
        let done = set(ForgeKind::GitLab, &base, &update(ForgeKind::GitLab, state)).await;
        let sent = served.await.unwrap();
        let words: Vec<&str> = sent.iter().map(|sent| sent.body["state"].as_str().unwrap()).collect();
        let words = if done.is_ok() { Ok(words) } else { Err(words) };
        assert_eq!(words, expected, "{state:?}");
    }
}
