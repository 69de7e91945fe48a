//! Drydock's own dialect: `.drydock.yml` and `.drydock/*.yml`. `model`: what a file says; `lower`: what it means.

mod conventions;
mod lower;
mod mistakes;
pub mod model;
mod names;
mod scope;
#[cfg(test)]
mod tests;

use super::read::{Read, Reader};
use super::yaml::{self, Content, Node};
use super::{CompileContext, Compiled, Dialect};
use crate::diag::{Diagnostic, FileId, Sources, Span};

/// Compiles native pipeline files.
#[derive(Debug, Clone, Copy)]
pub struct Native;

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn claims(&self, path: &str) -> bool {
        let yaml = path.ends_with(".yml") || path.ends_with(".yaml");
        let below = path.strip_prefix(".drydock/").is_some_and(|name| !name.contains('/'));
        yaml && (below || path == ".drydock.yml" || path == ".drydock.yaml")
    }

    fn compile(&self, files: &[FileId], sources: &Sources, context: &CompileContext<'_>) -> Compiled {
        let mut compiled = Compiled::default();
        for file in files {
            let Some(source) = sources.get(*file) else { continue };
            let mut reader = Reader::new(&source.text);
            let plan = model_of(*file, &source.text, &mut reader).and_then(|(model, top)| {
                let ground = lower::Ground {
                    sources,
                    paths: context.paths,
                    file: &source.path,
                    top,
                };
                lower::lower(&model, &ground, &mut reader)
            });
            let mut diagnostics = reader.diagnostics;
            in_file_order(&mut diagnostics);
            compiled.plans.extend(plan);
            compiled.diagnostics.extend(diagnostics);
        }
        compiled
    }
}

/// What the file says, and the place that stands for the file as a whole.
fn model_of(file: FileId, text: &str, reader: &mut Reader<'_>) -> Option<(model::File, Span)> {
    let parsed = yaml::parse(file, text);
    for diagnostic in parsed.diagnostics {
        reader.report(diagnostic);
    }
    let mut documents = parsed.documents.into_iter();
    let Some(root) = documents.next() else {
        if reader.diagnostics.is_empty() {
            reader.report(mistakes::no_jobs(Span::new(file, 0, 0)));
        }
        return None;
    };
    if let Some(second) = documents.next() {
        reader.report(mistakes::several_documents(second.head));
    }
    if root.is_null() {
        reader.report(mistakes::no_jobs(root.head));
        return None;
    }
    if root.entries().is_none() {
        reader.report(mistakes::not_a_mapping(root.what(), root.head));
        return None;
    }
    tags(&root, reader);
    // Keys that begin with `x-` are the author's: a place for anchors.
    let root = root.only(|entry| !entry.key.starts_with("x-"));
    let top = root
        .entries()
        .and_then(|entries| entries.first())
        .map_or(root.head, |entry| entry.key_span);
    model::File::read(&root, reader).map(|model| (model, top))
}

/// Tags other than YAML's own mean nothing in this dialect.
fn tags(node: &Node, reader: &mut Reader<'_>) {
    if let Some(tag) = &node.tag
        && node.alias.is_none()
        && !tag.name.starts_with("!!")
        && &*tag.name != "!"
    {
        reader.report(mistakes::unknown_tag(&tag.name, tag.span));
    }
    match &node.content {
        Content::Scalar(_) => {}
        Content::List(items) => items
            .iter()
            .filter(|item| item.alias.is_none())
            .for_each(|item| tags(item, reader)),
        Content::Map(entries) => {
            let own = entries
                .iter()
                .filter(|entry| entry.merged.is_none() && entry.value.alias.is_none());
            own.for_each(|entry| tags(&entry.value, reader));
        }
    }
}

/// As a person reads: top to bottom. The same finding at the same place (through an alias) is told once.
fn in_file_order(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_key(|diagnostic| diagnostic.span().map_or(0, |span| span.start));
    diagnostics.dedup();
}

impl Read for model::Matrix {
    fn takes() -> String {
        "a mapping (`matrix`)".into()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(entries) = node.entries() else {
            reader.wrong::<Self>(node);
            return None;
        };
        const KEYS: [&str; 4] = ["include", "exclude", "fail-fast", "max-parallel"];
        let is_key = |entry: &yaml::Entry| KEYS.contains(&&*entry.key);
        let axes = entries.iter().filter(|entry| !is_key(entry));
        Some(model::Matrix {
            axes: axes
                .map(|entry| (entry.key.clone(), entry.key_span, entry.value.clone()))
                .collect(),
            keys: model::MatrixKeys::read(&node.only(is_key), reader)?,
            node: node.clone(),
        })
    }
}

impl schemars::JsonSchema for model::Matrix {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Matrix".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = <model::MatrixKeys as schemars::JsonSchema>::json_schema(generator);
        let axis = serde_json::json!({
            "description": "An axis: a list of values, or an expression that gives one.",
            "anyOf": [{ "type": "array", "minItems": 1 }, { "type": "string", "pattern": "\\$\\{\\{" }]
        });
        schema.insert("additionalProperties".into(), axis);
        schema
    }
}

/// The JSON schema of a native file, made from [`model`]; published as `pipelines/drydock.schema.json`.
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft07();
    let schema = settings.into_generator().into_root_schema_for::<model::File>();
    let mut schema = schema.to_value();
    without_null(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Drydock pipeline".into());
        root.insert("required".into(), serde_json::json!(["jobs"]));
        root.insert(
            "patternProperties".into(),
            serde_json::json!({ "^x-": { "description": "Yours: a place for anchors." } }),
        );
    }
    schema
}

/// Keys are left out, not `null`: `Option` makes both possible. What may be nothing says so with `const`.
fn without_null(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Array(types)) = object.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".into(), one);
                }
            }
            if let Some(serde_json::Value::Array(any)) = object.get_mut("anyOf") {
                any.retain(|one| one.get("type").is_none_or(|one| one != "null"));
                if let [one] = any.as_slice() {
                    let one = one.clone();
                    object.remove("anyOf");
                    if let serde_json::Value::Object(one) = one {
                        object.extend(one);
                    }
                }
            }
            object.values_mut().for_each(without_null);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_null),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
