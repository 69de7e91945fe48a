//! `on`: which events start the pipeline.

use croner::parser::{CronParser, Seconds, Year};
use indexmap::IndexMap;

use super::Lower;
use crate::dialect::native::mistakes;
use crate::dialect::native::model::{self, File, On};
use crate::dialect::read::{OneOrMany, OrNothing, ShortOr, Text};
use crate::expr::globs::Patterns;
use crate::plan::{EventFilter, Globs, ManualInput, Rule};

const EVENTS: [&str; 5] = ["push", "pull_request", "tag", "schedule", "manual"];

/// What can happen to a pull request, in Drydock's words.
const ACTIONS: [&str; 14] = [
    "opened",
    "reopened",
    "synchronize",
    "edited",
    "closed",
    "labeled",
    "unlabeled",
    "assigned",
    "unassigned",
    "ready_for_review",
    "converted_to_draft",
    "review_requested",
    "approved",
    "merged",
];

/// Names of the manual inputs that a file defines.
pub(super) fn input_names(file: &File) -> Vec<&str> {
    let Some(ShortOr::Full(on)) = &file.on else {
        return vec![];
    };
    let manual = on.manual.as_ref().and_then(|manual| manual.0.as_ref());
    let inputs = manual.and_then(|manual| manual.inputs.as_ref());
    inputs
        .iter()
        .flat_map(|inputs| &inputs.entries)
        .map(|entry| &*entry.key)
        .collect()
}

impl Lower<'_, '_, '_> {
    pub(super) fn rules(&mut self, file: &File) -> Vec<Rule> {
        match &file.on {
            None => {
                let origin = self.origin(self.ground.top);
                let all = ["push", "pull_request", "tag", "manual"];
                all.into_iter()
                    .filter_map(bare)
                    .map(|filter| Rule {
                        filter,
                        origin: origin.clone(),
                    })
                    .collect()
            }
            Some(ShortOr::Short(events)) => self.listed(events),
            Some(ShortOr::Full(on)) => self.on(on),
        }
    }

    fn listed(&mut self, events: &OneOrMany<Text>) -> Vec<Rule> {
        if events.items.is_empty() {
            let help = "name at least one event: push, pull_request, tag, manual";
            self.report(mistakes::empty("`on`", events.node.head, help));
        }
        let mut rules = vec![];
        for event in &events.items {
            match (&*event.value, bare(&event.value)) {
                (_, Some(filter)) => rules.push(Rule {
                    filter,
                    origin: self.origin(event.span()),
                }),
                ("schedule", None) => {
                    self.report(mistakes::event_needs_more(
                        "schedule",
                        "a cron expression",
                        event.span(),
                    ));
                }
                (other, None) => self.report(mistakes::unknown_event(other, event.span(), &EVENTS)),
            }
        }
        rules
    }

    fn on(&mut self, on: &On) -> Vec<Rule> {
        let mut rules: Vec<(u32, Rule)> = vec![];
        let key_of = |name: &str| {
            let entry = on.node.entries()?.iter().find(|entry| &*entry.key == name)?;
            Some(entry.key_span)
        };
        let mut add = |lower: &mut Self, name: &str, filter: EventFilter| {
            let at = key_of(name).unwrap_or(lower.ground.top);
            rules.push((
                at.start,
                Rule {
                    filter,
                    origin: lower.origin(at),
                },
            ));
        };
        if let Some(push) = &on.push {
            let filter = self.push(push);
            add(self, "push", filter);
        }
        if let Some(request) = &on.pull_request {
            let filter = self.pull_request(request);
            add(self, "pull_request", filter);
        }
        if let Some(tag) = &on.tag {
            let filter = self.tag(tag);
            add(self, "tag", filter);
        }
        for schedule in on.schedule.iter().flat_map(|all| &all.items) {
            if let Some((at, filter)) = self.schedule(schedule) {
                rules.push((
                    at.start,
                    Rule {
                        filter,
                        origin: self.origin(at),
                    },
                ));
            }
        }
        if let Some(manual) = &on.manual {
            let filter = EventFilter::Manual {
                inputs: self.inputs(manual.0.as_ref()),
            };
            let at = key_of("manual").unwrap_or(self.ground.top);
            rules.push((
                at.start,
                Rule {
                    filter,
                    origin: self.origin(at),
                },
            ));
        }
        rules.sort_by_key(|(start, _)| *start);
        rules.into_iter().map(|(_, rule)| rule).collect()
    }

    fn push(&mut self, push: &OrNothing<ShortOr<OneOrMany<Text>, model::PushFilter>>) -> EventFilter {
        let (mut branches, mut branches_ignore, mut paths, mut paths_ignore) = (None, None, None, None);
        match &push.0 {
            None => {}
            Some(ShortOr::Short(names)) => branches = self.globs(Some(names)),
            Some(ShortOr::Full(filter)) => {
                self.not_both(
                    "branches",
                    filter.branches.as_ref(),
                    "branches-ignore",
                    filter.branches_ignore.as_ref(),
                );
                self.not_both(
                    "paths",
                    filter.paths.as_ref(),
                    "paths-ignore",
                    filter.paths_ignore.as_ref(),
                );
                branches = self.globs(filter.branches.as_ref());
                branches_ignore = self.globs_of_ignore(filter.branches_ignore.as_ref());
                paths = self.globs(filter.paths.as_ref());
                paths_ignore = self.globs_of_ignore(filter.paths_ignore.as_ref());
            }
        }
        EventFilter::Push {
            branches,
            branches_ignore,
            paths,
            paths_ignore,
        }
    }

    fn pull_request(&mut self, request: &OrNothing<ShortOr<OneOrMany<Text>, model::PullRequestFilter>>) -> EventFilter {
        let (mut branches, mut branches_ignore, mut paths, mut paths_ignore) = (None, None, None, None);
        let mut actions = vec![];
        match &request.0 {
            None => {}
            Some(ShortOr::Short(names)) => branches = self.globs(Some(names)),
            Some(ShortOr::Full(filter)) => {
                self.not_both(
                    "branches",
                    filter.branches.as_ref(),
                    "branches-ignore",
                    filter.branches_ignore.as_ref(),
                );
                self.not_both(
                    "paths",
                    filter.paths.as_ref(),
                    "paths-ignore",
                    filter.paths_ignore.as_ref(),
                );
                branches = self.globs(filter.branches.as_ref());
                branches_ignore = self.globs_of_ignore(filter.branches_ignore.as_ref());
                paths = self.globs(filter.paths.as_ref());
                paths_ignore = self.globs_of_ignore(filter.paths_ignore.as_ref());
                for action in filter.actions.iter().flat_map(|actions| &actions.items) {
                    if !ACTIONS.contains(&&*action.value) {
                        self.report(mistakes::unknown_action(&action.value, action.span(), &ACTIONS));
                    }
                    actions.push(action.value.to_string());
                }
            }
        }
        EventFilter::PullRequest {
            branches,
            branches_ignore,
            paths,
            paths_ignore,
            actions,
        }
    }

    fn tag(&mut self, tag: &OrNothing<ShortOr<OneOrMany<Text>, model::TagFilter>>) -> EventFilter {
        let (mut tags, mut tags_ignore) = (None, None);
        match &tag.0 {
            None => {}
            Some(ShortOr::Short(names)) => tags = self.globs(Some(names)),
            Some(ShortOr::Full(filter)) => {
                self.not_both("tags", filter.tags.as_ref(), "tags-ignore", filter.tags_ignore.as_ref());
                tags = self.globs(filter.tags.as_ref());
                tags_ignore = self.globs_of_ignore(filter.tags_ignore.as_ref());
            }
        }
        EventFilter::Tag { tags, tags_ignore }
    }

    fn schedule(&mut self, schedule: &ShortOr<Text, model::Schedule>) -> Option<(crate::diag::Span, EventFilter)> {
        let (cron, time_zone, branch) = match schedule {
            ShortOr::Short(cron) => (cron, None, None),
            ShortOr::Full(full) => {
                let Some(cron) = &full.cron else {
                    let help = "write `schedule: { cron: \"0 3 * * *\" }`";
                    self.report(mistakes::missing("`schedule`", "cron", full.node.head, help));
                    return None;
                };
                (cron, full.time_zone.as_ref(), full.branch.as_ref())
            }
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        if let Err(error) = parser.parse(&cron.value) {
            self.report(mistakes::cron(
                &cron.value,
                error.to_string().trim_end_matches('.'),
                cron.span(),
            ));
        }
        if let Some(zone) = time_zone
            && is_no_time_zone(&zone.value)
        {
            self.report(mistakes::time_zone(&zone.value, zone.span()));
        }
        let filter = EventFilter::Schedule {
            cron: cron.value.to_string(),
            time_zone: time_zone.map(|zone| zone.value.to_string()),
            branch: branch.map(|branch| branch.value.to_string()),
        };
        Some((cron.span(), filter))
    }

    fn inputs(&mut self, manual: Option<&model::Manual>) -> IndexMap<String, ManualInput> {
        let mut inputs = IndexMap::new();
        for entry in manual
            .and_then(|manual| manual.inputs.as_ref())
            .iter()
            .flat_map(|inputs| &inputs.entries)
        {
            let input = match &entry.value.0 {
                None => ManualInput::default(),
                Some(ShortOr::Short(default)) => ManualInput {
                    default: Some(default.value.to_string()),
                    ..ManualInput::default()
                },
                Some(ShortOr::Full(full)) => {
                    let options: Vec<&str> = full
                        .options
                        .iter()
                        .flat_map(|all| &all.items)
                        .map(|option| &*option.value)
                        .collect();
                    if let Some(default) = &full.default
                        && !options.is_empty()
                        && !options.contains(&&*default.value)
                    {
                        self.report(mistakes::default_is_no_option(&default.value, default.span(), &options));
                    }
                    ManualInput {
                        description: full.description.as_ref().map(|text| text.value.to_string()),
                        default: full.default.as_ref().map(|text| text.value.to_string()),
                        options: options.into_iter().map(str::to_owned).collect(),
                        required: full.required.as_ref().is_some_and(|required| required.value),
                    }
                }
            };
            inputs.insert(entry.key.to_string(), input);
        }
        inputs
    }

    /// Patterns of a filter that lets in.
    fn globs(&mut self, texts: Option<&OneOrMany<Text>>) -> Option<Globs> {
        let texts = texts?;
        if !texts.items.is_empty() && texts.items.iter().all(|text| text.value.starts_with('!')) {
            self.report(mistakes::only_negative(texts.node.head));
        }
        self.patterns(texts)
    }

    fn globs_of_ignore(&mut self, texts: Option<&OneOrMany<Text>>) -> Option<Globs> {
        self.patterns(texts?)
    }

    fn patterns(&mut self, texts: &OneOrMany<Text>) -> Option<Globs> {
        if texts.items.is_empty() {
            let help = "write at least one pattern, or take the key out";
            self.report(mistakes::empty("this list of patterns", texts.node.head, help));
            return None;
        }
        let mut fine: Vec<&str> = vec![];
        for text in &texts.items {
            match Patterns::parse(&[&*text.value]) {
                Ok(_) => fine.push(&text.value),
                Err((_, why)) => self.report(mistakes::glob(&text.value, &why, text.span())),
            }
        }
        let patterns = Patterns::parse(&fine).ok()?;
        Some(Globs {
            patterns,
            origin: self.origin(texts.node.head),
        })
    }

    fn not_both(&mut self, only: &str, a: Option<&OneOrMany<Text>>, ignore: &str, b: Option<&OneOrMany<Text>>) {
        if let (Some(a), Some(b)) = (a, b) {
            self.report(mistakes::both_filters(only, ignore, b.node.head, a.node.head));
        }
    }
}

/// An event that needs nothing more to be said.
fn bare(event: &str) -> Option<EventFilter> {
    Some(match event {
        "push" => EventFilter::Push {
            branches: None,
            branches_ignore: None,
            paths: None,
            paths_ignore: None,
        },
        "pull_request" => EventFilter::PullRequest {
            branches: None,
            branches_ignore: None,
            paths: None,
            paths_ignore: None,
            actions: vec![],
        },
        "tag" => EventFilter::Tag {
            tags: None,
            tags_ignore: None,
        },
        "manual" => EventFilter::Manual {
            inputs: IndexMap::new(),
        },
        _ => return None,
    })
}

/// Only where the machine has time zones at all.
fn is_no_time_zone(name: &str) -> bool {
    let known = |name: &str| jiff::tz::TimeZone::get(name).is_ok();
    !known(name) && known("Europe/London")
}
