//! The ready-made pipelines in `pipelines/`, and which of them fits a repository.

use crate::dialect::has_test_stage;

/// Where a template's jobs for the image begin; they are left out where there is no Dockerfile.
const IMAGE_BEGINS: &str = "\n  # ---- the image ----\n";

/// One ready-made pipeline.
/// * `signs`: files at the top of a repository that speak for it.
/// * `language`: templates of one language never stand beside each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    pub name: &'static str,
    pub language: &'static str,
    pub about: &'static str,
    pub signs: &'static [&'static str],
    text: &'static str,
}

macro_rules! template {
    ($name:literal, $language:literal, $about:literal, [$($sign:literal),*]) => {
        Template {
            name: $name,
            language: $language,
            about: $about,
            signs: &[$($sign),*],
            text: include_str!(concat!("../../../pipelines/", $name, ".yml")),
        }
    };
}

/// In the order in which they win. A package.json often serves another language's project, so Node.js comes late.
pub const TEMPLATES: [Template; 11] = [
    template!("rust", "Rust", "formatting, lints, tests", ["Cargo.toml"]),
    template!("go", "Go", "formatting, vet, tests", ["go.mod"]),
    template!(
        "gradle",
        "Gradle",
        "compile, check, test",
        [
            "build.gradle.kts",
            "build.gradle",
            "settings.gradle.kts",
            "settings.gradle"
        ]
    ),
    template!("maven", "Maven", "compile, test, package", ["pom.xml"]),
    template!("uv", "Python", "uv: install, pytest", ["uv.lock"]),
    template!(
        "python",
        "Python",
        "pip: install, pytest",
        ["pyproject.toml", "requirements.txt", "setup.py"]
    ),
    template!(
        "pnpm",
        "Node.js",
        "pnpm: install, lint, build, test",
        ["pnpm-lock.yaml"]
    ),
    template!("yarn", "Node.js", "Yarn: install, test", ["yarn.lock"]),
    template!("node", "Node.js", "npm: install, lint, build, test", ["package.json"]),
    template!(
        "dockerfile-test",
        "Dockerfile",
        "build the stage `test`, then the image; push",
        []
    ),
    template!("dockerfile", "Dockerfile", "build the image; push", ["Dockerfile"]),
];

/// What a repository's files speak for.
/// * `sign`: the file that decided.
/// * `others`: templates of other languages, each with the file that speaks for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    pub template: &'static Template,
    pub sign: &'static str,
    pub others: Vec<(&'static str, &'static Template)>,
}

/// The template with this name.
pub fn named(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

/// `paths`: the repository's files; `dockerfile`: the text of the Dockerfile at its top, if there is one.
/// None: nothing at the top speaks for any template.
pub fn choose(paths: &[String], dockerfile: Option<&str>) -> Option<Choice> {
    let sign_of = |template: &'static Template| {
        let here = |sign: &&&str| paths.iter().any(|path| path == **sign);
        template.signs.iter().find(here).copied()
    };
    let mut found = TEMPLATES
        .iter()
        .filter_map(|template| Some((sign_of(template)?, template)));
    let (sign, first) = found.next()?;
    let mut template = first;
    if first.name == "dockerfile" && dockerfile.is_some_and(has_test_stage) {
        template = named("dockerfile-test").unwrap_or(first);
    }
    let mut others: Vec<(&'static str, &'static Template)> = vec![];
    for (sign, other) in found {
        // A Dockerfile needs no template of its own beside a language: its image is built, too.
        let told = others.iter().any(|(_, known)| known.language == other.language);
        if !told && other.language != template.language && other.language != "Dockerfile" {
            others.push((sign, other));
        }
    }
    Some(Choice { template, sign, others })
}

impl Template {
    /// Whether it is for a repository that has a Dockerfile and nothing else.
    pub fn needs_dockerfile(&self) -> bool {
        self.language == "Dockerfile"
    }

    /// The pipeline file; the jobs that build and push the image only where there is a Dockerfile.
    pub fn text(&self, has_dockerfile: bool) -> &'static str {
        match self.text.split_once(IMAGE_BEGINS) {
            Some((before, _)) if !has_dockerfile => before,
            Some(_) | None => self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Sources;
    use crate::dialect::{CompileContext, Dialect, native::Native};

    /// Everything the compiler says about a file in a repository that holds `paths`.
    fn findings(text: &str, paths: &[&str]) -> String {
        let mut sources = Sources::default();
        let file = sources.add(".drydock.yml", text);
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let mut compiled = Native.compile(&[file], &sources, &CompileContext { paths: &paths });
        assert_eq!(compiled.plans.len(), 1, "{text}");
        compiled.sources = sources;
        compiled.render(false)
    }

    #[test]
    fn every_template_is_a_pipeline_without_findings_with_a_dockerfile_and_without() {
        for template in &TEMPLATES {
            assert_eq!(findings(template.text(true), &["Dockerfile"]), "", "{}", template.name);
            if !template.needs_dockerfile() {
                assert_eq!(findings(template.text(false), &[]), "", "{}", template.name);
            }
        }
    }

    #[test]
    fn drydocks_own_pipeline_is_without_findings() {
        let text = include_str!("../../../pipelines/self.yml");
        assert_eq!(findings(text, &["deploy/Dockerfile"]), "");
    }

    #[test]
    fn every_language_ends_with_the_same_jobs_for_the_image() {
        let ends = TEMPLATES
            .iter()
            .filter(|template| !template.needs_dockerfile())
            .map(|template| {
                let (_, end) = template
                    .text
                    .split_once(IMAGE_BEGINS)
                    .expect("it has jobs for the image");
                assert!(!template.text(false).contains("build: ."), "{}", template.name);
                end
            });
        let mut ends: Vec<&str> = ends.collect();
        ends.dedup();
        assert_eq!(ends.len(), 1, "{ends:#?}");
    }

    #[test]
    fn every_template_says_in_its_first_line_what_it_is_for() {
        for template in &TEMPLATES {
            assert!(template.text.starts_with("# "), "{}", template.name);
        }
    }

    #[test]
    fn a_repository_gets_the_template_that_its_files_speak_for() {
        const PLAIN: &str = "FROM busybox\n";
        const STAGES: &str = "FROM busybox AS build\nfrom --platform=linux/amd64 build as Test\nFROM build\n";
        let cases: &[(&[&str], Option<&str>)] = &[
            (&[], None),
            (&["README.md", "app/Cargo.toml", "docker/Dockerfile"], None),
            (&["Cargo.toml", "src/main.rs"], None),
            (&["Cargo.toml", "Dockerfile", "package.json"], Some(STAGES)),
            (&["go.mod"], None),
            (&["build.gradle", "settings.gradle"], None),
            (&["build.gradle.kts", "Dockerfile"], Some(PLAIN)),
            (&["pom.xml", "build.gradle", "package.json", "yarn.lock"], None),
            (&["pyproject.toml", "uv.lock"], None),
            (&["pyproject.toml"], None),
            (&["requirements.txt", "package.json"], None),
            (&["setup.py"], None),
            (&["package.json"], None),
            (&["package.json", "package-lock.json"], None),
            (&["package.json", "pnpm-lock.yaml"], None),
            (&["package.json", "yarn.lock"], None),
            (&["Dockerfile"], Some(PLAIN)),
            (&["Dockerfile"], Some(STAGES)),
            (&["Dockerfile"], None),
        ];
        let line = |(paths, dockerfile): &(&[&str], Option<&str>)| {
            let held: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            let chosen = match choose(&held, *dockerfile) {
                None => "nothing".to_owned(),
                Some(choice) => {
                    let others = choice
                        .others
                        .iter()
                        .map(|(sign, template)| format!("; {sign} -> {}", template.name));
                    format!(
                        "{} by {}{}",
                        choice.template.name,
                        choice.sign,
                        others.collect::<String>()
                    )
                }
            };
            format!("{}: {chosen}\n", paths.join(" "))
        };
        insta::assert_snapshot!(cases.iter().map(line).collect::<String>(), @r"
        : nothing
        README.md app/Cargo.toml docker/Dockerfile: nothing
        Cargo.toml src/main.rs: rust by Cargo.toml
        Cargo.toml Dockerfile package.json: rust by Cargo.toml; package.json -> node
        go.mod: go by go.mod
        build.gradle settings.gradle: gradle by build.gradle
        build.gradle.kts Dockerfile: gradle by build.gradle.kts
        pom.xml build.gradle package.json yarn.lock: gradle by build.gradle; pom.xml -> maven; yarn.lock -> yarn
        pyproject.toml uv.lock: uv by uv.lock
        pyproject.toml: python by pyproject.toml
        requirements.txt package.json: python by requirements.txt; package.json -> node
        setup.py: python by setup.py
        package.json: node by package.json
        package.json package-lock.json: node by package.json
        package.json pnpm-lock.yaml: pnpm by pnpm-lock.yaml
        package.json yarn.lock: yarn by yarn.lock
        Dockerfile: dockerfile by Dockerfile
        Dockerfile: dockerfile-test by Dockerfile
        Dockerfile: dockerfile by Dockerfile
        ");
    }
}
