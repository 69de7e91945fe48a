//! What a server, a repository or a dead process can do to a fetch, and what comes of it.

use super::*;

#[tokio::test]
async fn trouble_that_may_pass_is_tried_again_and_other_trouble_is_not() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    let proxy = FaultyProxy::in_front_of(&git.address().to_string()).await;
    let url = format!("http://{}/team/web.git", proxy.address());
    proxy.inject("GET ", 1, Fault::Status(503));
    proxy.inject("POST ", 1, Fault::CutAnswer { after_bytes: 40 });
    let bench = Bench::new();
    let tree = bench.checkout(&url, &commit, "refs/heads/main").await.unwrap();
    assert_eq!(files(&*tree)["a"], "1");
    proxy.inject("", 100, Fault::Status(500));
    let error = Bench::new()
        .checkout(&url, &commit, "refs/heads/main")
        .await
        .err()
        .unwrap();
    assert!(
        error.is_transient() && error.to_string().contains("answered 500"),
        "{error}"
    );
    let nobody = "http://127.0.0.1:1/team/web.git";
    let error = Bench::new()
        .checkout(nobody, &commit, "refs/heads/main")
        .await
        .err()
        .unwrap();
    assert!(error.is_transient() && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn every_bound_ends_a_fetch_with_its_own_words() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let repository = git.repository("team/web");
    // Bytes that do not compress, so that their number is the pack's.
    let noise: String = (0..200_000u32)
        .map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761)))
        .collect();
    let commit = repository.commit(&[("noise", &noise), ("a", "1"), ("b/c", "2"), ("b/d", "3")]);
    let url = git.url("team/web");
    let packed = commit.clone() + " refs/tags/t";
    for n in 0..50 {
        repository.git(&["update-ref", &format!("refs/tags/t{n}"), &commit]);
    }
    assert!(packed.len() > 40);
    type Change = fn(&mut GitLimits);
    let cases: [(Change, &str); 6] = [
        (|limits| limits.bytes = 10_000, "more than 0 MiB would be fetched"),
        (|limits| limits.objects = 3, "objects, more than 3"),
        (|limits| limits.refs = 20, "more than 20 refs"),
        (|limits| limits.files = 3, "more than 3 files"),
        (|limits| limits.file_bytes = 1000, "`noise` is larger than"),
        (|limits| limits.tree_bytes = 1000, "its files are larger than"),
    ];
    for (change, expected) in cases {
        let mut bench = Bench::new();
        change(&mut bench.config.limits);
        let error = bench.checkout(&url, &commit, "refs/heads/main").await.err().unwrap();
        assert!(
            matches!(error, SourceError::TooLarge { .. }) && error.to_string().contains(expected),
            "{error}"
        );
        // What failed left nothing that stops the next one.
        let again = Bench {
            config: GitConfig {
                limits: GitLimits::default(),
                ..bench.config.clone()
            },
            ..bench
        };
        again
            .checkout(&url, &commit, "refs/heads/main")
            .await
            .map(|_| ())
            .unwrap();
    }

    let proxy = FaultyProxy::in_front_of(&git.address().to_string()).await;
    let slow = format!("http://{}/team/web.git", proxy.address());
    proxy.inject("", 10, Fault::Hang);
    let mut bench = Bench::new();
    bench.config.limits.within = Duration::from_secs(1);
    let error = bench.checkout(&slow, &commit, "refs/heads/main").await.err().unwrap();
    assert!(error.to_string().contains("not fetched within 1 s"), "{error}");
    let mut bench = Bench::new();
    bench.config.limits.idle = Duration::from_millis(200);
    let error = bench.checkout(&slow, &commit, "refs/heads/main").await.err().unwrap();
    assert!(
        error.is_transient() && error.to_string().contains("sent nothing for"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stop_ends_a_fetch_that_hangs() {
    let Some(git) = GitServer::start().await else { return };
    let proxy = FaultyProxy::in_front_of(&git.address().to_string()).await;
    proxy.inject("", 10, Fault::Hang);
    let url = format!("http://{}/team/web.git", proxy.address());
    let bench = Bench::new();
    let source = bench.source();
    let stop = Stop::new();
    let missing = trigger(&url, "0123456789012345678901234567890123456789", "refs/heads/main");
    let fetch = source.checkout(&missing, &stop);
    let ask = async {
        while proxy.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.ask();
    };
    let (fetched, ()) = tokio::join!(fetch, ask);
    assert!(matches!(fetched.err(), Some(SourceError::Stopped)));
}

#[tokio::test]
async fn a_tree_bomb_and_names_that_lead_elsewhere_are_refused() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let repository = git.repository("team/bomb");
    let run = |args: &[&str], input: &str| {
        use std::io::Write;
        let mut child = std::process::Command::new("git")
            .current_dir(&repository.folder)
            .args(args)
            .envs([
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@b"),
                ("GIT_COMMITTER_NAME", "A"),
                ("GIT_COMMITTER_EMAIL", "a@b"),
            ])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout)
            .trim()
            .to_owned()
    };
    let blob = run(&["hash-object", "-w", "--stdin"], "x");
    let commit = |tree: &str| {
        let made = run(&["commit-tree", tree, "-m", "x"], "");
        repository.git(&["update-ref", "refs/heads/main", &made]);
        made
    };
    let url = git.url("team/bomb");
    for leaf in [format!("100644 blob {blob}\tf\n"), String::new()] {
        let mut tree = run(&["mktree"], &leaf);
        for _ in 0..12 {
            let level: String = (0..10).map(|n| format!("040000 tree {tree}\td{n}\n")).collect();
            tree = run(&["mktree"], &level);
        }
        let said = Bench::new().refusal(&url, &commit(&tree), "refs/heads/main").await;
        assert!(said.contains("over the limit"), "{said}");
    }
    for name in ["..", ".git", ".GIT", "git~1", ".git "] {
        let raw = repository.folder.join("raw-tree");
        let mut bytes = format!("100644 {name}\0").into_bytes();
        bytes.extend((0..20).map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).unwrap()));
        fs::write(&raw, bytes).unwrap();
        let tree = repository.git(&[
            "hash-object",
            "-t",
            "tree",
            "-w",
            "--literally",
            &raw.display().to_string(),
        ]);
        let said = Bench::new().refusal(&url, &commit(&tree), "refs/heads/main").await;
        assert!(said.contains("cannot read"), "{name}: {said}");
    }
    // A name twice: a symlink first, so that the second would be written through it.
    let raw = repository.folder.join("raw-tree");
    let id: Vec<u8> = (0..20)
        .map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    fs::write(&raw, [b"120000 a\0".as_slice(), &id, b"100644 a\0", &id].concat()).unwrap();
    let tree = repository.git(&[
        "hash-object",
        "-t",
        "tree",
        "-w",
        "--literally",
        &raw.display().to_string(),
    ]);
    let said = Bench::new().refusal(&url, &commit(&tree), "refs/heads/main").await;
    assert!(said.contains("stands twice"), "{said}");
}

#[tokio::test]
async fn a_mirror_that_died_or_rotted_is_repaired() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let repository = git.repository("team/web");
    let url = git.url("team/web");
    let bench = Bench::new();
    let first = repository.commit(&[("a", "1")]);
    bench
        .checkout(&url, &first, "refs/heads/main")
        .await
        .map(|_| ())
        .unwrap();
    let mirror = fs::read_dir(bench.mirrors.path())
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path()
        .join("repo.git");

    // Lock files and half a pack of a process that was killed.
    for left in [
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "shallow.lock",
        "objects/pack/pack_git2_0123",
        "objects/pack/tmp_pack_1",
    ] {
        fs::write(mirror.join(left), "half").unwrap();
    }
    for entry in fs::read_dir(mirror.join("refs/drydock")).unwrap().flatten() {
        fs::write(entry.path().with_extension("lock"), "").unwrap();
    }
    let second = repository.commit(&[("a", "2")]);
    let tree = bench.checkout(&url, &second, "refs/heads/main").await.unwrap();
    assert_eq!(files(&*tree)["a"], "2");
    assert!(!mirror.join("objects/pack/pack_git2_0123").exists());

    // A repository cut off while it was made.
    fs::remove_file(mirror.join("HEAD")).unwrap();
    bench
        .checkout(&url, &second, "refs/heads/main")
        .await
        .map(|_| ())
        .unwrap();

    // An object that is gone: the commit is there, its file is not.
    for entry in fs::read_dir(mirror.join("objects/pack")).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    let tree = bench.checkout(&url, &second, "refs/heads/main").await.unwrap();
    assert_eq!(files(&*tree)["a"], "2");
}

#[tokio::test]
async fn many_checkouts_of_one_repository_share_a_fetch() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let commit = git.repository("team/web").commit(&[("a", "1")]);
    let bench = Bench::new();
    let source = bench.source();
    let wanted = trigger(&git.url("team/web"), &commit, "refs/heads/main");
    let stop = Stop::new();
    let all = futures_util::future::join_all((0..10).map(|_| source.checkout(&wanted, &stop))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(git.requests().len(), 2, "{:?}", git.requests());
}

#[tokio::test]
async fn changed_paths_are_found_where_the_forge_does_not_say_them() {
    let Some(git) = GitServer::start().await else { return };
    git.open_to_all();
    let repository = git.repository("team/web");
    let base = repository.commit(&[("a", "1"), ("b", "1")]);
    repository.git(&["update-ref", "refs/heads/feature", &base]);
    let main = repository.commit(&[("only-on-main", "1")]);
    let head = repository.commit_on("feature", &[("b", "2"), ("c", "1")]);
    let bench = Bench::new();
    let source = bench.source();
    let url = git.url("team/web");
    let paths = |paths: &[&str]| Changed::Paths(paths.iter().map(|path| path.to_string()).collect());
    let sha = |text: &str| Some(CommitSha::try_from(text.to_owned()).unwrap());

    let mut push = trigger(&url, &head, "refs/heads/feature");
    push.event = Event::Push {
        branch: "feature".into(),
        before: sha(&base),
        forced: false,
    };
    assert_eq!(source.changed(&push, &Stop::new()).await.unwrap(), paths(&["b", "c"]));
    push.event = Event::Push {
        branch: "feature".into(),
        before: sha(&main),
        forced: true,
    };
    assert_eq!(
        source.changed(&push, &Stop::new()).await.unwrap(),
        paths(&["b", "c", "only-on-main"])
    );
    push.event = Event::Push {
        branch: "feature".into(),
        before: sha(&"1".repeat(40)),
        forced: true,
    };
    assert_eq!(source.changed(&push, &Stop::new()).await.unwrap(), Changed::Unknown);
    push.event = Event::Push {
        branch: "feature".into(),
        before: None,
        forced: false,
    };
    assert_eq!(source.changed(&push, &Stop::new()).await.unwrap(), Changed::Unknown);
    push.event = Event::PullRequest(PullRequest {
        number: 1,
        action: "opened".into(),
        title: String::new(),
        source_branch: "feature".into(),
        source_repo: "team/web".into(),
        target_branch: "main".into(),
        base: sha(&main),
        draft: false,
        labels: vec![],
    });
    assert_eq!(source.changed(&push, &Stop::new()).await.unwrap(), paths(&["b", "c"]));
    push.changed = paths(&["told"]);
    assert_eq!(source.changed(&push, &Stop::new()).await.unwrap(), paths(&["told"]));
}
