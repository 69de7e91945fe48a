//! The steps of a job.

use super::Lower;
use crate::dialect::native::scope::{Around, Place};
use crate::dialect::native::{mistakes, model, names};
use crate::dialect::read::{Many, ShortOr, Text};
use crate::expr::Template;
use crate::plan::{Action, OnFailure, Shell, Step};

type Written = ShortOr<Text, model::Step>;

impl Lower<'_, '_, '_> {
    /// Afterwards `around` knows the ids of all steps.
    pub(super) fn steps<'m>(&mut self, steps: Option<&'m Many<Written>>, around: &mut Around<'m>) -> Vec<Step> {
        let Some(steps) = steps else { return vec![] };
        self.step_ids(steps);
        around.later_steps = steps.items.iter().filter_map(id_of).map(|id| &*id.value).collect();
        let mut lowered = vec![];
        for step in &steps.items {
            let done = match step {
                ShortOr::Short(script) => Some(self.short(script, around)),
                ShortOr::Full(full) => self.full(full, around),
            };
            lowered.extend(done);
            if let Some(id) = id_of(step) {
                around.later_steps.retain(|later| *later != &*id.value);
                around.steps.push(&id.value);
            }
        }
        lowered
    }

    fn step_ids(&mut self, steps: &Many<Written>) {
        let mut seen: Vec<&Text> = vec![];
        for id in steps.items.iter().filter_map(id_of) {
            if !names::is_id(&id.value) {
                self.report(mistakes::step_id(&id.value, id.span()));
            }
            match seen.iter().find(|other| other.value.eq_ignore_ascii_case(&id.value)) {
                Some(first) => self.report(mistakes::step_id_twice(&id.value, id.span(), first.span())),
                None => seen.push(id),
            }
        }
    }

    fn short(&mut self, script: &Text, around: &Around<'_>) -> Step {
        let text = self.script(script, around);
        Step {
            id: None,
            name: None,
            action: Action::Script {
                shell: Shell::Default,
                text,
            },
            run_if: None,
            env: Default::default(),
            dir: None,
            timeout: None,
            on_failure: OnFailure::Fail,
            origin: self.origin(script.span()),
        }
    }

    fn full(&mut self, step: &model::Step, around: &Around<'_>) -> Option<Step> {
        let run_if = step
            .r#if
            .as_ref()
            .and_then(|text| self.condition(text, Place::StepIf, around));
        let name = step
            .name
            .as_ref()
            .map(|name| self.template(name, Place::StepName, around));
        let env = self.env(step.env.as_ref(), Place::StepEnv, around);
        let dir = step.dir.as_ref().map(|dir| self.template(dir, Place::StepText, around));
        let on_failure = self.on_failure(step.allow_failure.as_ref(), around);
        let shell = self.shell(step.shell.as_ref());
        let image = step
            .image
            .as_ref()
            .map(|image| self.image(image, Place::StepText, around));
        let script = step.run.as_ref().map(|run| self.script(run, around));
        let entrypoint = self.words(step.entrypoint.as_ref());
        let args = self.args(step, around);
        self.step_shape(step);
        let action = match (image, script) {
            (None, None) => return None,
            (None, Some(text)) => Action::Script { shell, text },
            (Some(image), Some(text)) => Action::Container {
                image,
                entrypoint: None,
                args: vec![],
                script: Some((shell, text)),
            },
            (Some(image), None) => Action::Container {
                image,
                entrypoint,
                args,
                script: None,
            },
        };
        Some(Step {
            id: step.id.as_ref().map(|id| id.value.to_string()),
            name,
            action,
            run_if,
            env,
            dir,
            timeout: step.timeout.as_ref().map(|timeout| timeout.value.0),
            on_failure,
            origin: self.origin(step.node.head),
        })
    }

    /// Keys that cannot stand together, or do nothing.
    fn step_shape(&mut self, step: &model::Step) {
        let place = |key: &str| {
            let entry = step.node.entries()?.iter().find(|entry| &*entry.key == key)?;
            Some(entry.key_span)
        };
        match (place("run"), place("image")) {
            (None, None) if super::may_mean(&step.node, &["run", "image"]) => {}
            (None, None) => self.report(mistakes::step_does_nothing(step.node.head)),
            (Some(run), _) => {
                for key in ["entrypoint", "args"] {
                    if let Some(at) = place(key) {
                        self.report(mistakes::only_without_run(key, at, run));
                    }
                }
            }
            (None, Some(_)) => {
                if let Some(at) = place("shell") {
                    self.report(mistakes::only_with("shell", "run", at));
                }
            }
        }
    }

    fn script(&mut self, run: &Text, around: &Around<'_>) -> Template {
        if run.value.trim().is_empty() {
            self.report(mistakes::empty(
                "`run`",
                run.span(),
                "write a command, or take the step out",
            ));
        }
        self.template(run, Place::Script, around)
    }

    /// A list is one argument each; text is split as a shell would, before expressions are worked out.
    fn args(&mut self, step: &model::Step, around: &Around<'_>) -> Vec<Template> {
        let Some(args) = &step.args else { return vec![] };
        if args.node.items().is_some() {
            return args
                .items
                .iter()
                .map(|arg| self.template(arg, Place::StepText, around))
                .collect();
        }
        let Some(text) = args.items.first() else { return vec![] };
        self.template(text, Place::StepText, around);
        if text.value.contains("${{") {
            // Splitting would tear the expression apart, and its value must stay one argument.
            let help = "write the arguments as a list: [first, \"${{ second }}\"]";
            self.report(mistakes::command(&text.value, text.span()).help(help));
            return vec![];
        }
        let words = self.words(Some(args)).unwrap_or_default();
        words.into_iter().map(Template::literal).collect()
    }

    fn shell(&mut self, shell: Option<&Text>) -> Shell {
        let Some(shell) = shell else { return Shell::Default };
        let words = match &*shell.value {
            "bash" => vec!["bash", "--noprofile", "--norc", "-eo", "pipefail", "{0}"],
            "sh" => vec!["sh", "-e", "{0}"],
            "python" | "python3" | "node" | "ruby" | "perl" => vec![&*shell.value, "{0}"],
            "pwsh" => vec!["pwsh", "-NoLogo", "-NonInteractive", "-File", "{0}"],
            other => {
                return match shell_words::split(other) {
                    Ok(words) if words.is_empty() => {
                        self.report(mistakes::empty(
                            "`shell`",
                            shell.span(),
                            "write `sh`, `bash` or a command with {0}",
                        ));
                        Shell::Default
                    }
                    Ok(mut words) => {
                        if !words.iter().any(|word| word.contains("{0}")) {
                            words.push("{0}".to_owned());
                        }
                        Shell::Command(words)
                    }
                    Err(_) => {
                        self.report(mistakes::command(other, shell.span()));
                        Shell::Default
                    }
                };
            }
        };
        Shell::Command(words.into_iter().map(str::to_owned).collect())
    }
}

fn id_of(step: &Written) -> Option<&Text> {
    match step {
        ShortOr::Short(_) => None,
        ShortOr::Full(full) => full.id.as_ref(),
    }
}
