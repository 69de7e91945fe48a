//! Mistakes in what a file means: expressions, images, matrices, what cannot be run yet.

use super::{data, wrong};

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
