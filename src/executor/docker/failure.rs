//! What a builder says when it fails, as something to act upon: line, instruction, reason. Pure but for a look at the context.

use super::context::Context;
use super::dockerfile::Dockerfile;
use super::image;
use super::progress::FailedVertex;
use crate::diag::closest;
use crate::registry::Reference;

/// * `said`: the builder's words. * `instruction`: what it was at, as it quotes it. * `last_lines`: the end of its output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Failure {
    pub said: String,
    pub instruction: Option<String>,
    pub base_image: Option<String>,
    pub last_lines: Vec<String>,
}

/// What builders put in front of what they have to say.
const WRAPPINGS: [&str; 9] = [
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve: ",
    "failed to build LLB: ",
    "failed to create LLB definition: ",
    "failed to read dockerfile: ",
    "rpc error: code = Unknown desc = ",
    "rpc error: code = NotFound desc = ",
    "rpc error: code = InvalidArgument desc = ",
    "rpc error: code = FailedPrecondition desc = ",
];

/// How the folders are called that builders unpack contexts in.
const UNPACKED_IN: [&str; 2] = ["/docker-builder", "/buildkit-mount"];

impl Failure {
    pub(super) fn of_buildkit(said: &str, vertex: Option<&FailedVertex>) -> Self {
        let mut failure = Failure {
            said: unwrapped(said),
            ..Failure::default()
        };
        let Some(vertex) = vertex else { return failure };
        failure.said = unwrapped(&vertex.error);
        failure.last_lines = vertex.last_lines.clone();
        // `[2/3] RUN make`, `[build 2/3] COPY a b`, `[internal] load metadata for docker.io/library/x:1`
        let (bracket, name) = match vertex.name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((bracket, name)) => (bracket, name),
            None => ("", vertex.name.as_str()),
        };
        if let Some(image) = name.strip_prefix("load metadata for ") {
            failure.base_image = Some(image.to_owned());
        } else if bracket != "internal" {
            failure.instruction = Some(name.to_owned());
        }
        failure
    }

    pub(super) fn of_classic(said: &str, instruction: Option<String>, last_lines: Vec<String>) -> Self {
        Failure {
            said: unwrapped(said),
            instruction,
            base_image: None,
            last_lines,
        }
    }

    pub(super) fn explain(&self, dockerfile: &Dockerfile, context: &Context, platforms: &[String]) -> String {
        let file = &context.dockerfile;
        if let Some(base) = &self.base_image {
            return self.base_image_text(base, dockerfile, file);
        }
        let line = self
            .instruction
            .as_deref()
            .and_then(|quoted| dockerfile.line_of(quoted))
            .or_else(|| parse_line(&self.said));
        let place = line.map_or(file.clone(), |line| format!("{file}:{line}"));
        let written = line
            .and_then(|line| dockerfile.instruction_at(line))
            .map(|found| shortened(&found.text));
        let quoted = written.or_else(|| self.instruction.as_deref().map(shortened));
        let is_base = quoted
            .as_deref()
            .is_some_and(|text| text.to_ascii_uppercase().starts_with("FROM "));
        if let (true, Some(quoted)) = (is_base, &quoted) {
            let image = quoted
                .split_whitespace()
                .skip(1)
                .find(|word| !word.starts_with("--"))
                .unwrap_or(quoted);
            let image = dockerfile
                .bases
                .iter()
                .find(|base| Some(base.line) == line)
                .map_or(image, |base| &base.image);
            return format!(
                "{place}: base image `{image}` cannot be had: {}",
                image::explain(&self.said)
            );
        }
        if let Some(meant) = meant(&self.said) {
            return format!("{place}: {}; did you mean `{meant}`?", self.said);
        }
        let mut text = match (&quoted, exit_code(&self.said)) {
            (Some(quoted), Some(code)) => format!("{place}: `{quoted}` failed with exit code {code}"),
            (Some(quoted), None) => format!("{place}: `{quoted}` failed: {}", self.said),
            (None, _) if line.is_some() => format!("{place}: {}", self.said),
            (None, _) => format!("{file}: {}", self.said),
        };
        if let Some(hint) = missing_path(&self.said).and_then(|path| context.why_missing(path)) {
            text = format!("{text} ({hint})");
        } else if self.said.contains("exec format error")
            || self.last_lines.iter().any(|line| line.contains("exec format error"))
        {
            let platforms = platforms.join(", ");
            text = format!(
                "{text} (the image is for another architecture ({platforms}), and this machine has no emulation for it)"
            );
        } else if self.said.contains("multiple platforms") {
            text = format!(
                "{text} (the engine's image store holds one platform for each image; containerd's holds several)"
            );
        }
        if !self.last_lines.is_empty() {
            text.push_str("; its last lines:");
            for line in &self.last_lines {
                text.push_str("\n    ");
                text.push_str(line.trim_end());
            }
        }
        text
    }

    fn base_image_text(&self, base: &str, dockerfile: &Dockerfile, file: &str) -> String {
        let whole = |text: &str| {
            let mut reference = Reference::parse(text).ok()?;
            if reference.digest.is_none() {
                reference.tag.get_or_insert_with(|| "latest".to_owned());
            }
            Some(reference.to_string())
        };
        let written = dockerfile.bases.iter().find(|found| whole(&found.image) == whole(base));
        let (place, image) = match written {
            Some(found) => (format!("{file}:{}", found.line), found.image.as_str()),
            None => (file.to_owned(), base),
        };
        // BuildKit repeats the name in front of the reason.
        let said = self
            .said
            .strip_prefix(base)
            .map_or(self.said.as_str(), |rest| rest.trim_start_matches([':', ' ']));
        format!("{place}: base image `{image}` cannot be had: {}", image::explain(said))
    }
}

fn unwrapped(said: &str) -> String {
    let mut said = said.trim();
    while let Some(rest) = WRAPPINGS.iter().find_map(|wrapping| said.strip_prefix(wrapping)) {
        said = rest;
    }
    // Where the engine unpacked the context is nobody's business.
    let mut shown = String::new();
    for word in said.split_inclusive([' ', ':', '"']) {
        let inside = UNPACKED_IN.into_iter().find_map(|mark| word.split_once(mark));
        shown.push_str(
            inside
                .and_then(|(_, rest)| rest.split_once('/'))
                .map_or(word, |(_, rest)| rest),
        );
    }
    shown
}

/// An instruction may be a page long.
fn shortened(text: &str) -> String {
    let even = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match even.char_indices().nth(100) {
        Some((at, _)) => format!("{}...", &even[..at]),
        None => even,
    }
}

/// `exit code: 2` (BuildKit), `returned a non-zero code: 2` (the classic builder).
fn exit_code(said: &str) -> Option<u32> {
    let (_, after) = said
        .rsplit_once("exit code: ")
        .or_else(|| said.rsplit_once("non-zero code: "))?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// `dockerfile parse error line 3: ...`, `Dockerfile:3`.
fn parse_line(said: &str) -> Option<u32> {
    let (_, after) = said
        .split_once("error line ")
        .or_else(|| said.split_once("error on line "))?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The path that is missing in `"/nope": not found` or `COPY failed: file not found in build context ...: stat nope: ...`.
fn missing_path(said: &str) -> Option<&str> {
    for end in ["\": not found", "\" not found"] {
        if let Some((before, _)) = said.split_once(end) {
            return before.rsplit_once('"').map(|(_, path)| path);
        }
    }
    if !said.contains("failed") || !(said.contains("no such file") || said.contains("does not exist")) {
        return None;
    }
    let (_, after) = said.split_once("stat ")?;
    after.split(':').next().map(str::trim)
}

const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a word that is no instruction was probably meant to be.
fn meant(said: &str) -> Option<&'static str> {
    let (_, after) = said.split_once("unknown instruction: ")?;
    closest(after.split_whitespace().next()?, &INSTRUCTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_lines_and_paths_are_found_in_what_builders_say() {
        let codes = [
            ("executor failed running [/bin/sh -c exit 3]: exit code: 3", Some(3)),
            (
                "process \"/bin/sh -c x\" did not complete successfully: exit code: 127",
                Some(127),
            ),
            ("The command '/bin/sh -c exit 3' returned a non-zero code: 3", Some(3)),
            ("not found", None),
        ];
        for (said, code) in codes {
            assert_eq!(exit_code(said), code, "{said}");
        }
        assert_eq!(
            parse_line("dockerfile parse error line 3: unknown instruction: RUNN"),
            Some(3)
        );
        assert_eq!(parse_line("dockerfile parse error on line 12: unknown"), Some(12));
        let paths = [
            (
                "failed to calculate checksum of ref a::b: \"/app/nope\": not found",
                "/app/nope",
            ),
            ("\"/b.txt\" not found: not found", "/b.txt"),
            (
                "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist",
                "nope",
            ),
            (
                "COPY failed: stat /var/lib/docker/tmp/docker-builder123/a/b: no such file or directory",
                "a/b",
            ),
            (
                "failed to walk /var/lib/docker/tmp/buildkit-mount12/kept: lstat /var/lib/docker/tmp/buildkit-mount12/kept: no such file or directory",
                "kept",
            ),
        ];
        for (said, path) in paths {
            assert_eq!(missing_path(&unwrapped(said)), Some(path), "{said}");
        }
        assert_eq!(unwrapped("failed to solve: rpc error: code = Unknown desc = x"), "x");
        assert_eq!(
            unwrapped("stat /var/lib/docker/tmp/docker-builder123/a: no"),
            "stat a: no"
        );
        assert_eq!(meant("unknown instruction: RUNN"), Some("RUN"));
    }
}
