//! `drydock serve`: from the configuration to a server that runs, and to its end.

mod engines;
mod places;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::client::{ADDRESS_FILE, TOKEN_FILE};
use super::{Exit, Failed, block_on};
use crate::clock;
use crate::config::{self, Config, LogFormat};
use crate::pipelines::{Pipelines, Vault};
use crate::secret::seal::SealingKey;
use crate::server::{self, App, listen};
use crate::stop::Stop;
use crate::store::{SqliteStore, Store};
use places::Places;

/// Read when no other file is named.
const USUAL_CONFIG: &str = "/etc/drydock/config.toml";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file [default: /etc/drydock/config.toml, if there is one]
    #[arg(long, env = "DRYDOCK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the configuration that is in force, secrets hidden, and end
    #[arg(long)]
    print_config: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    let usual = PathBuf::from(USUAL_CONFIG);
    let file = args.config.clone().or_else(|| usual.exists().then_some(usual));
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let loaded = match config::load(file.as_deref(), variables) {
        Ok(loaded) => loaded,
        Err(error) => {
            // It is drawn already.
            anstream::eprintln!("{}", error.render(true));
            return Ok(Exit::Wrong);
        }
    };
    for warning in &loaded.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    if args.print_config {
        anstream::print!("{}", config::print(&loaded.config));
        return Ok(Exit::Passed);
    }
    log_to_stderr(&loaded.config)?;
    block_on(serve(Arc::new(loaded.config)))?
}

fn log_to_stderr(config: &Config) -> Result<(), Failed> {
    let filter = EnvFilter::try_new(&config.log.filter)
        .map_err(|error| Failed::wrong(format!("the setting `log.filter` is wrong: {error}")))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = match config.log.format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    installed.map_err(|error| Failed::machine(format!("cannot log: {error}")))
}

async fn serve(config: Arc<Config>) -> Result<Exit, Failed> {
    tools::allow_many_files();
    server::install_metrics();
    let clock = clock::system();
    let places = Places::open(&config.data_dir)?;
    let opened = SqliteStore::open(&places.database(), clock.clone()).await;
    let store: Arc<dyn Store> = Arc::new(opened.map_err(|error| Failed::machine(error.chain()))?);
    let key = SealingKey::load_or_create(&places.sealing_key()).map_err(|error| Failed::machine(chain(&error)))?;
    let tools = tools::tools(&config, &places, &store).await?;
    let pipelines = Pipelines::new(store.clone(), config.clone(), Vault::new(key), tools, clock)
        .await
        .map_err(|error| Failed::machine(error.chain()))?;
    let listening = listen(config.server.listen).await.map_err(|cause| {
        let what = format!("cannot listen on {}: {cause}", config.server.listen);
        Failed::machine(what).hint("the setting `server.listen` (DRYDOCK_SERVER_LISTEN) chooses another address")
    })?;
    let address = format!("http://{}", reachable(listening.address));
    places.write(ADDRESS_FILE, &address)?;
    anstream::println!("data: {}", config.data_dir.display());
    hand_out_tokens(&*store, &places).await?;

    let stop = Stop::new();
    let router = server::app(App::new(pipelines.clone(), stop.clone()));
    let serving = tokio::spawn(listening.serve(router, config.server.connections_max, stop.clone()));
    let signals = tokio::spawn(tools::stop_on_signals(stop.clone()));
    // The last line of the start: whoever waits for it can connect.
    anstream::println!("drydock {} listens on {address}", env!("CARGO_PKG_VERSION"));
    let ran = pipelines.run(stop.clone()).await;
    stop.ask();
    let _ = serving.await;
    signals.abort();
    places.remove(ADDRESS_FILE);
    match ran {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(Exit::Passed)
        }
        Err(error) => Err(Failed::machine(error.chain())),
    }
}

/// An address that a program on this machine can connect to.
fn reachable(address: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The administrator's token is made with the database and shown once; commands on this machine have one of their own.
async fn hand_out_tokens(store: &dyn Store, places: &Places) -> Result<(), Failed> {
    let failed = |error: crate::store::StoreError| Failed::machine(error.chain());
    let is_first_start = store.tokens().await.map_err(failed)?.is_empty();
    if is_first_start {
        let token = server::new_token().map_err(Failed::machine)?;
        server::first_token(store, &token, "admin").await.map_err(failed)?;
        anstream::println!("admin token, shown this once: {}", token.reveal());
    }
    if is_first_start || !places.has(TOKEN_FILE) {
        let token = server::new_token().map_err(Failed::machine)?;
        server::first_token(store, &token, "this machine")
            .await
            .map_err(failed)?;
        places.write(TOKEN_FILE, token.reveal())?;
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
