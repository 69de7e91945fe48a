//! The parts that other tests stand on do what they say.

use std::process::Command;

use bollard::models::{ContainerCreateBody, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use drydock::event::ForgeKind;
use serde_json::json;

use crate::support::{
    Authority, Daemon, Ecr, Fault, FaultyProxy, ForgeStandIn, GitServer, Registry, SshServer, cache_folder, program,
};

/// Runs a command line with the registry's login; gives its output and whether it passed.
fn docker(config: &str, args: &[&str]) -> (bool, String) {
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    std::fs::write(folder.path().join("config.json"), config).expect("the folder can be written");
    let done = Command::new("docker")
        .arg("--config")
        .arg(folder.path())
        .args(args)
        .output()
        .expect("docker starts");
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn what_a_test_leaves_in_docker_is_listed_and_swept() {
    let Some(daemon) = Daemon::for_test("harness").await else {
        return;
    };
    assert_eq!(daemon.leftovers().await, Vec::<String>::new());
    let labels = Some([("io.drydock.server".to_owned(), daemon.server.clone())].into());
    let named = CreateContainerOptionsBuilder::new().name(&daemon.server).build();
    let container = ContainerCreateBody {
        image: Some("drydock-test/busybox".to_owned()),
        labels: labels.clone(),
        ..Default::default()
    };
    daemon
        .docker
        .create_container(Some(named), container)
        .await
        .expect("tests/images/build.sh was run");
    let network = NetworkCreateRequest {
        name: daemon.server.clone(),
        labels: labels.clone(),
        ..Default::default()
    };
    daemon
        .docker
        .create_network(network)
        .await
        .expect("a network can be made");
    let volume = VolumeCreateRequest {
        name: Some(daemon.server.clone()),
        labels,
        ..Default::default()
    };
    daemon.docker.create_volume(volume).await.expect("a volume can be made");
    let name = &daemon.server;
    let all = [
        format!("container {name} (created)"),
        format!("network {name}"),
        format!("volume {name}"),
    ];
    assert_eq!(daemon.leftovers().await, all);
    daemon.sweep().await;
    assert_eq!(daemon.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_registry_takes_a_push_from_those_it_knows_and_reports_the_digest() {
    let Some(_daemon) = Daemon::for_test("registry").await else {
        return;
    };
    let Some(authority) = Authority::new() else { return };
    for registry in [Registry::start().await, Registry::start_tls(&authority).await] {
        let Some(registry) = registry else { return };
        let image = format!("{}/team/web:1", registry.address());
        let (tagged, said) = docker("{}", &["tag", "drydock-test/busybox", &image]);
        assert!(tagged, "{said}");
        let (pushed, said) = docker("{}", &["push", &image]);
        assert!(!pushed && said.contains("no basic auth credentials"), "{said}");
        let (pushed, said) = docker(&registry.docker_config(), &["push", &image]);
        assert!(pushed, "{said}");
        assert_eq!(registry.tags("team/web").await, ["1"]);
        let digest = registry.digest("team/web", "1").await.expect("the tag is there");
        assert!(said.contains(&digest), "{digest} is not in: {said}");
        assert_eq!(registry.digest("team/web", "2").await, None);
        assert_eq!(registry.tags("team/other").await, Vec::<String>::new());
        docker("{}", &["rmi", &image]);
    }
}

#[tokio::test]
async fn the_proxy_fails_as_often_as_it_was_told_and_then_forwards() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let proxy = FaultyProxy::in_front_of(registry.address()).await;
    let url = format!("http://{}/v2/", proxy.address());
    let get = || {
        reqwest::Client::new()
            .get(&url)
            .basic_auth(Registry::USER, Some(Registry::PASSWORD))
            .send()
    };
    proxy.inject("GET /v2/", 2, Fault::Status(500));
    proxy.inject("", 1, Fault::CutAnswer { after_bytes: 1 });
    proxy.inject("PUT ", 1, Fault::Status(503));
    for expected in [500, 500] {
        assert_eq!(get().await.expect("an answer").status(), expected);
    }
    // A short answer may be cut before its headers are sent.
    let cut = async { get().await?.text().await };
    assert!(cut.await.is_err(), "the answer was whole");
    let answer = get().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.expect("a body").as_str()),
        (200, "{}")
    );

    let put = || reqwest::Client::new().put(&url).body("12345").send();
    assert_eq!(put().await.expect("an answer").status(), 503);
    proxy.inject("PUT ", 1, Fault::CutUpload { after_bytes: 2 });
    assert!(put().await.is_err(), "there was an answer");
    proxy.inject("", 1, Fault::Redirect("http://127.0.0.1:1/".to_owned()));
    let no_redirects = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let redirect = no_redirects
        .expect("a client can be made")
        .get(&url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (redirect.status().as_u16(), &redirect.headers()["location"]),
        (302, &"http://127.0.0.1:1/".parse().expect("a header"))
    );
    proxy.inject("", 1, Fault::Hang);
    let hangs = tokio::time::timeout(std::time::Duration::from_millis(50), get()).await;
    assert!(hangs.is_err(), "there was an answer");
    assert_eq!(proxy.requests().len(), 8);
    assert_eq!(proxy.requests()[0], "GET /v2/");
}

/// The clone of `url` holds `README` with `text`.
fn assert_clones(url: &str, env: &[(&str, &str)], text: &str) {
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let cloned = Command::new("git")
        .args(["clone", "--quiet", url])
        .arg(folder.path().join("clone"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(env.iter().copied())
        .output()
        .expect("git starts");
    assert!(cloned.status.success(), "{}", String::from_utf8_lossy(&cloned.stderr));
    assert_eq!(
        std::fs::read_to_string(folder.path().join("clone/README")).expect("the file is there"),
        text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_served_over_http_https_and_ssh() {
    let Some(git) = GitServer::start().await else { return };
    let repository = git.repository("team/web");
    let first = repository.commit(&[("README", "one\n"), ("run.sh", "#!/bin/sh\n")]);
    let second = repository.commit(&[("README", "two\n")]);
    assert_eq!(
        repository.git(&["rev-parse", "main", "main^"]),
        format!("{second}\n{first}")
    );
    assert!(
        repository.git(&["ls-tree", "main"]).contains("100755"),
        "run.sh is not executable"
    );

    assert_clones(&git.url_with_token("team/web"), &[], "two\n");
    let requests = git.requests();
    assert_eq!(requests[0].line, "GET /team/web.git/info/refs?service=git-upload-pack");
    assert!(requests.last().is_some_and(|request| request.authorization.is_some()));
    let anonymous = reqwest::get(format!("{}/info/refs?service=git-upload-pack", git.url("team/web"))).await;
    assert_eq!(anonymous.expect("an answer").status(), 401);
    git.open_to_all();
    assert_clones(&git.url("team/web"), &[], "two\n");

    let Some(authority) = Authority::new() else { return };
    let secure = authority.front(git.address()).await;
    let certificate = authority.certificate().display().to_string();
    assert_clones(
        &format!("https://{secure}/team/web.git"),
        &[("GIT_SSL_CAINFO", &certificate)],
        "two\n",
    );

    let Some(ssh) = SshServer::serving(&git).await else {
        return;
    };
    let known = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(known.path(), ssh.known_host() + "\n").expect("the file can be written");
    let command = format!(
        "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}",
        ssh.private_key().display(),
        known.path().display()
    );
    assert_clones(&ssh.url("team/web"), &[("GIT_SSH_COMMAND", &command)], "two\n");
}

#[tokio::test]
async fn forges_take_statuses_as_the_real_ones_do() {
    let sha = "0123456789012345678901234567890123456789";
    for (kind, path, done) in [
        (ForgeKind::GitHub, "/repos/team/web/statuses/", "success"),
        (ForgeKind::GitLab, "/api/v4/projects/team%2Fweb/statuses/", "success"),
        (ForgeKind::Gitea, "/api/v1/repos/team/web/statuses/", "success"),
    ] {
        let forge = ForgeStandIn::start(kind).await;
        let url = format!("{}{path}{sha}", forge.api_url());
        let post = async |token: &str, state: &str| {
            let body = json!({ "state": state, "context": "drydock", "name": "drydock", "target_url": "http://ci/1" });
            let sent = reqwest::Client::new()
                .post(&url)
                .bearer_auth(token)
                .json(&body)
                .send()
                .await;
            sent.expect("an answer").status().as_u16()
        };
        assert_eq!(post("wrong", "pending").await, 401);
        forge.fail_next(1, 502);
        let token = ForgeStandIn::TOKEN;
        let answers = [
            post(token, "pending").await,
            post(token, "pending").await,
            post(token, "splendid").await,
        ];
        assert_eq!((answers, forge.failed()), ([502, 201, 422], 1));
        assert_eq!(
            post(token, "pending").await,
            if kind == ForgeKind::GitLab { 400 } else { 201 }
        );
        assert_eq!(post(token, done).await, 201);
        let told = forge.told(sha, done).await;
        assert_eq!((told.repo.as_str(), told.context.as_str()), ("team/web", "drydock"));
        assert_eq!(forge.statuses(sha)[0].state, "pending");
    }
}

#[tokio::test]
async fn the_aws_api_hands_out_a_token_that_opens_the_registry() {
    let Some(ecr) = Ecr::start().await else { return };
    assert!(!ecr.access_key.is_empty() && !ecr.secret_key.is_empty() && program("docker").is_some());
    assert!(cache_folder().is_dir());
    let unsigned = reqwest::Client::new()
        .post(&ecr.endpoint)
        .header(
            "x-amz-target",
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
        )
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential=x/20260101/{}/ecr/aws4_request",
                Ecr::REGION
            ),
        )
        .body("{}")
        .send()
        .await;
    assert!(unsigned.expect("an answer").status().is_client_error());
    let url = format!("http://{}/v2/", ecr.registry.address());
    let token = reqwest::Client::new()
        .get(url)
        .basic_auth("AWS", Some("123456789012-auth-token"))
        .send()
        .await;
    assert_eq!(token.expect("an answer").status(), 200);
    assert_eq!(ecr.repositories().await, Vec::<String>::new());
}
