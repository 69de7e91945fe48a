use std::time::{Duration, Instant};

use drydock::executor::docker::{Builder, DockerExecutor, connect};
use drydock::executor::{Executor, ExecutorError, PullPolicy, Stream};
use drydock::secret::Secret;
use drydock::stop::Stop;

use super::{Log, Workshop, entry};
use crate::support::{Authority, Registry};

const BOTH: [Builder; 2] = [Builder::Newest, Builder::Classic];

#[tokio::test]
async fn both_builders_take_arguments_target_labels_context_and_ignore_files() {
    for builder in BOTH {
        let Some(shop) = Workshop::new("build", builder, vec![]).await else {
            return;
        };
        shop.write("app/docker/web.Dockerfile", "ARG BASE=nothing\nFROM ${BASE} AS base\nARG WORD\nCOPY . /app\n\
            RUN echo \"said $WORD\" && echo complained >&2 && cd /app && find . -type f | sort > /list\nFROM base AS wanted\n\
            FROM scratch AS unwanted\nCOPY --from=base /none /none\n");
        shop.write(
            "app/docker/web.Dockerfile.dockerignore",
            "**/*.log\nsecret\n!keep.log\n",
        );
        shop.write("app/.dockerignore", "*\n");
        shop.write("app/a.txt", "a");
        shop.write("app/x.log", "");
        shop.write("app/keep.log", "");
        shop.write("app/secret/key", "");
        shop.write("outside.txt", "");
        let mut spec = shop.spec();
        spec.context = "app".into();
        spec.dockerfile = "app/docker/web.Dockerfile".into();
        spec.target = Some("wanted".into());
        spec.args = vec![
            ("BASE".into(), "drydock-test/busybox".into()),
            ("WORD".into(), format!("hello from {}", shop.daemon.server)),
        ];
        spec.tags = vec![
            format!("{}:one", shop.daemon.server),
            format!("{}:two", shop.daemon.server),
        ];
        let (built, log) = shop.built(&spec).await;
        assert!(built.image.starts_with("sha256:"), "{}", built.image);
        let files = "./a.txt\n./docker/web.Dockerfile\n./docker/web.Dockerfile.dockerignore\n./keep.log";
        // The classic builder itself takes the two out that the context's own `.dockerignore` names.
        let expected = match builder {
            Builder::Newest => format!("./.dockerignore\n{files}"),
            Builder::Classic => files.replace("./docker/web.Dockerfile\n", ""),
        };
        assert_eq!(shop.run(&built.image, &["cat", "/list"]), expected, "{builder:?}");
        let labels = shop.docker(&[
            "inspect",
            "--format",
            "{{json .Config.Labels}} {{json .RepoTags}}",
            &built.image,
        ]);
        for expected in [
            "\"io.drydock.server\":\"test-build",
            "\"io.drydock.pipeline\":\"7\"",
            "\"io.drydock.job\":\"image\"",
            ":one\"",
            ":two\"",
        ] {
            assert!(labels.contains(expected), "{labels}");
        }
        let word = if builder == Builder::Newest {
            "BuildKit"
        } else {
            "classic builder"
        };
        assert_eq!(built.builder, word);
        let said = log.of(Stream::System).join("\n");
        assert!(
            said.starts_with("building `app/docker/web.Dockerfile` with ") && said.contains(word),
            "{said}"
        );
        assert!(
            log.of(Stream::Stdout)
                .iter()
                .any(|line| line.contains("said hello from test-build")),
            "{}",
            log.text()
        );
        assert!(
            log.of(Stream::Stderr).iter().any(|line| line.ends_with("complained")),
            "{}",
            log.text()
        );
        assert!(!log.text().contains('\u{1b}'), "{}", log.text());
    }
}

#[tokio::test]
async fn a_dockerfile_may_stand_outside_of_its_context_or_be_ignored() {
    for builder in BOTH {
        let Some(shop) = Workshop::new("outside", builder, vec![]).await else {
            return;
        };
        shop.write(
            "docker/Dockerfile",
            "FROM drydock-test/busybox\nCOPY . /app\nRUN find /app -type f | sort > /list\n",
        );
        shop.write("src/main.c", "x");
        let mut spec = shop.spec();
        spec.context = "src".into();
        spec.dockerfile = "docker/Dockerfile".into();
        let (built, _) = shop.built(&spec).await;
        let listed = shop.run(&built.image, &["cat", "/list"]);
        // The classic builder is told by a file what to leave out, as Docker's own command line does.
        assert_eq!(
            listed.replace("/app/.dockerignore\n", ""),
            "/app/src/main.c".replace("src/", ""),
            "{builder:?}"
        );

        shop.write(
            "Dockerfile",
            "FROM drydock-test/busybox\nCOPY . /app\nRUN find /app -type f | sort > /list\n",
        );
        shop.write(".dockerignore", "Dockerfile\n.dockerignore\ndocker\n");
        let (built, _) = shop.built(&shop.spec()).await;
        assert_eq!(
            shop.run(&built.image, &["cat", "/list"]),
            "/app/src/main.c",
            "{builder:?}"
        );
    }
}

#[tokio::test]
async fn a_build_secret_is_seen_by_its_command_and_nowhere_else() {
    let Some(shop) = Workshop::new("secret", Builder::Newest, vec![]).await else {
        return;
    };
    shop.write("Dockerfile", "FROM drydock-test/busybox\nRUN --mount=type=secret,id=NPM_TOKEN sha256sum /run/secrets/NPM_TOKEN | cut -c1-8 > /sum\n");
    let mut spec = shop.spec();
    spec.secrets.insert("NPM_TOKEN".into(), Secret::new("canary-4711"));
    let (built, log) = shop.built(&spec).await;
    assert_eq!(
        shop.run(&built.image, &["cat", "/sum"]),
        "8c8a7a3d".replace("8c8a7a3d", &sum("canary-4711"))
    );
    let everything =
        shop.docker(&["history", "--no-trunc", &built.image]) + &shop.docker(&["inspect", &built.image]) + &log.text();
    assert!(!everything.contains("canary-4711"));

    // A command that prints it and fails: the error's last lines are masked.
    shop.write(
        "Dockerfile",
        "FROM drydock-test/busybox\nRUN --mount=type=secret,id=NPM_TOKEN cat /run/secrets/NPM_TOKEN; exit 1\n",
    );
    let mut spec = shop.spec();
    spec.secrets.insert("NPM_TOKEN".into(), Secret::new("canary-4711"));
    let (said, _) = shop.refusal(&spec).await;
    assert!(said.contains("***") && !said.contains("canary-4711"), "{said}");

    shop.write(
        "Dockerfile",
        "FROM drydock-test/busybox\nRUN --mount=type=secret,id=OTHER,required=true cat /run/secrets/OTHER\n",
    );
    let (said, _) = shop.refusal(&shop.spec()).await;
    assert!(said.contains("Dockerfile:2") && said.contains("OTHER"), "{said}");

    let Some(classic) = Workshop::new("secret", Builder::Classic, vec![]).await else {
        return;
    };
    classic.write("Dockerfile", "FROM drydock-test/busybox\n");
    let mut spec = classic.spec();
    spec.secrets.insert("NPM_TOKEN".into(), Secret::new("canary-4711"));
    let (error, _) = classic.build(&spec).await;
    let error = error.expect_err("the classic builder has no secrets");
    assert!(matches!(error, ExecutorError::Unsupported { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("build secret `NPM_TOKEN`, asked for at ci.yml:7:5, cannot be had here"),
        "{error}"
    );
}

fn sum(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text.as_bytes()))[..8].to_owned()
}

#[tokio::test]
async fn a_failing_build_names_line_instruction_and_reason() {
    for builder in BOTH {
        let Some(shop) = Workshop::new("failing", builder, vec![]).await else {
            return;
        };
        shop.write("a.txt", "a");
        shop.write("kept/ignored.txt", "");
        shop.write(".dockerignore", "kept/ignored.txt\n");
        let mut table = String::new();
        let cases = [
            "FROM drydock-test/busybox\n\n# comment\nRUN echo one && \\\n  echo two && \\\n  exit 3\nRUN echo never\n",
            "FROM drydock-test/busybox\nCOPY b.txt /\n",
            "FROM drydock-test/busybox\nCOPY kept/ignored.txt /\n",
            "FROM drydock-test/busybox\nRUNN x\n",
            "FROM drydock-test/busybox\nRUN no-such-command\n",
            "",
        ];
        for dockerfile in cases {
            shop.write("Dockerfile", dockerfile);
            let (said, log) = shop.refusal(&shop.spec()).await;
            assert!(!said.contains("127.0.0.1"), "{}", log.text());
            table += &format!("{said}\n\n");
        }
        match builder {
            Builder::Newest => insta::assert_snapshot!(table, @r#"
            the build at ci.yml:7:5 failed: Dockerfile:4: `RUN echo one && echo two && exit 3` failed with exit code 3; its last lines:
                one
                two

            the build at ci.yml:7:5 failed: Dockerfile:2: `COPY b.txt /` failed: "/b.txt" not found: not found (the context `.` has no such file; did you mean `a.txt`?)

            the build at ci.yml:7:5 failed: Dockerfile:2: `COPY kept/ignored.txt /` failed: failed to walk kept: lstat kept: no such file or directory (`.dockerignore` leaves it out)

            the build at ci.yml:7:5 failed: Dockerfile:2: dockerfile parse error line 2: unknown instruction: RUNN; did you mean `RUN`?

            the build at ci.yml:7:5 failed: Dockerfile:2: `RUN no-such-command` failed with exit code 127; its last lines:
                /bin/sh: no-such-command: not found

            the build at ci.yml:7:5 failed: Dockerfile: the Dockerfile cannot be empty
            "#),
            Builder::Classic => insta::assert_snapshot!(table, @"
            the build at ci.yml:7:5 failed: Dockerfile:4: `RUN echo one && echo two && exit 3` failed with exit code 3; its last lines:
                one
                two

            the build at ci.yml:7:5 failed: Dockerfile:2: `COPY b.txt /` failed: COPY failed: file not found in build context or excluded by .dockerignore: stat b.txt: file does not exist (the context `.` has no such file; did you mean `a.txt`?)

            the build at ci.yml:7:5 failed: Dockerfile:2: `COPY kept/ignored.txt /` failed: COPY failed: file not found in build context or excluded by .dockerignore: stat kept/ignored.txt: file does not exist (`.dockerignore` leaves it out)

            the build at ci.yml:7:5 failed: Dockerfile:2: dockerfile parse error line 2: unknown instruction: RUNN; did you mean `RUN`?

            the build at ci.yml:7:5 failed: Dockerfile:2: `RUN no-such-command` failed with exit code 127; its last lines:
                /bin/sh: no-such-command: not found

            the build at ci.yml:7:5 failed: Dockerfile: the Dockerfile (Dockerfile) cannot be empty
            "),
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_before_a_builder_is_asked() {
    let Some(shop) = Workshop::new("wrong", Builder::Newest, vec![]).await else {
        return;
    };
    shop.write(
        "docker/Dockerfile",
        "FROM drydock-test/busybox AS build\nFROM build AS runtime\n",
    );
    let mut table = String::new();
    type Change = fn(&mut drydock::executor::BuildSpec);
    let cases: [Change; 8] = [
        |_| {},
        |spec| spec.dockerfile = "docker/Dockerfle".into(),
        |spec| spec.dockerfile = "../Dockerfile".into(),
        |spec| spec.context = "dcker".into(),
        |spec| {
            spec.dockerfile = "docker/Dockerfile".into();
            spec.target = Some("runtme".into());
        },
        |spec| {
            spec.dockerfile = "docker/Dockerfile".into();
            spec.tags = vec!["Web:x".into()];
        },
        |spec| {
            spec.dockerfile = "docker/Dockerfile".into();
            spec.args = vec![("BUILDKIT_SYNTAX".into(), "evil/frontend".into())];
        },
        |spec| {
            spec.dockerfile = "docker/never".into();
            spec.pull = PullPolicy::Never;
        },
    ];
    shop.write("docker/never", "FROM drydock-test/none:1\n");
    for change in cases {
        let mut spec = shop.spec();
        change(&mut spec);
        let (said, log) = shop.refusal(&spec).await;
        assert_eq!(log.text(), "");
        table += &format!("{said}\n");
    }
    insta::assert_snapshot!(table, @"
    the build at ci.yml:7:5 failed: there is no `Dockerfile`; there is: docker/Dockerfile
    the build at ci.yml:7:5 failed: there is no `docker/Dockerfle`; did you mean `docker/Dockerfile`?
    the build at ci.yml:7:5 failed: `dockerfile: ../Dockerfile` leads out of the repository
    the build at ci.yml:7:5 failed: the context `dcker` does not exist; did you mean `docker`?
    the build at ci.yml:7:5 failed: `docker/Dockerfile` has no stage `runtme`; did you mean `runtime`?
    the build at ci.yml:7:5 failed: `Web:x` is no image reference: repository names are lower case: write `web`
    the build at ci.yml:7:5 failed: build argument `BUILDKIT_SYNTAX`: `syntax=evil/frontend` asks for a build frontend, which is a program from a registry that runs with the build's rights, and this one is not allowed; leave it out, and the engine's own frontend is used (the operator can allow one by its digest (`image@sha256:...`))
    the build at ci.yml:7:5 failed: docker/never:1: base image `drydock-test/none:1` is not in the engine, and pulling is switched off (--pull never)
    ");
    for spelling in [
        "# syntax=evil/frontend:1\n",
        "\u{feff}#SYNTAX = evil/frontend:1\n",
        "//syntax=evil/frontend\n",
        "#!/x\n# syntax=evil/frontend\n",
        "# escape=\\\n# syntax=docker/dockerfile:1\n",
        "{\"syntax\":\"evil/frontend\"}",
    ] {
        shop.write("Dockerfile", &format!("{spelling}FROM drydock-test/busybox\n"));
        if spelling.starts_with('{') {
            shop.write("Dockerfile", spelling);
        }
        let (said, log) = shop.refusal(&shop.spec()).await;
        assert!(
            said.contains("asks for a build frontend") && log.text().is_empty(),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_base_image_that_cannot_be_had_is_named_with_its_line() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    for builder in BOTH {
        let Some(shop) = Workshop::new("base", builder, vec![entry(registry.address())]).await else {
            return;
        };
        shop.write(
            "Dockerfile",
            &format!(
                "FROM drydock-test/busybox AS one\nFROM {}/team/none:1\n",
                registry.address()
            ),
        );
        let (said, log) = shop.refusal(&shop.spec()).await;
        let expected = format!(
            "Dockerfile:2: base image `{}/team/none:1` cannot be had",
            registry.address()
        );
        assert!(said.contains(&expected), "{said}\n{}", log.text());

        // Nobody listens there.
        shop.write("Dockerfile", "FROM 127.0.0.1:1/team/none:1\n");
        let (said, _) = shop.refusal(&shop.spec()).await;
        assert!(
            said.contains("Dockerfile:1: base image `127.0.0.1:1/team/none:1` cannot be had")
                && said.contains("cannot reach the registry"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_private_base_image_is_pulled_with_the_registrys_login() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    for builder in BOTH {
        let Some(shop) = Workshop::new("private", builder, vec![entry(registry.address())]).await else {
            return;
        };
        let to = format!("{}/team/base", registry.address());
        shop.write(
            "base/Dockerfile",
            &format!(
                "FROM drydock-test/busybox\nRUN echo {builder:?}{} > /made\n",
                shop.daemon.server
            ),
        );
        let mut spec = shop.spec();
        spec.dockerfile = "base/Dockerfile".into();
        let (base, _) = shop.built(&spec).await;
        shop.push(&base.image, &to, &["1"]).await.0.expect("it is pushed");
        shop.docker(&["rmi", "-f", &base.image]);
        shop.write("Dockerfile", &format!("FROM {to}:1\nRUN cat /made\n"));
        let (built, log) = shop.built(&shop.spec()).await;
        assert!(
            shop.run(&built.image, &["cat", "/made"])
                .starts_with(&format!("{builder:?}")),
            "{}",
            log.text()
        );
        shop.docker(&["rmi", "-f", &format!("{to}:1")]);

        let Some(stranger) = Workshop::new("private", builder, vec![]).await else {
            return;
        };
        stranger.write("Dockerfile", &format!("FROM {to}:1\n"));
        let mut spec = stranger.spec();
        spec.pull = PullPolicy::Always;
        let (said, _) = stranger.refusal(&spec).await;
        assert!(said.contains("needs a login"), "{said}");
    }
}

#[tokio::test]
async fn a_stop_ends_the_build_and_its_command() {
    for (builder, seconds) in [(Builder::Newest, "86399"), (Builder::Classic, "86398")] {
        let Some(shop) = Workshop::new("stop", builder, vec![]).await else {
            return;
        };
        shop.write(
            "Dockerfile",
            &format!(
                "FROM drydock-test/busybox\nRUN echo {} && sleep {seconds}\n",
                shop.daemon.server
            ),
        );
        let (spec, log, stop) = (shop.spec(), Log::default(), Stop::new());
        let building = shop.executor.build(&spec, &log, &stop);
        let stopping = async {
            until("the command runs", || runs(seconds)).await;
            stop.ask();
        };
        let (built, ()) = tokio::join!(building, stopping);
        assert!(matches!(built, Err(ExecutorError::Stopped)), "{}", log.text());
        until("the command is gone", || !runs(seconds)).await;
        until("its container is gone", || {
            shop.docker(&[
                "ps",
                "-aq",
                "--filter",
                &format!("label=io.drydock.server={}", shop.daemon.server),
            ])
            .is_empty()
        })
        .await;
    }
}

fn runs(seconds: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line == format!("sleep\0{seconds}\0").into_bytes()
    })
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not so within 60 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cached_build_says_so_and_no_cache_builds_anew() {
    let Some(shop) = Workshop::new("cached", Builder::Newest, vec![]).await else {
        return;
    };
    shop.write(
        "Dockerfile",
        &format!(
            "FROM drydock-test/busybox\nRUN echo {} && cat /proc/sys/kernel/random/uuid > /id\n",
            shop.daemon.server
        ),
    );
    let (first, _) = shop.built(&shop.spec()).await;
    let (second, log) = shop.built(&shop.spec()).await;
    assert_eq!(first.image, second.image);
    assert!(log.text().contains("cached"), "{}", log.text());
    let mut spec = shop.spec();
    spec.cache = false;
    let (third, _) = shop.built(&spec).await;
    assert_ne!(first.image, third.image);
}

#[tokio::test]
async fn secrets_as_arguments_are_warned_about() {
    let Some(shop) = Workshop::new("warned", Builder::Newest, vec![]).await else {
        return;
    };
    shop.write("Dockerfile", "FROM drydock-test/busybox\nARG NPM_TOKEN\n");
    let mut spec = shop.spec();
    spec.args = vec![("NPM_TOKEN".into(), "x".into())];
    let (_, log) = shop.built(&spec).await;
    assert!(
        log.text()
            .contains("warning: build argument `NPM_TOKEN` sounds like a secret"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn the_images_of_dead_pipelines_are_swept_and_those_of_living_ones_stay() {
    let Some(shop) = Workshop::new("swept", Builder::Newest, vec![]).await else {
        return;
    };
    let server = shop.daemon.server.clone();
    shop.write(
        "Dockerfile",
        &format!("FROM drydock-test/busybox\nRUN echo {server} > /made\n"),
    );
    let mut spec = shop.spec();
    let mut images = vec![];
    for pipeline in [7, 8, 9] {
        spec.place.pipeline = pipeline;
        spec.tags = if pipeline == 9 {
            vec![format!("{server}:mine")]
        } else {
            vec![]
        };
        images.push(shop.built(&spec).await.0.image);
    }
    // A prune of what has no name touches none of them.
    let label = format!("label=io.drydock.server={server}");
    shop.docker(&["image", "prune", "-f", "--filter", &label]);
    let removed = shop.executor.sweep(&server, &[7]).await.expect("it can be swept");
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(
        removed.iter().all(|line| line.starts_with("image drydock/")),
        "{removed:?}"
    );
    let is_there = |image: &String| shop.docker(&["inspect", "--format", "{{.Id}}", image]) == *image;
    // The third has a name that its author wanted.
    assert_eq!(images.iter().map(is_there).collect::<Vec<_>>(), [true, false, true]);
    let again = shop.executor.sweep(&server, &[7]).await.expect("it can be swept");
    assert_eq!(again, Vec::<String>::new());
    shop.executor.sweep(&server, &[]).await.expect("it can be swept");
    assert!(!is_there(&images[0]));
}

#[tokio::test]
async fn buildkit_is_reached_over_tcp_and_tls_too() {
    let Some(authority) = Authority::new() else { return };
    let Some(shop) = Workshop::new("tls", Builder::Newest, vec![]).await else {
        return;
    };
    let plain = relay_to("/var/run/docker.sock").await;
    let front = authority.front(plain).await;
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let files = [
        ("ca.pem", authority.certificate()),
        ("cert.pem", authority.server_certificate()),
        ("key.pem", authority.key()),
    ];
    for (name, file) in files {
        std::fs::copy(file, folder.path().join(name)).expect("the folder can be written");
    }
    let server = &shop.daemon.server;
    shop.write(
        "Dockerfile",
        &format!("FROM drydock-test/busybox\nRUN echo {server} > /made\n"),
    );
    for (place, tls) in [(plain, None), (front, Some(folder.path().to_owned()))] {
        let endpoint = connect::Endpoint {
            address: format!("tcp://127.0.0.1:{}", place.port()),
            found_in: connect::FoundIn::Configuration,
            tls,
        };
        let connection = connect::connect_to(endpoint).await.expect("the engine answers");
        let executor = DockerExecutor::new(connection, server, None).with_builder(Builder::Newest);
        let log = Log::default();
        let built = executor.build(&shop.spec(), &log, &Stop::new()).await;
        assert_eq!(built.expect("it is built").builder, "BuildKit", "{}", log.text());
    }
}

/// A TCP port in front of a Unix socket; ends with the test's runtime.
async fn relay_to(socket: &'static str) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut server) = tokio::net::UnixStream::connect(socket).await {
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                }
            });
        }
    });
    address
}
