mod meaning;
mod shape;

use std::fmt::Write;

use super::*;
use crate::plan::{Action, Plan};

/// Compiles one file in a repository that holds two Dockerfiles.
fn compile(text: &str) -> Compiled {
    let mut sources = Sources::default();
    let file = sources.add(".drydock.yml", text);
    let paths = [
        "Dockerfile",
        "app/Dockerfile",
        "deploy/Dockerfile",
        "docker-compose.yml",
        "docker/Dockerfile",
        "src/main.rs",
    ];
    let paths = paths.map(str::to_owned);
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

/// A file of `tests/data/pipelines`.
fn data(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/pipelines")
        .join(path);
    std::fs::read_to_string(&path).expect("the test data is there")
}

/// A plan, one fact a line.
fn shown(plan: &Plan) -> String {
    let mut out = String::new();
    let regex = |text: &str| regex::Regex::new(text).expect("the test's own pattern");
    let pattern = regex(r#"Pattern \{ text: ("[^"]*"), negative: \w+, regex: Regex\("[^"]*"\) \}"#);
    let globs = regex(r"Globs \{ patterns: Patterns \{ patterns: (\[[^\]]*\]) \}, origin: Origin \{[^}]*\} \}");
    let _ = writeln!(out, "{} {}", plan.name, plan.dialect);
    for rule in &plan.on {
        let filter = format!("{:?}", rule.filter);
        let filter = pattern.replace_all(&filter, "$1");
        let _ = writeln!(out, "on {} at {}", globs.replace_all(&filter, "$1"), rule.origin);
    }
    let _ = writeln!(out, "env {:?} group {:?}", plan.env, plan.group);
    for job in plan.jobs() {
        let _ = writeln!(
            out,
            "job {} at {} needs {:?}",
            job.key,
            job.origin,
            job.needs.iter().map(|key| key.as_str()).collect::<Vec<_>>()
        );
        let _ = writeln!(
            out,
            "  image {:?} docker {:?} attempts {}",
            job.image, job.docker, job.attempts_max
        );
        let mut say = |what: &str, there: bool, text: String| {
            if there {
                let _ = writeln!(out, "  {what} {text}");
            }
        };
        say("name", job.name.is_some(), format!("{:?}", job.name));
        say(
            "if",
            job.run_if.is_some(),
            format!("{:?}", job.run_if.as_ref().map(|condition| condition.expr.text())),
        );
        if let Some(matrix) = &job.matrix {
            say(
                "matrix",
                true,
                format!(
                    "{:?} fail-fast {} max {:?}",
                    matrix.axes, matrix.fail_fast, matrix.max_parallel
                ),
            );
            let members: Option<Vec<String>> = matrix
                .members()
                .map(|rows| rows.iter().map(|row| format!("{row:?}")).collect());
            say("members", true, format!("{members:?}"));
        }
        for service in &job.services {
            say(
                "service",
                true,
                format!(
                    "{} {:?} env {:?} ready {:?} within {:?} command {:?}",
                    service.name, service.image, service.env, service.ready, service.ready_within, service.command
                ),
            );
        }
        say("env", !job.env.is_empty(), format!("{:?}", job.env));
        say("limits", job.limits != Default::default(), format!("{:?}", job.limits));
        say(
            "failure",
            !matches!(job.on_failure, crate::plan::OnFailure::Fail),
            format!("{:?}", job.on_failure),
        );
        say("outputs", !job.outputs.is_empty(), format!("{:?}", job.outputs));
        say(
            "environment",
            job.environment.is_some(),
            format!("{:?}", job.environment),
        );
        for step in &job.steps {
            let action = match &step.action {
                Action::Build(build) => format!("{build:?}"),
                Action::Push(push) => format!("{push:?}"),
                other @ (Action::Script { .. } | Action::Container { .. }) => format!("{other:?}"),
            };
            say(
                "step",
                true,
                action.replace(&format!(", origin: {:?}", step.origin), ""),
            );
            let more = (
                &step.id,
                &step.name,
                step.run_if.as_ref().map(|condition| condition.expr.text()),
                &step.dir,
                step.timeout,
            );
            say("    ", more != (&None, &None, None, &None, None), format!("{more:?}"));
            say("    ", !step.env.is_empty(), format!("env {:?}", step.env));
            say(
                "    ",
                !matches!(step.on_failure, crate::plan::OnFailure::Fail),
                format!("{:?}", step.on_failure),
            );
        }
    }
    out
}

#[test]
fn every_key_is_understood() {
    let compiled = compile(&data("ok/everything.yml"));
    assert_eq!(compiled.render(false), "");
    insta::assert_snapshot!(shown(&compiled.plans[0]), @r#"
    web native
    on Push { branches: Some(["main", "release/**", "!release/old"]), branches_ignore: None, paths: Some(["src/**", "Dockerfile"]), paths_ignore: None } at .drydock.yml:7:3
    on PullRequest { branches: Some(["main"]), branches_ignore: None, paths: None, paths_ignore: None, actions: [] } at .drydock.yml:8:3
    on Tag { tags: Some(["v*"]), tags_ignore: None } at .drydock.yml:9:3
    on Schedule { cron: "0 3 * * *", time_zone: Some("Europe/Berlin"), branch: Some("main") } at .drydock.yml:10:23
    on Schedule { cron: "30 4 * * 1", time_zone: None, branch: None } at .drydock.yml:10:78
    on Manual { inputs: {"target": ManualInput { description: None, default: Some("staging"), options: ["staging", "production"], required: false }, "note": ManualInput { description: None, default: None, options: [], required: false }, "level": ManualInput { description: None, default: Some("1"), options: [], required: false }} } at .drydock.yml:11:3
    env {"CI": Template("true"), "VERSION": Template("${{ tag || sha }}")} group Some(Group { name: Template("deploy-${{ branch }}"), cancel_older: true })
    job image at .drydock.yml:15:3 needs []
      image None docker None attempts 1
      step ImageBuild { context: Template("."), dockerfile: Some(Template("Dockerfile")), target: Some(Template("runtime")), args: {"JAR_FILE": Template("app.jar")}, secrets: ["NPM_TOKEN"], platforms: ["linux/amd64"], cache: true, tags: [] }
    job unit at .drydock.yml:17:3 needs ["image"]
      image Named(Template("${{ needs.image.image }}")) docker None attempts 2
      name Some(Template("unit (${{ matrix.db }})"))
      matrix {"db": Values([Value(Number(15.0)), Value(Number(16.0)), Value(String("3.10"))])} fail-fast false max Some(2)
      members Some(["{\"db\": Number(15.0)}", "{\"db\": String(\"3.10\")}", "{\"db\": Number(17.0), \"experimental\": Bool(true)}"])
      service db Template("postgres:${{ matrix.db }}") env {"POSTGRES_PASSWORD": Template("ci")} ready Some("pg_isready -U postgres") within 90s command Some(["postgres", "-c", "fsync=off"])
      service cache Template("redis:7") env {} ready None within 120s command None
      limits Limits { cpus: Some(2.0), memory_bytes: Some(2147483648), pids: Some(512), timeout: Some(5400s) }
      failure Tolerate(Template("${{ matrix.experimental }}"))
      outputs {"tests": Template("${{ steps.count.outputs.tests }}")}
      step Script { shell: Default, text: Template("./prepare.sh") }
           env {"LANG": Template("C.UTF-8")}
      step Script { shell: Default, text: Template("./prepare.sh") }
           (None, Some(Template("again")), None, None, None)
           env {"LANG": Template("C.UTF-8")}
      step Script { shell: Default, text: Template("./gradlew test") }
      step Script { shell: Command(["bash", "--noprofile", "--norc", "-eo", "pipefail", "{0}"]), text: Template("echo \"tests=$(ls | wc -l)\" >> \"$DRYDOCK_OUTPUT\"") }
           (Some("count"), Some(Template("count ${{ matrix.db }}")), Some("success() && branch != 'wip'"), Some(Template("build")), Some(300s))
           Tolerate(Template("true"))
      step Container { image: Template("hadolint/hadolint"), entrypoint: None, args: [], script: Some((Default, Template("hadolint Dockerfile"))) }
           (None, Some(Template("lint")), None, None, None)
      step Container { image: Template("alpine:3.20"), entrypoint: Some(["echo"]), args: [Template("${{ steps.count.outputs.tests }}"), Template("two")], script: None }
    job later at .drydock.yml:53:3 needs ["unit"]
      image Default docker None attempts 1
      matrix {"shard": From(Template("${{ fromJSON(needs.unit.outputs.tests) }}"))} fail-fast true max None
      members None
      step Script { shell: Default, text: Template("test \"$SHARD\"") }
           env {"SHARD": Template("${{ matrix.shard }}"), "TOKEN": Template("${{ secrets.TOKEN }}")}
    job publish at .drydock.yml:59:3 needs ["image", "unit"]
      image None docker None attempts 1
      if Some("branch == 'main' || event.kind == 'tag'")
      step ImagePush { image: BuiltBy(JobKey("image")), to: Template("registry.example.com/team/web"), tags: [Template("${{ sha }}"), Template("${{ tag }}"), Template("latest")] }
      step ImagePush { image: BuiltBy(JobKey("image")), to: Template("localhost:5000/web"), tags: [Template("v1")] }
    job both at .drydock.yml:65:3 needs []
      image None docker None attempts 1
      step ImageBuild { context: Template("app"), dockerfile: None, target: None, args: {}, secrets: [], platforms: [], cache: true, tags: [] }
      step ImagePush { image: BuiltBy(JobKey("both")), to: Template("ghcr.io/team/app"), tags: [Template("${{ sha }}")] }
    job release at .drydock.yml:68:3 needs ["publish"]
      image Default docker None attempts 1
      env {"URL": Template("${{ vars.URL }}")}
      environment Some(Template("production"))
      step Script { shell: Default, text: Template("./deploy.sh") }
    "#);
}

#[test]
fn a_file_that_is_no_pipeline_is_told_in_one_line() {
    let cases = [
        "",
        "# nothing\n",
        "- a\n",
        "just text\n",
        "jobs:\n",
        "jobs: {}\n",
        "name: x\n",
        "a: 1\n---\nb: 2\n",
        "jobs: { a: { steps: [!x make] } }\n",
        "jobs: [ { steps: [a] } ]\n",
        "\u{0}",
        "jobs: { a: &a { steps: [make], needs: *a } }\n",
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|text| {
            let compiled = compile(text);
            let told = compiled
                .diagnostics
                .iter()
                .map(|found| found.one_line(&compiled.sources));
            format!("{text:?}\n  {}", told.collect::<Vec<_>>().join("\n  "))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r##"
    ""
      .drydock.yml:1:1: error[no-jobs]: the file has no jobs
    "# nothing\n"
      .drydock.yml:1:1: error[no-jobs]: the file has no jobs
    "- a\n"
      .drydock.yml:1:1: error[wrong-type]: a pipeline file is a mapping with `jobs`, not a list
    "just text\n"
      .drydock.yml:1:1: error[wrong-type]: a pipeline file is a mapping with `jobs`, not text
    "jobs:\n"
      .drydock.yml:1:5: error[no-value]: `jobs` has no value; it takes a mapping, each value a mapping (a job)
    "jobs: {}\n"
      .drydock.yml:1:7: error[no-jobs]: the file has no jobs
    "name: x\n"
      .drydock.yml:1:1: error[no-jobs]: the file has no jobs
    "a: 1\n---\nb: 2\n"
      .drydock.yml:1:1: error[unknown-key]: a pipeline file has no key `a`
      .drydock.yml:3:1: error[several-documents]: the file holds more than one YAML document
    "jobs: { a: { steps: [!x make] } }\n"
      .drydock.yml:1:22: error[unknown-tag]: the YAML tag `!x` means nothing here
    "jobs: [ { steps: [a] } ]\n"
      .drydock.yml:1:7: error[wrong-type]: `jobs` is a list, but takes a mapping, each value a mapping (a job)
    "\0"
      .drydock.yml:1:1: error[yaml]: no value can begin with `\u{0}`
    "jobs: { a: &a { steps: [make], needs: *a } }\n"
      .drydock.yml:1:39: error[yaml-alias]: an alias stands inside the value that it stands for
      .drydock.yml:1:39: error[no-value]: `needs` has no value; it takes text, or a list of such
    "##);
}

#[test]
fn what_follows_from_a_mistake_is_not_told_again() {
    insta::assert_snapshot!(wrong("jobs:\n  a:\n    stpes: [make]\n  b:\n    needs: nope\n    image: ${{ needs.nope.image }}\n    steps: [ { scripts: x } ]\n"), @"
    error[unknown-key]: a job has no key `stpes`
     --> .drydock.yml:3:5
      |
    3 |     stpes: [make]
      |     ^^^^^ unknown key
      |
      = help: did you mean `steps`?

    error[unknown-need]: job `b` needs `nope`, which this file does not define
     --> .drydock.yml:5:12
      |
    5 |     needs: nope
      |            ^^^^ no such job
      |
      = help: jobs in this file: a, b

    error[empty-step]: a step has neither `run` nor `image`
     --> .drydock.yml:7:14
      |
    7 |     steps: [ { scripts: x } ]
      |              ^^^^^^^^^^^^^^ does nothing
      |
      = help: write `run: ...` for a script, or `image: ...` for a container of its own

    error[unknown-key]: a step has no key `scripts`
     --> .drydock.yml:7:16
      |
    7 |     steps: [ { scripts: x } ]
      |                ^^^^^^^ unknown key
      |
      = help: keys of a step: id, name, run, image, entrypoint, args, env, dir, if, timeout, shell, allow-failure
    ");
}

#[test]
fn only_what_the_file_itself_decides_becomes_part_of_a_script() {
    let fine = "jobs:
  image: { build: . }
  test:
    needs: image
    matrix: { db: [15, 16], include: [ { db: 17, flag: --new } ] }
    steps:
      - id: first
        run: test ${{ matrix.db }} ${{ matrix.flag }} ${{ sha }} ${{ pipeline.number }} ${{ needs.image.image }}
      - run: echo ${{ event.kind }} ${{ event.number }} ${{ steps.first.outcome }} ${{ hashFiles('Dockerfile') }} ${{ job.id }}
";
    assert_eq!(wrong(fine), "");
    let spliced = [
        "branch",
        "tag",
        "event.ref",
        "event.message",
        "event.title",
        "event.actor",
        "event.source_branch",
        "event.labels[0]",
        "repo.full_name",
        "inputs.x",
        "vars.X",
        "env.X",
        "secrets.X",
        "steps.first.outputs.x",
        "needs.image.outputs",
        "toJSON(event)",
        "format('{0}', branch)",
        "event[matrix.db]",
        "toJSON(needs)",
        "toJSON(steps)",
        "matrix.late",
        "event.*",
    ];
    for expression in spliced {
        let text = format!(
            "on: {{ push: , manual: {{ inputs: {{ x: y }} }} }}
jobs:
  image: {{ build: . }}
  test:
    needs: image
    matrix: {{ db: [1], late: [\"${{{{ vars.X }}}}\"] }}
    steps:
      - {{ id: first, run: make }}
      - run: echo ${{{{ {expression} }}}}
"
        );
        let compiled = compile(&text);
        let codes: Vec<&str> = compiled.diagnostics.iter().map(|found| found.code).collect();
        assert!(
            codes.contains(&"script-injection"),
            "{expression}: {}",
            compiled.render(false)
        );
    }
}

#[test]
fn the_published_schema_is_the_models() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/drydock.schema.json");
    let made = serde_json::to_string_pretty(&schema()).expect("a schema is JSON") + "\n";
    if std::env::var_os("DRYDOCK_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &made).expect("the schema can be written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == made,
        "the model changed: DRYDOCK_WRITE_SCHEMA=1 cargo test --lib the_published_schema writes it"
    );
}

#[test]
fn every_ready_made_pipeline_is_free_of_mistakes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("there are pipelines") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let text = std::fs::read_to_string(&path).expect("it can be read");
            assert_eq!(wrong(&text), "", "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen}");
}
