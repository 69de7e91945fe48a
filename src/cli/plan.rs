//! `drydock plan`: what would run here, and why; nothing is run.

use super::resolved::Resolved;
use super::selection::Selection;
use super::{Exit, Failed};
use crate::plan::picture::{Known, Paper, Picture, draw, picture};

/// Columns where nobody says how wide the terminal is.
const WIDTH_USUAL: usize = 120;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// `json` prints the picture as one object
    #[arg(short, long, value_enum, default_value = "pretty", help_heading = "Output")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Pretty,
    Plain,
    Json,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    let resolved = args.selection.resolve()?;
    show(&resolved, args.output)
}

/// The picture of what was resolved; also what `run --dry-run` shows.
pub fn show(resolved: &Resolved, output: Output) -> Result<Exit, Failed> {
    let seen = seen(resolved);
    match output {
        Output::Pretty => anstream::print!(
            "{}",
            draw(
                &seen,
                Paper {
                    width: width(),
                    colour: true
                }
            )
        ),
        Output::Plain => anstream::print!(
            "{}",
            draw(
                &seen,
                Paper {
                    width: WIDTH_USUAL,
                    colour: false
                }
            )
        ),
        Output::Json => match serde_json::to_string_pretty(&seen) {
            Ok(text) => anstream::println!("{text}"),
            Err(error) => return Err(Failed::machine(format!("cannot write the picture: {error}"))),
        },
    }
    Ok(Exit::Passed)
}

fn seen(resolved: &Resolved) -> Picture {
    let ground = &resolved.ground;
    let secrets: Vec<String> = ground.secrets.keys().cloned().collect();
    let known = Known {
        trigger: &ground.trigger,
        vars: &ground.vars,
        inputs: &ground.inputs,
        files: Some(&*ground.files),
        secrets: &secrets,
    };
    let workflows: Vec<_> = resolved
        .workflows
        .iter()
        .map(|workflow| (&*workflow.plan, &workflow.decision))
        .collect();
    picture(&workflows, &known)
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(WIDTH_USUAL, |size| match size.ws_col {
        0 => WIDTH_USUAL,
        columns => usize::from(columns),
    })
}
