//! Every mistake that a native file can hold, one constructor each: what, where, what to write instead.

use crate::diag::{Diagnostic, Span, closest};
use crate::expr::ExprError;

fn or_list(found: Diagnostic, word: &str, known: &[&str], listed: &str) -> Diagnostic {
    match closest(word, known) {
        Some(near) => found.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => found,
        None => found.help(format!("{listed}: {}", known.join(", "))),
    }
}

// The file.

pub(super) fn not_a_mapping(what: &str, at: Span) -> Diagnostic {
    Diagnostic::error(
        "wrong-type",
        format!("a pipeline file is a mapping with `jobs`, not {what}"),
    )
    .at(at, "here")
}

pub(super) fn several_documents(at: Span) -> Diagnostic {
    Diagnostic::error("several-documents", "the file holds more than one YAML document")
        .at(at, "the second begins here")
        .help("write each pipeline into a file of its own below `.drydock/`")
}

pub(super) fn no_jobs(at: Span) -> Diagnostic {
    Diagnostic::error("no-jobs", "the file has no jobs")
        .at(at, "no `jobs` in it")
        .help("write at least one: jobs: { test: { image: alpine, steps: [ { run: ./test.sh } ] } }")
}

pub(super) fn unknown_tag(tag: &str, at: Span) -> Diagnostic {
    Diagnostic::error("unknown-tag", format!("the YAML tag `{tag}` means nothing here")).at(at, "unknown tag")
}

pub(super) fn not_yet(what: &str, consequence: &str, at: Span) -> Diagnostic {
    Diagnostic::error(
        "not-yet",
        format!("{what} cannot be run by this version of Drydock yet: {consequence}"),
    )
    .at(at, "not yet")
    .help("the key is valid; take it out until a version runs it")
}

// `on`.

pub(super) fn unknown_event(event: &str, at: Span, known: &[&str]) -> Diagnostic {
    let found = Diagnostic::error("unknown-event", format!("`{event}` is no event")).at(at, "no such event");
    match event {
        "tags" => found.help("the event is `tag`"),
        "merge_request" | "pull-request" | "pull_request_target" => found.help("the event is `pull_request`"),
        "workflow_dispatch" => found.help("the event is `manual`"),
        _ => or_list(found, event, known, "events"),
    }
}

pub(super) fn event_needs_more(event: &str, what: &str, at: Span) -> Diagnostic {
    Diagnostic::error("no-value", format!("the event `{event}` needs {what}"))
        .at(at, "stands alone here")
        .help("write `on` as a mapping: on: { schedule: { cron: \"0 3 * * *\" } }")
}

pub(super) fn glob(pattern: &str, why: &str, at: Span) -> Diagnostic {
    Diagnostic::error("glob", format!("the pattern `{pattern}` cannot be read: {why}")).at(at, "this pattern")
}

pub(super) fn only_negative(at: Span) -> Diagnostic {
    Diagnostic::error("glob", "all patterns begin with `!`, so that nothing can match")
        .at(at, "nothing matches")
        .help("put a pattern that matches first, such as \"**\"")
}

pub(super) fn both_filters(only: &str, ignore: &str, at: Span, other: Span) -> Diagnostic {
    Diagnostic::error("both-filters", format!("`{only}` and `{ignore}` cannot stand together"))
        .at(at, "second filter")
        .see(other, "first filter")
        .help(format!(
            "write one of them; patterns with `!` under `{only}` take names out"
        ))
}

pub(super) fn unknown_action(action: &str, at: Span, known: &[&str]) -> Diagnostic {
    let what = format!("nothing that happens to a pull request is called `{action}`");
    or_list(
        Diagnostic::error("unknown-action", what).at(at, "no such action"),
        action,
        known,
        "actions",
    )
}

pub(super) fn cron(text: &str, why: &str, at: Span) -> Diagnostic {
    Diagnostic::error("cron", format!("`{text}` is no cron expression: {why}"))
        .at(at, "not understood")
        .help("five fields: minute, hour, day of month, month, day of week, e.g. \"0 3 * * 1-5\"")
}

pub(super) fn time_zone(name: &str, at: Span) -> Diagnostic {
    Diagnostic::error("time-zone", format!("there is no time zone `{name}`"))
        .at(at, "no such zone")
        .help("write an IANA name such as `Europe/Berlin` or `UTC`")
}

pub(super) fn default_is_no_option(default: &str, at: Span, options: &[&str]) -> Diagnostic {
    let what = format!("the default `{default}` is none of the options");
    or_list(
        Diagnostic::error("input-default", what).at(at, "no option"),
        default,
        options,
        "options",
    )
}

// Names.

pub(super) fn job_id(id: &str, at: Span) -> Diagnostic {
    Diagnostic::error("job-id", format!("`{id}` is no job id"))
        .at(at, "not allowed")
        .help("letters, digits, `-` and `_`, a letter or `_` first, at most 60 characters; what people see goes into `name`")
}

pub(super) fn same_but_for_case(what: &str, id: &str, other: &str, at: Span, first: Span) -> Diagnostic {
    Diagnostic::error(
        "duplicate-id",
        format!("{what} `{id}` and `{other}` differ only in case"),
    )
    .at(at, "second")
    .see(first, "first")
    .help("expressions find names without regard to case; give them different names")
}

pub(super) fn step_id(id: &str, at: Span) -> Diagnostic {
    Diagnostic::error("step-id", format!("`{id}` is no step id"))
        .at(at, "not allowed")
        .help("letters, digits, `-` and `_`, a letter or `_` first; what people see goes into `name`")
}

pub(super) fn step_id_twice(id: &str, at: Span, first: Span) -> Diagnostic {
    Diagnostic::error("duplicate-id", format!("two steps of this job have the id `{id}`"))
        .at(at, "again here")
        .see(first, "first here")
}

pub(super) fn variable_name(name: &str, at: Span) -> Diagnostic {
    let found = Diagnostic::error("variable-name", format!("`{name}` is no variable name")).at(at, "not allowed");
    found.help("letters, digits and `_`, no digit first")
}

pub(super) fn reserved_variable(name: &str, at: Span) -> Diagnostic {
    Diagnostic::error(
        "reserved-variable",
        format!("`{name}` is set by Drydock and cannot be set here"),
    )
    .at(at, "reserved")
    .help("variables that begin with `DRYDOCK` are Drydock's")
}

pub(super) fn secret_name(name: &str, at: Span) -> Diagnostic {
    Diagnostic::error("secret-name", format!("`{name}` is no name of a secret"))
        .at(at, "not allowed")
        .help("letters, digits and `_`, no digit first; the value is set with `drydock secret set NAME`")
}

pub(super) fn service_name(name: &str, at: Span) -> Diagnostic {
    Diagnostic::error("service-name", format!("`{name}` is no host name"))
        .at(at, "not allowed")
        .help("a service is reached by this name: lower-case letters, digits, `-` and `.`, at most 63 characters")
}

// `needs`.

/// `needs:` names a job that this file does not define.
pub(super) fn unknown_need(job: &str, need: &str, at: Span, jobs: &[&str]) -> Diagnostic {
    let what = format!("job `{job}` needs `{need}`, which this file does not define");
    or_list(
        Diagnostic::error("unknown-need", what).at(at, "no such job"),
        need,
        jobs,
        "jobs in this file",
    )
}

pub(super) fn need_twice(job: &str, need: &str, at: Span, first: Span) -> Diagnostic {
    let found = Diagnostic::warning("need-twice", format!("job `{job}` names `{need}` twice under `needs`"));
    found.at(at, "again here").see(first, "first here")
}

pub(super) fn cycle(circle: &[&str], at: Span, others: &[(Span, String)]) -> Diagnostic {
    let what = match circle {
        [one, _] => format!("job `{one}` needs itself"),
        _ => format!("the jobs need each other in a circle: {}", circle.join(" -> ")),
    };
    let mut found = Diagnostic::error("cycle", what).at(at, "closes the circle");
    for (span, text) in others {
        found = found.see(*span, text.clone());
    }
    found.help("take one of these needs out, so that one of the jobs can begin")
}

// Jobs.

pub(super) fn does_nothing(job: &str, at: Span) -> Diagnostic {
    Diagnostic::error(
        "empty-job",
        format!("job `{job}` does nothing: it has no `steps`, no `build` and no `push`"),
    )
    .at(at, "does nothing")
    .help("write `steps: [ { run: ... } ]`")
}

pub(super) fn steps_beside(job: &str, key: &str, at: Span, steps: Span) -> Diagnostic {
    Diagnostic::error("steps-beside-build", format!("job `{job}` has `steps` beside `{key}`"))
        .at(steps, "these steps would have no container")
        .see(at, "runs in no container")
        .help(format!("put the steps into a job of their own with `needs: {job}`"))
}

pub(super) fn no_container(job: &str, key: &str, at: Span) -> Diagnostic {
    let what = format!("job `{job}` runs no steps, so that its `{key}` has no effect");
    Diagnostic::error("no-effect", what)
        .at(at, "has no effect")
        .help("take it out, or give the job `steps`")
}

pub(super) fn out_of_range(key: &str, text: &str, range: &str, at: Span) -> Diagnostic {
    Diagnostic::error("out-of-range", format!("`{key}` takes {range}, not `{text}`")).at(at, "out of range")
}

pub(super) fn docker_word(word: &str, at: Span, known: &[&str]) -> Diagnostic {
    let what = format!("`docker` takes one of {}, not `{word}`", known.join(", "));
    or_list(
        Diagnostic::error("wrong-value", what).at(at, "not understood"),
        word,
        known,
        "words",
    )
}

pub(super) fn empty(what: &str, at: Span, help: &str) -> Diagnostic {
    Diagnostic::error("empty", format!("{what} is empty"))
        .at(at, "nothing in it")
        .help(help)
}

pub(super) fn image_reference(text: &str, why: &str, at: Span) -> Diagnostic {
    Diagnostic::error("image-reference", format!("`{text}` is no image reference: {why}"))
        .at(at, "not an image")
        .help("an image is written `name`, `name:tag`, `registry.example.com/team/name:tag` or `name@sha256:...`")
}

pub(super) fn tag_name(text: &str, at: Span) -> Diagnostic {
    Diagnostic::error("image-tag", format!("`{text}` is no image tag"))
        .at(at, "not a tag")
        .help("letters, digits, `_`, `.` and `-`, no `.` or `-` first, at most 128 characters")
}

pub(super) fn path(key: &str, text: &str, why: &str, at: Span) -> Diagnostic {
    Diagnostic::error("path", format!("`{key}` cannot be `{text}`: {why}"))
        .at(at, "outside")
        .help("paths are relative to the repository's root and stay inside of it")
}

pub(super) fn no_such_file(key: &str, path: &str, at: Span, near: Option<&str>) -> Diagnostic {
    let found = Diagnostic::error(
        "no-such-file",
        format!("`{key}` names `{path}`, which the repository does not have"),
    );
    let found = found.at(at, "no such file");
    match near {
        Some(near) => found.help(format!("did you mean `{near}`?")),
        None => found.help("the file must be committed, or at least not be ignored by git"),
    }
}

pub(super) fn command(text: &str, at: Span) -> Diagnostic {
    Diagnostic::error("command", format!("the quotes in `{text}` do not match"))
        .at(at, "cannot be split into words")
        .help("write the words as a list: [sh, -c, \"...\"]")
}

pub(super) fn missing(what: &str, key: &str, at: Span, help: &str) -> Diagnostic {
    Diagnostic::error("missing-key", format!("{what} has no `{key}`"))
        .at(at, format!("no `{key}` here"))
        .help(help)
}

// Steps.

pub(super) fn step_does_nothing(at: Span) -> Diagnostic {
    Diagnostic::error("empty-step", "a step has neither `run` nor `image`")
        .at(at, "does nothing")
        .help("write `run: ...` for a script, or `image: ...` for a container of its own")
}

pub(super) fn only_without_run(key: &str, at: Span, run: Span) -> Diagnostic {
    Diagnostic::error("no-effect", format!("`{key}` has no effect beside `run`"))
        .at(at, "has no effect")
        .see(run, "the script decides what runs")
        .help("leave one of them out")
}

pub(super) fn only_with(key: &str, other: &str, at: Span) -> Diagnostic {
    Diagnostic::error("no-effect", format!("`{key}` has no effect without `{other}`"))
        .at(at, "has no effect")
        .help(format!("write `{other}` too, or take `{key}` out"))
}

// Matrix.

pub(super) fn too_many_members(count: usize, most: usize, at: Span) -> Diagnostic {
    Diagnostic::error(
        "matrix",
        format!("the matrix gives {count} jobs; at most {most} are allowed"),
    )
    .at(at, "too many combinations")
}

pub(super) fn axis_kind(name: &str, what: &str, at: Span) -> Diagnostic {
    Diagnostic::error(
        "matrix",
        format!("the axis `{name}` takes a list of values or one expression, not {what}"),
    )
    .at(at, "no list")
    .help(format!("write `{name}: [a, b]`"))
}

pub(super) fn matrix_text(at: Span) -> Diagnostic {
    Diagnostic::error(
        "matrix",
        "`matrix` takes a mapping from axes to lists, or one expression that gives it",
    )
    .at(at, "neither")
    .help("write `matrix: { node: [22, 24] }`")
}

pub(super) fn no_members(at: Span) -> Diagnostic {
    Diagnostic::error("matrix", "the matrix has no member, so that the job would never run")
        .at(at, "nothing left")
        .help("give it at least one combination, or take the matrix out")
}

pub(super) fn exclude_matches_nothing(key: &str, at: Span, axes: &[&str]) -> Diagnostic {
    let what = format!("`exclude` names `{key}`, which is no axis of the matrix");
    or_list(
        Diagnostic::error("matrix", what).at(at, "no such axis"),
        key,
        axes,
        "axes",
    )
}

// Build and push.

pub(super) fn secret_in_build_arg(arg: &str, at: Span) -> Diagnostic {
    let what = format!("the build argument `{arg}` holds a secret, which would stay readable in the image");
    Diagnostic::error("secret-in-image", what)
        .at(at, "a secret here")
        .help("write `secrets: [NAME]` and `RUN --mount=type=secret,id=NAME ...` in the Dockerfile")
}

pub(super) fn push_of_unbuilt(job: &str, image: &str, at: Span, builders: &[&str]) -> Diagnostic {
    let what = format!("job `{job}` pushes what `{image}` built, but `{image}` builds no image");
    let found = Diagnostic::error("push-image", what).at(at, "builds nothing");
    match builders {
        [] => found.help("no job of this file has a `build`"),
        [one] => found.help(format!("the job that builds is `{one}`")),
        many => found.help(format!("jobs that build: {}", many.join(", "))),
    }
}

pub(super) fn push_of_unknown(job: &str, image: &str, at: Span, builders: &[&str]) -> Diagnostic {
    let what = format!("job `{job}` pushes `{image}`, which is no job of this file");
    or_list(
        Diagnostic::error("push-image", what).at(at, "no such job"),
        image,
        builders,
        "jobs that build",
    )
}

pub(super) fn push_of_what(job: &str, at: Span, builders: &[&str]) -> Diagnostic {
    let what = format!("job `{job}` pushes, but does not say which image");
    let found = Diagnostic::error("push-image", what).at(at, "no `image` here");
    match builders {
        [] => found.help("give this job a `build`, or name a job that builds under `needs` and `push: { image: ... }`"),
        [one] => found.help(format!("write `image: {one}` and `needs: {one}`")),
        many => found.help(format!("write `image:` with one of {}", many.join(", "))),
    }
}

pub(super) fn push_of_matrix(job: &str, image: &str, at: Span, matrix: Span) -> Diagnostic {
    let what =
        format!("job `{job}` pushes what `{image}` built, but `{image}` builds once for each member of its matrix");
    Diagnostic::error("push-image", what)
        .at(at, "which of them?")
        .see(matrix, "builds several images")
        .help("push in the job that builds: it may have `build` and `push`")
}

pub(super) fn tag_in_repository(to: &str, at: Span) -> Diagnostic {
    Diagnostic::error("push-to", format!("`{to}` holds a tag, and `tags` stands beside it"))
        .at(at, "a tag here")
        .help("leave the tag out of `to`")
}

// Expressions.

pub(super) fn expression(error: &ExprError, at: Span) -> Diagnostic {
    Diagnostic::error("expression", error.message.clone()).at(at, "in this expression")
}

pub(super) fn unknown_context(name: &str, at: Span, known: &[&str]) -> Diagnostic {
    let found = Diagnostic::error("unknown-context", format!("there is no context `{name}`")).at(at, "unknown");
    let github = match name {
        "github" | "gitea" | "forgejo" => Some("Drydock's contexts are `event`, `repo`, `branch`, `tag` and `sha`"),
        "ref" => Some("write `event.ref`"),
        "strategy" | "runner" => Some("Drydock has no such context"),
        _ => None,
    };
    match github {
        Some(help) => found.help(help),
        None => or_list(found, name, known, "contexts"),
    }
}

pub(super) fn context_not_here(name: &str, place: &str, at: Span, known: &[&str]) -> Diagnostic {
    let found =
        Diagnostic::error("context-not-here", format!("`{name}` is not known in {place}")).at(at, "not known here");
    let help = match name {
        "matrix" => "leave members out with `matrix: { exclude: ... }`, or write the condition at the steps".to_owned(),
        "secrets" => "put the secret into the step's `env` and look at the variable in the script".to_owned(),
        _ => format!("known here: {}", known.join(", ")),
    };
    found.help(help)
}

pub(super) fn unknown_property(context: &str, name: &str, at: Span, known: &[&str]) -> Diagnostic {
    let found = Diagnostic::error("unknown-name", format!("`{context}` has no `{name}`")).at(at, "no such name");
    if known.is_empty() {
        found
    } else {
        or_list(found, name, known, &format!("names in `{context}`"))
    }
}

pub(super) fn plain_text_context(name: &str, at: Span) -> Diagnostic {
    Diagnostic::error("unknown-name", format!("`{name}` is text and has nothing inside"))
        .at(at, "nothing inside")
        .help(format!("write `{name}` alone"))
}

pub(super) fn not_needed(job: &str, need: &str, at: Span, is_job: Known<'_>) -> Diagnostic {
    let what = format!("job `{job}` asks about `needs.{need}`, but does not need `{need}`");
    let found = Diagnostic::error("unknown-need", what).at(at, "not among its needs");
    match is_job {
        Known::Yes => found.help(format!("add `{need}` to its `needs`")),
        Known::No { near } => or_list(found, need, near, "its needs"),
    }
}

/// Whether a name is one that the file defines.
pub(super) enum Known<'a> {
    Yes,
    No { near: &'a [&'a str] },
}

pub(super) fn builds_nothing(need: &str, at: Span) -> Diagnostic {
    Diagnostic::error(
        "unknown-name",
        format!("job `{need}` builds no image, so that `needs.{need}.image` is empty"),
    )
    .at(at, "no image")
    .help(format!("give `{need}` a `build`, or name another job"))
}

pub(super) fn step_comes_later(id: &str, at: Span) -> Diagnostic {
    let what = format!("`steps.{id}` is asked about before that step has run");
    Diagnostic::error("unknown-name", what)
        .at(at, "comes later")
        .help("a step sees the steps above it")
}

pub(super) fn secret_in_condition(at: Span) -> Diagnostic {
    Diagnostic::error(
        "secret-in-if",
        "`if` cannot look at secrets: whether a job runs is shown to everybody",
    )
    .at(at, "a secret here")
    .help("put the secret into `env` and let the script look at the variable")
}

/// Text that somebody outside of the file chooses would become part of a script.
/// `variable`: the one that holds it already.
pub(super) fn spliced(reads: &str, variable: Option<&str>, at: Span) -> Diagnostic {
    let what = format!("`{reads}` would become part of the script's text, where whoever chooses it could run commands");
    let found = Diagnostic::error("script-injection", what).at(at, "not in a script");
    if let Some(variable) = variable {
        return found.help(format!("write \"${variable}\", the variable that holds it"));
    }
    let last = reads.rsplit('.').next().unwrap_or_default();
    let fits = last != reads && last.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = if fits {
        last.to_ascii_uppercase()
    } else {
        "VALUE".to_owned()
    };
    found.help(format!(
        "hand it to the step as a variable, `env: {{ {name}: \"${{{{ {reads} }}}}\" }}`, and write \"${name}\""
    ))
}
