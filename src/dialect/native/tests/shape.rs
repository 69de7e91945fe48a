//! Mistakes in the shape of a file: events, jobs, steps.

use super::{data, wrong};

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
