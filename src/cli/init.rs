//! `drydock init`: a `.drydock.yml` that fits what the repository holds.

mod template;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::template::{Choice, TEMPLATES, Template, choose, named};
use super::{Exit, Failed};
use crate::diag::closest;
use crate::dialect::Kind;
use crate::source::local::LocalTree;
use crate::tree::{Tree, read_text};

/// The file that is written.
const FILE: &str = ".drydock.yml";
/// A larger Dockerfile is not looked into.
const DOCKERFILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository's folder
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Use this template instead of the one that fits
    #[arg(short, long, value_name = "NAME")]
    template: Option<String>,
    /// Replace a pipeline file that is there
    #[arg(long)]
    force: bool,
    /// Print the file instead of writing it
    #[arg(long, conflicts_with = "force")]
    print: bool,
    /// Show the templates
    #[arg(long, conflicts_with_all = ["template", "force", "print"])]
    list: bool,
}

/// 0: written, printed or listed; 2: nothing fits, a file is there already, or it cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failed> {
    if args.list {
        anstream::print!("{}", list());
        return Ok(Exit::Passed);
    }
    let ground = Ground::read(&args.dir)?;
    let decided = decided(args, &ground)?;
    let text = decided.template.text(ground.dockerfile.is_some());
    if args.print {
        anstream::print!("{text}");
        anstream::eprint!("{}", why(&decided, &ground, "fits: "));
        return Ok(Exit::Passed);
    }
    if let Some(there) = ground.pipeline_file()
        && !args.force
    {
        let hint = if there == FILE {
            format!("`--force` replaces it, `--print` shows what `{FILE}` would hold")
        } else {
            format!("`--force` writes `{FILE}` beside it and both run; `--print` shows what it would hold")
        };
        return Err(Failed::wrong(format!("there is already a pipeline file: `{there}`")).hint(hint));
    }
    write(&ground.dir, text, args.force)?;
    anstream::print!("{}", why(&decided, &ground, &format!("wrote `{FILE}`: ")));
    anstream::print!("{}", next(&args.dir, &decided, &ground));
    Ok(Exit::Passed)
}

/// What a folder holds, as far as it matters here.
struct Ground {
    dir: PathBuf,
    paths: Vec<String>,
    /// The text of the Dockerfile at the top; empty where it cannot be read as text.
    dockerfile: Option<String>,
}

impl Ground {
    fn read(dir: &Path) -> Result<Ground, Failed> {
        let tree = LocalTree::open(dir).map_err(|error| Failed::wrong(error.to_string()))?;
        let unreadable = |error: io::Error| Failed::wrong(format!("cannot read the repository: {error}"));
        let paths = tree.paths().map_err(unreadable)?;
        let dockerfile = paths.iter().any(|path| path == "Dockerfile").then(|| {
            read_text(&tree, "Dockerfile", DOCKERFILE_BYTES_MAX)
                .ok()
                .flatten()
                .unwrap_or_default()
        });
        Ok(Ground {
            dir: tree.root().to_owned(),
            paths,
            dockerfile,
        })
    }

    fn holds(&self, path: &str) -> bool {
        self.paths.iter().any(|held| held == path)
    }

    /// A native file that runs already; one that git ignores counts too, as it would be lost.
    fn pipeline_file(&self) -> Option<&str> {
        if self.dir.join(FILE).symlink_metadata().is_ok() {
            return Some(FILE);
        }
        self.first_of(Kind::Native)
    }

    fn first_of(&self, kind: Kind) -> Option<&str> {
        self.paths.iter().map(String::as_str).find(|path| kind.claims(path))
    }
}

/// A template and what speaks for it; `sign` is none where a person named it.
struct Decided {
    template: &'static Template,
    sign: Option<&'static str>,
    others: Vec<(&'static str, &'static Template)>,
}

fn decided(args: &Args, ground: &Ground) -> Result<Decided, Failed> {
    if let Some(name) = &args.template {
        let template = named(name).ok_or_else(|| no_such_template(name))?;
        return Ok(Decided {
            template,
            sign: None,
            others: vec![],
        });
    }
    let Some(Choice { template, sign, others }) = choose(&ground.paths, ground.dockerfile.as_deref()) else {
        return Err(nothing_fits(&args.dir, ground));
    };
    Ok(Decided {
        template,
        sign: Some(sign),
        others,
    })
}

fn no_such_template(name: &str) -> Failed {
    let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
    let hint = match closest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", names.join(", ")),
    };
    Failed::wrong(format!("there is no template `{name}`")).hint(hint)
}

fn nothing_fits(dir: &Path, ground: &Ground) -> Failed {
    let what = format!(
        "no template fits `{}`: nothing at its top says what it is made with",
        dir.display()
    );
    let compose = [
        "compose.yaml",
        "compose.yml",
        "docker-compose.yaml",
        "docker-compose.yml",
    ]
    .into_iter()
    .find(|path| ground.holds(path));
    let hint = match compose {
        Some(file) => {
            format!("this version of Drydock does not run `{file}` yet; `drydock init --list` shows what there is")
        }
        None => {
            "`drydock init --list` shows the templates and what they look for, `--template NAME` takes one".to_owned()
        }
    };
    Failed::wrong(what).hint(hint)
}

/// Which template, why, and what else stands in the repository that bears on it.
fn why(decided: &Decided, ground: &Ground, begin: &str) -> String {
    let Decided { template, sign, others } = decided;
    let because = sign.map_or(String::new(), |sign| format!(", because `{sign}` is here"));
    let mut text = format!("{begin}template `{}`{because}\n", template.name);
    let mut add = |line: String| text = format!("{text}  {line}\n");
    match (template.needs_dockerfile(), &ground.dockerfile) {
        (false, Some(_)) => add("`Dockerfile` is here too: its image is built once the tests passed".to_owned()),
        (true, Some(_)) if template.name == "dockerfile-test" && sign.is_some() => {
            add("its stage `test` is built first".to_owned());
        }
        (true, None) => add("it builds `Dockerfile`, which is not here yet".to_owned()),
        (true, Some(_)) | (false, None) => {}
    }
    for (sign, other) in others {
        add(format!(
            "`{sign}` is here too: template `{}` shows how to test that part",
            other.name
        ));
    }
    for kind in [Kind::GitHub, Kind::GitLab] {
        if let Some(file) = ground.first_of(kind) {
            add(format!(
                "`{file}` is here too: `{FILE}` wins (`--dialect {}` selects the other)",
                kind.name()
            ));
        }
    }
    text
}

/// What to do now.
fn next(dir: &Path, decided: &Decided, ground: &Ground) -> String {
    let dir = if dir == Path::new(".") {
        String::new()
    } else {
        format!(" {}", shell_words::quote(&dir.to_string_lossy()))
    };
    let mut steps = vec![
        (format!("drydock check{dir}"), "every mistake in it, with its place"),
        (format!("drydock plan{dir}"), "what would run, in which order, and why"),
        (format!("drydock run{dir}"), "run it here, in containers"),
    ];
    if decided.template.needs_dockerfile() && ground.dockerfile.is_none() {
        steps.truncate(1);
    }
    let width = steps
        .iter()
        .map(|(command, _)| command.chars().count())
        .max()
        .unwrap_or(0);
    let lines = steps
        .iter()
        .map(|(command, what)| format!("  {command:<width$}   {what}\n"));
    format!("next:\n{}", lines.collect::<String>())
}

fn list() -> String {
    let width = |of: fn(&Template) -> usize| TEMPLATES.iter().map(of).max().unwrap_or(0);
    let names = width(|template| template.name.len());
    let languages = width(|template| template.language.len());
    let line = |template: &Template| {
        let signs = match template.signs {
            [] => "Dockerfile with a stage `test`".to_owned(),
            signs => signs.join(", "),
        };
        format!(
            "{:<names$}   {:<languages$}   {}\n{:names$}   {:languages$}   by {signs}\n",
            template.name, template.language, template.about, "", ""
        )
    };
    TEMPLATES.iter().map(line).collect()
}

/// A new file is made, or with `replace` put in the place of the old one in one move: a link is replaced, not followed.
fn write(dir: &Path, text: &str, replace: bool) -> Result<(), Failed> {
    let path = dir.join(FILE);
    let put = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(FILE).tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        if replace {
            file.persist(&path)?;
        } else {
            file.persist_noclobber(&path)?;
        }
        Ok(())
    };
    put().map_err(|error| Failed::wrong(format!("cannot write `{}`: {error}", path.display())))
}
