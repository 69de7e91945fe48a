//! What an operator copies from `deploy/` is loaded as the server loads it.

use std::path::{Path, PathBuf};

use drydock::config::{Config, ConfigError, load};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// Loads a text as a configuration file.
fn loaded(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), text).expect("the file can be written");
    load(Some(file.path()), [])
        .unwrap_or_else(|error| panic!("{}", error.render(false)))
        .config
}

/// The example with every setting that stands behind `#` in force, and prose still prose.
fn uncommented(text: &str) -> String {
    let is_setting = |line: &str| {
        let key: String = line
            .chars()
            .take_while(|symbol| symbol.is_ascii_lowercase() || "_-".contains(*symbol))
            .collect();
        line.starts_with('[') || !key.is_empty() && line[key.len()..].starts_with(" = ")
    };
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_commented_example_is_the_default() {
    let text = std::fs::read_to_string(deploy("config.example.toml")).expect("the file is there");
    assert_eq!(loaded(&text), Config::default());
}

#[test]
fn every_setting_of_the_example_exists() {
    let text = std::fs::read_to_string(deploy("config.example.toml")).expect("the file is there");
    let secrets = tempfile::TempDir::new().expect("a temporary folder can be made");
    std::fs::write(secrets.path().join("secret"), "hush").expect("the folder can be written");
    // The files that hold secrets are on the operator's machine.
    let settings = uncommented(&text);
    let settings = settings.lines().map(|line| match line.split_once("_file = \"") {
        Some((key, _)) => format!("{key}_file = \"{}\"", secrets.path().join("secret").display()),
        None => line.to_owned(),
    });
    let config = loaded(&settings.collect::<Vec<_>>().join("\n"));
    let defaults = Config::default();
    assert_eq!(config.server.listen, defaults.server.listen);
    assert_eq!(config.server.hook_bytes_max, defaults.server.hook_bytes_max);
    assert_eq!(config.server.connections_max, defaults.server.connections_max);
    assert_eq!(config.clone.schemes, defaults.clone.schemes);
    assert_eq!(config.clone.time_max, defaults.clone.time_max);
    assert_eq!(config.clone.bytes_max, defaults.clone.bytes_max);
    assert_eq!(config.clone.objects_max, defaults.clone.objects_max);
    assert_eq!(
        (config.docker.memory, config.docker.pids),
        (defaults.docker.memory, defaults.docker.pids)
    );
    assert_eq!(
        (config.docker.pull, config.docker.timeout),
        (defaults.docker.pull, defaults.docker.timeout)
    );
    assert_eq!(config.runner, defaults.runner);
    assert_eq!(config.statuses, defaults.statuses);
    assert_eq!(config.retention, defaults.retention);
    assert_eq!(config.log, defaults.log);
    assert_eq!(
        (
            config.registries.len(),
            config.clone.credentials.len(),
            config.repos.len()
        ),
        (3, 2, 1)
    );
}

#[test]
fn the_compose_file_s_configuration_needs_only_its_secrets() {
    let Err(error) = load(Some(&deploy("compose.config.toml")), []) else {
        return;
    };
    let ConfigError::SecretFile { path, .. } = error else {
        panic!("{}", error.render(false))
    };
    assert!(path.starts_with("/run/secrets"), "{}", path.display());
}
