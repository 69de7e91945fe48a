//! `drydock expr`, the binary.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use insta::assert_snapshot;

fn drydock() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drydock"));
    command.arg("expr").env("NO_COLOR", "1");
    command
}

/// Standard output, standard error and exit status of one call.
fn told(command: &mut Command) -> String {
    let output = command.output().expect("drydock starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}status {}",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

#[test]
fn each_line_is_answered_before_the_next_is_asked() {
    let mut child = drydock()
        .arg("--stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("drydock starts");
    let mut questions = child.stdin.take().expect("piped");
    let mut answers = BufReader::new(child.stdout.take().expect("piped"));
    for number in 0..3 {
        writeln!(questions, r#"{{"id":{number},"kind":"expr","expr":"{number} + "}}"#).expect("it reads");
        writeln!(questions, r#"{{"id":{number},"kind":"expr","expr":"{number}"}}"#).expect("it reads");
        let mut pair = String::new();
        answers.read_line(&mut pair).expect("it answers");
        assert!(pair.contains("\"error\":\"lexing\""), "{pair}");
        pair.clear();
        answers.read_line(&mut pair).expect("it answers");
        assert_eq!(
            pair,
            format!("{{\"id\":{number},\"kind\":\"Number\",\"value\":{number}}}\n")
        );
    }
    drop(questions);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn one_expression_is_answered_and_a_wrong_one_is_drawn() {
    let directory = tempfile::tempdir().expect("a directory");
    let contexts = directory.path().join("contexts.json");
    std::fs::write(&contexts, r#"{"repo":{"name":"ferry"},"BRANCH":"main"}"#).expect("it is writable");
    let told_of = |arguments: &[&str]| {
        let mut command = drydock();
        told(
            command
                .args(arguments)
                .arg("--context")
                .arg(&contexts)
                .current_dir(directory.path()),
        )
    };
    assert_snapshot!(told_of(&["repo.name == 'Ferry' && hashFiles('none')"]), @r"

    status 0
    ");
    assert_snapshot!(told_of(&["rep.name"]), @r"
    error[parsing]: unrecognized named-value `rep`: did you mean `repo`?
     --> expression:1:1
      |
    1 | rep.name
      | ^^^
    status 2
    ");
    assert_snapshot!(told_of(&["--dialect", "gitlab", "$BRANCH =~ /^ma/"]), @r"
    true
    status 0
    ");
    assert_snapshot!(told_of(&["--dialect", "gitlab", "$BRANCH = 'main'"]), @r"
    error[lexing]: unexpected symbol `=`: equality is `==`
     --> expression:1:9
      |
    1 | $BRANCH = 'main'
      |         ^
    status 2
    ");
    assert_snapshot!(told(drydock().arg("rep.name")), @r"
    error[parsing]: unrecognized named-value `rep`: there is no such named-value here
     --> expression:1:1
      |
    1 | rep.name
      | ^^^
      |
      = help: `--context FILE.json` gives contexts by name
    status 2
    ");
    assert_snapshot!(told(drydock().args(["1", "--context", "/no/such/file"])), @r"
    error: cannot read `/no/such/file`: No such file or directory (os error 2)
    status 2
    ");
}

#[test]
fn hash_files_reads_the_working_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it is writable");
        std::fs::write(path, text).expect("it is writable");
    };
    write("a.lock", "abc");
    write("deep/er/b.lock", "abc");
    std::os::unix::fs::symlink("a.lock", directory.path().join("c.lock")).expect("links are possible");
    std::os::unix::fs::symlink("deep", directory.path().join("loop")).expect("links are possible");
    let digest = |pattern: &str| {
        let expression = format!("hashFiles('{pattern}')");
        told(drydock().arg(expression).current_dir(directory.path()))
    };
    // SHA-256 of the 32 bytes that are the SHA-256 of `abc`.
    let one = "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358\nstatus 0";
    assert_eq!(digest("a.lock"), one);
    assert_eq!(digest("deep"), one);
    assert_eq!(digest("c.lock"), one);
    assert_ne!(digest("**/*.lock"), one);
    assert_eq!(digest("loop"), "\nstatus 0");
}
