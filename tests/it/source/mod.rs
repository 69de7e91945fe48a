//! Repositories over real servers: what is fetched, what is refused, and what the other side got to see.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod bounds;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drydock::event::{Changed, CommitSha, Event, ForgeKind, PullRequest, Trigger, Trust};
use drydock::secret::Secret;
use drydock::source::address::{Authority, Scheme};
use drydock::source::git::{FixedCredentials, GitConfig, GitLimits, GitSource, KnownHosts, SshKey, Submodules, Token};
use drydock::source::{Source, SourceError};
use drydock::stop::Stop;
use drydock::tree::{Tree, read_text};
use tempfile::TempDir;

use crate::support::{Authority as TestAuthority, Fault, FaultyProxy, GitServer, SshServer};

fn trigger(url: &str, commit: &str, git_ref: &str) -> Trigger {
    Trigger {
        forge: Some(ForgeKind::Gitea),
        repo: "team/web".into(),
        clone_url: Some(url.into()),
        event: Event::Push {
            branch: "main".into(),
            before: None,
            forced: false,
        },
        commit: CommitSha::try_from(commit.to_owned()).unwrap(),
        git_ref: git_ref.into(),
        default_branch: None,
        changed: Changed::Unknown,
        message: String::new(),
        actor: "ada".into(),
        delivery: None,
        trust: Trust::Member,
        payload: Arc::default(),
    }
}

/// A source over a fresh mirrors folder that may use plain HTTP and knows the test server's token.
struct Bench {
    mirrors: TempDir,
    config: GitConfig,
    credentials: FixedCredentials,
}

impl Bench {
    fn new() -> Self {
        let mirrors = TempDir::new().unwrap();
        let mut config = GitConfig::new(mirrors.path());
        config.schemes.insert(Scheme::Http);
        config.limits.within = Duration::from_secs(60);
        Bench {
            mirrors,
            config,
            credentials: FixedCredentials::default(),
        }
    }

    fn with_token(mut self, url: &str) -> Self {
        let at = Authority::parse(url).unwrap();
        let token = Token {
            at,
            username: GitServer::USER.into(),
            secret: Secret::new(GitServer::TOKEN),
        };
        self.credentials.tokens.push(token);
        self
    }

    fn source(&self) -> GitSource {
        GitSource::new(self.config.clone(), Arc::new(self.credentials.clone())).unwrap()
    }

    async fn checkout(&self, url: &str, commit: &str, git_ref: &str) -> Result<Arc<dyn Tree>, SourceError> {
        self.source()
            .checkout(&trigger(url, commit, git_ref), &Stop::new())
            .await
    }

    async fn refusal(&self, url: &str, commit: &str, git_ref: &str) -> String {
        match self.checkout(url, commit, git_ref).await {
            Ok(_) => panic!("{url} was fetched"),
            Err(error) => error.to_string(),
        }
    }
}

fn files(tree: &dyn Tree) -> BTreeMap<String, String> {
    let paths = tree.paths().unwrap();
    paths
        .into_iter()
        .map(|path| {
            let text = read_text(tree, &path, 1 << 20).unwrap();
            (path, text.unwrap_or("(none)".into()))
        })
        .collect()
}

fn tar_of(tree: &dyn Tree) -> BTreeMap<String, (u32, String)> {
    let mut bytes = Vec::new();
    tree.write_tar(&|_| true, &mut bytes).unwrap();
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mode = entry.header().mode().unwrap();
        let mut text = entry
            .link_name()
            .unwrap()
            .map(|link| format!("-> {}", link.display()))
            .unwrap_or_default();
        let _ = entry.read_to_string(&mut text);
        found.insert(path, (mode, text));
    }
    found
}

fn all_bytes_under(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            bytes.extend(all_bytes_under(&entry.path()));
        } else {
            bytes.extend(entry.file_name().as_encoded_bytes());
            bytes.extend(fs::read(entry.path()).unwrap_or_default());
        }
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_commit_is_fetched_by_its_id_with_the_token_and_read_without_a_checkout() {
    let Some(git) = GitServer::start().await else { return };
    let repository = git.repository("team/web");
    let first = repository.commit(&[
        ("src/main.rs", "one"),
        ("run.sh", "#!/bin/sh"),
        (".gitattributes", "*.rs filter=evil eol=crlf\n"),
    ]);
    let second = repository.commit(&[("src/main.rs", "two")]);
    let url = git.url("team/web");
    let bench = Bench::new().with_token(&url);
    let source = bench.source();
    let tree = source
        .checkout(&trigger(&url, &first, "refs/heads/main"), &Stop::new())
        .await
        .unwrap();
    assert_eq!(files(&*tree)["src/main.rs"], "one");
    let tar = tar_of(&*tree);
    assert_eq!(tar["run.sh"], (0o755, "#!/bin/sh".into()));
    assert_eq!(
        tar.keys().collect::<Vec<_>>(),
        [".gitattributes", "run.sh", "src/", "src/main.rs"]
    );

    let asked = git.requests().len();
    let tree = source
        .checkout(&trigger(&url, &second, "refs/heads/main"), &Stop::new())
        .await
        .unwrap();
    assert_eq!(files(&*tree)["src/main.rs"], "two");
    source
        .checkout(&trigger(&url, &first, "refs/heads/main"), &Stop::new())
        .await
        .unwrap();
    assert_eq!(
        git.requests().len() - asked,
        2,
        "a commit that is there is not fetched again: {:?}",
        git.requests()
    );

    // Nothing of the credentials or the repository's name lies on the disk, but in the note of whose mirror it is.
    let bytes = all_bytes_under(bench.mirrors.path());
    assert!(!holds(&bytes, GitServer::TOKEN));
    let names: Vec<String> = fs::read_dir(bench.mirrors.path())
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{names:?}"
    );
}

#[tokio::test]
async fn who_has_no_token_or_a_wrong_one_is_told_what_to_do() {
    let Some(git) = GitServer::start().await else { return };
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    let url = git.url("team/web");
    let said = Bench::new().refusal(&url, &commit, "refs/heads/main").await;
    assert!(
        said.contains("asks for credentials and none are configured for http://127.0.0.1:"),
        "{said}"
    );
    let mut wrong = Bench::new().with_token(&url);
    wrong.credentials.tokens[0].secret = Secret::new("wrong-t0ken");
    let said = wrong.refusal(&url, &commit, "refs/heads/main").await;
    assert!(said.contains("refuses the token") && !said.contains("t0ken"), "{said}");
    git.open_to_all();
    let said = Bench::new()
        .refusal(&git.url("team/none"), &commit, "refs/heads/main")
        .await;
    assert!(said.contains("no such repository"), "{said}");
    Bench::new()
        .checkout(&url, &commit, "refs/heads/main")
        .await
        .map(|_| ())
        .unwrap();
}

#[tokio::test]
async fn a_server_that_gives_no_ids_is_asked_for_the_ref() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let repository = git.repository("team/web");
    let first = repository.commit(&[("a", "1")]);
    repository.commit(&[("a", "2")]);
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "false"]);
    for depth in [None, Some(1)] {
        let mut bench = Bench::new();
        bench.config.depth = depth;
        let tree = bench
            .checkout(&git.url("team/web"), &first, "refs/heads/main")
            .await
            .unwrap();
        assert_eq!(files(&*tree)["a"], "1", "depth {depth:?}");
    }
}

#[tokio::test]
async fn a_commit_that_was_pushed_away_or_deleted_is_gone() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let url = git.url("team/web");
    let repository = git.repository("team/web");
    let lost = repository.commit(&[("a", "1")]);
    for (allowed, forced) in [("true", true), ("false", true), ("true", false), ("false", false)] {
        repository.git(&["config", "uploadpack.allowAnySHA1InWant", allowed]);
        let other = repository.commit_on("other", &[("b", "1")]);
        let gone = "0123456789012345678901234567890123456789";
        match forced {
            true => repository.git(&["update-ref", "refs/heads/main", &other]),
            false => repository.git(&["update-ref", "-d", "refs/heads/main"]),
        };
        let said = Bench::new().refusal(&url, gone, "refs/heads/main").await;
        let expected = if forced {
            "and does not contain it; it was probably removed by a force-push"
        } else {
            "is gone from there, too"
        };
        assert!(
            said.contains(&format!("has no commit {gone}")) && said.contains(expected),
            "{said}"
        );
    }
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "false"]);
    let said = Bench::new().refusal(&url, &lost, "refs/heads/main").await;
    assert!(said.contains("has no commit"), "{said}");
}

#[tokio::test]
async fn a_shallow_mirror_goes_on_being_fetched_into() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let repository = git.repository("team/web");
    let mut bench = Bench::new();
    bench.config.depth = Some(1);
    let source = bench.source();
    for count in 0..4 {
        repository.commit(&[("between", &count.to_string())]);
        let commit = repository.commit(&[("a", &count.to_string())]);
        let tree = source
            .checkout(&trigger(&git.url("team/web"), &commit, "refs/heads/main"), &Stop::new())
            .await
            .unwrap();
        assert_eq!(files(&*tree)["a"], count.to_string());
    }
}

#[tokio::test]
async fn a_token_never_leaves_its_scheme_host_and_port() {
    let Some(git) = GitServer::start().await else { return };
    let Some(attacker) = GitServer::start().await else {
        return;
    };
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    attacker.repository("team/web").commit(&[("a", "1")]);
    attacker.open_to_all();

    // A redirect to another host is not followed.
    let proxy = FaultyProxy::in_front_of(&git.address().to_string()).await;
    proxy.inject(
        "",
        10,
        Fault::Redirect(format!(
            "{}/info/refs?service=git-upload-pack",
            attacker.url("team/web")
        )),
    );
    let url = format!("http://{}/team/web.git", proxy.address());
    let said = Bench::new()
        .with_token(&url)
        .refusal(&url, &commit, "refs/heads/main")
        .await;
    assert!(
        said.contains("redirects to") && said.contains("are not followed"),
        "{said}"
    );

    // Another port of the same host is another authority; so is a host that only looks like it.
    let bench = Bench::new().with_token(&git.url("team/web"));
    bench
        .checkout(&attacker.url("team/web"), &commit, "refs/heads/main")
        .await
        .err();
    let trick = format!("http://{}@{}/team/web.git", git.address().ip(), attacker.address());
    bench.checkout(&trick, &commit, "refs/heads/main").await.err();

    // A submodule on the attacker's host, wanted by the repository.
    let repository = git.repository("team/app");
    repository.commit(&[(
        ".gitmodules",
        &format!("[submodule \"x\"]\n\tpath = x\n\turl = {}\n", attacker.url("team/web")),
    )]);
    let commit = gitlink(&repository, "x", &commit);
    let mut bench = Bench::new().with_token(&git.url("team/app"));
    bench.config.submodules = Submodules::SameHost;
    let said = bench.refusal(&git.url("team/app"), &commit, "refs/heads/main").await;
    assert!(
        said.contains("submodule `x`") && said.contains("from the same host only"),
        "{said}"
    );

    assert!(
        attacker
            .requests()
            .iter()
            .all(|request| request.authorization.is_none()),
        "{:?}",
        attacker.requests()
    );
}

/// Adds a commit inside the commit, and gives the new commit.
fn gitlink(repository: &crate::support::Repository, path: &str, commit: &str) -> String {
    let index = repository.folder.join("gitlink-index");
    let run = |args: &[&str]| {
        let done = std::process::Command::new("git")
            .current_dir(&repository.folder)
            .env("GIT_INDEX_FILE", &index)
            .args(args)
            .envs([
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@b"),
                ("GIT_COMMITTER_NAME", "A"),
                ("GIT_COMMITTER_EMAIL", "a@b"),
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    run(&["read-tree", "refs/heads/main"]);
    run(&["update-index", "--add", "--cacheinfo", "160000", commit, path]);
    let tree = run(&["write-tree"]);
    let made = run(&["commit-tree", &tree, "-p", "refs/heads/main", "-m", "gitlink"]);
    run(&["update-ref", "refs/heads/main", &made]);
    made
}

#[tokio::test]
async fn submodules_are_off_and_then_only_from_the_same_host_and_not_from_files() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let inner = git.repository("team/inner").commit(&[("deep.txt", "deep")]);
    let lib = git.repository("team/lib");
    lib.commit(&[
        (
            ".gitmodules",
            "[submodule \"inner\"]\npath = nested/inner\nurl = ../inner.git\n",
        ),
        ("lib.c", "lib"),
    ]);
    let lib_commit = gitlink(&lib, "nested/inner", &inner);
    let app = git.repository("team/app");
    let host = git.folder().join("team/inner.git");
    app.commit(&[
        ("a", "1"),
        (
            ".gitmodules",
            &format!(
                "[submodule \"lib\"]\npath = vendor/lib\nurl = {}\n",
                git.url("team/lib")
            ),
        ),
    ]);
    let commit = gitlink(&app, "vendor/lib", &lib_commit);
    let url = git.url("team/app");
    let tree = Bench::new().checkout(&url, &commit, "refs/heads/main").await.unwrap();
    assert_eq!(tree.paths().unwrap(), [".gitmodules", "a"]);
    let mut bench = Bench::new();
    bench.config.submodules = Submodules::SameHost;
    let tree = bench.checkout(&url, &commit, "refs/heads/main").await.unwrap();
    let found = files(&*tree);
    assert_eq!(
        (
            found["vendor/lib/lib.c"].as_str(),
            found["vendor/lib/nested/inner/deep.txt"].as_str()
        ),
        ("lib", "deep")
    );

    for bad in [
        format!("file://{}", host.display()),
        host.display().to_string(),
        format!("git://{}/x", git.address()),
        "../../../../../etc".into(),
        "ext::sh -c id".into(),
        "-uid:x".into(),
        "ssh://-oProxyCommand=id/x".into(),
    ] {
        app.commit(&[(
            ".gitmodules",
            &format!("[submodule \"lib\"]\npath = vendor/lib\nurl = \"{bad}\"\n"),
        )]);
        let commit = app.git(&["rev-parse", "refs/heads/main"]);
        let said = bench.refusal(&url, &commit, "refs/heads/main").await;
        assert!(said.contains("submodule `vendor/lib`"), "{bad}: {said}");
    }

    // A chain that does not end is cut after five.
    let chain = git.repository("team/chain");
    chain.commit(&[(
        ".gitmodules",
        "[submodule \"again\"]\npath = again\nurl = ./../chain.git\n",
    )]);
    let mut last = chain.git(&["rev-parse", "refs/heads/main"]);
    for _ in 0..8 {
        last = gitlink(&chain, "again", &last);
    }
    let said = bench.refusal(&git.url("team/chain"), &last, "refs/heads/main").await;
    assert!(said.contains("5 deep"), "{said}");
}

#[tokio::test]
async fn addresses_that_are_not_allowed_touch_nothing() {
    let Some(git) = GitServer::start().await else { return };
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    let local = git.folder().join("team/web.git");
    let mut bench = Bench::new();
    bench.config.schemes = [Scheme::Https, Scheme::Ssh].into();
    for url in [
        git.url("team/web"),
        format!("file://{}", local.display()),
        local.display().to_string(),
        "ext::sh -c 'touch /tmp/x'".into(),
        "git://127.0.0.1/x".into(),
        "--upload-pack=touch".into(),
        "ssh://-oProxyCommand=id/x".into(),
        "https://user:pw@host/x".into(),
        "https://h/a\nb".into(),
        "https://h/a\0b".into(),
        "".into(),
    ] {
        let error = bench
            .checkout(&url, &commit, "refs/heads/main")
            .await
            .err()
            .unwrap_or_else(|| panic!("{url} was fetched"));
        assert!(matches!(error, SourceError::Forbidden { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("pw@"), "{error}");
    }
    assert_eq!(git.requests(), []);
    // Refs are asked for as they are, never as anything else.
    bench.config.schemes.insert(Scheme::Http);
    git.open_to_all();
    let missing = "0123456789012345678901234567890123456789";
    for git_ref in [
        "--upload-pack=x",
        "refs/heads/*",
        "refs/heads/a:refs/heads/b",
        "refs/heads/a b",
        "refs/heads/\n",
        "",
        "HEAD",
        "refs/heads/-x",
    ] {
        let error = bench
            .checkout(&git.url("team/web"), missing, git_ref)
            .await
            .err()
            .unwrap();
        assert!(matches!(error, SourceError::Gone { .. }), "{git_ref}: {error}");
    }
    // An operator who wants files gets them.
    bench.config.schemes.insert(Scheme::File);
    let tree = bench
        .checkout(&local.display().to_string(), &commit, "refs/heads/main")
        .await
        .unwrap();
    assert_eq!(files(&*tree)["a"], "1");
}

#[tokio::test]
async fn ssh_fetches_with_the_key_in_memory_and_only_from_a_known_host() {
    let Some(git) = GitServer::start().await else { return };
    let Some(ssh) = SshServer::serving(&git).await else {
        return;
    };
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    let url = ssh.url("team/web");
    let key = SshKey {
        at: Authority::parse(&url).unwrap(),
        private_key: Secret::new(fs::read_to_string(ssh.private_key()).unwrap()),
        passphrase: None,
    };
    let said = Bench::new().refusal(&url, &commit, "refs/heads/main").await;
    assert!(
        said.contains("is not among the known hosts") && said.contains("ssh-keyscan -p"),
        "{said}"
    );
    let mut bench = Bench::new();
    bench.config.known_hosts = KnownHosts::parse(&format!("# ours\n{}\n", ssh.known_host())).unwrap();
    let said = bench.refusal(&url, &commit, "refs/heads/main").await;
    assert!(said.contains("no ssh key is configured for ssh://127.0.0.1:"), "{said}");
    bench.credentials.ssh_keys = vec![SshKey {
        private_key: Secret::new("not a key"),
        ..key.clone()
    }];
    let said = bench.refusal(&url, &commit, "refs/heads/main").await;
    assert!(said.contains("ssh key"), "{said}");
    bench.credentials.ssh_keys = vec![key];
    let tree = bench.checkout(&url, &commit, "refs/heads/main").await.unwrap();
    assert_eq!(files(&*tree)["a"], "1");
    let said = bench.refusal(&ssh.url("team/none"), &commit, "refs/heads/main").await;
    assert!(said.contains("cannot fetch"), "{said}");
    let said = bench.refusal(&url, &"1".repeat(40), "refs/heads/main").await;
    assert!(said.contains("probably removed by a force-push"), "{said}");

    // Another key under this name: somebody may be in between.
    let other = SshServer::serving(&git).await.unwrap().known_host();
    let (_, other_key) = other.split_once(' ').unwrap();
    let (name, _) = ssh
        .known_host()
        .split_once(' ')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    bench.config.known_hosts = KnownHosts::parse(&format!("{name} {other_key}")).unwrap();
    let fresh = git.repository("team/two").commit(&[("a", "2")]);
    let said = bench.refusal(&ssh.url("team/two"), &fresh, "refs/heads/main").await;
    assert!(said.contains("is not the one in the known hosts"), "{said}");
}

#[tokio::test]
async fn https_trusts_configured_authorities_only() {
    let Some(git) = GitServer::start().await else { return };
    let Some(authority) = TestAuthority::new() else { return };
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    let front = authority.front(git.address()).await;
    let url = format!("https://127.0.0.1:{}/team/web.git", front.port());
    let mut bench = Bench::new().with_token(&url);
    bench.config.schemes = [Scheme::Https].into();
    let said = bench.refusal(&url, &commit, "refs/heads/main").await;
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(git.requests(), []);
    bench.config.authorities_pem = Some(fs::read_to_string(authority.certificate()).unwrap());
    let tree = bench.checkout(&url, &commit, "refs/heads/main").await.unwrap();
    assert_eq!(files(&*tree)["a"], "1");
}
