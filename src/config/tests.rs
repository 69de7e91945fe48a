#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    load(Some(file.path()), variables).map_err(|error| {
        error
            .render(false)
            .replace(&file.path().display().to_string(), "drydock.toml")
    })
}

#[test]
fn no_file_and_no_variable_is_enough() {
    let loaded = load(None, []).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.config.server.listen.to_string(), "127.0.0.1:8470");
    assert!(loaded.config.forges.github.webhook_secret.is_none());
}

#[test]
fn a_mistake_in_the_file_is_shown_where_it_stands() {
    insta::assert_snapshot!(loaded("[server]\nlistne = \"0.0.0.0:80\"\n", &[]).unwrap_err(), @r#"
    error[configuration]: unknown setting `listne`
     --> drydock.toml:2:1
      |
    2 | listne = "0.0.0.0:80"
      | ^^^^^^
      |
      = help: did you mean `listen`?
    "#);
    insta::assert_snapshot!(loaded("[runner]\ngrace = \"ten\"\n", &[]).unwrap_err(), @r#"
    error[configuration]: `ten` is no length of time; write a number and one of ms, s, m, h, d, such as `90s`
     --> drydock.toml:2:9
      |
    2 | grace = "ten"
      |         ^^^^^
    "#);
    insta::assert_snapshot!(loaded("[server\n", &[]).unwrap_err(), @r"
    error[configuration]: unclosed table, expected `]`
     --> drydock.toml:1:8
      |
    1 | [server
      |        ^
    ");
}

#[test]
fn variables_overrule_the_file() {
    let text = "data_dir = \"/a\"\n[server]\nlisten = \"127.0.0.1:1\"\n[docker.labels]\nubuntu-latest = \"u:1\"\n";
    let variables = [
        ("DRYDOCK_SERVER_LISTEN", "0.0.0.0:9"),
        ("DRYDOCK_SERVER_ALLOWED_HOSTS", "a.example, b.example"),
        ("DRYDOCK_SERVER_PUBLIC_URL", "https://ci.example.com/"),
        ("DRYDOCK_FORGES_GITLAB_WEBHOOK_SECRET", "hush"),
        ("DRYDOCK_FORGES_GITLAB_ADD_REPOS", "true"),
        ("DRYDOCK_RUNNER_PIPELINES_MAX", "7"),
        ("DRYDOCK_DOCKER_CPUS", "1.5"),
        ("DRYDOCK_DOCKER_PULL", "never"),
        ("DRYDOCK_CLONE_BYTES_MAX", "1GiB"),
    ];
    let config = loaded(text, &variables).unwrap().config;
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9");
    assert_eq!(config.server.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(
        config.server.public_url.unwrap().join("/pipelines/1"),
        "https://ci.example.com/pipelines/1"
    );
    assert_eq!(config.forges.gitlab.webhook_secret.unwrap().0.reveal(), "hush");
    assert!(config.forges.gitlab.add_repos);
    assert_eq!(config.runner.pipelines_max, 7);
    assert_eq!(config.docker.cpus, Some(1.5));
    assert_eq!(config.docker.pull, PullWhen::Never);
    assert_eq!(config.clone.bytes_max.0, 1 << 30);
    assert_eq!(config.docker.labels["ubuntu-latest"], "u:1");
    assert_eq!(config.data_dir, PathBuf::from("/a"));
}

#[test]
fn a_wrong_variable_is_named() {
    let wrong = |name, value| loaded("", &[(name, value)]).unwrap_err();
    insta::assert_snapshot!(wrong("DRYDOCK_RUNNER_PIPELINES_MAX", "many"), @"error: the variable DRYDOCK_RUNNER_PIPELINES_MAX is wrong: `many` is no whole number");
    insta::assert_snapshot!(wrong("DRYDOCK_DOCKER_PULL", "nevr"), @"error: the variable DRYDOCK_DOCKER_PULL is wrong: unknown value `nevr`; did you mean `never`?");
    insta::assert_snapshot!(wrong("DRYDOCK_SERVER_LISTEN", "here"), @"error: the variable DRYDOCK_SERVER_LISTEN is wrong: invalid socket address syntax");
}

#[test]
fn only_near_misses_among_variables_are_reported() {
    let loaded = loaded(
        "",
        &[
            ("DRYDOCK_SERVER_LISTN", "x"),
            ("DRYDOCK_SERVICE_HOST", "x"),
            ("DRYDOCK_TOKEN", "x"),
        ],
    );
    assert_eq!(
        loaded.unwrap().warnings,
        ["the variable DRYDOCK_SERVER_LISTN is no setting and is ignored; did you mean DRYDOCK_SERVER_LISTEN?"]
    );
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"from-a-file\n").unwrap();
    let text = format!(
        "[forges.github]\nwebhook_secret_file = {:?}\ntoken = \"canary-token\"\n[[registries]]\nhost = \"r:5000\"\nusername = \"u\"\npassword = \"canary-password\"\n",
        secret.path().display().to_string()
    );
    let config = loaded(&text, &[]).unwrap().config;
    assert_eq!(
        config.forges.github.webhook_secret.as_ref().unwrap().0.reveal(),
        "from-a-file"
    );
    let shown = print(&config);
    assert!(
        shown.contains("webhook_secret = \"(hidden)\"") && shown.contains("host = \"r:5000\""),
        "{shown}"
    );
    for canary in ["from-a-file\"", "canary-token", "canary-password"] {
        assert!(!shown.contains(canary), "{shown}");
    }
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn what_the_types_cannot_say_is_checked() {
    for (text, expected) in [
        (
            "[[repos]]\nforge = \"github\"\nname = \"web\"\n",
            "must be `owner/name`",
        ),
        (
            "[[repos]]\nforge = \"github\"\nname = \"a/b\"\n[[repos]]\nforge = \"github\"\nname = \"a/b\"\n",
            "stands there twice",
        ),
        ("[[registries]]\nhost = \"https://r\"\n", "without scheme"),
        ("[[registries]]\nhost = \"r\"\nusername = \"u\"\n", "go together"),
        ("[clone]\nschemes = [\"ext\"]\n", "cannot be allowed"),
        ("[runner]\npipelines_max = 0\n", "at least 1"),
        ("[forges.github]\nwebhook_secret = \" \"\n", "must not be empty"),
        (
            "[forges.github]\nwebhook_secret = \"a\"\nwebhook_secret_file = \"/x\"\n",
            "keep one of the two",
        ),
        (
            "[forges.github]\nwebhook_secret_file = \"/nonexistent\"\n",
            "cannot read `/nonexistent`",
        ),
        (
            "[server]\npublic_url = \"https://user:pw@x\"\n",
            "must not hold a user name",
        ),
    ] {
        let error = loaded(text, &[]).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn units_are_read_and_written() {
    for (text, shown) in [
        ("90s", "90s"),
        ("120s", "2m"),
        ("2h", "2h"),
        ("7d", "7d"),
        ("1500ms", "1500ms"),
        ("0s", "0ms"),
    ] {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), shown);
    }
    for (text, bytes, shown) in [
        ("512MiB", 512 << 20, "512MiB"),
        ("1GB", 1_000_000_000, "1GB"),
        ("7", 7, "7B"),
    ] {
        let size: ByteSize = text.parse().unwrap();
        assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
    }
    for wrong in ["", "s", "5", "5x", "-1s", "99999999999999999999d"] {
        assert!(wrong.parse::<Span>().is_err(), "{wrong}");
    }
}
