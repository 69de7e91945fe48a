//! `drydock trigger` against a receiver that verifies and reads as the server does.

use std::path::Path;
use std::process::{Command, Output};

use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use drydock::event::ForgeKind;
use drydock::forge::{Connection, forge};
use drydock::secret::Secret;
use serde_json::Value;
use tempfile::TempDir;

const SECRET: &str = "trigger-secret-81";
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn receive(
    State(secret): State<&'static str>,
    UrlPath(kind): UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind: ForgeKind = kind.parse().expect("a forge's name");
    let connection = Connection::new("http://forge.invalid", None).expect("an address");
    let forge = forge(kind, connection);
    let read = forge
        .verify(&headers, &body, &[&Secret::new(secret)], drydock::clock::system().now())
        .and_then(|_| forge.parse(&headers, &body));
    match read {
        Ok(understood) => (
            StatusCode::ACCEPTED,
            Json(serde_json::to_value(understood.answer(Some(1))).ok()),
        )
            .into_response(),
        Err(error) => (StatusCode::from_u16(error.status()).expect("a status"), error.tell()).into_response(),
    }
}

async fn receiver(secret: &'static str) -> String {
    let router = Router::new().route("/hooks/{kind}", post(receive)).with_state(secret);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn git(folder: &Path, args: &[&str]) {
    let done = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=Maria",
            "-c",
            "user.email=maria@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .output()
        .expect("git starts");
    assert!(
        done.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// A repository `team/web` with one commit on `main`, tagged `v1`.
fn repository() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder can be made");
    std::fs::write(folder.path().join("page.txt"), "hello\n").expect("the folder can be written");
    for args in [
        &["init", "-q"][..],
        &["remote", "add", "origin", "https://forge.example/team/web.git"],
        &["add", "."],
        &["commit", "-q", "-m", "add a page"],
        &["tag", "v1"],
    ] {
        git(folder.path(), args);
    }
    folder
}

async fn trigger(folder: &TempDir, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_drydock"));
    command.current_dir(folder.path()).arg("trigger").args(args);
    command.env_remove("DRYDOCK_URL").env_remove("DRYDOCK_WEBHOOK_SECRET");
    command.output().await.expect("drydock starts")
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn what_is_triggered_arrives_as_from_each_forge() {
    let folder = repository();
    let plain = receiver(SECRET).await;
    let mut rows = vec![];
    for name in ["github", "gitlab", "gitea"] {
        for event in [
            &["push"][..],
            &["tag"],
            &["pull_request", "--ref", "page", "--number", "7"],
            &["pull_request", "--fork", "stranger/web"],
        ] {
            let mut args = vec!["--forge", name, "--url", &plain, "--secret", SECRET, "--event"];
            args.extend(event);
            let output = trigger(&folder, &args).await;
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let mut answer = answer(&output);
            assert_eq!(answer["sha"].as_str().map(str::len), Some(40));
            answer["sha"] = "HEAD".into();
            rows.push(format!("{name}: {answer}"));
        }
    }
    insta::assert_snapshot!(rows.join("\n"), @r#"
    github: {"kind":"push","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/heads/main","base":null,"fork":false,"pipeline":1,"reason":"the new branch `main` was pushed"}
    github: {"kind":"tag","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/tags/v1","base":null,"fork":false,"pipeline":1,"reason":"the tag `v1` was pushed"}
    github: {"kind":"pull_request","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":1,"reason":"pull request #7 was opened"}
    github: {"kind":"pull_request","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/pull/1/merge","base":"main","fork":true,"pipeline":1,"reason":"pull request #1 was opened"}
    gitlab: {"kind":"push","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/heads/main","base":null,"fork":false,"pipeline":1,"reason":"the new branch `main` was pushed"}
    gitlab: {"kind":"tag","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/tags/v1","base":null,"fork":false,"pipeline":1,"reason":"the tag `v1` was pushed"}
    gitlab: {"kind":"pull_request","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/merge-requests/7/head","base":"main","fork":false,"pipeline":1,"reason":"merge request !7 was opened"}
    gitlab: {"kind":"pull_request","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/merge-requests/1/head","base":"main","fork":true,"pipeline":1,"reason":"merge request !1 was opened"}
    gitea: {"kind":"push","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/heads/main","base":null,"fork":false,"pipeline":1,"reason":"the new branch `main` was pushed"}
    gitea: {"kind":"tag","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/tags/v1","base":null,"fork":false,"pipeline":1,"reason":"the tag `v1` was pushed"}
    gitea: {"kind":"pull_request","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/pull/7/merge","base":"main","fork":false,"pipeline":1,"reason":"pull request #7 was opened"}
    gitea: {"kind":"pull_request","run":true,"repo":"team/web","sha":"HEAD","ref":"refs/pull/1/merge","base":"main","fork":true,"pipeline":1,"reason":"pull request #1 was opened"}
    "#);

    let signing = receiver(SIGNING).await;
    let output = trigger(&folder, &["--forge", "gitlab", "--url", &signing, "--secret", SIGNING]).await;
    assert_eq!(answer(&output)["run"], true);
}

#[tokio::test]
async fn a_payload_of_ones_own_is_sent_as_it_is() {
    let folder = repository();
    let url = receiver(SECRET).await;
    let own =
        r#"{"ref":"refs/heads/x","after":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","repository":{"full_name":"a/b"}}"#;
    std::fs::write(folder.path().join("own.json"), own).expect("the folder can be written");
    std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).expect("the folder can be written");
    let output = trigger(
        &folder,
        &["--url", &url, "--secret-file", "secret", "--payload", "own.json"],
    )
    .await;
    assert_eq!(
        (answer(&output)["repo"].as_str(), output.status.code()),
        (Some("a/b"), Some(0))
    );

    let printed = trigger(
        &folder,
        &[
            "--secret",
            SECRET,
            "--payload",
            "own.json",
            "--delivery",
            "d-1",
            "--print",
        ],
    )
    .await;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.starts_with("POST http://127.0.0.1:8470/hooks/github\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\nx-github-delivery: d-1\n") && printed.ends_with(&format!("\n\n{own}\n")),
        "{printed}"
    );
    assert!(!printed.contains(SECRET));
}

#[tokio::test]
async fn each_failure_has_its_status_and_its_hint() {
    let folder = repository();
    let url = receiver(SECRET).await;
    let elsewhere = TempDir::new().expect("a temporary folder can be made");
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let nobody = format!("http://{}", gone.local_addr().expect("a bound socket has an address"));
    drop(gone);
    let mut rows = vec![];
    for (folder, args) in [
        (&folder, &["--url", &url, "--secret", "another secret"][..]),
        (&folder, &["--url", &url]),
        (&folder, &["--url", &nobody, "--secret", SECRET]),
        (&folder, &["--url", "ftp://x", "--secret", SECRET]),
        (&folder, &["--url", &url, "--secret", SECRET, "--payload", "none.json"]),
        (&folder, &["--url", &url, "--secret", SECRET, "--ref", "refs/tags/v1"]),
        (&elsewhere, &["--url", &url, "--secret", SECRET]),
    ] {
        let output = trigger(folder, args).await;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.replace(&url, "URL").replace(&nobody, "NOBODY");
        rows.push(format!("{}: {}", output.status.code().unwrap_or(-1), said.trim_end()));
        assert!(output.stdout.is_empty());
    }
    insta::assert_snapshot!(rows.join("\n"), @"
    2: error: URL/hooks/github answered 401 Unauthorized: the signature in X-Hub-Signature-256 does not fit the body and any configured secret; use the same secret at the forge and in Drydock, and let no proxy change the body
      = help: the secret must be the one in the server's configuration for this forge
    2: error: there is no webhook secret to sign with
      = help: give --secret, --secret-file or DRYDOCK_WEBHOOK_SECRET: what the server's `webhook_secret` says
    3: error: cannot deliver to NOBODY/hooks/github: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
      = help: is `drydock serve` running there? --url says where it is
    2: error: `ftp://x` is no server's address: it must begin with http:// or https://
    2: error: cannot read the payload none.json: No such file or directory (os error 2)
    2: error: `refs/tags/v1` is a tag
      = help: give --event tag, or a branch
    2: error: `.` has no commit to tell of
      = help: run it in a git repository with a commit, or give --sha
    ");
}
