//! `build` and `push`.

use super::Lower;
use crate::diag::{Span, closest};
use crate::dialect::native::scope::{Around, Place};
use crate::dialect::native::{mistakes, model, names};
use crate::dialect::read::{NamedEntry, ShortOr, Text};
use crate::expr::Template;
use crate::plan::{Action, ImageBuild, ImagePush, JobKey, OnFailure, PushedImage, Step};

/// The tag of a push that names none.
const USUAL_TAG: &str = "${{ sha }}";

impl Lower<'_, '_, '_> {
    pub(super) fn build_step(&mut self, build: &ShortOr<Text, model::Build>, around: &Around<'_>) -> Step {
        let (at, lowered) = match build {
            ShortOr::Short(context) => (
                context.span(),
                self.build_of(context.span(), Some(context), None, around),
            ),
            ShortOr::Full(full) => (
                full.node.head,
                self.build_of(full.node.head, full.context.as_ref(), Some(full), around),
            ),
        };
        self.image_step(Action::Build(lowered), at)
    }

    fn build_of(
        &mut self,
        at: Span,
        context: Option<&Text>,
        full: Option<&model::Build>,
        around: &Around<'_>,
    ) -> ImageBuild {
        let context_template = match context {
            Some(context) => self.path("context", context, around),
            None => Template::literal("."),
        };
        let dockerfile = full.and_then(|full| full.dockerfile.as_ref());
        let dockerfile_template = dockerfile.map(|dockerfile| self.path("dockerfile", dockerfile, around));
        self.dockerfile_exists(at, context, &context_template, dockerfile, dockerfile_template.as_ref());
        let mut build = ImageBuild {
            context: context_template,
            dockerfile: dockerfile_template,
            target: None,
            args: Default::default(),
            secrets: vec![],
            platforms: vec![],
            cache: true,
            tags: vec![],
            origin: self.origin(at),
        };
        let Some(full) = full else { return build };
        build.target = full
            .target
            .as_ref()
            .map(|target| self.template(target, Place::BuildOrPush, around));
        for arg in full.args.iter().flat_map(|args| &args.entries) {
            let template = self.template(&arg.value, Place::BuildOrPush, around);
            if template.contexts().iter().any(|context| context == "secrets") {
                self.report(mistakes::secret_in_build_arg(&arg.key, arg.value.span()));
            }
            build.args.insert(arg.key.to_string(), template);
        }
        for secret in full.secrets.iter().flat_map(|secrets| &secrets.items) {
            if !crate::dialect::native::conventions::is_variable_name(&secret.value) {
                self.report(mistakes::secret_name(&secret.value, secret.span()));
            }
            build.secrets.push(secret.value.to_string());
        }
        for platform in full.platforms.iter().flat_map(|platforms| &platforms.items) {
            let parts = platform.value.split('/').count();
            if !(2..=3).contains(&parts) || platform.value.split('/').any(str::is_empty) {
                self.report(mistakes::out_of_range(
                    "platforms",
                    &platform.value,
                    "platforms such as `linux/amd64`",
                    platform.span(),
                ));
            }
            build.platforms.push(platform.value.to_string());
        }
        build.cache = full.cache.as_ref().is_none_or(|cache| cache.value);
        for tag in full.tags.iter().flat_map(|tags| &tags.items) {
            build.tags.push(self.image(tag, Place::BuildOrPush, around));
        }
        build
    }

    /// Told from the file alone where no expression decides.
    fn dockerfile_exists(
        &mut self,
        at: Span,
        context: Option<&Text>,
        context_template: &Template,
        dockerfile: Option<&Text>,
        dockerfile_template: Option<&Template>,
    ) {
        let Some(folder) = context_template
            .is_literal()
            .filter(|path| names::path_problem(path).is_none())
        else {
            return;
        };
        let folder = names::clean(folder);
        if folder != "." && !self.folder_exists(&folder) {
            let at = context.map_or(at, Text::span);
            let near = self.nearest(&folder, |path| path.rsplit_once('/').map(|(folder, _)| folder));
            self.report(mistakes::no_such_file("context", &folder, at, near.as_deref()));
            return;
        }
        match (dockerfile, dockerfile_template) {
            (Some(text), Some(template)) => {
                if let Some(path) = template.is_literal().filter(|path| names::path_problem(path).is_none()) {
                    self.file_exists("dockerfile", &names::clean(path), text.span());
                }
            }
            _ => {
                let path = if folder == "." {
                    "Dockerfile".to_owned()
                } else {
                    format!("{folder}/Dockerfile")
                };
                self.file_exists("build", &path, context.map_or(at, Text::span));
            }
        }
    }

    pub(super) fn file_exists(&mut self, key: &str, path: &str, at: Span) {
        if self
            .ground
            .paths
            .binary_search_by(|known| known.as_str().cmp(path))
            .is_err()
        {
            let near = self.nearest(path, |path| Some(path));
            self.report(mistakes::no_such_file(key, path, at, near.as_deref()));
        }
    }

    fn folder_exists(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        let at = self
            .ground
            .paths
            .partition_point(|path| path.as_str() < inside.as_str());
        self.ground.paths.get(at).is_some_and(|path| path.starts_with(&inside))
    }

    /// A path of the repository that was likely meant.
    fn nearest(&self, path: &str, part: fn(&str) -> Option<&str>) -> Option<String> {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let known: Vec<&str> = self
            .ground
            .paths
            .iter()
            .filter_map(|known| part(known))
            .take(20_000)
            .collect();
        let same_name = known.iter().find(|known| name(known) == name(path)).copied();
        same_name.or_else(|| closest(path, &known)).map(str::to_owned)
    }

    pub(super) fn push_step(
        &mut self,
        entry: &NamedEntry<model::Job>,
        push: &ShortOr<Text, model::Push>,
        around: &Around<'_>,
    ) -> Option<Step> {
        let (to, full) = match push {
            ShortOr::Short(to) => (to, None),
            ShortOr::Full(full) => match &full.to {
                Some(to) => (to, Some(full)),
                None => {
                    if full.node.get("to").is_none() {
                        let help = "write `to: registry.example.com/team/name`";
                        self.report(mistakes::missing("`push`", "to", full.node.head, help));
                    }
                    return None;
                }
            },
        };
        let at = full.map_or(to.span(), |full| full.node.head);
        let image = self.pushed_image(entry, full.and_then(|full| full.image.as_ref()), at, around);
        let (repository, tag) = names::split_tag(&to.value);
        let written = full.and_then(|full| full.tags.as_ref());
        if tag.is_some() && written.is_some() {
            self.report(mistakes::tag_in_repository(&to.value, to.span()));
        }
        let whole = self.template(to, Place::BuildOrPush, around);
        if whole.is_literal().is_some()
            && let Some(why) = names::repository_problem(repository)
        {
            self.report(mistakes::image_reference(repository, why, to.span()));
        }
        let mut tags = vec![];
        for text in written.iter().flat_map(|tags| &tags.items) {
            let template = self.template(text, Place::BuildOrPush, around);
            if template.is_literal().is_some_and(|literal| !names::is_tag(literal)) {
                self.report(mistakes::tag_name(&text.value, text.span()));
            }
            tags.push(template);
        }
        if written.is_some_and(|tags| tags.items.is_empty()) {
            self.report(mistakes::empty(
                "`tags`",
                at,
                "name at least one tag, or take `tags` out",
            ));
        }
        if let Some(tag) = tag.filter(|tag| !tag.contains("${{") && !names::is_tag(tag)) {
            self.report(mistakes::tag_name(tag, to.span()));
        }
        // What could not be parsed was told above.
        let parsed = |text: &str| Template::parse(text).unwrap_or_default();
        if written.is_none() {
            tags.push(parsed(tag.unwrap_or(USUAL_TAG)));
        }
        let push = ImagePush {
            image: image?,
            to: parsed(repository),
            tags,
            origin: self.origin(at),
        };
        Some(self.image_step(Action::Push(push), at))
    }

    fn pushed_image(
        &mut self,
        entry: &NamedEntry<model::Job>,
        image: Option<&Text>,
        at: Span,
        around: &Around<'_>,
    ) -> Option<PushedImage> {
        let builders: Vec<&str> = self
            .scope
            .jobs
            .iter()
            .filter(|job| job.builds)
            .map(|job| job.id)
            .collect();
        let Some(text) = image else {
            if entry.value.build.is_some() {
                return Some(PushedImage::BuiltBy(JobKey::new(&entry.key)));
            }
            let needed: Vec<&str> = builders
                .iter()
                .copied()
                .filter(|id| around.needs.contains(id))
                .collect();
            return match needed.as_slice() {
                [one] => self.built_by(entry, one, at),
                _ => {
                    let choice = if needed.is_empty() { &builders } else { &needed };
                    self.report(mistakes::push_of_what(&entry.key, at, choice));
                    None
                }
            };
        };
        if self.scope.jobs.iter().any(|job| job.id == &*text.value) {
            return self.built_by(entry, &text.value, text.span());
        }
        let looks_like_a_job = names::is_id(&text.value) && closest(&text.value, &builders).is_some();
        if looks_like_a_job {
            self.report(mistakes::push_of_unknown(
                &entry.key,
                &text.value,
                text.span(),
                &builders,
            ));
            return None;
        }
        Some(PushedImage::Named(self.image(text, Place::BuildOrPush, around)))
    }

    fn built_by(&mut self, entry: &NamedEntry<model::Job>, id: &str, at: Span) -> Option<PushedImage> {
        let job = self.scope.jobs.iter().find(|job| job.id == id)?;
        let own = *entry.key == *id;
        if !job.builds {
            let builders: Vec<&str> = self
                .scope
                .jobs
                .iter()
                .filter(|job| job.builds)
                .map(|job| job.id)
                .collect();
            self.report(mistakes::push_of_unbuilt(&entry.key, id, at, &builders));
        } else if let (false, Some(matrix)) = (own, job.matrix) {
            self.report(mistakes::push_of_matrix(&entry.key, id, at, matrix));
        }
        Some(PushedImage::BuiltBy(JobKey::new(id)))
    }

    fn image_step(&self, action: Action, at: Span) -> Step {
        Step {
            id: None,
            name: None,
            action,
            run_if: None,
            env: Default::default(),
            dir: None,
            timeout: None,
            on_failure: OnFailure::Fail,
            origin: self.origin(at),
        }
    }
}
