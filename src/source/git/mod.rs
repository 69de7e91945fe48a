//! The server's source: a bare mirror for each repository, fetched by commit id, read without a checkout.
//!
//! Hardened: only the schemes that the configuration allows, no redirects, credentials bound to scheme, host and port,
//! bounds on time, bytes, objects, refs and files, submodules only on request and only from the same host.

mod mirror;
mod ssh;
mod submodules;
mod tree;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use reqwest::header::HeaderValue;

use super::address::{Address, Authority, Scheme};
use super::{Source, SourceError};
use crate::event::{Changed, CommitSha, Event, Trigger};
use crate::secret::Secret;
use crate::stop::Stop;
use crate::tree::Tree;

use mirror::Fetch;
pub use ssh::KnownHosts;
pub use tree::GitTree;
use tree::{Found, Objects, WalkError};

const SUBMODULE_DEPTH_MAX: u32 = 5;
const SUBMODULES_MAX: usize = 200;
const GITMODULES_BYTES_MAX: u64 = 256 * 1024;

/// How often a fetch is tried when trying again may help, and the first wait between.
const TRIES_MAX: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A mirror with more packs than this is made anew when nobody reads it: libgit2 does not tidy up.
const PACKS_MAX: usize = 200;

/// More changed paths than this are as good as all.
const CHANGED_MAX: usize = 20_000;

/// A token or password for one host; never sent to another scheme, host or port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub at: Authority,
    /// What forges ignore beside a token; `x-access-token` will do.
    pub username: String,
    pub secret: Secret,
}

impl Token {
    fn authorization(&self) -> HeaderValue {
        let pair = format!("{}:{}", self.username, self.secret.reveal());
        let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

/// A private key (OpenSSH or PEM text) for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    pub at: Authority,
    pub private_key: Secret,
    pub passphrase: Option<Secret>,
}

/// Who has credentials for a repository. What is given is used only when its `at` is the address's.
pub trait Credentials: Send + Sync {
    fn token(&self, address: &Address) -> Option<Token>;
    fn ssh_key(&self, address: &Address) -> Option<SshKey>;
}

/// Credentials that do not change; the first that fits is taken.
#[derive(Debug, Clone, Default)]
pub struct FixedCredentials {
    pub tokens: Vec<Token>,
    pub ssh_keys: Vec<SshKey>,
}

impl Credentials for FixedCredentials {
    fn token(&self, address: &Address) -> Option<Token> {
        self.tokens.iter().find(|token| token.at == address.authority).cloned()
    }

    fn ssh_key(&self, address: &Address) -> Option<SshKey> {
        self.ssh_keys.iter().find(|key| key.at == address.authority).cloned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Submodules {
    /// Their folders stay empty.
    #[default]
    No,
    /// Fetched when they are on the repository's own scheme, host and port; five levels deep at most.
    SameHost,
}

/// Bounds of one checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitLimits {
    /// For one connection, from asking to the last byte.
    pub within: Duration,
    /// Without a byte from the server.
    pub idle: Duration,
    /// Received in one connection.
    pub bytes: u64,
    /// In one pack.
    pub objects: u64,
    /// Listed by the server.
    pub refs: u64,
    /// In a commit, directories counted apart.
    pub files: u64,
    /// Of one file; it is held in memory while it is read.
    pub file_bytes: u64,
    /// Of a commit's files together.
    pub tree_bytes: u64,
}

impl Default for GitLimits {
    fn default() -> Self {
        let mib = 1024 * 1024;
        GitLimits {
            within: Duration::from_secs(600),
            idle: Duration::from_secs(60),
            bytes: 4096 * mib,
            objects: 10_000_000,
            refs: 500_000,
            files: 500_000,
            file_bytes: 256 * mib,
            tree_bytes: 8192 * mib,
        }
    }
}

/// * `mirrors`: a directory of Drydock's own. * `schemes`: `https` and `ssh` unless the operator says otherwise.
/// * `authorities_pem`: further certificate authorities, beside the machine's.
/// * `depth`: how many commits back a fetch goes; none is the whole history, which the next fetches build on.
#[derive(Debug, Clone)]
pub struct GitConfig {
    pub mirrors: PathBuf,
    pub schemes: BTreeSet<Scheme>,
    pub known_hosts: KnownHosts,
    pub authorities_pem: Option<String>,
    pub depth: Option<u32>,
    pub submodules: Submodules,
    pub limits: GitLimits,
}

impl GitConfig {
    pub fn new(mirrors: impl Into<PathBuf>) -> Self {
        GitConfig {
            mirrors: mirrors.into(),
            schemes: [Scheme::Https, Scheme::Ssh].into(),
            known_hosts: KnownHosts::default(),
            authorities_pem: None,
            depth: None,
            submodules: Submodules::No,
            limits: GitLimits::default(),
        }
    }
}

/// One mirror's place in this process: fetches into it wait for each other; trees hold it while they may read.
#[derive(Default)]
struct Slot {
    turn: tokio::sync::Mutex<()>,
}

pub struct GitSource {
    config: GitConfig,
    credentials: Arc<dyn Credentials>,
    client: reqwest::Client,
    slots: Mutex<HashMap<PathBuf, Arc<Slot>>>,
}

static MEMORY_BOUNDED: Once = Once::new();

/// libgit2's defaults are a desktop's: a cache of 256 MiB and windows of 1 GiB onto packs.
fn bound_memory() {
    let mib = 1024 * 1024;
    // SAFETY: set once, before the first mirror is opened; work trees of local runs may read the same values.
    MEMORY_BOUNDED.call_once(|| unsafe {
        let _ = git2::opts::set_cache_max_size(32 * mib as isize);
        let _ = git2::opts::set_mwindow_size(16 * mib);
        let _ = git2::opts::set_mwindow_mapped_limit(128 * mib);
    });
}

impl GitSource {
    /// Errors: an authority's certificate that is none.
    pub fn new(config: GitConfig, credentials: Arc<dyn Credentials>) -> Result<Self, SourceError> {
        bound_memory();
        let broken = |why: String| SourceError::Read {
            what: "the certificate authorities".to_owned(),
            why,
        };
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(Duration::from_secs(20))
            // Forges serve git's protocol to what calls itself git.
            .user_agent(concat!("git/2.0 (drydock ", env!("CARGO_PKG_VERSION"), ")"));
        if let Some(pem) = &config.authorities_pem {
            let authorities = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
            for authority in authorities.map_err(|error| broken(error.to_string()))? {
                client = client.add_root_certificate(authority);
            }
        }
        let client = client.build().map_err(|error| broken(error.to_string()))?;
        Ok(GitSource {
            config,
            credentials,
            client,
            slots: Mutex::default(),
        })
    }

    fn address(&self, url: &str) -> Result<Address, SourceError> {
        let shown = super::address::without_credentials(url);
        let forbidden = |why: String| SourceError::Forbidden {
            url: shown.clone(),
            why,
        };
        let address = Address::parse(url).map_err(forbidden)?;
        self.allowed(address)
    }

    fn allowed(&self, address: Address) -> Result<Address, SourceError> {
        let scheme = address.authority.scheme;
        if self.config.schemes.contains(&scheme) {
            return Ok(address);
        }
        let allowed: Vec<&str> = self.config.schemes.iter().map(|scheme| scheme.name()).collect();
        let why = format!("the configuration allows {} only", allowed.join(" and "));
        Err(SourceError::Forbidden {
            url: address.to_string(),
            why,
        })
    }

    fn slot(&self, directory: &Path) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(directory.to_owned()).or_default().clone()
    }

    /// The mirror's directory, holding the wanted commit.
    async fn mirror(
        &self,
        address: &Address,
        wanted: &CommitSha,
        git_ref: &str,
        stop: &Stop,
    ) -> Result<(PathBuf, Arc<Slot>), SourceError> {
        let directory = mirror::directory(&self.config.mirrors, address);
        let slot = self.slot(&directory);
        let turn = tokio::select! {
            turn = slot.turn.lock() => turn,
            () = stop.asked() => return Err(SourceError::Stopped),
        };
        // The map's and ours: no tree reads it.
        if Arc::strong_count(&slot) <= 2 && mirror::packs(&directory) > PACKS_MAX {
            mirror::discard(&directory)?;
        }
        let mut wait = FIRST_WAIT;
        for tried in 1.. {
            let token = self
                .credentials
                .token(address)
                .filter(|token| token.at == address.authority);
            let key = self
                .credentials
                .ssh_key(address)
                .filter(|key| key.at == address.authority);
            // Ends the fetch when this call is given up, too.
            let ends = AskWhenDropped(stop.child());
            let fetch = Fetch {
                address: address.clone(),
                wanted: wanted.clone(),
                git_ref: git_ref.to_owned(),
                depth: self.config.depth,
                token,
                key,
                known_hosts: self.config.known_hosts.clone(),
                client: self.client.clone(),
                limits: self.config.limits,
                stop: ends.0.clone(),
                runtime: tokio::runtime::Handle::current(),
            };
            let place = directory.clone();
            match blocking(move || mirror::obtain(&place, &fetch)).await {
                Err(error) if error.is_transient() && tried < TRIES_MAX => {
                    tracing::warn!(repository = %address, %error, tried, "fetch failed, trying again");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.asked() => return Err(SourceError::Stopped),
                    }
                    wait *= 3;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        drop(turn);
        Ok((directory, slot))
    }

    /// What a commit holds, its submodules' commits included where they are wanted.
    async fn tree(&self, address: &Address, trigger: &Trigger, stop: &Stop) -> Result<GitTree, WalkError> {
        let mut found = Found::new(self.config.limits, address.to_string());
        let mut mirrors = Vec::new();
        let mut committed_at = 0;
        let mut ahead = vec![(
            address.clone(),
            trigger.commit.clone(),
            trigger.git_ref.clone(),
            Vec::new(),
            SUBMODULE_DEPTH_MAX,
        )];
        while let Some((address, commit, git_ref, prefix, depth_left)) = ahead.pop() {
            let (directory, slot) = self
                .mirror(&address, &commit, &git_ref, stop)
                .await
                .map_err(WalkError::Final)?;
            mirrors.push((directory.clone(), slot));
            let index = mirrors.len() - 1;
            let id = mirror::object_id(&address, &commit).map_err(WalkError::Final)?;
            let under = prefix.clone();
            let gitmodules;
            let time;
            (found, time, gitmodules) = blocking(move || {
                let repository = mirror::open(&directory)?;
                found.add(&repository, index, id, &under)?;
                let commit = repository.find_commit(id)?;
                let gitmodules = commit
                    .tree()?
                    .get_name(".gitmodules")
                    .and_then(|entry| repository.find_blob(entry.id()).ok());
                let gitmodules = gitmodules.filter(|blob| blob.size() as u64 <= GITMODULES_BYTES_MAX);
                let gitmodules = gitmodules.map(|blob| String::from_utf8_lossy(blob.content()).into_owned());
                Ok::<_, WalkError>((found, commit.time().seconds(), gitmodules.unwrap_or_default()))
            })
            .await?;
            if index == 0 {
                committed_at = time;
            }
            let gitlinks = std::mem::take(&mut found.gitlinks);
            if gitlinks.is_empty() {
                continue;
            }
            match self.config.submodules {
                Submodules::No => {
                    tracing::info!(repository = %address, count = gitlinks.len(), "submodules are not fetched: the configuration does not ask for them");
                    continue;
                }
                Submodules::SameHost => {}
            }
            let known = submodules::parse(&gitmodules);
            for gitlink in gitlinks {
                let shown = String::from_utf8_lossy(&gitlink.path[prefix.len()..]).into_owned();
                let Some(submodule) = known.iter().find(|submodule| submodule.path == shown) else {
                    continue;
                };
                let forbidden = |url: &str, why: String| {
                    let url = super::address::without_credentials(url);
                    WalkError::Final(SourceError::Forbidden {
                        url,
                        why: format!("submodule `{shown}`: {why}"),
                    })
                };
                let inner = address
                    .join(&submodule.url)
                    .map_err(|why| forbidden(&submodule.url, why))?;
                if inner.authority != address.authority {
                    let why = format!(
                        "it is not on {}, and submodules are fetched from the same host only",
                        address.authority
                    );
                    return Err(forbidden(&submodule.url, why));
                }
                if depth_left == 0 || mirrors.len() + ahead.len() >= SUBMODULES_MAX {
                    let why = format!(
                        "submodules are fetched {SUBMODULE_DEPTH_MAX} deep and {SUBMODULES_MAX} in all, not further"
                    );
                    return Err(forbidden(&submodule.url, why));
                }
                let prefix = [gitlink.path.as_slice(), b"/"].concat();
                ahead.push((inner, gitlink.commit, "HEAD".to_owned(), prefix, depth_left - 1));
            }
        }
        Ok(GitTree::new(Objects::new(mirrors), found.entries, committed_at))
    }

    /// The paths in which two commits differ, both names of what was renamed.
    async fn difference(
        &self,
        trigger: &Trigger,
        base: &CommitSha,
        from: From,
        stop: &Stop,
    ) -> Result<Changed, SourceError> {
        let Some(url) = &trigger.clone_url else {
            return Ok(Changed::Unknown);
        };
        let address = self.address(url)?;
        let (directory, _slot) = self.mirror(&address, &trigger.commit, &trigger.git_ref, stop).await?;
        match self.mirror(&address, base, "HEAD", stop).await {
            Ok(_) => {}
            // A force-push took it away: nobody can say any more.
            Err(SourceError::Gone { .. }) => return Ok(Changed::Unknown),
            Err(error) => return Err(error),
        }
        let head = mirror::object_id(&address, &trigger.commit)?;
        let base = mirror::object_id(&address, base)?;
        let what = format!("the mirror of `{address}`");
        let compare = move || -> Result<Changed, git2::Error> {
            let repository = mirror::open(&directory)?;
            let base = match from {
                From::Commit => base,
                From::WhereTheyParted => match repository.merge_base(base, head) {
                    Ok(parted) => parted,
                    Err(_) => return Ok(Changed::Unknown),
                },
            };
            let tree = |commit| repository.find_commit(commit)?.tree();
            let mut options = git2::DiffOptions::new();
            options.skip_binary_check(true);
            let diff = repository.diff_tree_to_tree(Some(&tree(base)?), Some(&tree(head)?), Some(&mut options))?;
            if diff.deltas().len() > CHANGED_MAX {
                return Ok(Changed::Unknown);
            }
            let mut paths = BTreeSet::new();
            for delta in diff.deltas() {
                for bytes in [delta.old_file().path_bytes(), delta.new_file().path_bytes()]
                    .into_iter()
                    .flatten()
                {
                    paths.insert(String::from_utf8_lossy(bytes).into_owned());
                }
            }
            Ok(Changed::Paths(paths.into_iter().collect()))
        };
        blocking(move || {
            compare().map_err(|error| SourceError::Read {
                what,
                why: error.message().to_owned(),
            })
        })
        .await
    }
}

#[derive(Debug, Clone, Copy)]
enum From {
    Commit,
    /// The last commit that both have.
    WhereTheyParted,
}

struct AskWhenDropped(Stop);

impl Drop for AskWhenDropped {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Runs what blocks on a thread for such things; a panic there goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[async_trait]
impl Source for GitSource {
    async fn checkout(&self, trigger: &Trigger, stop: &Stop) -> Result<Arc<dyn Tree>, SourceError> {
        let Some(url) = &trigger.clone_url else {
            let why = "the event names no address to clone it from".to_owned();
            return Err(SourceError::Fetch {
                url: trigger.repo.clone(),
                why,
                transient: false,
            });
        };
        let address = self.address(url)?;
        let mut is_second = false;
        loop {
            match self.tree(&address, trigger, stop).await {
                Ok(tree) => return Ok(Arc::new(tree)),
                Err(WalkError::Final(error)) => return Err(error),
                Err(WalkError::Mirror(error)) if is_second => {
                    let what = format!("the mirror of `{address}`");
                    return Err(SourceError::Read {
                        what,
                        why: error.message().to_owned(),
                    });
                }
                Err(WalkError::Mirror(error)) => {
                    tracing::warn!(repository = %address, error = error.message(), "the mirror is damaged, fetching anew");
                    let directory = mirror::directory(&self.config.mirrors, &address);
                    let slot = self.slot(&directory);
                    let _turn = slot.turn.lock().await;
                    blocking(move || mirror::discard(&directory)).await?;
                    is_second = true;
                }
            }
        }
    }

    async fn changed(&self, trigger: &Trigger, stop: &Stop) -> Result<Changed, SourceError> {
        match (&trigger.changed, &trigger.event) {
            (known @ Changed::Paths(_), _) => Ok(known.clone()),
            (
                Changed::Unknown,
                Event::Push {
                    before: Some(before), ..
                },
            ) if !before.is_zero() => self.difference(trigger, before, From::Commit, stop).await,
            (Changed::Unknown, Event::PullRequest(request)) => match &request.base {
                Some(base) => self.difference(trigger, base, From::WhereTheyParted, stop).await,
                None => Ok(Changed::Unknown),
            },
            (
                Changed::Unknown,
                Event::Push { .. } | Event::Tag { .. } | Event::Schedule { .. } | Event::Manual { .. },
            ) => Ok(Changed::Unknown),
        }
    }
}
