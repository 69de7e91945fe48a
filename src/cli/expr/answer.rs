//! One question of `drydock expr --stdin`, and its answer.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::workspace::Workspace;
use crate::expr::dockerignore::Ignore;
use crate::expr::gitlab_if::Condition;
use crate::expr::globs::Patterns;
use crate::expr::hash_files::hash_files;
use crate::expr::{Expr, ExprError, ExprErrorKind, Object, Scope, Template, Value, dockerword};

/// Functions beyond the built-in ones.
pub(super) const FUNCTIONS: [&str; 5] = ["success", "failure", "always", "cancelled", "hashFiles"];

/// Contexts by name. The status functions answer by `job.status`; `hashFiles` looks into the workspace, if there is one.
pub(super) struct Contexts {
    contexts: Value,
    workspace: Option<Workspace>,
}

impl Contexts {
    pub fn new(contexts: Value, directory: Option<PathBuf>) -> Self {
        Contexts {
            contexts,
            workspace: directory.map(Workspace::new),
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.contexts
            .as_object()
            .map(|object| object.keys().map(String::from).collect())
            .unwrap_or_default()
    }

    fn status_is(&self, wanted: &str) -> bool {
        let status = self.contexts.get("job").and_then(|job| job.get("status"));
        status.map_or(wanted == "success", |status| {
            status.to_string().eq_ignore_ascii_case(wanted)
        })
    }
}

impl Scope for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        Some(Ok(match name.to_ascii_lowercase().as_str() {
            "always" => true.into(),
            "success" => self.status_is("success").into(),
            "failure" => self.status_is("failure").into(),
            "cancelled" => self.status_is("cancelled").into(),
            "hashfiles" => {
                let Some(workspace) = &self.workspace else {
                    return Some(Err(
                        "hashFiles has no workspace here: the question gives no `cwd`".to_string()
                    ));
                };
                let patterns: Vec<String> = arguments.iter().map(Value::to_string).collect();
                return Some(hash_files(workspace, &patterns).map(Value::from));
            }
            _ => return None,
        }))
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Question {
    Expr {
        expr: String,
        #[serde(default)]
        contexts: Map<String, Json>,
        cwd: Option<PathBuf>,
    },
    Template {
        text: String,
        #[serde(default)]
        contexts: Map<String, Json>,
        cwd: Option<PathBuf>,
    },
    Paths {
        filter: Filter,
        patterns: Vec<String>,
        changed: Vec<String>,
    },
    Dockerignore {
        patterns: Vec<String>,
        path: String,
    },
    GitlabIf {
        expr: String,
        #[serde(default)]
        variables: Map<String, Json>,
    },
    DockerfileEnv {
        word: String,
        #[serde(default)]
        env: Map<String, Json>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Filter {
    Paths,
    PathsIgnore,
}

/// Why there is no value.
enum Refusal {
    Expression(ExprError),
    /// The small languages without positions.
    Language(ExprErrorKind, String),
}

impl From<ExprError> for Refusal {
    fn from(error: ExprError) -> Self {
        Refusal::Expression(error)
    }
}

/// The answer to one line, as one line without its end. Whatever the line holds, it has an answer.
pub(super) fn answer(line: &[u8]) -> String {
    let parsed: Result<Json, _> = serde_json::from_slice(line);
    let (id, question) = match parsed {
        Ok(Json::Object(mut fields)) => (fields.shift_remove("id"), Question::deserialize(Json::Object(fields))),
        Ok(_) => return protocol_error("a question is a JSON object"),
        Err(error) => return protocol_error(format!("the line is no JSON: {error}")),
    };
    let mut fields = Map::new();
    fields.extend(id.map(|id| ("id".to_string(), id)));
    match question.map(value_of) {
        Ok(Ok(answer)) => fields.extend(answer),
        Ok(Err(refusal)) => fields.extend(refusal.fields()),
        Err(error) => fields.extend(refused("protocol", error.to_string())),
    }
    Json::Object(fields).to_string()
}

pub(super) fn protocol_error(message: impl Into<String>) -> String {
    Json::Object(refused("protocol", message)).to_string()
}

fn refused(error: &str, message: impl Into<String>) -> Map<String, Json> {
    [
        ("error".to_string(), error.into()),
        ("message".to_string(), message.into().into()),
    ]
    .into_iter()
    .collect()
}

impl Refusal {
    fn fields(self) -> Map<String, Json> {
        match self {
            Refusal::Expression(error) => {
                let mut fields = refused(error.kind.name(), error.message);
                fields.extend([
                    ("start".to_string(), json!(error.start)),
                    ("end".to_string(), json!(error.end)),
                ]);
                fields
            }
            Refusal::Language(kind, message) => refused(kind.name(), message),
        }
    }
}

fn value_of(question: Question) -> Result<Map<String, Json>, Refusal> {
    let value = match question {
        Question::Expr { expr, contexts, cwd } => {
            let value = evaluate(&expr, contexts, cwd)?;
            let kind = ("kind".to_string(), value.kind().into());
            return Ok([kind, ("value".to_string(), value.to_json())].into_iter().collect());
        }
        Question::Template { text, contexts, cwd } => render(&text, contexts, cwd)?.into(),
        Question::Paths {
            filter,
            patterns,
            changed,
        } => {
            let patterns = Patterns::parse(&patterns)
                .map_err(|(index, message)| wrong(format!("pattern {}: {message}", index + 1)))?;
            match filter {
                // No patterns, no filter.
                _ if patterns.is_empty() => true,
                Filter::Paths => patterns.paths_match(&changed).is_some(),
                Filter::PathsIgnore => patterns.paths_ignore_match(&changed).is_some(),
            }
            .into()
        }
        Question::Dockerignore { patterns, path } => {
            let ignore =
                Ignore::from_patterns(&patterns).map_err(|error| wrong(format!("pattern {}: {error}", error.line)))?;
            ignore.is_ignored(&path).into()
        }
        Question::GitlabIf { expr, variables } => {
            let variables = texts(variables);
            Condition::parse(&expr)?
                .evaluate(&|name| variables.get(name).map(Value::to_string))?
                .into()
        }
        Question::DockerfileEnv { word, env } => {
            let env = texts(env);
            let text = dockerword::expand(&word, &|name| env.get(name).map(Value::to_string), '\\')
                .map_err(|error| wrong(error.to_string()))?;
            text.into()
        }
    };
    Ok([("value".to_string(), value)].into_iter().collect())
}

fn wrong(message: String) -> Refusal {
    Refusal::Language(ExprErrorKind::Parsing, message)
}

/// Variables by their exact names; null stands for one that is not set.
fn texts(variables: Map<String, Json>) -> Object {
    let mut texts = Object::case_sensitive();
    for (name, value) in variables {
        if !value.is_null() {
            texts.insert(name, Value::from(value));
        }
    }
    texts
}

fn evaluate(text: &str, contexts: Map<String, Json>, cwd: Option<PathBuf>) -> Result<Value, ExprError> {
    let scope = Contexts::new(Json::Object(contexts).into(), cwd);
    let expression = Expr::parse(text)?;
    refuse_unknown(&scope, |names| expression.check(names, &FUNCTIONS))?;
    expression.evaluate(&scope)
}

fn render(text: &str, contexts: Map<String, Json>, cwd: Option<PathBuf>) -> Result<String, ExprError> {
    let scope = Contexts::new(Json::Object(contexts).into(), cwd);
    let template = Template::parse(text)?;
    refuse_unknown(&scope, |names| template.check(names, &FUNCTIONS))?;
    template.render(&scope)
}

fn refuse_unknown(scope: &Contexts, check: impl Fn(&[&str]) -> Vec<ExprError>) -> Result<(), ExprError> {
    let names = scope.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match check(&names).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
