//! Which files of a repository are its pipeline, and in which dialect.

use std::collections::BTreeMap;
use std::io;

use super::Dialect;
use super::native::Native;
use super::yaml::{self, Node};
use crate::diag::{Diagnostic, FileId, Span};
use crate::tree::{Tree, read_text};

/// The built-in pipelines for a repository that has a Dockerfile and no pipeline file, with and without a `test` stage.
const WITH_TESTS: (&str, &str) = (
    "pipelines/dockerfile-test.yml",
    include_str!("../../pipelines/dockerfile-test.yml"),
);
const WITHOUT_TESTS: (&str, &str) = (
    "pipelines/dockerfile.yml",
    include_str!("../../pipelines/dockerfile.yml"),
);
/// A larger Dockerfile is not searched for a `test` stage.
const DOCKERFILE_BYTES_MAX: u64 = 1024 * 1024;

/// The kinds of pipeline files, in the order in which they win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Native,
    GitHub,
    GitLab,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Native, Kind::GitHub, Kind::GitLab];

    /// The word on the command line, in plans and in settings.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Native => "native",
            Kind::GitHub => "github",
            Kind::GitLab => "gitlab",
        }
    }

    pub(super) fn dialect(self) -> Option<&'static dyn Dialect> {
        match self {
            Kind::Native => Some(&Native),
            Kind::GitHub | Kind::GitLab => None,
        }
    }

    /// Whether a path of a repository is a pipeline file of this kind.
    pub fn claims(self, path: &str) -> bool {
        match self {
            Kind::Native => Native.claims(path),
            Kind::GitHub => {
                let name = path.strip_prefix(".github/workflows/");
                name.is_some_and(|name| !name.contains('/') && (name.ends_with(".yml") || name.ends_with(".yaml")))
            }
            Kind::GitLab => path == ".gitlab-ci.yml",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == word);
        found.ok_or_else(|| format!("`{word}` is no dialect; use native, github or gitlab"))
    }
}

/// What runs for a repository.
/// * `files`: their paths, in byte order; `pipelines/dockerfile.yml` or `pipelines/dockerfile-test.yml` for a built-in one.
/// * `note`: one line about other kinds that stand in the repository and do not run.
#[derive(Debug, Clone)]
pub struct Detected {
    pub kind: Kind,
    pub files: Vec<String>,
    pub note: Option<String>,
    /// Every path of the repository, in byte order.
    pub paths: Vec<String>,
    /// Texts that are not read from the tree: the built-in pipeline, and files that a person named.
    pub texts: BTreeMap<String, String>,
}

/// The first kind found wins; `forced` looks for that kind only. None: there is nothing to run.
pub fn detect(tree: &dyn Tree, forced: Option<Kind>) -> io::Result<Option<Detected>> {
    let mut paths = tree.paths()?;
    paths.sort_unstable();
    let of = |kind: Kind| -> Vec<String> { paths.iter().filter(|path| kind.claims(path)).cloned().collect() };
    let mut found = Kind::ALL
        .into_iter()
        .filter(|kind| forced.is_none_or(|forced| forced == *kind))
        .map(|kind| (kind, of(kind)));
    let first = found.by_ref().find(|(_, files)| !files.is_empty());
    if let Some((kind, files)) = first {
        let others: Vec<String> = Kind::ALL
            .into_iter()
            .filter(|other| *other != kind)
            .filter_map(|other| described(other, &of(other)))
            .collect();
        let note = (!others.is_empty()).then(|| {
            let verb = if others.len() == 1 && !others[0].contains("files") {
                "stands"
            } else {
                "stand"
            };
            format!(
                "runs {} ({}); {} also {verb} here and did not run (`--dialect` selects)",
                described(kind, &files).unwrap_or_default(),
                kind.name(),
                others.join(" and "),
            )
        });
        return Ok(Some(Detected {
            kind,
            files,
            note,
            paths,
            texts: BTreeMap::new(),
        }));
    }
    let may_be_built_in = forced.is_none_or(|forced| forced == Kind::Native);
    if may_be_built_in && paths.binary_search_by(|path| path.as_str().cmp("Dockerfile")).is_ok() {
        // A Dockerfile that cannot be read as text is the build's matter.
        let dockerfile = read_text(tree, "Dockerfile", DOCKERFILE_BYTES_MAX).ok().flatten();
        let (name, text) = match dockerfile {
            Some(dockerfile) if has_test_stage(&dockerfile) => WITH_TESTS,
            Some(_) | None => WITHOUT_TESTS,
        };
        return Ok(Some(Detected {
            kind: Kind::Native,
            files: vec![name.to_owned()],
            note: Some(
                "no pipeline file here, but a Dockerfile: the built-in pipeline runs (`drydock init` writes it down)"
                    .to_owned(),
            ),
            paths,
            texts: BTreeMap::from([(name.to_owned(), text.to_owned())]),
        }));
    }
    Ok(None)
}

/// Whether a Dockerfile has a stage called `test`: `FROM [--platform=...] IMAGE AS test`.
pub fn has_test_stage(dockerfile: &str) -> bool {
    dockerfile.lines().any(|line| {
        let mut words = line.split_whitespace().filter(|word| !word.starts_with("--"));
        let mut is = |wanted: &str| words.next().is_some_and(|word| word.eq_ignore_ascii_case(wanted));
        is("FROM") && !is("") && is("AS") && is("test")
    })
}

/// Files that a person named, with their texts; the dialect from the names, else from what stands in them.
pub fn detect_named(tree: &dyn Tree, files: Vec<(String, String)>, forced: Option<Kind>) -> io::Result<Detected> {
    let mut paths = tree.paths()?;
    paths.sort_unstable();
    let by_name = Kind::ALL
        .into_iter()
        .find(|kind| files.iter().any(|(path, _)| kind.claims(path)));
    let by_content = || files.first().map_or(Kind::Native, |(_, text)| kind_of(text));
    let kind = forced.or(by_name).unwrap_or_else(by_content);
    Ok(Detected {
        kind,
        files: files.iter().map(|(path, _)| path.clone()).collect(),
        note: None,
        paths,
        texts: files.into_iter().collect(),
    })
}

/// What a file looks like whose name says nothing.
fn kind_of(text: &str) -> Kind {
    let parsed = yaml::parse(FileId::default(), text);
    let Some(root) = parsed.documents.last() else {
        return Kind::Native;
    };
    let below = |node: &Node, key: &str| node.get(key).is_some();
    if let Some(jobs) = root.get("jobs") {
        let github = |job: &Node| {
            let steps = job.get("steps").and_then(Node::items).unwrap_or_default();
            below(job, "runs-on") || below(job, "uses") || steps.iter().any(|step| below(step, "uses"))
        };
        let is_github = jobs
            .entries()
            .unwrap_or_default()
            .iter()
            .any(|entry| github(&entry.value));
        return if is_github { Kind::GitHub } else { Kind::Native };
    }
    let gitlab = |key: &str| matches!(key, "stages" | "include" | "default" | "spec");
    let entries = root.entries().unwrap_or_default();
    let is_gitlab = entries
        .iter()
        .any(|entry| gitlab(&entry.key) || below(&entry.value, "script"));
    if is_gitlab { Kind::GitLab } else { Kind::Native }
}

/// `ci.yml`, or `.github/workflows (3 files)`.
fn described(kind: Kind, files: &[String]) -> Option<String> {
    match files {
        [] => None,
        [one] => Some(format!("`{one}`")),
        many => {
            let folder = match kind {
                Kind::Native => ".drydock",
                Kind::GitHub => ".github/workflows",
                Kind::GitLab => ".gitlab-ci.yml",
            };
            Some(format!("`{folder}` ({} files)", many.len()))
        }
    }
}

pub(super) fn not_yet(kind: Kind, file: FileId) -> Diagnostic {
    let what = format!(
        "not yet: the {} dialect cannot be run by this version of Drydock",
        kind.name()
    );
    Diagnostic::error("not-yet", what)
        .at(Span::new(file, 0, 0), "this file")
        .help("write a `.drydock.yml` (`drydock init` begins one), which wins over other kinds of files")
}
