//! What a `.drydock.yml` says: every key, its short forms and its type. The published schema is made from this.
//!
//! Texts may hold `${{ expressions }}` where the documentation of the key says so; what they mean is `lower`'s matter.

use crate::dialect::read::{At, ByteSize, Lasting, Many, Named, OneOrMany, OrNothing, ShortOr, Text, record};
use crate::dialect::yaml::Node;

record! {
    /// A Drydock pipeline: which events start it, and its jobs.
    pub struct File = "a pipeline file" {
        /// What people see; the file's name where left out.
        name: Text,
        /// The events that start it. Left out: pushes to any branch, pull requests, tags and manual starts.
        on: OnForms,
        /// Variables for every step. Values may hold expressions.
        env: Named<Text>,
        /// At most one pipeline of a group runs at a time.
        concurrency: ShortOr<Text, Concurrency>,
        /// The jobs by their ids. Jobs run at the same time unless one `needs` another.
        jobs: Named<Job>,
    }
    hints {
        "steps" | "run" | "image" | "services" | "matrix" => "this belongs to a job: jobs: { test: { ... } }",
        "stages" => "Drydock has no stages: a job says in `needs` which jobs come before it",
        "variables" => "variables are written under `env`",
        "pipeline" | "workflow" => "jobs are written under `jobs`",
        "true" => "write the key `on` in quotes if your editor turned it into `true`",
    }
}

record! {
    /// A group of pipelines of which one runs at a time.
    pub struct Concurrency = "`concurrency`" {
        /// The group's name; may hold expressions, e.g. `deploy-${{ branch }}`.
        group: Text,
        /// Whether a newer pipeline cancels the older one instead of waiting for it.
        cancel: At<bool>,
    }
    hints {
        "cancel-in-progress" => "Drydock's key is `cancel`",
    }
}

/// `push`, `[push, tag]`, or a mapping from events to their filters.
pub type OnForms = ShortOr<OneOrMany<Text>, On>;

record! {
    /// Events with their filters.
    pub struct On = "`on`" {
        /// Commits arrived on a branch. Short form: the branches.
        push: OrNothing<ShortOr<OneOrMany<Text>, PushFilter>>,
        /// A pull or merge request was opened or updated. Short form: the target branches.
        pull_request: OrNothing<ShortOr<OneOrMany<Text>, PullRequestFilter>>,
        /// A tag was made or moved. Short form: the tags.
        tag: OrNothing<ShortOr<OneOrMany<Text>, TagFilter>>,
        /// At set times. Short form: the cron expression.
        schedule: OneOrMany<ShortOr<Text, Schedule>>,
        /// A person starts it, with inputs.
        manual: OrNothing<Manual>,
    }
    hints {
        "tags" => "the event is `tag`",
        "pull-request" | "merge_request" | "merge_requests" | "pull_request_target" => "the event is `pull_request`",
        "workflow_dispatch" | "dispatch" => "the event is `manual`",
        "cron" => "write `schedule: { cron: ... }`",
        "branches" | "paths" => "filters stand below their event: push: { branches: [main] }",
    }
}

record! {
    /// Globs: `*` stops at `/`, `**` does not; `!` takes out what an earlier one let in.
    pub struct PushFilter = "`push`" {
        /// Only these branches.
        branches: OneOrMany<Text>,
        /// Any branch but these.
        branches_ignore as "branches-ignore": OneOrMany<Text>,
        /// Only when one of these files changed.
        paths: OneOrMany<Text>,
        /// Not when all changed files are among these.
        paths_ignore as "paths-ignore": OneOrMany<Text>,
    }
    hints {
        "tags" => "tags are an event of their own: on: { tag: [...] }",
    }
}

record! {
    /// Globs as under `push`; branches are the target's.
    pub struct PullRequestFilter = "`pull_request`" {
        /// Only requests into these branches.
        branches: OneOrMany<Text>,
        /// Requests into any branch but these.
        branches_ignore as "branches-ignore": OneOrMany<Text>,
        /// Only when one of these files changed.
        paths: OneOrMany<Text>,
        /// Not when all changed files are among these.
        paths_ignore as "paths-ignore": OneOrMany<Text>,
        /// What happened to it: opened, reopened, synchronize (the default three), edited, labeled, closed, ...
        actions: OneOrMany<Text>,
    }
    hints {
        "types" => "Drydock's key is `actions`",
    }
}

record! {
    /// Globs over tag names.
    pub struct TagFilter = "`tag`" {
        /// Only these tags.
        tags: OneOrMany<Text>,
        /// Any tag but these.
        tags_ignore as "tags-ignore": OneOrMany<Text>,
    }
}

record! {
    /// A time of day, week or month.
    pub struct Schedule = "`schedule`" {
        /// Five fields: minute, hour, day of month, month, day of week.
        #[schemars(required)]
        cron: Text,
        /// An IANA name such as `Europe/Berlin`; left out: UTC.
        time_zone as "time-zone": Text,
        /// The branch whose file runs; left out: the default branch.
        branch: Text,
    }
}

record! {
    /// What a person may or must give when starting it.
    pub struct Manual = "`manual`" {
        /// Inputs by name; expressions find them in `inputs`. Short form: the default.
        inputs: Named<OrNothing<ShortOr<Text, Input>>>,
    }
}

record! {
    /// One input of a manual start.
    pub struct Input = "an input" {
        /// What to tell the person.
        description: Text,
        /// The value where the person gives none.
        default: Text,
        /// The values to choose from; left out: any text.
        options: OneOrMany<Text>,
        /// Whether the person must give it.
        required: At<bool>,
    }
    hints {
        "type" => "an input is text, or one of its `options`",
    }
}

record! {
    /// One workspace, one container plus services. A job has `steps`, or it builds or pushes an image.
    pub struct Job = "a job" {
        /// What people see; may hold expressions, `matrix` included.
        name: Text,
        /// Ids of the jobs that must have passed before.
        needs: OneOrMany<Text>,
        /// An expression that decides whether the job runs, e.g. `branch == 'main'`.
        r#if as "if": Text,
        /// Runs the job once for each combination of values.
        matrix: ShortOr<Text, Matrix>,
        /// The image its steps run in; may hold expressions, e.g. `${{ needs.image.image }}`.
        image: Text,
        /// Helper containers by host name. Short form: the image.
        services: Named<ShortOr<Text, Service>>,
        /// A Docker Compose file whose services come up before the steps.
        compose: ShortOr<OneOrMany<Text>, Compose>,
        /// What the job may do with Docker.
        docker: DockerForms,
        /// Variables for its steps. Values may hold expressions.
        env: Named<Text>,
        /// How much it may take.
        limits: Limits,
        /// How often it is tried again when a step fails, 0 to 10.
        retry: At<u32>,
        /// Whether its failure is shown but does not fail the pipeline: `true`, `false` or an expression.
        allow_failure as "allow-failure": Text,
        /// What it does, one after the other. Short form of a step: its script.
        steps: Many<ShortOr<Text, Step>>,
        /// An image to build from the repository. Short form: the context folder.
        build: ShortOr<Text, Build>,
        /// Where to push an image. Short form: the repository with registry, and a tag.
        push: OneOrMany<ShortOr<Text, Push>>,
        /// Values for the jobs that need this one; expressions find them in `needs.ID.outputs`.
        outputs: Named<Text>,
        /// The environment it deploys to.
        environment: ShortOr<Text, Environment>,
        /// Test reports to show.
        reports: Reports,
        /// Files to keep and show. Short form: the paths.
        artifacts: ShortOr<OneOrMany<Text>, Artifacts>,
        /// Files kept to save time.
        cache: OneOrMany<Cache>,
    }
    hints {
        "timeout" => "write `limits: { timeout: 20m }`",
        "memory" | "cpus" | "pids" => "this belongs to the job's `limits`",
        "run" | "script" => "write `steps: [ { run: ... } ]`",
        "runs-on" => "Drydock jobs run in containers: write `image: ...`",
        "container" => "write `image: ...`",
        "strategy" => "write `matrix: ...` itself",
        "continue-on-error" | "allow_failure" => "Drydock's key is `allow-failure`",
        "variables" => "variables are written under `env`",
        "depends_on" | "depends-on" | "after" => "Drydock's key is `needs`",
        "when" | "rules" | "only" => "Drydock's key is `if`, an expression",
        "dockerfile" | "context" | "target" | "args" => "this belongs to the job's `build`",
        "tags" | "to" => "this belongs to the job's `push`",
    }
}

/// What a job may do with Docker.
pub type DockerForms = Text;

record! {
    /// Axes by name, each a list of values or an expression that gives one, and four keys with a meaning of their own.
    pub struct MatrixKeys = "`matrix`" {
        /// More combinations, or more values for combinations that exist.
        include: OneOrMany<Named<Node>>,
        /// Combinations to leave out.
        exclude: OneOrMany<Named<Node>>,
        /// Whether the first failure cancels the others; `true` where left out.
        fail_fast as "fail-fast": At<bool>,
        /// How many of its jobs run at a time.
        max_parallel as "max-parallel": At<u32>,
    }
}

/// [`MatrixKeys`] and the axes.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub keys: MatrixKeys,
    pub axes: Vec<(std::sync::Arc<str>, crate::diag::Span, Node)>,
    pub node: Node,
}

record! {
    /// A helper container on the job's network.
    pub struct Service = "a service" {
        /// May hold expressions.
        #[schemars(required)]
        image: Text,
        /// Variables for the service. Values may hold expressions.
        env: Named<Text>,
        /// A command that succeeds inside of it once it is ready; else its HEALTHCHECK, else its exposed port.
        ready: Text,
        /// How long it may take to become ready; `2m` where left out.
        timeout: At<Lasting>,
        /// Instead of the image's entrypoint. Text is split as a shell would.
        entrypoint: OneOrMany<Text>,
        /// Instead of the image's command. Text is split as a shell would.
        command: OneOrMany<Text>,
    }
    hints {
        "ports" => "services are reached by their name on the job's network; no port needs to be published",
        "environment" | "variables" => "variables are written under `env`",
        "healthcheck" | "health" | "wait" => "write the command under `ready`",
        "volumes" => "a service has no volumes of the host",
    }
}

record! {
    /// How much a job may take.
    pub struct Limits = "`limits`" {
        /// Processors, e.g. `0.5` or `2`.
        cpus: At<f64>,
        /// Memory with its unit.
        memory: At<ByteSize>,
        /// Processes and threads.
        pids: At<u32>,
        /// Wall time with its unit.
        timeout: At<Lasting>,
    }
    hints {
        "cpu" => "did you mean `cpus`?",
        "mem" | "ram" => "did you mean `memory`?",
    }
}

record! {
    /// One command or script.
    pub struct Step = "a step" {
        /// Under which expressions find it: `steps.ID`.
        id: Text,
        /// What people see; may hold expressions.
        name: Text,
        /// The script. Values that come from outside reach it as variables, not as expressions in its text.
        run: Text,
        /// Runs the step in a container of its own on the job's workspace and network; may hold expressions.
        image: Text,
        /// Without `run`: instead of the image's entrypoint. Text is split as a shell would.
        entrypoint: OneOrMany<Text>,
        /// Without `run`: what the image's entrypoint gets. Text is split as a shell would. May hold expressions.
        args: OneOrMany<Text>,
        /// Variables for this step. Values may hold expressions.
        env: Named<Text>,
        /// The folder it runs in, relative to the workspace; may hold expressions.
        dir: Text,
        /// An expression that decides whether the step runs.
        r#if as "if": Text,
        /// Wall time with its unit.
        timeout: At<Lasting>,
        /// `sh`, `bash`, or a command with `{0}` for the script's path; left out: bash where the image has it, else sh.
        shell: Text,
        /// Whether its failure is shown but does not fail the job: `true`, `false` or an expression.
        allow_failure as "allow-failure": Text,
    }
    hints {
        "script" | "cmd" | "command" | "commands" => "Drydock's key is `run`",
        "working-directory" | "cwd" | "working_directory" | "workdir" => "Drydock's key is `dir`",
        "continue-on-error" | "allow_failure" => "Drydock's key is `allow-failure`",
        "uses" | "with" => "actions run in GitHub's dialect (.github/workflows); here a step has `run` or `image`",
        "timeout-minutes" => "write `timeout: 10m`",
        "retry" => "a job is tried again, not a step: write `retry` one level up",
        "build" | "push" => "a job builds and pushes, not a step: write it one level up",
    }
}

record! {
    /// An image built from the repository's files. Every text may hold expressions.
    pub struct Build = "`build`" {
        /// The context folder, relative to the repository; `.` where left out.
        context: Text,
        /// The Dockerfile, relative to the repository; `Dockerfile` in the context where left out.
        dockerfile: Text,
        /// The stage to build; the last where left out.
        target: Text,
        /// Build arguments.
        args: Named<Text>,
        /// Names of secrets that `RUN --mount=type=secret,id=NAME` may read.
        secrets: OneOrMany<Text>,
        /// Platforms such as `linux/amd64`.
        platforms: OneOrMany<Text>,
        /// Whether earlier builds' layers may be used; `true` where left out.
        cache: At<bool>,
        /// Names for the image in the daemon, besides its id.
        tags: OneOrMany<Text>,
    }
    hints {
        "file" => "Drydock's key is `dockerfile`",
        "path" => "Drydock's key is `context`",
        "build-args" | "build_args" => "Drydock's key is `args`",
        "no-cache" | "no_cache" => "write `cache: false`",
        "platform" => "Drydock's key is `platforms`",
        "push" => "`push` stands beside `build`, not in it",
    }
}

record! {
    /// A push of one image under one or more tags. Every text may hold expressions.
    pub struct Push = "`push`" {
        /// The id of the job that built it (it is needed without saying so), or an image's name; left out: what this job, or the one job it needs, built.
        image: Text,
        /// Repository with registry, without tag: `registry.example.com/team/web`.
        #[schemars(required)]
        to: Text,
        /// Tags; one that is empty after evaluation is left out. The commit's id where left out.
        tags: OneOrMany<Text>,
    }
    hints {
        "tag" => "did you mean `tags`?",
        "registry" | "repo" | "repository" => "write registry and repository together under `to`",
        "username" | "password" => "credentials are kept by the server or in the Docker config, never in the file",
    }
}

record! {
    /// The environment a job deploys to.
    pub struct Environment = "`environment`" {
        /// Its name; may hold expressions.
        #[schemars(required)]
        name: Text,
    }
}

record! {
    /// A Docker Compose file.
    pub struct Compose = "`compose`" {
        /// Compose files, relative to the repository.
        files: OneOrMany<Text>,
        /// Profiles to bring up.
        profiles: OneOrMany<Text>,
        /// Services to bring up; left out: all.
        services: OneOrMany<Text>,
    }
    hints {
        "file" => "did you mean `files`?",
    }
}

record! {
    /// Files with test results.
    pub struct Reports = "`reports`" {
        /// Globs of JUnit XML files.
        junit: OneOrMany<Text>,
    }
}

record! {
    /// Files kept and shown.
    pub struct Artifacts = "`artifacts`" {
        /// Globs, relative to the workspace.
        #[schemars(required)]
        paths: OneOrMany<Text>,
        /// What people see.
        name: Text,
        /// How long they are kept.
        keep: At<Lasting>,
    }
}

record! {
    /// Files kept to save time.
    pub struct Cache = "`cache`" {
        /// Under which it is found again; may hold expressions.
        #[schemars(required)]
        key: Text,
        /// Folders and files.
        #[schemars(required)]
        paths: OneOrMany<Text>,
        /// Beginnings of keys that will do as well.
        fallback: OneOrMany<Text>,
    }
}
