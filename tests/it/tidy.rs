//! The house's rules: who may import whom, who owns which crate, how long a file may be, which names are taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// room -> rooms it may import. ARCHITECTURE.md shows the same table.
const MAY_IMPORT: &[(&str, &str)] = &[
    ("diag", ""),
    ("stop", ""),
    ("clock", ""),
    ("tree", ""),
    ("secret", "diag"),
    ("event", "diag"),
    ("expr", "diag"),
    ("plan", "diag event expr secret tree"),
    ("dialect", "diag event expr plan tree"),
    ("source", "event plan secret stop tree expr"),
    ("forge", "event plan secret stop diag clock"),
    ("registry", "event plan secret stop"),
    ("executor", "plan secret registry stop tree diag expr shim"),
    ("shim", ""),
    ("guard", "stop"),
    (
        "engine",
        "plan secret source registry executor stop clock event expr diag tree",
    ),
    ("store", "event plan secret engine diag clock"),
    ("report", "plan engine store forge clock diag event executor expr"),
    ("config", "diag secret event"),
    (
        "pipelines",
        "clock config diag dialect engine event executor expr forge plan registry report secret source stop store tree",
    ),
    (
        "server",
        "pipelines report store forge secret plan diag config event engine stop clock",
    ),
];

/// crate -> the only room that may name it.
const OWNED: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["diag"]),
    ("serde_saphyr", &["dialect"]),
    ("git2", &["source"]),
    ("object_store", &["registry"]),
    ("docker_credential", &["registry"]),
    ("bollard", &["executor"]),
    ("bollard_buildkit_proto", &["executor"]),
    ("tonic", &["executor"]),
    ("sqlx", &["store"]),
    ("axum", &["server"]),
    ("clap", &["cli"]),
    ("chacha20poly1305", &["secret"]),
];

const LINES_HARD: usize = 900;
const FORBIDDEN_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager"];

struct File {
    path: PathBuf,
    room: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(under: &str) -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let base = root().join(under);
    let mut paths = vec![];
    walk(&base, &mut paths);
    paths.sort();
    let file = |path: PathBuf| {
        let inside = path.strip_prefix(&base).expect("walked below it");
        let first = inside
            .components()
            .next()
            .expect("has a name")
            .as_os_str()
            .to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).expect("source files are text");
        File { path, room, text }
    };
    paths.into_iter().map(file).collect()
}

/// The code without its unit tests: those may reach further, to build what they test with.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, Vec<&str>> = MAY_IMPORT
        .iter()
        .map(|(room, may)| (*room, may.split_whitespace().collect()))
        .collect();
    let mut wrong = vec![];
    for file in rust_files("src") {
        if matches!(file.room.as_str(), "main" | "lib" | "cli") || file.path.ends_with("tests.rs") {
            continue;
        }
        let Some(may) = table.get(file.room.as_str()) else {
            wrong.push(format!(
                "{}: room `{}` is not in the table",
                file.path.display(),
                file.room
            ));
            continue;
        };
        for (number, line) in code(&file.text).lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for part in line.split("crate::").skip(1) {
                let named: String = part
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let is_room = table.contains_key(named.as_str()) || named == "cli";
                if is_room && named != file.room && !may.contains(&named.as_str()) {
                    wrong.push(format!(
                        "{}:{}: `{}` may not import `{named}`",
                        file.path.display(),
                        number + 1,
                        file.room
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_owned_crate_is_named_in_its_room_only() {
    let mut wrong = vec![];
    for file in rust_files("src") {
        for (name, owners) in OWNED {
            let names_it = code(&file.text).lines().any(|line| {
                let line = line.split("//").next().unwrap_or_default();
                line.split(&format!("{name}::")).skip(1).count() > 0
                    && !line.contains(&format!("_{name}::"))
                    && !line.contains(&format!("::{name}::"))
            });
            if names_it && !owners.contains(&file.room.as_str()) && file.room != "cli" && file.room != "main" {
                wrong.push(format!("{}: `{name}` belongs to {owners:?}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    let long: Vec<String> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| rust_files(folder))
        .filter(|file| file.text.lines().count() > LINES_HARD)
        .map(|file| format!("{}: {} lines", file.path.display(), file.text.lines().count()))
        .collect();
    assert!(long.is_empty(), "over {LINES_HARD} lines:\n{}", long.join("\n"));
}

#[test]
fn no_room_has_a_name_that_says_nothing() {
    let vague: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|folder| rust_files(folder))
        .filter(|file| {
            let inside = file.path.strip_prefix(root()).unwrap_or(&file.path).with_extension("");
            inside
                .components()
                .any(|part| FORBIDDEN_NAMES.contains(&part.as_os_str().to_string_lossy().as_ref()))
        })
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(vague.is_empty(), "{}", vague.join("\n"));
}

#[test]
fn every_room_says_what_it_is_for() {
    let silent: Vec<String> = rust_files("src")
        .into_iter()
        .filter(|file| {
            file.path
                .file_name()
                .is_some_and(|name| name == "mod.rs" || name == "lib.rs")
        })
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "without a `//!` at the top:\n{}", silent.join("\n"));
}
