//! From text and variables to a [`Config`], with errors that say file, line, column and what to write instead.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{CloneCredential, Config, ForgeConfig, HiddenText, RegistryConfig, RepoConfig};
use crate::diag::{Diagnostic, Sources, Span, closest};
use crate::secret::Secret;

/// A configuration with what the operator should hear about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Variables that look like settings and are none.
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration `{}`", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// A mistake in the file; `render` draws it.
    #[error("{}", .diagnostic.one_line(.sources))]
    File {
        diagnostic: Box<Diagnostic>,
        sources: Sources,
    },
    #[error("the variable {name} is wrong: {why}")]
    Variable { name: String, why: String },
    #[error("cannot read `{}`, which `{key}` names", .path.display())]
    SecretFile {
        key: String,
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the setting `{key}` is wrong: {why}")]
    Setting { key: String, why: String },
}

impl ConfigError {
    /// The error as a person at a terminal sees it.
    pub fn render(&self, colour: bool) -> String {
        match self {
            ConfigError::File { diagnostic, sources } => diagnostic.render(sources, colour),
            ConfigError::Read { cause, .. } | ConfigError::SecretFile { cause, .. } => {
                format!("error: {self}: {cause}")
            }
            ConfigError::Variable { .. } | ConfigError::Setting { .. } => format!("error: {self}"),
        }
    }
}

/// Prefix of every variable.
const PREFIX: &str = "DRYDOCK_";

/// Reads the file, if one is given, then lets variables overrule it, then reads the files that hold secrets.
pub fn load(file: Option<&Path>, variables: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let mut table = Table::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
            path: path.to_owned(),
            cause,
        })?;
        parse(&path.display().to_string(), &text)?;
        table = text.parse().unwrap_or_default();
    }
    let leaves = leaves();
    let mut warnings = vec![];
    let mut settings: Vec<(String, String)> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    settings.sort();
    for (name, text) in settings {
        match leaves.iter().find(|leaf| leaf.variable == name) {
            Some(leaf) => set(&mut table, leaf, &name, &text)?,
            None => warnings.extend(stray(&name, &leaves)),
        }
    }
    let mut config = Config::deserialize(Value::Table(table)).map_err(|error| ConfigError::Setting {
        key: "configuration".to_owned(),
        why: error.message().to_owned(),
    })?;
    read_secret_files(&mut config)?;
    check(&config)?;
    Ok(Loaded { config, warnings })
}

/// The configuration as TOML, secrets hidden.
pub fn print(config: &Config) -> String {
    toml::to_string_pretty(config).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}

fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let mut sources = Sources::default();
        let file = sources.add(name, text);
        let message = error.message().trim().to_owned();
        let (what, help) = explain(&message);
        let mut diagnostic = Diagnostic::error("configuration", what);
        if let Some(range) = error.span() {
            diagnostic = diagnostic.at(Span::new(file, range.start, range.end), "");
        }
        if let Some(help) = help {
            diagnostic = diagnostic.help(help);
        }
        ConfigError::File {
            diagnostic: Box::new(diagnostic),
            sources,
        }
    })
}

/// The reader's message, and what to write instead where that can be said.
fn explain(message: &str) -> (String, Option<String>) {
    let Some((what, expected)) = message.split_once(", expected ") else {
        return (message.to_owned(), None);
    };
    let unknown = what
        .strip_prefix("unknown field `")
        .or_else(|| what.strip_prefix("unknown variant `"));
    let Some(word) = unknown.and_then(|rest| rest.strip_suffix('`')) else {
        return (message.to_owned(), None);
    };
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let help = match closest(word, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    (
        what.replacen("field", "setting", 1).replacen("variant", "value", 1),
        Some(help),
    )
}

/// One setting that a variable can overrule.
#[derive(Debug, PartialEq)]
struct Leaf {
    path: Vec<String>,
    variable: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    Fraction,
    Truth,
    List,
}

/// Every setting that is a single value or a list of words, from the types themselves.
fn leaves() -> Vec<Leaf> {
    let schema = schemars::schema_for!(Config);
    let root = schema.as_value();
    let mut found = vec![];
    walk(root, root, &mut vec![], &mut found);
    found
}

fn walk(root: &Json, node: &Json, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let node = resolve(root, node);
    if let Some(properties) = node.get("properties").and_then(Json::as_object) {
        for (key, child) in properties {
            path.push(key.clone());
            walk(root, child, path, found);
            path.pop();
        }
        return;
    }
    let kinds: Vec<&str> = match node.get("type") {
        Some(Json::String(one)) => vec![one.as_str()],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => vec![],
    };
    let words = node
        .get("items")
        .map(|items| resolve(root, items))
        .and_then(|items| items.get("type"));
    let kind = match kinds.iter().find(|kind| **kind != "null") {
        Some(&"integer") => Kind::Number,
        Some(&"number") => Kind::Fraction,
        Some(&"boolean") => Kind::Truth,
        Some(&"array") if words.and_then(Json::as_str) == Some("string") => Kind::List,
        Some(&"string") => Kind::Text,
        _ if node.get("oneOf").is_some() || node.get("enum").is_some() => Kind::Text,
        _ => return,
    };
    let variable = format!("{PREFIX}{}", path.join("_").to_ascii_uppercase());
    found.push(Leaf {
        path: path.clone(),
        variable,
        kind,
    });
}

/// Follows a reference and looks through "this or nothing".
fn resolve<'a>(root: &'a Json, node: &'a Json) -> &'a Json {
    if let Some(target) = node.get("$ref").and_then(Json::as_str) {
        return target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
            .map_or(node, |next| resolve(root, next));
    }
    let real = |choice: &&Json| choice.get("type").and_then(Json::as_str) != Some("null");
    match node
        .get("anyOf")
        .and_then(Json::as_array)
        .and_then(|choices| choices.iter().find(real))
    {
        Some(choice) => resolve(root, choice),
        None => node,
    }
}

fn set(table: &mut Table, leaf: &Leaf, name: &str, text: &str) -> Result<(), ConfigError> {
    let wrong = |why: String| ConfigError::Variable {
        name: name.to_owned(),
        why,
    };
    let value = match leaf.kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Number => Value::Integer(
            text.trim()
                .parse()
                .map_err(|_| wrong(format!("`{text}` is no whole number")))?,
        ),
        Kind::Fraction => Value::Float(
            text.trim()
                .parse()
                .map_err(|_| wrong(format!("`{text}` is no number")))?,
        ),
        Kind::Truth => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Value::Boolean(true),
            "0" | "false" | "no" | "off" => Value::Boolean(false),
            _ => return Err(wrong(format!("`{text}` is neither `true` nor `false`"))),
        },
        Kind::List => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(|word| Value::String(word.to_owned()))
                .collect(),
        ),
    };
    let mut place = &mut *table;
    let (last, sections) = leaf
        .path
        .split_last()
        .ok_or_else(|| wrong("it names no setting".to_owned()))?;
    for section in sections {
        let entry = place
            .entry(section.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        place = entry
            .as_table_mut()
            .ok_or_else(|| wrong(format!("`{section}` is no section")))?;
    }
    // A variable that gives a secret replaces the file that would give it, and the other way round.
    match last.strip_suffix("_file") {
        Some(plain) => place.remove(plain),
        None => place.remove(&format!("{last}_file")),
    };
    place.insert(last.clone(), value);
    // Asked at once, so that the error names the variable.
    match Config::deserialize(Value::Table(table.clone())) {
        Ok(_) => Ok(()),
        Err(error) => {
            let (what, help) = explain(error.message().trim());
            Err(wrong(
                help.map_or_else(|| what.clone(), |help| format!("{what}; {help}")),
            ))
        }
    }
}

/// A word about a variable that is near a setting's; others (of the command line, of Kubernetes) are none of ours.
fn stray(name: &str, leaves: &[Leaf]) -> Option<String> {
    let known: Vec<&str> = leaves.iter().map(|leaf| leaf.variable.as_str()).collect();
    let near = closest(name, &known)?;
    Some(format!(
        "the variable {name} is no setting and is ignored; did you mean {near}?"
    ))
}

fn read_secret_files(config: &mut Config) -> Result<(), ConfigError> {
    let ForgeConfigs(forges) = ForgeConfigs::of(config);
    for (key, forge) in forges {
        take(&format!("forges.{key}.token"), &mut forge.token, &forge.token_file)?;
        take(
            &format!("forges.{key}.webhook_secret"),
            &mut forge.webhook_secret,
            &forge.webhook_secret_file,
        )?;
    }
    for RepoConfig {
        name,
        token,
        token_file,
        webhook_secret,
        webhook_secret_file,
        ..
    } in &mut config.repos
    {
        take(&format!("repos.{name}.token"), token, token_file)?;
        take(
            &format!("repos.{name}.webhook_secret"),
            webhook_secret,
            webhook_secret_file,
        )?;
    }
    for CloneCredential {
        url, token, token_file, ..
    } in &mut config.clone.credentials
    {
        take(&format!("clone.credentials.{url}.token"), token, token_file)?;
    }
    for RegistryConfig {
        host,
        password,
        password_file,
        ecr,
        ..
    } in &mut config.registries
    {
        if let Some(ecr) = ecr {
            let key = format!("registries.{host}.ecr.secret_key");
            take(&key, &mut ecr.secret_key, &ecr.secret_key_file)?;
        }
        take(&format!("registries.{host}.password"), password, password_file)?;
    }
    Ok(())
}

struct ForgeConfigs<'a>([(&'static str, &'a mut ForgeConfig); 3]);

impl<'a> ForgeConfigs<'a> {
    fn of(config: &'a mut Config) -> Self {
        let forges = &mut config.forges;
        ForgeConfigs([
            ("github", &mut forges.github),
            ("gitlab", &mut forges.gitlab),
            ("gitea", &mut forges.gitea),
        ])
    }
}

fn take(key: &str, value: &mut Option<HiddenText>, file: &Option<PathBuf>) -> Result<(), ConfigError> {
    let Some(path) = file else { return Ok(()) };
    if value.is_some() {
        let why = format!("it is set, and so is `{key}_file`; keep one of the two");
        return Err(ConfigError::Setting {
            key: key.to_owned(),
            why,
        });
    }
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::SecretFile {
        key: format!("{key}_file"),
        path: path.clone(),
        cause,
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        let why = format!("the file `{}` is empty", path.display());
        return Err(ConfigError::Setting {
            key: format!("{key}_file"),
            why,
        });
    }
    *value = Some(HiddenText(Secret::new(text)));
    Ok(())
}

/// What the types cannot say.
fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &str, why: String| {
        Err(ConfigError::Setting {
            key: key.to_owned(),
            why,
        })
    };
    if config.data_dir.as_os_str().is_empty() {
        return wrong("data_dir", "it must name a folder".to_owned());
    }
    for (at, repo) in config.repos.iter().enumerate() {
        let key = format!("repos.{}", repo.name);
        if !repo.name.contains('/') {
            return wrong(&key, "`name` must be `owner/name`".to_owned());
        }
        if config.repos[..at]
            .iter()
            .any(|other| other.forge == repo.forge && other.name == repo.name)
        {
            return wrong(&key, "it stands there twice".to_owned());
        }
        if let Some(dialect) = &repo.dialect
            && !["native", "github", "gitlab"].contains(&dialect.as_str())
        {
            return wrong(&key, format!("`{dialect}` is no dialect; use native, github or gitlab"));
        }
    }
    for registry in &config.registries {
        let key = format!("registries.{}", registry.host);
        if registry.host.contains("://") || registry.host.contains('/') {
            return wrong(
                &key,
                "`host` is `host` or `host:port`, without scheme and path".to_owned(),
            );
        }
        if registry.username.is_some() != registry.password.is_some() {
            return wrong(&key, "`username` and `password` go together".to_owned());
        }
        if let Some(ecr) = &registry.ecr
            && (ecr.access_key.is_some() != ecr.secret_key.is_some()
                || ecr.profile.is_some() && ecr.access_key.is_some())
        {
            let why = "`ecr` takes a `profile`, or `access_key` and `secret_key`, or neither";
            return wrong(&key, why.to_owned());
        }
        if registry.ecr.is_some() && registry.username.is_some() {
            return wrong(
                &key,
                "credentials come from `ecr` or from `username`, not from both".to_owned(),
            );
        }
    }
    for scheme in &config.clone.schemes {
        if !["https", "ssh", "http", "file"].contains(&scheme.as_str()) {
            return wrong(
                "clone.schemes",
                format!("`{scheme}` cannot be allowed; known: https, ssh, http, file"),
            );
        }
    }
    for (key, at_least, value) in [
        ("runner.pipelines_max", 1, u64::from(config.runner.pipelines_max)),
        ("server.connections_max", 16, u64::from(config.server.connections_max)),
        ("server.hook_bytes_max", 1024, config.server.hook_bytes_max.0),
        ("retention.deliveries", 3600, config.retention.deliveries.0.as_secs()),
    ] {
        if value < at_least {
            return wrong(key, format!("it must be at least {at_least}"));
        }
    }
    Ok(())
}
