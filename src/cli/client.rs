//! Talking to a server: where it is, who asks, and what its problems mean for a person.

use std::path::{Path, PathBuf};

use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Exit, Failed};
use crate::config::default_data_dir;
use crate::secret::Secret;

/// In the data directory: where the server listens, for commands on the same machine.
pub const ADDRESS_FILE: &str = "address";
/// In the data directory: a token for commands on the same machine; only the server's user can read it.
pub const TOKEN_FILE: &str = "cli.token";

/// Which server, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The server's address [default: the one that runs on this machine]
    #[arg(long, env = "DRYDOCK_SERVER", value_name = "URL")]
    server: Option<String>,
    /// A file with a token for it [default: DRYDOCK_TOKEN, else the token of the server on this machine]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the server on this machine keeps its data
    #[arg(long, env = "DRYDOCK_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub struct Client {
    base: String,
    token: Secret,
    http: reqwest::Client,
}

impl ServerArgs {
    pub fn connect(&self) -> Result<Client, Failed> {
        let data_dir = self.data_dir.clone().unwrap_or_else(default_data_dir);
        let base = match &self.server {
            Some(server) => server.trim_end_matches('/').to_owned(),
            None => local_address(&data_dir)?,
        };
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(
                Failed::wrong(format!("`{base}` is no server's address")).hint("write `https://ci.example.com`")
            );
        }
        let token = self.token(&data_dir)?;
        // A redirect could carry the token to somebody else.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("drydock/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| Failed::machine(format!("cannot make an HTTP client: {cause}")))?;
        Ok(Client { base, token, http })
    }

    fn token(&self, data_dir: &Path) -> Result<Secret, Failed> {
        if let Some(path) = &self.token_file {
            return read_token(path);
        }
        if let Some(token) = std::env::var("DRYDOCK_TOKEN")
            .ok()
            .filter(|token| !token.trim().is_empty())
        {
            return Ok(Secret::new(token.trim()));
        }
        let local = data_dir.join(TOKEN_FILE);
        // Only the server of this machine is given this machine's token.
        if self.server.is_none() || local_address(data_dir).ok() == self.server {
            return read_token(&local);
        }
        Err(Failed::wrong("no token for this server").hint("set DRYDOCK_TOKEN, or name a file with `--token-file`"))
    }
}

fn local_address(data_dir: &Path) -> Result<String, Failed> {
    let path = data_dir.join(ADDRESS_FILE);
    match std::fs::read_to_string(&path) {
        Ok(address) => Ok(address.trim().to_owned()),
        Err(_) => {
            let what = format!(
                "no server runs on this machine with its data in `{}`",
                data_dir.display()
            );
            Err(Failed::wrong(what)
                .hint("start one with `drydock serve`, or name one with `--server URL` or DRYDOCK_SERVER"))
        }
    }
}

fn read_token(path: &Path) -> Result<Secret, Failed> {
    match std::fs::read_to_string(path) {
        Ok(token) => Ok(Secret::new(token.trim())),
        Err(cause) => {
            let what = format!("cannot read the token in `{}`: {cause}", path.display());
            Err(Failed::wrong(what).hint("set DRYDOCK_TOKEN, or run the command as the server's user"))
        }
    }
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Response, Failed> {
        let url = format!("{}/api/v1{path}", self.base);
        let request = self.http.request(method, url).bearer_auth(self.token.reveal());
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(refused(response).await),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failed {
        let mut what = format!("cannot reach the server at {}", self.base);
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            what += &format!(": {next}");
            cause = next.source();
        }
        Failed::machine(what).hint("does it run? `drydock serve` starts one, `--server URL` names another")
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        let response = self.send(Method::GET, path, None::<&Value>).await?;
        self.read(response).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<T, Failed> {
        let response = self.send(Method::POST, path, body).await?;
        self.read(response).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<(), Failed> {
        self.send(Method::PUT, path, Some(body)).await.map(drop)
    }

    pub async fn delete(&self, path: &str) -> Result<(), Failed> {
        self.send(Method::DELETE, path, None::<&Value>).await.map(drop)
    }

    /// A body that comes bit by bit.
    pub async fn stream(&self, path: &str) -> Result<Response, Failed> {
        self.send(Method::GET, path, None::<&Value>).await
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failed> {
        let other = |error: reqwest::Error| {
            Failed::machine(format!(
                "the server at {} does not answer as Drydock does: {error}",
                self.base
            ))
        };
        response.json().await.map_err(other)
    }
}

async fn refused(response: Response) -> Failed {
    let status = response.status();
    let problem: Value = response.json().await.unwrap_or_default();
    let detail = problem.get("detail").and_then(Value::as_str);
    let what = detail.map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let exit = if status.is_server_error() {
        Exit::Machine
    } else {
        Exit::Wrong
    };
    let hint = (status == StatusCode::UNAUTHORIZED)
        .then(|| "DRYDOCK_TOKEN holds the token; an administrator makes one with `POST /api/v1/tokens`".to_owned());
    Failed { exit, what, hint }
}

/// A part of a path or a query that may hold anything.
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// How commands that list or show are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

/// Columns without borders, each as wide as its widest cell.
pub fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(
        rows.into_iter()
            .map(|row| row.map(|cell| crate::report::ansi::tame(&cell, false))),
    );
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

pub fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failed::machine(error.to_string()))?;
    anstream::println!("{text}");
    Ok(())
}
