//! Reads as much of a Dockerfile as is needed before and after a build: which frontend it asks for, which images it
//! begins with, its stages, and on which line an instruction stands. Pure.

use crate::expr::dockerword;

/// * `line`: where it begins, from 1. * `text`: its lines joined as the builder joins them, one space between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    pub line: u32,
    pub text: String,
}

impl Instruction {
    /// The first word, upper case.
    fn word(&self) -> String {
        self.text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase()
    }

    fn rest(&self) -> &str {
        self.text
            .trim_start()
            .split_once(char::is_whitespace)
            .map_or("", |(_, rest)| rest.trim_start())
    }
}

/// An image that the build starts from or copies from, arguments worked in. Neither a stage nor `scratch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseImage {
    pub line: u32,
    pub image: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Dockerfile {
    pub instructions: Vec<Instruction>,
    pub bases: Vec<BaseImage>,
    /// Names of stages, in order; a stage without one is its number.
    pub stages: Vec<String>,
    /// The frontend that it asks for, and on which line.
    pub frontend: Option<(u32, String)>,
}

impl Dockerfile {
    /// Never fails: what is no Dockerfile is the builder's to refuse.
    pub(super) fn read(text: &str, args: &[(String, String)], architecture: &str) -> Self {
        let mut dockerfile = Dockerfile {
            frontend: frontend(text),
            ..Dockerfile::default()
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let escape = escape(text);
        dockerfile.instructions = instructions(text, escape);
        dockerfile.find_bases(args, architecture, escape);
        dockerfile
    }

    fn find_bases(&mut self, args: &[(String, String)], architecture: &str, escape: char) {
        let platform = [
            ("BUILDPLATFORM", ""),
            ("TARGETPLATFORM", ""),
            ("BUILDARCH", architecture),
            ("TARGETARCH", architecture),
        ];
        let mut known: Vec<(String, String)> = vec![];
        for (name, value) in platform {
            let value = if value.is_empty() {
                format!("linux/{architecture}")
            } else {
                value.to_owned()
            };
            known.push((name.to_owned(), value));
        }
        known.extend(
            [("BUILDOS", "linux"), ("TARGETOS", "linux")].map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for instruction in self.instructions.clone() {
            match instruction.word().as_str() {
                // Only arguments before the first stage count in FROM.
                "ARG" if self.stages.is_empty() => {
                    for word in instruction.rest().split_whitespace() {
                        let (name, default) = word
                            .split_once('=')
                            .map_or((word, None), |(name, value)| (name, Some(value)));
                        let given = args.iter().find(|(arg, _)| arg == name).map(|(_, value)| value.clone());
                        let value = given.or_else(|| default.map(|default| expand(default, &known, escape)));
                        known.extend(value.map(|value| (name.to_owned(), value)));
                    }
                }
                "FROM" => {
                    let words: Vec<&str> = instruction
                        .rest()
                        .split_whitespace()
                        .filter(|word| !word.starts_with("--"))
                        .collect();
                    let Some(image) = words.first() else { continue };
                    self.base(instruction.line, &expand(image, &known, escape));
                    let name = match words.get(1..3) {
                        Some([word, name]) if word.eq_ignore_ascii_case("as") => name.to_lowercase(),
                        _ => self.stages.len().to_string(),
                    };
                    self.stages.push(name);
                }
                "COPY" | "ADD" | "RUN" => {
                    for word in instruction
                        .rest()
                        .split_whitespace()
                        .take_while(|word| word.starts_with("--"))
                    {
                        let from = word.strip_prefix("--from=").or_else(|| {
                            let mount = word.strip_prefix("--mount=")?;
                            mount.split(',').find_map(|part| part.strip_prefix("from="))
                        });
                        if let Some(from) = from {
                            self.base(instruction.line, &expand(from, &known, escape));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn base(&mut self, line: u32, image: &str) {
        let is_stage = self.stages.iter().any(|stage| *stage == image.to_lowercase()) || image.parse::<u32>().is_ok();
        let is_known = self.bases.iter().any(|base| base.image == image);
        if !image.is_empty() && image != "scratch" && !is_stage && !is_known {
            self.bases.push(BaseImage {
                line,
                image: image.to_owned(),
            });
        }
    }

    /// The line of the instruction that a builder quotes, possibly with its arguments worked in and its words evened out.
    pub(super) fn line_of(&self, quoted: &str) -> Option<u32> {
        let even = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let quoted = even(quoted);
        let texts: Vec<(u32, String)> = self
            .instructions
            .iter()
            .map(|found| (found.line, even(&found.text)))
            .collect();
        if let Some((line, _)) = texts.iter().find(|(_, text)| *text == quoted) {
            return Some(*line);
        }
        // Arguments were worked in: the one that begins alike, if it is the only one.
        let alike = |text: &str| {
            text.bytes()
                .zip(quoted.bytes())
                .take_while(|(one, other)| one == other)
                .count()
        };
        let best = texts
            .iter()
            .map(|(_, text)| alike(text))
            .max()
            .filter(|best| *best > 4)?;
        let mut lines = texts
            .iter()
            .filter(|(_, text)| alike(text) == best)
            .map(|(line, _)| *line);
        lines.next().filter(|_| lines.next().is_none())
    }

    pub(super) fn instruction_at(&self, line: u32) -> Option<&Instruction> {
        self.instructions.iter().find(|instruction| instruction.line == line)
    }
}

fn expand(word: &str, known: &[(String, String)], escape: char) -> String {
    let look = |name: &str| {
        known
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    dockerword::expand(word, &look, escape).unwrap_or_else(|_| word.to_owned())
}

/// `# key = value` (or `// key = value`) as the builder reads it: directives stand at the very top, one after the other.
fn directives<'a>(lines: impl Iterator<Item = &'a str>, mark: &str) -> Vec<(u32, String, String)> {
    let mut found = vec![];
    for (number, line) in lines.enumerate() {
        let Some((key, value)) = line.strip_prefix(mark).and_then(|rest| rest.split_once('=')) else {
            break;
        };
        let key = key.trim();
        let is_key =
            key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_key || value.trim().is_empty() {
            break;
        }
        found.push((number as u32 + 1, key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    found
}

/// The frontend that any version of BuildKit would take a text to ask for: after a byte order mark, after a `#!` line,
/// in `#` or `//` comments, or as JSON.
fn frontend(text: &str) -> Option<(u32, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = u32::from(text.starts_with("#!"));
    let body = if skipped == 1 {
        text.split_once('\n').map_or("", |(_, body)| body)
    } else {
        text
    };
    for mark in ["#", "//"] {
        let asked = directives(body.lines(), mark)
            .into_iter()
            .find(|(_, key, _)| key == "syntax");
        if let Some((line, _, value)) = asked {
            return Some((
                line + skipped,
                value.split_whitespace().next().unwrap_or_default().to_owned(),
            ));
        }
    }
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let asked = json
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("syntax"))?
        .1
        .as_str()?;
    Some((1, asked.split_whitespace().next().unwrap_or_default().to_owned()))
}

fn escape(text: &str) -> char {
    let set = directives(text.lines(), "#")
        .into_iter()
        .find(|(_, key, _)| key == "escape");
    set.and_then(|(_, _, value)| value.chars().next()).unwrap_or('\\')
}

/// Instructions with their continuation lines and here-documents; comments and empty lines inside are left out.
fn instructions(text: &str, escape: char) -> Vec<Instruction> {
    let mut found = vec![];
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut joined = String::new();
        loop {
            let continued = line.strip_suffix(escape);
            joined.push_str(continued.unwrap_or(line));
            if continued.is_none() {
                break;
            }
            let next = lines
                .by_ref()
                .map(|(_, line)| line.trim())
                .find(|line| !line.is_empty() && !line.starts_with('#'));
            match next {
                Some(next) => line = next,
                None => break,
            }
        }
        let instruction = Instruction {
            line: number as u32 + 1,
            text: joined.trim().to_owned(),
        };
        for end in here_documents(&instruction) {
            for (_, line) in lines.by_ref() {
                if line.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
        found.push(instruction);
    }
    found
}

/// The words that end the here-documents of an instruction.
fn here_documents(instruction: &Instruction) -> Vec<String> {
    if !matches!(instruction.word().as_str(), "RUN" | "COPY" | "ADD") {
        return vec![];
    }
    let ends = instruction.text.split_whitespace().filter_map(|word| {
        let name = word.strip_prefix("<<")?;
        let name = name.strip_prefix('-').unwrap_or(name).trim_matches(['"', '\'']);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| name.to_owned())
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_frontend_is_seen() {
        let cases = [
            "# syntax=evil/frontend:1\nFROM x",
            "#syntax=evil/frontend:1",
            "#  SyNtAx  =  evil/frontend:1  with args\r\nFROM x",
            "\u{feff}# syntax=evil/frontend:1",
            "# escape=`\n# syntax=evil/frontend:1",
            "# anything = else\n#syntax=evil/frontend:1",
            "// syntax=evil/frontend:1",
            "#!/usr/bin/env docker\n# syntax=evil/frontend:1",
            "#!/bin/x\n//syntax=evil/frontend:1",
            "{\"syntax\": \"evil/frontend:1\"}",
        ];
        for text in cases {
            let seen = Dockerfile::read(text, &[], "amd64").frontend.map(|(_, image)| image);
            assert_eq!(seen.as_deref(), Some("evil/frontend:1"), "{text:?}");
        }
        // None of these reaches a frontend in any version.
        for text in [
            "FROM x\n# syntax=evil/frontend:1",
            "# a comment\n# syntax=evil",
            "\n# syntax=evil",
            " # syntax=evil",
            "# syntax:evil",
        ] {
            assert_eq!(Dockerfile::read(text, &[], "amd64").frontend, None, "{text:?}");
        }
        assert_eq!(
            Dockerfile::read("# a=b\n# syntax=x y", &[], "amd64").frontend,
            Some((2, "x".into()))
        );
    }

    const TEXT: &str = "ARG BASE=debian\nARG TAG\nFROM ${BASE}:${TAG:-12} AS Build\nARG BASE=late\nRUN one \\\n  # inside\n\n  two\n\
                        RUN <<EOF cat\nFROM not/this\nEOF\nFROM --platform=$BUILDPLATFORM scratch\nCOPY --from=build /a /b\n\
                        COPY --chown=1 --from=tools/image:1 /a /b\nRUN --mount=type=bind,from=0,target=/x make ${TAG}\n\
                        FROM build\nFROM debian:12\ncmd [\"x\"]\n";

    #[test]
    fn bases_stages_and_lines_are_found() {
        let read = Dockerfile::read(TEXT, &[("BASE".into(), "alpine".into())], "amd64");
        let bases: Vec<_> = read.bases.iter().map(|base| (base.line, base.image.as_str())).collect();
        assert_eq!(bases, [(3, "alpine:12"), (14, "tools/image:1"), (17, "debian:12")]);
        assert_eq!(read.stages, ["build", "1", "2", "3"]);
        assert_eq!(read.line_of("RUN one   two"), Some(5));
        assert_eq!(
            read.line_of("RUN --mount=type=bind,from=0,target=/x make 1.2"),
            Some(15)
        );
        assert_eq!(read.line_of("CMD [\"x\"]"), Some(18));
        assert_eq!(read.line_of("COPY nothing of the kind"), None);
    }

    #[test]
    fn an_escape_directive_changes_continuations() {
        let read = Dockerfile::read("# escape=`\nFROM x\nRUN dir c:\\\nRUN a `\n b\n", &[], "amd64");
        let texts: Vec<_> = read
            .instructions
            .iter()
            .map(|found| (found.line, found.text.as_str()))
            .collect();
        assert_eq!(texts, [(2, "FROM x"), (3, "RUN dir c:\\"), (4, "RUN a b")]);
    }
}
