//! `drydock expr`: evaluates one expression, or answers a stream of questions about the small languages.

mod answer;
mod workspace;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use clap::ValueEnum;

use super::{Exit, Failed};
use crate::diag::{Diagnostic, Sources, Span};
use crate::expr::gitlab_if::Condition;
use crate::expr::{Expr, ExprError, Template, Value};
use answer::{Contexts, FUNCTIONS};

/// Longest line of `--stdin`, in bytes.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const AFTER_HELP: &str = "\
Examples:
  drydock expr '1 + 1 == 2 || github.ref' --context contexts.json
  drydock expr \"hashFiles('**/Cargo.lock')\"
  drydock expr --dialect gitlab '$CI_COMMIT_BRANCH =~ /^release/' --context variables.json
  drydock expr --stdin < questions.jsonl

--stdin answers each line, a JSON object, with one line, in order:
  {\"id\":1,\"kind\":\"expr\",\"expr\":E,\"contexts\":{},\"cwd\":DIR}   -> {\"id\":1,\"kind\":\"Boolean\",\"value\":true}
  {\"kind\":\"template\",\"text\":T,\"contexts\":{}}              -> {\"value\":\"text\"}
  {\"kind\":\"paths\",\"filter\":\"paths|paths-ignore\",\"patterns\":[],\"changed\":[]}
  {\"kind\":\"dockerignore\",\"patterns\":[],\"path\":P}
  {\"kind\":\"gitlab-if\",\"expr\":E,\"variables\":{}}            -> {\"value\":true}
  {\"kind\":\"dockerfile-env\",\"word\":W,\"env\":{}}             -> {\"value\":\"text\"}
  what is wrong is answered with {\"error\":\"lexing|parsing|evaluation|protocol\",\"message\":M}";

/// Arguments of `drydock expr`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The expression, with or without `${{ }}` around it
    #[arg(required_unless_present = "stdin", allow_hyphen_values = true)]
    expression: Option<String>,

    /// JSON object of the contexts (GitHub, native) or variables (GitLab) that the expression sees
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,

    /// Whose language it is
    #[arg(long, value_enum, default_value_t = Language::Github)]
    dialect: Language,

    /// Answer JSON lines from standard input
    #[arg(long, conflicts_with_all = ["expression", "context"])]
    stdin: bool,
}

/// A dialect, as far as its expressions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// The GitHub expression language, as the native dialect uses it
    Native,
    /// The GitHub expression language
    Github,
    /// GitLab's `rules:if`
    Gitlab,
}

/// Answers `drydock expr`.
pub fn run(args: Args) -> Result<Exit, Failed> {
    let Some(expression) = args.expression else {
        return match stream(io::stdin().lock(), io::stdout().lock()) {
            Ok(()) => Ok(Exit::Passed),
            // Whoever asked has gone: nothing is left to answer.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Passed),
            Err(error) => Err(Failed::machine(format!("cannot answer standard input: {error}"))),
        };
    };
    let contexts = contexts(args.context)?;
    let value = match args.dialect {
        Language::Native | Language::Github => evaluate(&expression, contexts),
        Language::Gitlab => condition(&expression, &contexts).map_err(|error| vec![error]),
    };
    match value {
        Ok(text) => {
            // A reader that has gone is no fault of the expression.
            let _ = writeln!(io::stdout(), "{text}");
            Ok(Exit::Passed)
        }
        Err(errors) => {
            anstream::eprintln!("{}", drawn(&expression, &errors));
            Ok(Exit::Wrong)
        }
    }
}

fn contexts(path: Option<PathBuf>) -> Result<Value, Failed> {
    let Some(path) = path else {
        return Ok(Value::object::<String, Value>([]));
    };
    let at = path.display();
    let text = std::fs::read_to_string(&path).map_err(|error| Failed::wrong(format!("cannot read `{at}`: {error}")))?;
    match serde_json::from_str(&text) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value.into()),
        Ok(_) => Err(Failed::wrong(format!(
            "`{at}` should hold a JSON object of contexts by name"
        ))),
        Err(error) => Err(Failed::wrong(format!("`{at}` is no JSON: {error}"))),
    }
}

fn evaluate(text: &str, contexts: Value) -> Result<String, Vec<ExprError>> {
    let scope = Contexts::new(contexts, Some(PathBuf::from(".")));
    let names = scope.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let value = if text.contains("${{") {
        let template = Template::parse(text).map_err(|error| vec![error])?;
        none(template.check(&names, &FUNCTIONS))?;
        template.value(&scope)
    } else {
        let expression = Expr::parse(text).map_err(|error| vec![error])?;
        none(expression.check(&names, &FUNCTIONS))?;
        expression.evaluate(&scope)
    };
    value.map(|value| shown(&value)).map_err(|error| vec![error])
}

fn none(errors: Vec<ExprError>) -> Result<(), Vec<ExprError>> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// A text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Number(_) => value.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => format!("{:#}", value.to_json()),
    }
}

fn condition(text: &str, variables: &Value) -> Result<String, ExprError> {
    let condition = Condition::parse(text)?;
    let read = |name: &str| variables.get(name).map(Value::to_string);
    condition.evaluate(&read).map(|holds| holds.to_string())
}

/// The errors as the compiler draws them, under the expression.
fn drawn(text: &str, errors: &[ExprError]) -> String {
    let mut sources = Sources::default();
    let file = sources.add("expression", text);
    let draw = |error: &ExprError| {
        let span = Span::new(file, error.start, error.end);
        let mut found = Diagnostic::error(error.kind.name(), &error.message).at(span, "");
        if error.message.ends_with("no such named-value here") {
            found = found.help("`--context FILE.json` gives contexts by name");
        }
        found.render(&sources, true)
    };
    errors.iter().map(draw).collect::<Vec<_>>().join("\n")
}

/// Answers each line as it comes.
fn stream(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = io::Read::take(&mut input, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        let answer = if length as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            skip_line(&mut input)?;
            answer::protocol_error(format!("the line is longer than {LINE_BYTES_MAX} bytes"))
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            answer::answer(&line)
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let length = newline.map_or(buffer.len(), |at| at + 1);
        input.consume(length);
        if newline.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
