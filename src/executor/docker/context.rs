//! What a build is made from: the folder of the tree that is its context, without what `.dockerignore` leaves out, and
//! its Dockerfile. Blocks, like the tree.

use std::io::{self, Write};
use std::sync::Arc;

use crate::diag::closest;
use crate::executor::{BuildSpec, ExecutorError};
use crate::expr::dockerignore::Ignore;
use crate::tree::{Tree, read_text};

/// No Dockerfile is larger.
const DOCKERFILE_BYTES_MAX: u64 = 1024 * 1024;

/// How many files that might be meant are named.
const NEARBY_MAX: usize = 6;

#[derive(Clone)]
pub(super) struct Context {
    tree: Arc<dyn Tree>,
    /// Relative to the tree's root, without a slash at its end; empty for the root.
    pub folder: String,
    /// The Dockerfile's path in the tree, and its text.
    pub dockerfile: String,
    pub text: String,
    ignore: Ignore,
    /// The file that `ignore` was read from, if there is one.
    ignore_file: Option<String>,
}

impl Context {
    /// Errors: [`ExecutorError::Build`] when there is no such folder or file, or a file cannot be read.
    pub(super) fn open(spec: &BuildSpec) -> Result<Self, ExecutorError> {
        let wrong = |why: String| ExecutorError::Build {
            asked_at: spec.origin.clone(),
            why,
        };
        let folder = inside(&spec.context).ok_or_else(|| wrong(out_of_it("context", &spec.context)))?;
        let dockerfile = inside(&spec.dockerfile).ok_or_else(|| wrong(out_of_it("dockerfile", &spec.dockerfile)))?;
        let paths = spec.tree.paths().map_err(|error| wrong(error.to_string()))?;
        let prefix = format!("{folder}/");
        if !folder.is_empty() && !paths.iter().any(|path| path.starts_with(&prefix)) {
            return Err(wrong(missing_folder(&folder, &paths)));
        }
        let read =
            |path: &str| read_text(&*spec.tree, path, DOCKERFILE_BYTES_MAX).map_err(|error| wrong(error.to_string()));
        let Some(text) = read(&dockerfile)? else {
            return Err(wrong(missing_dockerfile(&dockerfile, &paths)));
        };
        // A file of the Dockerfile's own goes before the context's.
        let of_context = if folder.is_empty() {
            ".dockerignore".to_owned()
        } else {
            format!("{folder}/.dockerignore")
        };
        let mut ignore = Ignore::default();
        let mut ignore_file = None;
        for file in [format!("{dockerfile}.dockerignore"), of_context] {
            if let Some(text) = read(&file)? {
                let parsed = Ignore::parse(&text);
                ignore = parsed.map_err(|error| wrong(format!("{file}:{}: {error}", error.line)))?;
                ignore_file = Some(file);
                break;
            }
        }
        Ok(Context {
            tree: spec.tree.clone(),
            folder,
            dockerfile,
            text,
            ignore,
            ignore_file,
        })
    }

    /// Writes the context as a tar whose first entry is its root: builders tell a tar by its first entry.
    /// * `always`: paths that no pattern leaves out. * `extra`: files put in (instead of those that have their names).
    pub(super) fn write_tar(
        &self,
        always: &[&str],
        extra: &[(String, Vec<u8>)],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_mtime(0);
        header.set_path("./")?;
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        for (path, bytes) in extra {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            header.set_mtime(0);
            header.set_path(path)?;
            header.set_cksum();
            out.write_all(header.as_bytes())?;
            out.write_all(bytes)?;
            out.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()])?;
        }
        let wanted = |path: &str| {
            let is_replaced = extra.iter().any(|(replaced, _)| replaced == path);
            !is_replaced && (always.contains(&path) || !self.ignore.is_ignored(path))
        };
        self.tree.write_tar_of(&self.folder, &wanted, out)
    }

    /// The Dockerfile's path in the context, when it is there.
    pub(super) fn dockerfile_inside(&self) -> Option<&str> {
        match self.folder.as_str() {
            "" => Some(&self.dockerfile),
            folder => self.dockerfile.strip_prefix(folder)?.strip_prefix('/'),
        }
    }

    /// The text of the context's own `.dockerignore`.
    pub(super) fn own_ignore_text(&self) -> io::Result<String> {
        let path = if self.folder.is_empty() {
            ".dockerignore".to_owned()
        } else {
            format!("{}/.dockerignore", self.folder)
        };
        Ok(read_text(&*self.tree, &path, DOCKERFILE_BYTES_MAX)?.unwrap_or_default())
    }

    /// Why a path that a build wants to copy is not there, for people.
    pub(super) fn why_missing(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches(['/', '.']).trim_end_matches('/');
        let inside = if self.folder.is_empty() {
            path.to_owned()
        } else {
            format!("{}/{path}", self.folder)
        };
        let paths = self.tree.paths().ok()?;
        let below = format!("{inside}/");
        let is_there = paths.iter().any(|found| *found == inside || found.starts_with(&below));
        if is_there && let Some(file) = &self.ignore_file {
            return Some(format!("`{file}` leaves it out"));
        }
        let shown = if self.folder.is_empty() { "." } else { &self.folder };
        match closest(&inside, &paths.iter().map(String::as_str).collect::<Vec<_>>()) {
            Some(near) if !is_there => Some(format!(
                "the context `{shown}` has no such file; did you mean `{near}`?"
            )),
            _ => Some(format!(
                "the context `{shown}` has no such file (files that are ignored or not committed are not in it)"
            )),
        }
    }
}

/// A path made plain; none when it leads out of the tree.
fn inside(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = vec![];
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn out_of_it(what: &str, path: &str) -> String {
    format!("`{what}: {path}` leads out of the repository")
}

fn missing_folder(folder: &str, paths: &[String]) -> String {
    let mut folders: Vec<&str> = paths
        .iter()
        .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]))
        .collect();
    folders.sort_unstable();
    folders.dedup();
    match closest(folder, &folders) {
        Some(near) => format!("the context `{folder}` does not exist; did you mean `{near}`?"),
        None => format!("the context `{folder}` does not exist, or no file in it is committed"),
    }
}

fn missing_dockerfile(dockerfile: &str, paths: &[String]) -> String {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let mut nearby: Vec<&str> = paths
        .iter()
        .map(String::as_str)
        .filter(|path| {
            let name = name(path);
            (name.contains("dockerfile") || name.contains("containerfile")) && !name.ends_with(".dockerignore")
        })
        .collect();
    let near = closest(dockerfile, &nearby);
    nearby.truncate(NEARBY_MAX);
    match (near, nearby.is_empty()) {
        (Some(near), _) => format!("there is no `{dockerfile}`; did you mean `{near}`?"),
        (None, false) => format!("there is no `{dockerfile}`; there is: {}", nearby.join(", ")),
        (None, true) => format!("there is no `{dockerfile}`, nor any other Dockerfile (is it committed?)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_tree() {
        for (path, expected) in [
            (".", Some("")),
            ("./a//b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("..", None),
            ("/a", None),
            ("a/../../b", None),
        ] {
            assert_eq!(inside(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        let paths = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect::<Vec<_>>();
        let said = [
            missing_dockerfile("Dockerfle", &paths(&["Dockerfile", "x"])),
            missing_dockerfile("Dockerfile", &paths(&["docker/web.Dockerfile", "docker/Containerfile"])),
            missing_dockerfile("Dockerfile", &paths(&["README"])),
            missing_folder("srcs", &paths(&["src/a/b", "x"])),
            missing_folder("other", &paths(&["x"])),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        there is no `Dockerfle`; did you mean `Dockerfile`?
        there is no `Dockerfile`; there is: docker/web.Dockerfile, docker/Containerfile
        there is no `Dockerfile`, nor any other Dockerfile (is it committed?)
        the context `srcs` does not exist; did you mean `src`?
        the context `other` does not exist, or no file in it is committed
        ");
    }
}
