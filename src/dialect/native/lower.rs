//! What a native file means: from its model to a plan, every name looked up, every mistake told.

mod image;
mod job;
mod matrix;
mod on;
mod step;

use std::collections::HashSet;

use super::conventions;
use super::mistakes;
use super::model::{self, File};
use super::names;
use super::scope::{Around, Axes, Outline, Place, Scope};
use crate::diag::{Diagnostic, Origin, Sources, Span, closest};
use crate::dialect::read::{Named, NamedEntry, OneOrMany, Reader, ShortOr, Text};
use crate::dialect::yaml::Node;
use crate::expr::{Expr, ExprError, ExprErrorKind, Reads, Template};
use crate::plan::{Condition, Env, Group, JobKey, OnFailure, Plan, PlanBuilder, cycle};

/// What lowering a file needs besides its model.
pub(super) struct Ground<'a> {
    pub sources: &'a Sources,
    /// The repository's files, in byte order.
    pub paths: &'a [String],
    /// The file's path.
    pub file: &'a str,
    /// The place of the file as a whole.
    pub top: Span,
}

/// None where a mistake (told to the reader) leaves nothing that could run.
pub(super) fn lower(file: &File, ground: &Ground<'_>, reader: &mut Reader<'_>) -> Option<Plan> {
    let outlines = outlines(file);
    let scope = Scope {
        jobs: &outlines,
        inputs: on::input_names(file),
    };
    let mut lower = Lower {
        ground,
        reader,
        scope: &scope,
    };
    let on = lower.rules(file);
    let nowhere = Around::default();
    let env = lower.env(file.env.as_ref(), Place::WorkflowEnv, &nowhere);
    let group = file.concurrency.as_ref().and_then(|group| lower.group(group));
    let jobs = lower.jobs(file);
    if lower.reader.diagnostics.iter().any(Diagnostic::is_error) {
        return None;
    }
    let name = file.name.as_ref().map_or(ground.file, |name| &name.value);
    let mut plan = Plan::empty(name, ground.file, "native", &conventions::Native);
    (plan.on, plan.env, plan.group) = (on, env, group);
    let mut builder = PlanBuilder::default();
    for job in jobs {
        builder.job(job);
    }
    match builder.finish(plan) {
        Ok(plan) => Some(plan),
        Err(mistakes) => {
            // Everything it refuses was told with its place above; this keeps a gap between the two from passing.
            for mistake in mistakes {
                reader.report(Diagnostic::error("plan", mistake.to_string()).at(ground.top, "in this file"));
            }
            None
        }
    }
}

fn outlines(file: &File) -> Vec<Outline<'_>> {
    let jobs = file.jobs.iter().flat_map(|jobs| &jobs.entries);
    jobs.map(|entry| {
        let outputs = entry.value.outputs.iter().flat_map(|outputs| &outputs.entries);
        Outline {
            id: &entry.key,
            builds: entry.value.build.is_some(),
            outputs: outputs.map(|output| &*output.key).collect(),
            matrix: entry.value.matrix.as_ref().map(|matrix| match matrix {
                ShortOr::Short(text) => text.span(),
                ShortOr::Full(matrix) => matrix.node.head,
            }),
        }
    })
    .collect()
}

struct Lower<'a, 'r, 's> {
    ground: &'a Ground<'a>,
    reader: &'a mut Reader<'r>,
    scope: &'a Scope<'s>,
}

impl Lower<'_, '_, '_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.reader.report(diagnostic);
    }

    fn origin(&self, span: Span) -> Origin {
        self.ground.sources.locate(span)
    }

    fn jobs(&mut self, file: &File) -> Vec<crate::plan::Job> {
        let Some(jobs) = &file.jobs else {
            if !self.reader.diagnostics.iter().any(Diagnostic::is_error) {
                self.report(mistakes::no_jobs(self.ground.top));
            }
            return vec![];
        };
        if jobs.entries.is_empty() && jobs.node.entries().is_some_and(<[_]>::is_empty) {
            self.report(mistakes::no_jobs(jobs.node.head));
        }
        self.job_ids(jobs);
        self.needs(jobs);
        jobs.entries.iter().map(|entry| self.job(entry)).collect()
    }

    fn job_ids(&mut self, jobs: &Named<model::Job>) {
        for (at, entry) in jobs.entries.iter().enumerate() {
            if !names::is_id(&entry.key) {
                self.report(mistakes::job_id(&entry.key, entry.key_span));
            }
            let same = |other: &&NamedEntry<model::Job>| other.key.eq_ignore_ascii_case(&entry.key);
            if let Some(first) = jobs.entries[..at].iter().find(same) {
                let found = mistakes::same_but_for_case("jobs", &entry.key, &first.key, entry.key_span, first.key_span);
                self.report(found);
            }
        }
    }

    /// Every need names a job, and there is no circle.
    fn needs(&mut self, jobs: &Named<model::Job>) {
        let ids: Vec<&str> = jobs.entries.iter().map(|entry| &*entry.key).collect();
        let mut edges: Vec<(JobKey, Vec<JobKey>)> = Vec::with_capacity(ids.len());
        for entry in &jobs.entries {
            let mut needs: Vec<(&Text, JobKey)> = vec![];
            for need in entry.value.needs.iter().flat_map(|needs| &needs.items) {
                let key = JobKey::new(&need.value);
                if let Some((first, _)) = needs.iter().find(|(_, seen)| *seen == key) {
                    self.report(mistakes::need_twice(&entry.key, &need.value, need.span(), first.span()));
                } else if ids.contains(&&*need.value) {
                    needs.push((need, key));
                } else {
                    self.report(mistakes::unknown_need(&entry.key, &need.value, need.span(), &ids));
                }
            }
            let pushed = pushed(entry).filter(|image| ids.contains(&&*image.value));
            let mut keys: Vec<JobKey> = needs.into_iter().map(|(_, key)| key).collect();
            keys.extend(pushed.map(|image| JobKey::new(&image.value)));
            edges.push((JobKey::new(&entry.key), keys));
        }
        // Each circle is told once; taking one of its edges out shows the next.
        while let Some(circle) = cycle(&edges) {
            let place = |from: &JobKey, to: &JobKey| {
                let entry = jobs.entries.iter().find(|entry| *entry.key == *from.as_str())?;
                let needs = entry.value.needs.iter().flat_map(|needs| &needs.items);
                let mut needs = needs.chain(pushed(entry));
                needs.find(|need| *need.value == *to.as_str()).map(Text::span)
            };
            let steps: Vec<(&JobKey, &JobKey)> = circle.iter().zip(&circle[1..]).collect();
            let Some((from, to)) = steps.last() else { break };
            let others = steps[..steps.len() - 1]
                .iter()
                .filter_map(|(from, to)| Some((place(from, to)?, format!("`{from}` needs `{to}`"))));
            let others: Vec<(Span, String)> = others.collect();
            let names: Vec<&str> = circle.iter().map(JobKey::as_str).collect();
            self.report(mistakes::cycle(
                &names,
                place(from, to).unwrap_or(self.ground.top),
                &others,
            ));
            for (key, needs) in &mut edges {
                if key == *from {
                    needs.retain(|need| need != *to);
                }
            }
        }
    }

    fn group(&mut self, group: &ShortOr<Text, model::Concurrency>) -> Option<Group> {
        let nowhere = Around::default();
        let (name, cancel_older) = match group {
            ShortOr::Short(name) => (Some(name), false),
            ShortOr::Full(full) => (
                full.group.as_ref(),
                full.cancel.as_ref().is_some_and(|cancel| cancel.value),
            ),
        };
        let Some(name) = name else {
            if let ShortOr::Full(full) = group {
                let help = "write `concurrency: { group: deploy, cancel: true }`";
                self.report(mistakes::missing("`concurrency`", "group", full.node.head, help));
            }
            return None;
        };
        Some(Group {
            name: self.template(name, Place::Concurrency, &nowhere),
            cancel_older,
        })
    }

    /// Variables; their names are checked.
    fn env(&mut self, env: Option<&Named<Text>>, place: Place, around: &Around<'_>) -> Env {
        let mut out = Env::new();
        for entry in env.iter().flat_map(|env| &env.entries) {
            if !conventions::is_variable_name(&entry.key) {
                self.report(mistakes::variable_name(&entry.key, entry.key_span));
            } else if entry.key.to_ascii_uppercase().starts_with("DRYDOCK") {
                self.report(mistakes::reserved_variable(&entry.key, entry.key_span));
            }
            out.insert(entry.key.to_string(), self.template(&entry.value, place, around));
        }
        out
    }

    /// A text with expressions; every name in it is looked up.
    fn template(&mut self, text: &Text, place: Place, around: &Around<'_>) -> Template {
        match Template::parse(&text.value) {
            Ok(template) => {
                if template.is_literal().is_none() {
                    self.look_up(
                        text,
                        &template.reads(),
                        template.check(conventions::CONTEXTS, place.functions()),
                        place,
                        around,
                    );
                }
                template
            }
            Err(error) => {
                self.expression_error(text, &error);
                Template::literal(&*text.value)
            }
        }
    }

    /// An `if:`.
    fn condition(&mut self, text: &Text, place: Place, around: &Around<'_>) -> Option<Condition> {
        match Expr::condition(&text.value) {
            Ok(expr) => {
                self.look_up(
                    text,
                    &expr.reads(),
                    expr.check(conventions::CONTEXTS, place.functions()),
                    place,
                    around,
                );
                Some(Condition {
                    expr,
                    origin: self.origin(text.span()),
                })
            }
            Err(error) => {
                self.expression_error(text, &error);
                None
            }
        }
    }

    fn look_up(&mut self, text: &Text, reads: &[Reads], unknown: Vec<ExprError>, place: Place, around: &Around<'_>) {
        let mut told: HashSet<(usize, usize)> = HashSet::new();
        for read in reads {
            let at = self.reader.place_within(&text.node, read.start, read.end);
            if let Some(found) = self.scope.check(read, place, around, at) {
                told.insert((read.start, read.end));
                self.report(found);
            }
        }
        // Unknown contexts were told above, better; what is left are functions and their arguments.
        for error in unknown {
            let is_told = reads
                .iter()
                .any(|read| read.start <= error.start && error.end <= read.end);
            if !is_told && told.insert((error.start, error.end)) {
                self.expression_error(text, &error);
            }
        }
    }

    fn expression_error(&mut self, text: &Text, error: &ExprError) {
        let at = self
            .reader
            .place_within(&text.node, error.start, error.end.max(error.start + 1));
        self.report(mistakes::expression(error, at));
    }

    /// `true`, `false` or an expression.
    fn on_failure(&mut self, allow: Option<&Text>, around: &Around<'_>) -> OnFailure {
        let Some(allow) = allow else { return OnFailure::Fail };
        match &*allow.value {
            "false" => OnFailure::Fail,
            "true" => OnFailure::Tolerate(Template::literal("true")),
            text if text.contains("${{") => OnFailure::Tolerate(self.template(allow, Place::AllowFailure, around)),
            text => {
                let error = ExprError {
                    kind: ExprErrorKind::Parsing,
                    message: format!(
                        "`allow-failure` takes `true`, `false` or `${{{{ an expression }}}}`, not `{text}`"
                    ),
                    start: 0,
                    end: text.len(),
                };
                self.expression_error(allow, &error);
                OnFailure::Fail
            }
        }
    }

    /// A command as words: a list as it stands, text split as a shell would.
    fn words(&mut self, command: Option<&OneOrMany<Text>>) -> Option<Vec<String>> {
        let command = command?;
        if command.node.items().is_some() {
            return Some(command.items.iter().map(|word| word.value.to_string()).collect());
        }
        let text = command.items.first()?;
        match shell_words::split(&text.value) {
            Ok(words) => Some(words),
            Err(_) => {
                self.report(mistakes::command(&text.value, text.span()));
                None
            }
        }
    }

    /// An image; checked where no expression is in it.
    fn image(&mut self, text: &Text, place: Place, around: &Around<'_>) -> Template {
        let template = self.template(text, place, around);
        if let Some(literal) = template.is_literal()
            && let Some(why) = names::image_problem(literal)
        {
            self.report(mistakes::image_reference(literal, why, text.span()));
        }
        template
    }

    /// A path inside of the repository; checked where no expression is in it.
    fn path(&mut self, key: &str, text: &Text, around: &Around<'_>) -> Template {
        let template = self.template(text, Place::BuildOrPush, around);
        if let Some(literal) = template.is_literal()
            && let Some(why) = names::path_problem(literal)
        {
            self.report(mistakes::path(key, literal, why, text.span()));
        }
        template
    }
}

/// Whether a mapping has one of these keys, or one that somebody may have meant to be one of them.
fn may_mean(node: &Node, keys: &[&str]) -> bool {
    let entries = node.entries().unwrap_or_default();
    let habits = ["run", "script", "uses", "commands", "command"];
    entries
        .iter()
        .any(|entry| closest(&entry.key, keys).is_some() || habits.contains(&&*entry.key))
}

/// What `push` names as the jobs that built: they are needed without saying so.
fn pushed(entry: &NamedEntry<model::Job>) -> impl Iterator<Item = &Text> {
    let pushes = entry.value.push.iter().flat_map(|pushes| &pushes.items);
    let images = pushes.filter_map(|push| match push {
        ShortOr::Short(_) => None,
        ShortOr::Full(full) => full.image.as_ref(),
    });
    images.filter(|image| image.value != entry.key)
}

/// What the file calls a job around an expression.
fn around<'a>(entry: &'a NamedEntry<model::Job>, axes: Axes<'a>) -> Around<'a> {
    let needs = entry.value.needs.iter().flat_map(|needs| &needs.items);
    Around {
        job: &entry.key,
        needs: needs.chain(pushed(entry)).map(|need| &*need.value).collect(),
        axes,
        steps: vec![],
        later_steps: vec![],
    }
}
