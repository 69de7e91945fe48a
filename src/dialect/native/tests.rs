use super::*;

/// Compiles one file in a repository that holds a Dockerfile and `app/Dockerfile`.
fn compile(text: &str) -> Compiled {
    let mut sources = Sources::default();
    let file = sources.add(".drydock.yml", text);
    let paths = ["Dockerfile", "app/Dockerfile", "docker-compose.yml", "src/main.rs"].map(str::to_owned);
    let context = CompileContext { paths: &paths };
    let compiled = Native.compile(&[file], &sources, &context);
    Compiled { sources, ..compiled }
}

/// All that is wrong with a file, drawn.
fn wrong(text: &str) -> String {
    let compiled = compile(text);
    assert_eq!(
        compiled.plans.len(),
        usize::from(!compiled.has_errors()),
        "a plan exactly if there is no error"
    );
    compiled.render(false).trim_end().to_owned()
}

#[test]
fn smoke() {
    insta::assert_snapshot!(wrong("jobs:\n  tset:\n    steps: [make]\n  b:\n    needs: [test]\n    image: ${{ needs.test.image }}\n    steps:\n      - run: echo ${{ branch }}\n      - rnu: x\n"), @r#"
    error[unknown-need]: job `b` needs `test`, which this file does not define
     --> .drydock.yml:5:13
      |
    5 |     needs: [test]
      |             ^^^^ no such job
      |
      = help: did you mean `tset`?

    error[script-injection]: `branch` would become part of the script's text, where whoever chooses it could run commands
     --> .drydock.yml:8:23
      |
    8 |       - run: echo ${{ branch }}
      |                       ^^^^^^ not in a script
      |
      = help: write "$DRYDOCK_BRANCH", the variable that holds it

    error[unknown-key]: a step has no key `rnu`
     --> .drydock.yml:9:9
      |
    9 |       - rnu: x
      |         ^^^ unknown key
      |
      = help: did you mean `run`?

    error[empty-step]: a step has neither `run` nor `image`
     --> .drydock.yml:9:9
      |
    9 |       - rnu: x
      |         ^^^^^^ does nothing
      |
      = help: write `run: ...` for a script, or `image: ...` for a container of its own
    "#);
}
