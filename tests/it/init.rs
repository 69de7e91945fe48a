//! `drydock init` and `drydock expand`, the binary.

use std::path::Path;
use std::process::Command;

use drydock::dialect;
use drydock::source::local::LocalTree;
use insta::assert_snapshot;
use tempfile::TempDir;

/// A folder that holds these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder can be made");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("it is writable");
        std::fs::write(path, text).expect("it is writable");
    }
    folder
}

/// Standard output, standard error and exit status of one call.
fn told(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drydock"));
    let output = command
        .current_dir(folder)
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("drydock starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}status {}",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

fn written(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join(".drydock.yml")).expect("a file was written")
}

#[test]
fn a_repository_gets_a_pipeline_that_passes_the_check_and_the_reason_for_it() {
    let rust = folder(&[("Cargo.toml", ""), ("package.json", "{}")]);
    assert_snapshot!(told(rust.path(), &["init"]), @r"
    wrote `.drydock.yml`: template `rust`, because `Cargo.toml` is here
      `package.json` is here too: template `node` shows how to test that part
    next:
      drydock check   every mistake in it, with its place
      drydock plan    what would run, in which order, and why
      drydock run     run it here, in containers
    status 0
    ");
    assert!(!written(&rust).contains("build: ."), "there is no Dockerfile to build");
    assert_snapshot!(told(rust.path(), &["check"]), @r"
    fine: 1 job
    status 0
    ");
}

#[test]
fn with_a_dockerfile_the_image_is_built_after_the_tests() {
    let node = folder(&[
        ("in here/package.json", "{}"),
        ("in here/Dockerfile", "FROM node:24-slim\n"),
        ("in here/.gitlab-ci.yml", "test: { script: [make] }\n"),
    ]);
    assert_snapshot!(told(node.path(), &["init", "in here"]), @r"
    wrote `.drydock.yml`: template `node`, because `package.json` is here
      `Dockerfile` is here too: its image is built once the tests passed
      `.gitlab-ci.yml` is here too: `.drydock.yml` wins (`--dialect gitlab` selects the other)
    next:
      drydock check 'in here'   every mistake in it, with its place
      drydock plan 'in here'    what would run, in which order, and why
      drydock run 'in here'     run it here, in containers
    status 0
    ");
    assert_snapshot!(told(node.path(), &["check", "in here"]), @r"
    fine: 3 jobs
    note: runs `.drydock.yml` (native); `.gitlab-ci.yml` also stands here and did not run (`--dialect` selects)
    status 0
    ");
}

#[test]
fn a_lone_dockerfile_with_a_test_stage_has_it_built_first() {
    let stages = folder(&[("Dockerfile", "FROM busybox AS test\nRUN true\nFROM busybox\n")]);
    assert!(
        told(stages.path(), &["check"]).contains("fine: 3 jobs"),
        "without a file, too"
    );
    assert_snapshot!(told(stages.path(), &["init"]), @r"
    wrote `.drydock.yml`: template `dockerfile-test`, because `Dockerfile` is here
      its stage `test` is built first
    next:
      drydock check   every mistake in it, with its place
      drydock plan    what would run, in which order, and why
      drydock run     run it here, in containers
    status 0
    ");
}

#[test]
fn nothing_is_overwritten_unless_forced() {
    let repository = folder(&[("go.mod", ""), (".drydock.yml", "mine")]);
    assert_snapshot!(told(repository.path(), &["init"]), @r"
    error: there is already a pipeline file: `.drydock.yml`
      = help: `--force` replaces it, `--print` shows what `.drydock.yml` would hold
    status 2
    ");
    assert_eq!(written(&repository), "mine");
    assert!(told(repository.path(), &["init", "--print"]).starts_with("# Go: "));
    assert_eq!(written(&repository), "mine");
    assert!(told(repository.path(), &["init", "--force"]).ends_with("status 0"));
    assert!(written(&repository).starts_with("# Go: "));

    let other = folder(&[("go.mod", ""), (".drydock/ci.yml", "mine")]);
    assert_snapshot!(told(other.path(), &["init"]), @r"
    error: there is already a pipeline file: `.drydock/ci.yml`
      = help: `--force` writes `.drydock.yml` beside it and both run; `--print` shows what it would hold
    status 2
    ");
    assert!(!other.path().join(".drydock.yml").exists());
}

#[test]
fn a_link_is_replaced_and_what_it_leads_to_stays() {
    let repository = folder(&[("go.mod", ""), ("precious", "mine")]);
    let link = repository.path().join(".drydock.yml");
    std::os::unix::fs::symlink("precious", &link).expect("links are possible");
    assert!(told(repository.path(), &["init"]).ends_with("status 2"));
    assert!(told(repository.path(), &["init", "--force"]).ends_with("status 0"));
    assert!(!link.symlink_metadata().expect("it is there").is_symlink());
    let precious = std::fs::read_to_string(repository.path().join("precious")).expect("it is there");
    assert_eq!(precious, "mine");
}

#[test]
fn what_fits_nothing_and_names_of_nothing_are_told() {
    let empty = folder(&[("README.md", "")]);
    assert_snapshot!(told(empty.path(), &["init"]), @r"
    error: no template fits `.`: nothing at its top says what it is made with
      = help: `drydock init --list` shows the templates and what they look for, `--template NAME` takes one
    status 2
    ");
    assert_snapshot!(told(empty.path(), &["init", "--template", "pyhton"]), @r"
    error: there is no template `pyhton`
      = help: did you mean `python`?
    status 2
    ");
    assert_snapshot!(told(empty.path(), &["init", "--template", "dockerfile"]), @r"
    wrote `.drydock.yml`: template `dockerfile`
      it builds `Dockerfile`, which is not here yet
    next:
      drydock check   every mistake in it, with its place
    status 0
    ");
    let compose = folder(&[("compose.yaml", "")]);
    assert_snapshot!(told(compose.path(), &["init"]), @r"
    error: no template fits `.`: nothing at its top says what it is made with
      = help: this version of Drydock does not run `compose.yaml` yet; `drydock init --list` shows what there is
    status 2
    ");
    assert!(told(empty.path(), &["init", "nowhere"]).ends_with("status 2"));
}

#[test]
fn the_templates_are_listed_with_what_they_look_for() {
    assert_snapshot!(told(Path::new("/"), &["init", "--list"]), @r"
    rust              Rust         formatting, lints, tests
                                   by Cargo.toml
    go                Go           formatting, vet, tests
                                   by go.mod
    gradle            Gradle       compile, check, test
                                   by build.gradle.kts, build.gradle, settings.gradle.kts, settings.gradle
    maven             Maven        compile, test, package
                                   by pom.xml
    uv                Python       uv: install, pytest
                                   by uv.lock
    python            Python       pip: install, pytest
                                   by pyproject.toml, requirements.txt, setup.py
    pnpm              Node.js      pnpm: install, lint, build, test
                                   by pnpm-lock.yaml
    yarn              Node.js      Yarn: install, test
                                   by yarn.lock
    node              Node.js      npm: install, lint, build, test
                                   by package.json
    dockerfile-test   Dockerfile   build the stage `test`, then the image; push
                                   by Dockerfile with a stage `test`
    dockerfile        Dockerfile   build the image; push
                                   by Dockerfile
    status 0
    ");
}

const WITH_ANCHORS: &str = r#"# Two tests that share almost everything.
x-base: &base
  image: python:3.11-slim
  env: &env { LEVEL: "1", NAME: "it's: odd" }
on: push
jobs:
  one:
    <<: *base
    steps: &steps
      - run: |
          echo one # stays
          echo two
      - "true"
  two:
    <<: *base
    image: python:3.12-slim
    env: { <<: *env, LEVEL: "2" }
    steps: *steps
"#;

#[test]
fn expand_works_in_what_a_file_only_refers_to() {
    let repository = folder(&[(".drydock.yml", WITH_ANCHORS)]);
    assert_snapshot!(told(repository.path(), &["expand"]), @r"
    on: push
    jobs:
      one:
        image: python:3.11-slim
        env:
          LEVEL: '1'
          NAME: 'it''s: odd'
        steps:
          - run: |
              echo one # stays
              echo two
          - 'true'
      two:
        image: python:3.12-slim
        env:
          NAME: 'it''s: odd'
          LEVEL: '2'
        steps:
          - run: |
              echo one # stays
              echo two
          - 'true'
    status 0
    ");
}

#[test]
fn several_files_are_expanded_to_several_documents_and_mistakes_are_told() {
    let several = folder(&[
        (".drydock/a.yml", "jobs: { a: { image: busybox, steps: [make] } }"),
        (".drydock/b.yml", "jobs: { b: { image: busybox, steps: [make] } }"),
    ]);
    assert_snapshot!(told(several.path(), &["expand"]), @r"
    --- # .drydock/a.yml
    jobs:
      a:
        image: busybox
        steps:
          - make
    --- # .drydock/b.yml
    jobs:
      b:
        image: busybox
        steps:
          - make
    status 0
    ");
    let wrong = folder(&[(".drydock.yml", "jobs: { a: *nowhere }")]);
    assert!(told(wrong.path(), &["expand"]).contains("nowhere"));
    assert!(told(wrong.path(), &["expand"]).ends_with("status 2"));
    assert!(told(wrong.path(), &["expand", "missing"]).ends_with("status 2"));
}

/// Everything that a file's plan says, but where in the file it says it.
fn plan(tree: &LocalTree, path: &str, text: &str) -> String {
    let files = vec![(path.to_owned(), text.to_owned())];
    let detected = dialect::detect_named(tree, files, Some(dialect::Kind::Native)).expect("the folder can be read");
    let compiled = dialect::compile(&detected, tree).expect("the folder can be read");
    assert!(!compiled.has_errors(), "{text}\n{}", compiled.render(false));
    let plan = &compiled.plans[0];
    let all = format!("{plan:#?} {:#?} {:#?} {:#?}", plan.on, plan.env, plan.group);
    let places = regex::Regex::new(r"(line|column): \d+").expect("a pattern");
    places.replace_all(&all, "$1: N").into_owned()
}

#[test]
fn what_is_expanded_is_the_same_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cases = vec![(root.to_owned(), "pipelines/self.yml".to_owned())];
    for entry in std::fs::read_dir(root.join("examples")).expect("there are examples") {
        let folder = entry.expect("it can be read").path();
        if folder.join(".drydock.yml").exists() {
            cases.push((folder, ".drydock.yml".to_owned()));
        }
    }
    let anchors = folder(&[(".drydock.yml", WITH_ANCHORS)]);
    cases.push((anchors.path().to_owned(), ".drydock.yml".to_owned()));
    for (folder, path) in cases {
        let tree = LocalTree::open(&folder).expect("it can be read");
        let text = std::fs::read_to_string(folder.join(&path)).expect("it can be read");
        let expanded = dialect::expand(dialect::Kind::Native, &text).expect("it can be written");
        assert_eq!(
            plan(&tree, &path, &text),
            plan(&tree, &path, &expanded),
            "{}",
            folder.display()
        );
    }
}
