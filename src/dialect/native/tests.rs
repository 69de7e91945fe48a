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
fn mistakes_in_events_are_all_told() {
    insta::assert_snapshot!(wrong(&data("bad/on.yml")), @r#"
    error[unknown-key]: `on` has no key `pushh`
     --> .drydock.yml:3:3
      |
    3 |   pushh: main
      |   ^^^^^ unknown key
      |
      = help: did you mean `push`?

    error[glob]: the pattern `[z-a]` cannot be read: `z-a` is no range of letters or digits in `[z-a]` of `[z-a]`
     --> .drydock.yml:5:22
      |
    5 |     branches: [main, "[z-a]"]
      |                      ^^^^^^^ this pattern

    error[both-filters]: `branches` and `branches-ignore` cannot stand together
     --> .drydock.yml:6:22
      |
    5 |     branches: [main, "[z-a]"]
      |               --------------- first filter
    6 |     branches-ignore: dev
      |                      ^^^ second filter
      |
      = help: write one of them; patterns with `!` under `branches` take names out

    error[glob]: all patterns begin with `!`, so that nothing can match
     --> .drydock.yml:7:12
      |
    7 |     paths: ["!docs/**"]
      |            ^^^^^^^^^^^^ nothing matches
      |
      = help: put a pattern that matches first, such as "**"

    error[unknown-key]: `push` has no key `tags`
     --> .drydock.yml:8:5
      |
    8 |     tags: [v1]
      |     ^^^^ unknown key
      |
      = help: tags are an event of their own: on: { tag: [...] }

    error[unknown-key]: `pull_request` has no key `types`
      --> .drydock.yml:10:5
       |
    10 |     types: [opened]
       |     ^^^^^ unknown key
       |
       = help: Drydock's key is `actions`

    error[unknown-action]: nothing that happens to a pull request is called `mergd`
      --> .drydock.yml:11:23
       |
    11 |     actions: [opened, mergd]
       |                       ^^^^^ no such action
       |
       = help: did you mean `merged`?

    error[empty]: this list of patterns is empty
      --> .drydock.yml:12:8
       |
    12 |   tag: []
       |        ^^ nothing in it
       |
       = help: write at least one pattern, or take the key out

    error[cron]: `0 25 * * *` is no cron expression: Component error: Number out of bounds
      --> .drydock.yml:14:13
       |
    14 |     - cron: "0 25 * * *"
       |             ^^^^^^^^^^^^ not understood
       |
       = help: five fields: minute, hour, day of month, month, day of week, e.g. "0 3 * * 1-5"

    error[time-zone]: there is no time zone `Europe/Berlln`
      --> .drydock.yml:15:18
       |
    15 |       time-zone: Europe/Berlln
       |                  ^^^^^^^^^^^^^ no such zone
       |
       = help: write an IANA name such as `Europe/Berlin` or `UTC`

    error[cron]: `* * *` is no cron expression: Invalid pattern: Pattern must have 5 fields when seconds are disallowed
      --> .drydock.yml:16:7
       |
    16 |     - "* * *"
       |       ^^^^^^^ not understood
       |
       = help: five fields: minute, hour, day of month, month, day of week, e.g. "0 3 * * 1-5"

    error[missing-key]: `schedule` has no `cron`
      --> .drydock.yml:17:7
       |
    17 |     - branch: main
       |       ^^^^^^^^^^^^ no `cron` here
       |
       = help: write `schedule: { cron: "0 3 * * *" }`

    error[input-default]: the default `stagin` is none of the options
      --> .drydock.yml:20:58
       |
    20 |       target: { options: [staging, production], default: stagin }
       |                                                          ^^^^^^ no option
       |
       = help: did you mean `staging`?

    error[unknown-key]: an input has no key `type`
      --> .drydock.yml:21:16
       |
    21 |       level: { type: string }
       |                ^^^^ unknown key
       |
       = help: an input is text, or one of its `options`

    error[missing-key]: `concurrency` has no `group`
      --> .drydock.yml:22:14
       |
    22 | concurrency: { cancel: yes }
       |              ^^^^^^^^^^^^^^^ no `group` here
       |
       = help: write `concurrency: { group: deploy, cancel: true }`

    error[wrong-value]: `cancel` takes `true` or `false`, not `yes`
      --> .drydock.yml:22:24
       |
    22 | concurrency: { cancel: yes }
       |                        ^^^ not understood
       |
       = help: write `true`
    "#);
}

#[test]
fn mistakes_in_jobs_are_all_told() {
    insta::assert_snapshot!(wrong(&data("bad/jobs.yml")), @"
    error[job-id]: `1st` is no job id
     --> .drydock.yml:2:3
      |
    2 |   1st:
      |   ^^^ not allowed
      |
      = help: letters, digits, `-` and `_`, a letter or `_` first, at most 60 characters; what people see goes into `name`

    error[unknown-key]: a job has no key `runs-on`
     --> .drydock.yml:5:5
      |
    5 |     runs-on: ubuntu-latest
      |     ^^^^^^^ unknown key
      |
      = help: Drydock jobs run in containers: write `image: ...`

    error[unknown-key]: a job has no key `timeout`
     --> .drydock.yml:6:5
      |
    6 |     timeout: 20m
      |     ^^^^^^^ unknown key
      |
      = help: write `limits: { timeout: 20m }`

    error[unknown-key]: a job has no key `stepz`
     --> .drydock.yml:7:5
      |
    7 |     stepz: [make]
      |     ^^^^^ unknown key
      |
      = help: did you mean `steps`?

    error[duplicate-id]: jobs `Build` and `build` differ only in case
     --> .drydock.yml:8:3
      |
    4 |   build:
      |   ----- first
    ...
    8 |   Build:
      |   ^^^^^ second
      |
      = help: expressions find names without regard to case; give them different names

    error[empty-job]: job `Build` does nothing: it has no `steps`, no `build` and no `push`
     --> .drydock.yml:9:12
      |
    9 |     steps: []
      |            ^^ does nothing
      |
      = help: write `steps: [ { run: ... } ]`

    error[unknown-need]: job `test` needs `biuld`, which this file does not define
      --> .drydock.yml:11:13
       |
    11 |     needs: [biuld, lint, lint]
       |             ^^^^^ no such job
       |
       = help: did you mean `build`?

    warning[need-twice]: job `test` names `lint` twice under `needs`
      --> .drydock.yml:11:26
       |
    11 |     needs: [biuld, lint, lint]
       |                    ----  ^^^^ again here
       |                    |
       |                    first here

    error[cycle]: the jobs need each other in a circle: test -> lint -> test
      --> .drydock.yml:15:12
       |
    11 |     needs: [biuld, lint, lint]
       |                    ---- `test` needs `lint`
    ...
    15 |     needs: test
       |            ^^^^ closes the circle
       |
       = help: take one of these needs out, so that one of the jobs can begin

    error[cycle]: job `alone` needs itself
      --> .drydock.yml:18:12
       |
    18 |     needs: alone
       |            ^^^^^ closes the circle
       |
       = help: take one of these needs out, so that one of the jobs can begin

    error[empty-job]: job `nothing` does nothing: it has no `steps`, no `build` and no `push`
      --> .drydock.yml:20:3
       |
    20 |   nothing:
       |   ^^^^^^^ does nothing
       |
       = help: write `steps: [ { run: ... } ]`

    error[out-of-range]: `retry` takes a number from 0 to 10, not `99`
      --> .drydock.yml:23:12
       |
    23 |     retry: 99
       |            ^^ out of range

    error[wrong-value]: `docker` takes one of none, socket, dind, dind-rootless, host, not `sokcet`
      --> .drydock.yml:24:13
       |
    24 |     docker: sokcet
       |             ^^^^^^ not understood
       |
       = help: did you mean `socket`?

    error[expression]: `allow-failure` takes `true`, `false` or `${{ an expression }}`, not `maybe`
      --> .drydock.yml:25:20
       |
    25 |     allow-failure: maybe
       |                    ^^^^^ in this expression

    error[out-of-range]: `cpus` takes a number from 0.01 to 1024, not `0`
      --> .drydock.yml:26:21
       |
    26 |     limits: { cpus: 0, memory: 2, pids: lots, timeout: 20, disk: 3GiB }
       |                     ^ out of range

    error[wrong-value]: `memory` takes a size such as `512MiB` or `2GiB`, not `2`
      --> .drydock.yml:26:32
       |
    26 |     limits: { cpus: 0, memory: 2, pids: lots, timeout: 20, disk: 3GiB }
       |                                ^ a unit is missing: MiB, GiB, MB or GB

    error[wrong-value]: `pids` takes a whole number, not `lots`
      --> .drydock.yml:26:41
       |
    26 |     limits: { cpus: 0, memory: 2, pids: lots, timeout: 20, disk: 3GiB }
       |                                         ^^^^ not understood

    error[wrong-value]: `timeout` takes a duration such as `90s`, `20m` or `2h`, not `20`
      --> .drydock.yml:26:56
       |
    26 |     limits: { cpus: 0, memory: 2, pids: lots, timeout: 20, disk: 3GiB }
       |                                                        ^^ a unit is missing: s, m, h or d

    error[unknown-key]: `limits` has no key `disk`
      --> .drydock.yml:26:60
       |
    26 |     limits: { cpus: 0, memory: 2, pids: lots, timeout: 20, disk: 3GiB }
       |                                                            ^^^^ unknown key
       |
       = help: keys of `limits`: cpus, memory, pids, timeout

    error[no-value]: `steps` has no value; it takes a list, each item text or a mapping (a step)
      --> .drydock.yml:29:10
       |
    29 |     steps:
       |          ^ nothing here
       |
       = help: write a value, or leave the key out

    error[wrong-type]: `image` is a list, but takes text
      --> .drydock.yml:31:12
       |
    31 |     image: [a, b]
       |            ^^^^^^ a list here

    error[wrong-type]: `env` is text, but takes a mapping, each value text
      --> .drydock.yml:32:10
       |
    32 |     env: FOO=bar
       |          ^^^^^^^ text here

    error[wrong-type]: `services` is text, but takes a mapping, each value text or a mapping (a service)
      --> .drydock.yml:33:15
       |
    33 |     services: postgres
       |               ^^^^^^^^ text here

    error[wrong-type]: `steps` is text, but takes a list, each item text or a mapping (a step)
      --> .drydock.yml:34:12
       |
    34 |     steps: make
       |            ^^^^ text here
    ");
}

#[test]
fn mistakes_in_steps_are_all_told() {
    insta::assert_snapshot!(wrong(&data("bad/steps.yml")), @r#"
    error[image-reference]: `Alpine:latest` is no image reference: names of images are lower case
     --> .drydock.yml:3:12
      |
    3 |     image: "Alpine:latest"
      |            ^^^^^^^^^^^^^^^ not an image
      |
      = help: an image is written `name`, `name:tag`, `registry.example.com/team/name:tag` or `name@sha256:...`

    error[variable-name]: `1A` is no variable name
     --> .drydock.yml:4:12
      |
    4 |     env: { 1A: x, DRYDOCK_SHA: y, GOOD: ok }
      |            ^^ not allowed
      |
      = help: letters, digits and `_`, no digit first

    error[reserved-variable]: `DRYDOCK_SHA` is set by Drydock and cannot be set here
     --> .drydock.yml:4:19
      |
    4 |     env: { 1A: x, DRYDOCK_SHA: y, GOOD: ok }
      |                   ^^^^^^^^^^^ reserved
      |
      = help: variables that begin with `DRYDOCK` are Drydock's

    error[service-name]: `My_DB` is no host name
     --> .drydock.yml:6:7
      |
    6 |       My_DB: postgres:16
      |       ^^^^^ not allowed
      |
      = help: a service is reached by this name: lower-case letters, digits, `-` and `.`, at most 63 characters

    error[missing-key]: service `db` has no `image`
     --> .drydock.yml:7:7
      |
    7 |       db: { env: { A: b }, ready: "pg_isready", timeout: soon, ports: ["5432:5432"] }
      |       ^^ no `image` here
      |
      = help: write `db: { image: postgres:16 }`

    error[wrong-value]: `timeout` takes a duration such as `90s`, `20m` or `2h`, not `soon`
     --> .drydock.yml:7:58
      |
    7 |       db: { env: { A: b }, ready: "pg_isready", timeout: soon, ports: ["5432:5432"] }
      |                                                          ^^^^ not understood

    error[unknown-key]: a service has no key `ports`
     --> .drydock.yml:7:64
      |
    7 |       db: { env: { A: b }, ready: "pg_isready", timeout: soon, ports: ["5432:5432"] }
      |                                                                ^^^^^ unknown key
      |
      = help: services are reached by their name on the job's network; no port needs to be published

    error[image-reference]: `redis:` is no image reference: its tag is not allowed
     --> .drydock.yml:8:14
      |
    8 |       cache: "redis:"
      |              ^^^^^^^^ not an image
      |
      = help: an image is written `name`, `name:tag`, `registry.example.com/team/name:tag` or `name@sha256:...`

    error[command]: the quotes in `sh -c 'oops` do not match
     --> .drydock.yml:9:36
      |
    9 |       q: { image: rabbit, command: "sh -c 'oops" }
      |                                    ^^^^^^^^^^^^^ cannot be split into words
      |
      = help: write the words as a list: [sh, -c, "..."]

    error[unknown-key]: a step has no key `rnu`
      --> .drydock.yml:11:9
       |
    11 |       - rnu: make
       |         ^^^ unknown key
       |
       = help: did you mean `run`?

    error[empty]: `run` is empty
      --> .drydock.yml:12:14
       |
    12 |       - run: ""
       |              ^^ nothing in it
       |
       = help: write a command, or take the step out

    error[step-id]: `a b` is no step id
      --> .drydock.yml:13:13
       |
    13 |       - id: a b
       |             ^^^ not allowed
       |
       = help: letters, digits, `-` and `_`, a letter or `_` first; what people see goes into `name`

    error[duplicate-id]: two steps of this job have the id `Same`
      --> .drydock.yml:17:13
       |
    15 |       - id: same
       |             ---- first here
    16 |         run: make
    17 |       - id: Same
       |             ^^^^ again here

    error[no-effect]: `shell` has no effect without `run`
      --> .drydock.yml:19:9
       |
    19 |       - shell: bash
       |         ^^^^^ has no effect
       |
       = help: write `run` too, or take `shell` out

    error[no-effect]: `args` has no effect beside `run`
      --> .drydock.yml:22:9
       |
    22 |         args: x
       |         ^^^^ has no effect
    23 |         run: make
       |         --- the script decides what runs
       |
       = help: leave one of them out

    error[unknown-key]: a step has no key `uses`
      --> .drydock.yml:24:9
       |
    24 |       - uses: actions/checkout@v4
       |         ^^^^ unknown key
       |
       = help: actions run in GitHub's dialect (.github/workflows); here a step has `run` or `image`

    error[expression]: unexpected end of expression: a value should follow
      --> .drydock.yml:26:21
       |
    26 |         if: success(
       |                     ^ in this expression

    error[wrong-value]: `timeout` takes a duration such as `90s`, `20m` or `2h`, not `5 parsecs`
      --> .drydock.yml:27:18
       |
    27 |         timeout: 5 parsecs
       |                  ^^^^^^^^^ `parsecs` is no unit; use s, m, h or d

    error[unknown-key]: a step has no key `working-directory`
      --> .drydock.yml:28:9
       |
    28 |         working-directory: src
       |         ^^^^^^^^^^^^^^^^^ unknown key
       |
       = help: Drydock's key is `dir`

    error[no-value]: an item of `steps` is empty; it takes text or a mapping (a step)
      --> .drydock.yml:29:8
       |
    29 |       -
       |        ^ nothing here
       |
       = help: write a value, or leave the item out

    error[command]: the quotes in `a ${{ sha }}` do not match
      --> .drydock.yml:31:15
       |
    31 |         args: "a ${{ sha }}"
       |               ^^^^^^^^^^^^^^ cannot be split into words
       |
       = help: write the words as a list: [sh, -c, "..."]
       = help: write the arguments as a list: [first, "${{ second }}"]
    "#);
}

#[test]
fn mistakes_in_expressions_are_all_told() {
    insta::assert_snapshot!(wrong(&data("bad/expressions.yml")), @r#"
    error[context-not-here]: `needs` is not known in the pipeline's `env`
     --> .drydock.yml:2:16
      |
    2 | env: { A: "${{ needs.x }}", B: "${{ branchh }}" }
      |                ^^^^^^^ not known here
      |
      = help: known here: event, repo, branch, tag, sha, pipeline, inputs, vars, secrets, env

    error[unknown-context]: there is no context `branchh`
     --> .drydock.yml:2:37
      |
    2 | env: { A: "${{ needs.x }}", B: "${{ branchh }}" }
      |                                     ^^^^^^^ unknown
      |
      = help: did you mean `branch`?

    error[context-not-here]: `secrets` is not known in `concurrency`
     --> .drydock.yml:3:25
      |
    3 | concurrency: deploy-${{ secrets.X }}
      |                         ^^^^^^^^^ not known here
      |
      = help: put the secret into the step's `env` and look at the variable in the script

    error[unknown-name]: `steps` has no `two`
      --> .drydock.yml:10:73
       |
    10 |     outputs: { version: "${{ steps.one.outputs.version }}", wrong: "${{ steps.two.outputs.x }}" }
       |                                                                         ^^^^^^^^^^^^^^^^^^^ no such name
       |
       = help: names in `steps`: one

    error[unknown-context]: there is no context `github`
      --> .drydock.yml:13:9
       |
    13 |     if: github.ref == 'refs/heads/main' && secrets.TOKEN && matrix.a == 1
       |         ^^^^^^^^^^ unknown
       |
       = help: Drydock's contexts are `event`, `repo`, `branch`, `tag` and `sha`

    error[secret-in-if]: `if` cannot look at secrets: whether a job runs is shown to everybody
      --> .drydock.yml:13:44
       |
    13 |     if: github.ref == 'refs/heads/main' && secrets.TOKEN && matrix.a == 1
       |                                            ^^^^^^^^^^^^^ a secret here
       |
       = help: put the secret into `env` and let the script look at the variable

    error[context-not-here]: `matrix` is not known in a job's `if`
      --> .drydock.yml:13:61
       |
    13 |     if: github.ref == 'refs/heads/main' && secrets.TOKEN && matrix.a == 1
       |                                                             ^^^^^^^^ not known here
       |
       = help: leave members out with `matrix: { exclude: ... }`, or write the condition at the steps

    error[unknown-name]: `matrix` has no `c`
      --> .drydock.yml:14:20
       |
    14 |     name: test ${{ matrix.c }}
       |                    ^^^^^^^^ no such name
       |
       = help: did you mean `a`?

    error[unknown-name]: `needs.other.outputs` has no `list`
      --> .drydock.yml:15:43
       |
    15 |     matrix: { a: [1, 2], b: "${{ fromJSON(needs.other.outputs.list) }}" }
       |                                           ^^^^^^^^^^^^^^^^^^^^^^^^ no such name
       |
       = help: names in `needs.other.outputs`: version, wrong

    error[unknown-name]: job `other` builds no image, so that `needs.other.image` is empty
      --> .drydock.yml:16:16
       |
    16 |     image: ${{ needs.other.image }}
       |                ^^^^^^^^^^^^^^^^^ no image
       |
       = help: give `other` a `build`, or name another job

    error[script-injection]: `needs.other.outputs.version` would become part of the script's text, where whoever chooses it could run commands
      --> .drydock.yml:18:48
       |
    18 |       - run: echo ${{ needs.image.image }} ${{ needs.other.outputs.version }} ${{ matrix.a }} ${{ matrix.b }}
       |                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^ not in a script
       |
       = help: hand it to the step as a variable, `env: { VERSION: "${{ needs.other.outputs.version }}" }`, and write "$VERSION"

    error[script-injection]: `matrix.b` would become part of the script's text, where whoever chooses it could run commands
      --> .drydock.yml:18:99
       |
    18 |       - run: echo ${{ needs.image.image }} ${{ needs.other.outputs.version }} ${{ matrix.a }} ${{ matrix.b }}
       |                                                                                                   ^^^^^^^^ not in a script
       |
       = help: hand it to the step as a variable, `env: { B: "${{ matrix.b }}" }`, and write "$B"

    error[script-injection]: `event.title` would become part of the script's text, where whoever chooses it could run commands
      --> .drydock.yml:21:21
       |
    21 |           echo "${{ event.title }}" ${{ env.A }} ${{ inputs.level }}
       |                     ^^^^^^^^^^^ not in a script
       |
       = help: hand it to the step as a variable, `env: { TITLE: "${{ event.title }}" }`, and write "$TITLE"

    error[script-injection]: `env.A` would become part of the script's text, where whoever chooses it could run commands
      --> .drydock.yml:21:41
       |
    21 |           echo "${{ event.title }}" ${{ env.A }} ${{ inputs.level }}
       |                                         ^^^^^ not in a script
       |
       = help: write "$A", the variable that holds it

    error[script-injection]: `inputs.level` would become part of the script's text, where whoever chooses it could run commands
      --> .drydock.yml:21:54
       |
    21 |           echo "${{ event.title }}" ${{ env.A }} ${{ inputs.level }}
       |                                                      ^^^^^^^^^^^^ not in a script
       |
       = help: hand it to the step as a variable, `env: { LEVEL: "${{ inputs.level }}" }`, and write "$LEVEL"

    error[script-injection]: `branch` would become part of the script's text, where whoever chooses it could run commands
      --> .drydock.yml:22:28
       |
    22 |           git checkout ${{ branch }}
       |                            ^^^^^^ not in a script
       |
       = help: write "$DRYDOCK_BRANCH", the variable that holds it

    error[unknown-name]: `steps.late` is asked about before that step has run
      --> .drydock.yml:24:13
       |
    24 |         if: steps.late.outcome == 'success'
       |             ^^^^^^^^^^^^^^^^^^ comes later
       |
       = help: a step sees the steps above it

    error[unknown-name]: `steps.early` has no `outcom`
      --> .drydock.yml:27:17
       |
    27 |         if: ${{ steps.early.outcom }} == 'x'
       |                 ^^^^^^^^^^^^^^^^^^ no such name
       |
       = help: did you mean `outcome`?

    error[unknown-name]: `event` has no `tittle`
      --> .drydock.yml:31:18
       |
    31 |           A: ${{ event.tittle }}
       |                  ^^^^^^^^^^^^ no such name
       |
       = help: did you mean `title`?

    error[unknown-name]: `inputs` has no `levle`
      --> .drydock.yml:32:18
       |
    32 |           B: ${{ inputs.levle }}
       |                  ^^^^^^^^^^^^ no such name
       |
       = help: did you mean `level`?

    error[unknown-need]: job `test` asks about `needs.imag`, but does not need `imag`
      --> .drydock.yml:33:18
       |
    33 |           C: ${{ needs.imag.image }}
       |                  ^^^^^^^^^^^^^^^^ not among its needs
       |
       = help: did you mean `image`?

    error[unknown-name]: `needs.image` has no `imge`
      --> .drydock.yml:34:18
       |
    34 |           D: ${{ needs.image.imge }}
       |                  ^^^^^^^^^^^^^^^^ no such name
       |
       = help: did you mean `image`?

    error[unknown-name]: `branch` is text and has nothing inside
      --> .drydock.yml:35:18
       |
    35 |           E: ${{ branch.name }}
       |                  ^^^^^^^^^^^ nothing inside
       |
       = help: write `branch` alone

    error[expression]: unrecognized function `frobnicate`: here are case, contains, endsWith, format, fromJSON, join, startsWith, toJSON, hashFiles
      --> .drydock.yml:36:18
       |
    36 |           F: ${{ frobnicate(1) }}
       |                  ^^^^^^^^^^ in this expression

    error[expression]: too few parameters: `contains` takes 2, 1 given
      --> .drydock.yml:37:18
       |
    37 |           G: ${{ contains('a') }}
       |                  ^^^^^^^^^^^^^ in this expression

    error[expression]: this `${{` has no closing `}}`
      --> .drydock.yml:38:14
       |
    38 |           H: ${{ 'unclosed }}
       |              ^^^^^^^^^^^^^^^^ in this expression

    error[unknown-name]: `needs.other.outputs` has no `versoin`
      --> .drydock.yml:39:18
       |
    39 |           I: ${{ needs.other.outputs.versoin }}
       |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^ no such name
       |
       = help: did you mean `version`?

    error[unknown-name]: `repo` has no `nme`
      --> .drydock.yml:40:18
       |
    40 |           J: ${{ repo.nme }}${{ toJSON(nedes) }}
       |                  ^^^^^^^^ no such name
       |
       = help: did you mean `name`?

    error[unknown-context]: there is no context `nedes`
      --> .drydock.yml:40:40
       |
    40 |           J: ${{ repo.nme }}${{ toJSON(nedes) }}
       |                                        ^^^^^ unknown
       |
       = help: did you mean `needs`?
    "#);
}

#[test]
fn mistakes_in_images_are_all_told() {
    insta::assert_snapshot!(wrong(&data("bad/images.yml")), @r#"
    error[path]: `context` cannot be `../up`: it leads out of the repository
     --> .drydock.yml:3:23
      |
    3 |     build: { context: ../up, args: { TOKEN: "${{ secrets.TOKEN }}" }, secrets: ["a b"], platforms: [linux], tags: ["No/Good"] }
      |                       ^^^^^ outside
      |
      = help: paths are relative to the repository's root and stay inside of it

    error[secret-in-image]: the build argument `TOKEN` holds a secret, which would stay readable in the image
     --> .drydock.yml:3:45
      |
    3 |     build: { context: ../up, args: { TOKEN: "${{ secrets.TOKEN }}" }, secrets: ["a b"], platforms: [linux], tags: ["No/Good"] }
      |                                             ^^^^^^^^^^^^^^^^^^^^^^ a secret here
      |
      = help: write `secrets: [NAME]` and `RUN --mount=type=secret,id=NAME ...` in the Dockerfile

    error[secret-name]: `a b` is no name of a secret
     --> .drydock.yml:3:81
      |
    3 |     build: { context: ../up, args: { TOKEN: "${{ secrets.TOKEN }}" }, secrets: ["a b"], platforms: [linux], tags: ["No/Good"] }
      |                                                                                 ^^^^^ not allowed
      |
      = help: letters, digits and `_`, no digit first; the value is set with `drydock secret set NAME`

    error[out-of-range]: `platforms` takes platforms such as `linux/amd64`, not `linux`
     --> .drydock.yml:3:101
      |
    3 |     build: { context: ../up, args: { TOKEN: "${{ secrets.TOKEN }}" }, secrets: ["a b"], platforms: [linux], tags: ["No/Good"] }
      |                                                                                                     ^^^^^ out of range

    error[image-reference]: `No/Good` is no image reference: names of images are lower case
     --> .drydock.yml:3:116
      |
    3 |     build: { context: ../up, args: { TOKEN: "${{ secrets.TOKEN }}" }, secrets: ["a b"], platforms: [linux], tags: ["No/Good"] }
      |                                                                                                                    ^^^^^^^^^ not an image
      |
      = help: an image is written `name`, `name:tag`, `registry.example.com/team/name:tag` or `name@sha256:...`

    error[no-such-file]: `dockerfile` names `docker/Dockerfle`, which the repository does not have
     --> .drydock.yml:5:26
      |
    5 |     build: { dockerfile: docker/Dockerfle }
      |                          ^^^^^^^^^^^^^^^^ no such file
      |
      = help: did you mean `docker/Dockerfile`?

    error[no-such-file]: `context` names `ap`, which the repository does not have
     --> .drydock.yml:7:12
      |
    7 |     build: ./ap
      |            ^^^^ no such file
      |
      = help: did you mean `app`?

    error[steps-beside-build]: job `both` has `steps` beside `build`
      --> .drydock.yml:18:5
       |
    17 |     build: .
       |     ----- runs in no container
    18 |     steps: [make]
       |     ^^^^^ these steps would have no container
       |
       = help: put the steps into a job of their own with `needs: both`

    error[no-effect]: job `idle` runs no steps, so that its `image` has no effect
      --> .drydock.yml:20:5
       |
    20 |     image: alpine
       |     ^^^^^ has no effect
       |
       = help: take it out, or give the job `steps`

    error[no-effect]: job `idle` runs no steps, so that its `services` has no effect
      --> .drydock.yml:21:5
       |
    21 |     services: { db: postgres }
       |     ^^^^^^^^ has no effect
       |
       = help: take it out, or give the job `steps`

    error[push-image]: job `idle` pushes, but does not say which image
      --> .drydock.yml:22:11
       |
    22 |     push: registry.example.com/team/web:v1
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ no `image` here
       |
       = help: write `image:` with one of image, missing, folder, many, both

    error[push-image]: job `unbuilt` pushes what `runs` built, but `runs` builds no image
      --> .drydock.yml:25:20
       |
    25 |     push: { image: runs, to: registry.example.com/team/web }
       |                    ^^^^ builds nothing
       |
       = help: jobs that build: image, missing, folder, many, both

    error[image-tag]: `-v` is no image tag
      --> .drydock.yml:27:77
       |
    27 |     push: { image: image, to: registry.example.com/team/web, tags: [latest, "-v"] }
       |                                                                             ^^^^ not a tag
       |
       = help: letters, digits, `_`, `.` and `-`, no `.` or `-` first, at most 128 characters

    error[push-image]: job `which` pushes, but does not say which image
      --> .drydock.yml:30:11
       |
    30 |     push: { to: registry.example.com/team/web:1, tags: [latest], tag: x }
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ no `image` here
       |
       = help: write `image:` with one of image, missing

    error[push-to]: `registry.example.com/team/web:1` holds a tag, and `tags` stands beside it
      --> .drydock.yml:30:17
       |
    30 |     push: { to: registry.example.com/team/web:1, tags: [latest], tag: x }
       |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ a tag here
       |
       = help: leave the tag out of `to`

    error[unknown-key]: `push` has no key `tag`
      --> .drydock.yml:30:66
       |
    30 |     push: { to: registry.example.com/team/web:1, tags: [latest], tag: x }
       |                                                                  ^^^ unknown key
       |
       = help: did you mean `tags`?

    error[push-image]: job `typo` pushes `imgae`, which is no job of this file
      --> .drydock.yml:33:20
       |
    33 |     push: { image: imgae, to: Registry.example.com/Team/Web }
       |                    ^^^^^ no such job
       |
       = help: did you mean `image`?

    error[image-reference]: `Registry.example.com/Team/Web` is no image reference: names of images are lower case
      --> .drydock.yml:33:31
       |
    33 |     push: { image: imgae, to: Registry.example.com/Team/Web }
       |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not an image
       |
       = help: an image is written `name`, `name:tag`, `registry.example.com/team/name:tag` or `name@sha256:...`

    error[push-image]: job `matrixed` pushes what `many` built, but `many` builds once for each member of its matrix
      --> .drydock.yml:36:20
       |
     9 |     matrix: { a: [1, 2] }
       |             ------------- builds several images
    ...
    36 |     push: { image: many, to: "https://registry.example.com/x" }
       |                    ^^^^ which of them?
       |
       = help: push in the job that builds: it may have `build` and `push`

    error[image-reference]: `https://registry.example.com/x` is no image reference: it is a web address; leave `https://` out
      --> .drydock.yml:36:30
       |
    36 |     push: { image: many, to: "https://registry.example.com/x" }
       |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not an image
       |
       = help: an image is written `name`, `name:tag`, `registry.example.com/team/name:tag` or `name@sha256:...`

    error[missing-key]: `push` has no `to`
      --> .drydock.yml:39:11
       |
    39 |     push: { image: image }
       |           ^^^^^^^^^^^^^^^^ no `to` here
       |
       = help: write `to: registry.example.com/team/name`
    "#);
}

#[test]
fn mistakes_in_matrices_are_all_told() {
    insta::assert_snapshot!(wrong(&data("bad/matrix.yml")), @r#"
    error[empty]: the axis `x` is empty
     --> .drydock.yml:3:18
      |
    3 |     matrix: { x: [], y: 3, z: { a: 1 } }
      |                  ^^ nothing in it
      |
      = help: give it at least one value, or take the axis out

    error[matrix]: the axis `y` takes a list of values or one expression, not a number
     --> .drydock.yml:3:25
      |
    3 |     matrix: { x: [], y: 3, z: { a: 1 } }
      |                         ^ no list
      |
      = help: write `y: [a, b]`

    error[matrix]: the axis `z` takes a list of values or one expression, not a mapping
     --> .drydock.yml:3:31
      |
    3 |     matrix: { x: [], y: 3, z: { a: 1 } }
      |                               ^^^^^^^^ no list
      |
      = help: write `z: [a, b]`

    error[matrix]: `exclude` names `w`, which is no axis of the matrix
     --> .drydock.yml:6:43
      |
    6 |     matrix: { x: [1, 2], exclude: { x: 1, w: 2 }, max-parallel: 0, fail-fast: no }
      |                                           ^ no such axis
      |
      = help: did you mean `x`?

    error[out-of-range]: `max-parallel` takes a number from 1, not `0`
     --> .drydock.yml:6:65
      |
    6 |     matrix: { x: [1, 2], exclude: { x: 1, w: 2 }, max-parallel: 0, fail-fast: no }
      |                                                                 ^ out of range

    error[wrong-value]: `fail-fast` takes `true` or `false`, not `no`
     --> .drydock.yml:6:79
      |
    6 |     matrix: { x: [1, 2], exclude: { x: 1, w: 2 }, max-parallel: 0, fail-fast: no }
      |                                                                               ^^ not understood
      |
      = help: write `false`

    error[matrix]: the matrix has no member, so that the job would never run
     --> .drydock.yml:9:13
      |
    9 |     matrix: { x: [1], exclude: [ { x: 1 } ] }
      |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ nothing left
      |
      = help: give it at least one combination, or take the matrix out

    error[matrix]: the matrix gives 300 jobs; at most 256 are allowed
      --> .drydock.yml:13:7
       |
    13 |       a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ too many combinations

    error[matrix]: `matrix` takes a mapping from axes to lists, or one expression that gives it
      --> .drydock.yml:18:13
       |
    18 |     matrix: 3
       |             ^ neither
       |
       = help: write `matrix: { node: [22, 24] }`

    error[context-not-here]: `matrix` is not known in `matrix`
      --> .drydock.yml:21:23
       |
    21 |     matrix: { x: "${{ matrix.y }}", include: [ {} ] }
       |                       ^^^^^^^^ not known here
       |
       = help: leave members out with `matrix: { exclude: ... }`, or write the condition at the steps

    error[empty]: this member is empty
      --> .drydock.yml:21:48
       |
    21 |     matrix: { x: "${{ matrix.y }}", include: [ {} ] }
       |                                                ^^ nothing in it
       |
       = help: name at least one value
    "#);
}

#[test]
fn what_cannot_be_run_yet_is_told_and_checked_all_the_same() {
    insta::assert_snapshot!(wrong(&data("bad/not-yet.yml")), @r#"
    error[not-yet]: `docker` cannot be run by this version of Drydock yet: the job would have no Docker
     --> .drydock.yml:3:5
      |
    3 |     docker: socket
      |     ^^^^^^ not yet
      |
      = help: the key is valid; take it out until a version runs it

    error[not-yet]: `compose` cannot be run by this version of Drydock yet: its services would not come up
     --> .drydock.yml:4:5
      |
    4 |     compose: docker-compse.yml
      |     ^^^^^^^ not yet
      |
      = help: the key is valid; take it out until a version runs it

    error[no-such-file]: `compose` names `docker-compse.yml`, which the repository does not have
     --> .drydock.yml:4:14
      |
    4 |     compose: docker-compse.yml
      |              ^^^^^^^^^^^^^^^^^ no such file
      |
      = help: did you mean `docker-compose.yml`?

    error[not-yet]: `reports` cannot be run by this version of Drydock yet: no test result would be shown
     --> .drydock.yml:6:5
      |
    6 |     reports: { junit: "**/*.xml", covrage: x }
      |     ^^^^^^^ not yet
      |
      = help: the key is valid; take it out until a version runs it

    error[unknown-key]: `reports` has no key `covrage`
     --> .drydock.yml:6:35
      |
    6 |     reports: { junit: "**/*.xml", covrage: x }
      |                                   ^^^^^^^ unknown key
      |
      = help: keys of `reports`: junit

    error[not-yet]: `artifacts` cannot be run by this version of Drydock yet: nothing would be kept
     --> .drydock.yml:7:5
      |
    7 |     artifacts: { keep: 7d }
      |     ^^^^^^^^^ not yet
      |
      = help: the key is valid; take it out until a version runs it

    error[missing-key]: `artifacts` has no `paths`
     --> .drydock.yml:7:16
      |
    7 |     artifacts: { keep: 7d }
      |                ^^^^^^^^^^^^ no `paths` here
      |
      = help: write `artifacts: { paths: [...] }`

    error[not-yet]: `cache` cannot be run by this version of Drydock yet: nothing would be kept
     --> .drydock.yml:8:5
      |
    8 |     cache: { key: "x-${{ hashFiles('a') }}${{ nope }}" }
      |     ^^^^^ not yet
      |
      = help: the key is valid; take it out until a version runs it

    error[missing-key]: `cache` has no `paths`
     --> .drydock.yml:8:12
      |
    8 |     cache: { key: "x-${{ hashFiles('a') }}${{ nope }}" }
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ no `paths` here
      |
      = help: write `cache: { key: ..., paths: [...] }`

    error[unknown-context]: there is no context `nope`
     --> .drydock.yml:8:47
      |
    8 |     cache: { key: "x-${{ hashFiles('a') }}${{ nope }}" }
      |                                               ^^^^ unknown
      |
      = help: contexts: event, repo, branch, tag, sha, pipeline, inputs, vars, needs, matrix, job, env, steps

    error[unknown-key]: `environment` has no key `url`
     --> .drydock.yml:9:38
      |
    9 |     environment: { name: production, url: "https://example.com" }
      |                                      ^^^ unknown key
      |
      = help: keys of `environment`: name
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
fn the_examples_of_the_contract_are_understood() {
    let text = data("contract.yml");
    insta::assert_snapshot!(wrong(&text), @r#"
    error[not-yet]: `reports` cannot be run by this version of Drydock yet: no test result would be shown
      --> .drydock.yml:25:5
       |
    25 |     reports: { junit: "build/test-results/**/*.xml" }
       |     ^^^^^^^ not yet
       |
       = help: the key is valid; take it out until a version runs it

    error[not-yet]: `artifacts` cannot be run by this version of Drydock yet: nothing would be kept
      --> .drydock.yml:26:5
       |
    26 |     artifacts: { paths: [build/libs/*.jar], keep: 7d }
       |     ^^^^^^^^^ not yet
       |
       = help: the key is valid; take it out until a version runs it

    error[not-yet]: `cache` cannot be run by this version of Drydock yet: nothing would be kept
      --> .drydock.yml:27:5
       |
    27 |     cache: { key: "gradle-${{ hashFiles('**/*.gradle') }}", paths: [~/.gradle] }
       |     ^^^^^ not yet
       |
       = help: the key is valid; take it out until a version runs it

    error[not-yet]: `compose` cannot be run by this version of Drydock yet: its services would not come up
      --> .drydock.yml:30:5
       |
    30 |     compose: docker-compose.yml               # the file's services come up, healthy, on the job's network
       |     ^^^^^^^ not yet
       |
       = help: the key is valid; take it out until a version runs it

    error[not-yet]: `docker` cannot be run by this version of Drydock yet: the job would have no Docker
      --> .drydock.yml:31:5
       |
    31 |     docker: socket                            # none (default) | socket (filtered) | dind | host (trusted repos only)
       |     ^^^^^^ not yet
       |
       = help: the key is valid; take it out until a version runs it
    "#);
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
