//! Every folder of `examples/` is a repository that Drydock understands, and whose pipeline passes here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drydock::dialect;
use drydock::source::local::LocalTree;
use tempfile::TempDir;

use crate::support::{Daemon, Registry};

fn folder_of_examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder_of_examples()).expect("there are examples");
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// A copy of an example with one commit on `main`, as a clone of it would be.
struct Clone(TempDir);

impl Clone {
    fn of(example: &Path) -> Self {
        let this = Self(TempDir::new().expect("a temporary folder can be made"));
        let copied = Command::new("cp")
            .arg("-a")
            .arg(example.join("."))
            .arg(this.0.path())
            .status();
        assert!(
            copied.expect("cp starts").success(),
            "{} cannot be copied",
            example.display()
        );
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        this.git(&["add", "."]);
        this.git(&["commit", "--quiet", "--message", "all"]);
        this
    }

    fn git(&self, args: &[&str]) -> String {
        let git = Command::new("git")
            .current_dir(self.0.path())
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(args)
            .output()
            .expect("git starts");
        assert!(
            git.status.success(),
            "git {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&git.stderr)
        );
        String::from_utf8_lossy(&git.stdout).trim().to_owned()
    }

    /// `drydock run` in it.
    fn run(&self, args: &[&str], env: &[(&str, &Path)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_drydock"))
            .current_dir(self.0.path())
            .args(["run", "--output", "plain"])
            .args(args)
            .envs(env.iter().copied())
            .output()
            .expect("drydock starts")
    }
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn every_example_is_free_of_mistakes() {
    for folder in examples() {
        let tree = LocalTree::open(&folder).expect("the folder can be read");
        let detected = dialect::detect(&tree, None).expect("the folder can be read");
        let detected = detected.unwrap_or_else(|| panic!("there is nothing to run in {}", folder.display()));
        let compiled = dialect::compile(&detected, &tree).expect("the folder can be read");
        assert!(
            compiled.diagnostics.is_empty(),
            "{}:\n{}",
            folder.display(),
            compiled.render(false)
        );
        assert_eq!(compiled.plans.len(), 1, "{}", folder.display());
    }
}

#[tokio::test]
async fn every_example_passes() {
    let Some(_daemon) = Daemon::for_test("examples").await else {
        return;
    };
    for folder in examples() {
        let ran = Clone::of(&folder).run(&[], &[]);
        assert_eq!(ran.status.code(), Some(0), "{}:\n{}", folder.display(), text(&ran));
    }
}

#[tokio::test]
async fn a_test_broken_on_purpose_fails_the_run_and_its_last_lines_are_shown() {
    let Some(_daemon) = Daemon::for_test("broken-example").await else {
        return;
    };
    let clone = Clone::of(&folder_of_examples().join("conditions"));
    let script = clone.0.path().join("src/app.sh");
    std::fs::write(&script, "echo checking\necho '2 + 2 is 5' >&2\nexit 3\n").expect("the file can be written");
    let ran = clone.run(&[], &[]);
    let text = text(&ran);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    assert!(text.contains("2 + 2 is 5") && text.contains("code 3"), "{text}");
}

#[tokio::test]
async fn the_multi_stage_build_gets_its_secret_and_nobody_sees_it() {
    let Some(_daemon) = Daemon::for_test("secret-example").await else {
        return;
    };
    let clone = Clone::of(&folder_of_examples().join("multi-stage"));
    let key = "k3y-0f-the-examples-test";
    let ran = clone.run(
        &["--var", "LICENSED=true", "--secret", &format!("LICENCE_KEY={key}")],
        &[],
    );
    let text = text(&ran);
    assert_eq!(ran.status.code(), Some(0), "{text}");
    assert!(text.contains("licensed-smoke") && !text.contains(key), "{text}");
}

#[tokio::test]
async fn the_spring_boot_image_is_pushed_where_a_registry_is_given() {
    let Some(_daemon) = Daemon::for_test("push-example").await else {
        return;
    };
    let Some(registry) = Registry::start().await else {
        return;
    };
    let login = TempDir::new().expect("a temporary folder can be made");
    std::fs::write(login.path().join("config.json"), registry.docker_config()).expect("the folder can be written");
    let clone = Clone::of(&folder_of_examples().join("spring-boot"));
    let variable = format!("REGISTRY={}", registry.address());
    let ran = clone.run(&["--var", &variable], &[("DOCKER_CONFIG", login.path())]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran));
    let mut tags = [clone.git(&["rev-parse", "HEAD"]), "latest".to_owned()];
    tags.sort();
    assert_eq!(registry.tags("demo/hello").await, tags);
    let digest = registry.digest("demo/hello", "latest").await.expect("the tag is there");
    assert!(text(&ran).contains(&digest), "{digest} is not in:\n{}", text(&ran));
}
