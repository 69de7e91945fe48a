//! One repository's mirror on the disk: bare, named by a hash, used for objects only. Nothing of it is ever checked
//! out, and neither hooks nor the configuration of the repository or of the machine's user have a say. Blocks.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use git2::{
    AutotagOption, CertificateCheckStatus, Config, Cred, CredentialType, FetchOptions, Oid, Reference, RemoteCallbacks,
    RemoteRedirect, Repository, RepositoryInitOptions,
};
use reqwest::Client;
use rustix::fs::{FlockOperation, Mode, OFlags};
use sha2::{Digest, Sha256};

use super::ssh::{self, KnownHosts, Relay};
use super::wire::{self, Bounds, Wire};
use super::{GitLimits, SshKey, Token};
use crate::event::CommitSha;
use crate::source::SourceError;
use crate::source::address::{Address, Scheme};
use crate::stop::Stop;

/// How often a lock held by another process is asked for.
const LOCK_EVERY: Duration = Duration::from_millis(50);

/// How often the credentials callback may be called in one fetch: a refused key or token would be asked for for ever.
const CREDENTIAL_CALLS_MAX: u32 = 4;

/// git's own value for "everything".
const WHOLE_HISTORY: i32 = i32::MAX;

/// What one fetch needs to know.
pub(super) struct Fetch {
    pub address: Address,
    pub wanted: CommitSha,
    /// Where the commit was; asked for when the server does not give commits by id.
    pub git_ref: String,
    pub depth: Option<u32>,
    pub token: Option<Token>,
    pub key: Option<SshKey>,
    pub known_hosts: KnownHosts,
    pub client: Client,
    pub limits: GitLimits,
    pub stop: Stop,
    pub runtime: tokio::runtime::Handle,
}

/// A mirror's directory: 32 hex digits of its address's hash, so that no name of a repository is ever a path of ours.
pub(super) fn directory(mirrors: &Path, address: &Address) -> PathBuf {
    let hash = hex::encode(Sha256::digest(address.to_string().as_bytes()));
    mirrors.join(&hash[..32])
}

/// The repository in a mirror's directory, without any configuration but its own.
pub(super) fn open(directory: &Path) -> Result<Repository, git2::Error> {
    let path = directory.join("repo.git");
    let repository = Repository::open_bare(&path)?;
    repository.set_config(&Config::open(&path.join("config"))?)?;
    Ok(repository)
}

/// Removes a mirror that cannot be read any more.
pub(super) fn discard(directory: &Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(directory.join("repo.git")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken(directory, &error.to_string())),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How many packs a mirror has; each fetch adds one.
pub(super) fn packs(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory.join("repo.git/objects/pack")) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack"))
        .count()
}

/// Makes sure that the mirror holds the wanted commit. Fetches only when it does not.
pub(super) fn obtain(directory: &Path, fetch: &Fetch) -> Result<(), SourceError> {
    let wanted = object_id(&fetch.address, &fetch.wanted)?;
    fs::create_dir_all(directory).map_err(|error| broken(directory, &error.to_string()))?;
    let _lock = lock(directory, fetch)?;
    let repository = prepare(directory, &fetch.address)?;
    if holds(&repository, wanted) {
        return Ok(());
    }
    by_id_or_ref(&repository, fetch, wanted)
}

/// Whether a commit and its tree are there. Packs arrive whole, so what is below the tree is there too.
pub(super) fn holds(repository: &Repository, commit: Oid) -> bool {
    repository.find_commit(commit).is_ok_and(|commit| commit.tree().is_ok())
}

/// libgit2's form of a commit id.
pub(super) fn object_id(address: &Address, commit: &CommitSha) -> Result<Oid, SourceError> {
    let unsupported = |_| SourceError::Fetch {
        url: address.to_string(),
        why: format!("`{commit}` is the id of a SHA-256 repository, which Drydock cannot fetch yet"),
        transient: false,
    };
    Oid::from_str(commit.as_str()).map_err(unsupported)
}

/// Waits for the mirror's lock; another process may hold it. The lock ends with its descriptor.
fn lock(directory: &Path, fetch: &Fetch) -> Result<OwnedFd, SourceError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let failed = |error: rustix::io::Errno| broken(directory, &error.to_string());
    let file = rustix::fs::open(directory.join("lock"), flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let give_up = Instant::now() + fetch.limits.within;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
        if Instant::now() > give_up {
            return Err(broken(
                directory,
                "another process is fetching into it and does not end",
            ));
        }
        fetch.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(LOCK_EVERY) => Ok(()),
                () = fetch.stop.asked() => Err(SourceError::Stopped),
            }
        })?;
    }
}

/// Opens the mirror, made anew when there is none or what is there is half made. We hold its lock, so every lock file
/// and half a pack in it is somebody's who died.
fn prepare(directory: &Path, address: &Address) -> Result<Repository, SourceError> {
    remove_leftovers(&directory.join("repo.git")).map_err(|error| broken(directory, &error.to_string()))?;
    if let Ok(repository) = open(directory) {
        return Ok(repository);
    }
    discard(directory)?;
    let make = || -> io::Result<()> {
        let fresh = directory.join("repo.git.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        let mut options = RepositoryInitOptions::new();
        options
            .bare(true)
            .external_template(false)
            .no_reinit(true)
            .initial_head("drydock");
        Repository::init_opts(&fresh, &options).map_err(io::Error::other)?;
        fs::write(directory.join("address"), format!("{address}\n"))?;
        fs::rename(&fresh, directory.join("repo.git"))
    };
    make().map_err(|error| broken(directory, &error.to_string()))?;
    open(directory).map_err(|error| broken(directory, error.message()))
}

fn remove_leftovers(repository: &Path) -> io::Result<()> {
    let mut directories = vec![
        repository.to_owned(),
        repository.join("objects/pack"),
        repository.join("refs"),
    ];
    while let Some(directory) = directories.pop() {
        let is_packs = directory.ends_with("objects/pack");
        let is_refs = directory.starts_with(repository.join("refs"));
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if is_refs {
                    directories.push(entry.path());
                }
                continue;
            }
            let is_half_a_pack = is_packs
                && (name.starts_with("pack_")
                    || name.starts_with("tmp_")
                    || (name.ends_with(".pack") && !entry.path().with_extension("idx").exists()));
            if name.ends_with(".lock") || is_half_a_pack {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn by_id_or_ref(repository: &Repository, fetch: &Fetch, wanted: Oid) -> Result<(), SourceError> {
    let target = format!(
        "refs/drydock/{}",
        &hex::encode(Sha256::digest(fetch.git_ref.as_bytes()))[..16]
    );
    let depth = fetch.depth.filter(|_| fetch.address.authority.scheme != Scheme::File);
    let depth = depth.map_or(0, |depth| i32::try_from(depth).unwrap_or(WHOLE_HISTORY));
    match connect(repository, fetch, &format!("+{wanted}:{target}"), depth) {
        Ok(()) if holds(repository, wanted) => return Ok(()),
        Ok(()) | Err(Trouble::NoSuchId) => {}
        Err(Trouble::Final(error)) => return Err(error),
    }
    // The server gives no commit by its id, or not this one: ask for the ref that it was on, and look behind it.
    let gone = |why: String| SourceError::Gone {
        url: fetch.address.to_string(),
        commit: fetch.wanted.to_string(),
        why,
    };
    let is_plain = fetch.git_ref.starts_with("refs/") && Reference::is_valid_name(&fetch.git_ref);
    if !is_plain {
        return Err(gone("the server does not give it".to_owned()));
    }
    if let Ok(mut old) = repository.find_reference(&target) {
        // A ref that is not there any more leaves its target as it was: then it must not look as if it were.
        old.delete()
            .map_err(|error| broken(repository.path(), error.message()))?;
    }
    let spec = format!("+{}:{target}", fetch.git_ref);
    for depth in if depth == 0 {
        vec![0]
    } else {
        vec![depth, WHOLE_HISTORY]
    } {
        match connect(repository, fetch, &spec, depth) {
            Ok(()) | Err(Trouble::NoSuchId) => {}
            Err(Trouble::Final(error)) => return Err(error),
        }
        if holds(repository, wanted) {
            return Ok(());
        }
    }
    let now = repository.refname_to_id(&target).ok().map(|now| now.to_string());
    Err(gone(match now {
        Some(now) => format!(
            "`{}` is at {} now and does not contain it; it was probably removed by a force-push",
            fetch.git_ref,
            &now[..8]
        ),
        None => format!("`{}` is gone from there, too; it was probably deleted", fetch.git_ref),
    }))
}

enum Trouble {
    /// The server gives no such id, or none at all.
    NoSuchId,
    Final(SourceError),
}

/// One connection: asks for one refspec within the bounds.
fn connect(repository: &Repository, fetch: &Fetch, spec: &str, depth: i32) -> Result<(), Trouble> {
    let limits = &fetch.limits;
    let bounds = Bounds {
        deadline: Instant::now() + limits.within,
        within: limits.within,
        idle: limits.idle,
        bytes: limits.bytes,
        refs: limits.refs,
    };
    let address = &fetch.address;
    // The first thing that went wrong in a callback; libgit2 would pass on only its text.
    let said: Rc<RefCell<Option<SourceError>>> = Rc::default();
    let mut options = FetchOptions::new();
    options
        .download_tags(AutotagOption::None)
        .follow_redirects(RemoteRedirect::None)
        .update_fetchhead(false);
    options.depth(depth).remote_callbacks(callbacks(fetch, bounds, &said));

    let mut relay = None;
    let url = match address.authority.scheme {
        Scheme::Https | Scheme::Http => wire::PLACEHOLDER.to_owned(),
        Scheme::File => address.to_string(),
        Scheme::Ssh => {
            let started = Relay::start(address, bounds, fetch.stop.clone(), &fetch.runtime).map_err(Trouble::Final)?;
            let port = relay.insert(started).port;
            match address.path.starts_with('/') {
                true => format!("ssh://{}@127.0.0.1:{port}{}", address.user, address.path),
                false => format!("[{}@127.0.0.1:{port}]:{}", address.user, address.path),
            }
        }
    };
    let wire = Wire::new(
        fetch.client.clone(),
        address.clone(),
        fetch.token.clone(),
        bounds,
        fetch.stop.clone(),
        fetch.runtime.clone(),
    );
    let fetched = wire.lend(|| {
        repository
            .remote_anonymous(&url)?
            .fetch(&[spec], Some(&mut options), None)
    });
    let Err(error) = fetched else { return Ok(()) };
    let kept = wire
        .trouble()
        .or_else(|| said.borrow_mut().take())
        .or_else(|| relay.and_then(|relay| relay.trouble()));
    if let Some(kept) = kept {
        return Err(Trouble::Final(kept));
    }
    if fetch.stop.is_asked() {
        return Err(Trouble::Final(SourceError::Stopped));
    }
    let text = wire.last_words().unwrap_or_else(|| error.message().trim().to_owned());
    // Over ssh the server's words are lost on the way: a lone id that it does not give looks like a cut connection. The
    // ref that is asked for next tells which of the two it was.
    let is_id = !spec.starts_with("+refs/");
    if is_id && address.authority.scheme == Scheme::Ssh && text.contains("could not read from remote repository") {
        return Err(Trouble::NoSuchId);
    }
    Err(judged(address, &error, text))
}

/// libgit2's own complaint, as one of ours.
fn judged(address: &Address, error: &git2::Error, text: String) -> Trouble {
    let no_such_id = [
        "cannot fetch a specific object",
        "not our ref",
        "unadvertised object",
        "no match for id",
    ];
    if no_such_id.iter().any(|said| text.contains(said)) {
        return Trouble::NoSuchId;
    }
    let url = address.to_string();
    let transient = match error.class() {
        git2::ErrorClass::Net | git2::ErrorClass::Ssh | git2::ErrorClass::Ssl | git2::ErrorClass::Indexer => true,
        _ => error.code() == git2::ErrorCode::Eof,
    };
    // Where the relay stands is nobody's business.
    let why = match error.class() {
        git2::ErrorClass::Ssh if text.contains("authenticat") => format!("the server refuses the ssh key: {text}"),
        _ => text,
    };
    Trouble::Final(SourceError::Fetch { url, why, transient })
}

fn callbacks<'a>(fetch: &'a Fetch, bounds: Bounds, said: &Rc<RefCell<Option<SourceError>>>) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    let address = &fetch.address;
    let limits = fetch.limits;
    let keep = |said: &Rc<RefCell<Option<SourceError>>>, error: SourceError| {
        let text = error.to_string();
        said.borrow_mut().get_or_insert(error);
        git2::Error::from_str(&text)
    };

    let mine = said.clone();
    callbacks.transfer_progress(move |progress| {
        let over = |why: String| SourceError::TooLarge {
            url: address.to_string(),
            why,
        };
        let trouble = if fetch.stop.is_asked() {
            SourceError::Stopped
        } else if progress.total_objects() as u64 > limits.objects {
            over(format!(
                "it has {} objects, more than {}",
                progress.total_objects(),
                limits.objects
            ))
        } else if progress.received_bytes() as u64 > limits.bytes {
            over(format!(
                "more than {} MiB would be fetched",
                limits.bytes / (1024 * 1024)
            ))
        } else if Instant::now() > bounds.deadline {
            over(format!("it was not fetched within {} s", bounds.within.as_secs()))
        } else {
            return true;
        };
        keep(&mine, trouble);
        false
    });

    let mine = said.clone();
    let mut calls = 0;
    callbacks.credentials(move |_, _, allowed| {
        calls += 1;
        let refused = |why: String| SourceError::Fetch {
            url: address.to_string(),
            why,
            transient: false,
        };
        let authority = &address.authority;
        let Some(key) = fetch.key.as_ref().filter(|key| key.at == *authority) else {
            return Err(keep(
                &mine,
                refused(format!("no ssh key is configured for {authority}")),
            ));
        };
        if calls > CREDENTIAL_CALLS_MAX {
            return Err(keep(
                &mine,
                refused(format!("the server refuses the ssh key configured for {authority}")),
            ));
        }
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(&address.user);
        }
        if !allowed.intersects(CredentialType::SSH_KEY | CredentialType::SSH_MEMORY) {
            return Err(keep(&mine, refused("the server takes no ssh keys".to_owned())));
        }
        let passphrase = key.passphrase.as_ref().map(|passphrase| passphrase.reveal());
        Cred::ssh_key_from_memory(&address.user, None, key.private_key.reveal(), passphrase).map_err(|error| {
            keep(
                &mine,
                refused(format!("the ssh key cannot be used: {}", error.message())),
            )
        })
    });

    let mine = said.clone();
    callbacks.certificate_check(move |certificate, _| match certificate.as_hostkey() {
        Some(key) => match ssh::check_host_key(&fetch.known_hosts, address, key) {
            Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
            Err(error) => Err(keep(&mine, error)),
        },
        // Certificates of https are our own client's matter and never come here; if one does, libgit2 decides.
        None => Ok(CertificateCheckStatus::CertificatePassthrough),
    });
    callbacks
}

fn broken(directory: &Path, why: &str) -> SourceError {
    SourceError::Read {
        what: format!("the mirror in `{}`", directory.display()),
        why: why.to_owned(),
    }
}
