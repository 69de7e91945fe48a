//! The wire under libgit2 for `ssh`: libssh2 speaks through a relay of ours on the loopback, so that a stop, a
//! deadline, an idle limit and a size limit end it (libssh2 knows none of them), and the host's key is checked
//! against the configured known hosts by its real name.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::Bounds;
use crate::source::SourceError;
use crate::source::address::{Address, Authority};
use crate::stop::Stop;

/// How long a server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// Host keys that are trusted: lines as OpenSSH's `known_hosts` has them, plain or hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts {
    lines: Vec<KnownHost>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KnownHost {
    hosts: String,
    kind: String,
    key: Vec<u8>,
    is_revoked: bool,
}

/// What the known hosts say about a key that a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Known,
    Revoked,
    /// Other keys are known for this host; their kinds.
    Differs(Vec<String>),
    Unknown,
}

impl KnownHosts {
    /// Reads a file's text; empty lines, comments and certificate authorities (which are not supported) are left out.
    /// Errors: the number and the fault of the first line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            match (words.next(), words.next(), words.next()) {
                (None, _, _) => {}
                (Some(word), _, _) if word.starts_with('#') => {}
                (Some(_), _, _) if marker == Some("@cert-authority") => {}
                (Some(hosts), Some(kind), Some(key)) => {
                    let key = STANDARD
                        .decode(key)
                        .map_err(|_| format!("line {}: the key is not base64", number + 1))?;
                    let is_revoked = marker == Some("@revoked");
                    lines.push(KnownHost {
                        hosts: hosts.to_owned(),
                        kind: kind.to_owned(),
                        key,
                        is_revoked,
                    });
                }
                (Some(_), _, _) => return Err(format!("line {}: it is not `hosts kind key`", number + 1)),
            }
        }
        Ok(KnownHosts { lines })
    }

    fn judge(&self, authority: &Authority, key: &[u8]) -> Verdict {
        let name = match authority.port {
            22 => authority.host.clone(),
            port => format!("[{}]:{port}", authority.host),
        };
        let here: Vec<&KnownHost> = self.lines.iter().filter(|line| names(&line.hosts, &name)).collect();
        if here.iter().any(|line| line.is_revoked && line.key == key) {
            return Verdict::Revoked;
        }
        if here.iter().any(|line| !line.is_revoked && line.key == key) {
            return Verdict::Known;
        }
        match here
            .iter()
            .filter(|line| !line.is_revoked)
            .map(|line| line.kind.clone())
            .collect::<Vec<_>>()
        {
            kinds if kinds.is_empty() => Verdict::Unknown,
            kinds => Verdict::Differs(kinds),
        }
    }
}

/// Whether a line's first field names a host: a hash of the name, or patterns of which no `!` one matches.
fn names(field: &str, name: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        let Some((salt, hash)) = hashed.split_once('|') else {
            return false;
        };
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(&salt) else {
            return false;
        };
        mac.update(name.as_bytes());
        return mac.verify_slice(&hash).is_ok();
    }
    let matches = |pattern: &str| {
        globset::GlobBuilder::new(&pattern.to_lowercase().replace('[', "\\[").replace(']', "\\]"))
            .build()
            .is_ok_and(|glob| glob.compile_matcher().is_match(name))
    };
    let mut named = false;
    for pattern in field.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern) => return false,
            Some(_) => {}
            None => named |= matches(pattern),
        }
    }
    named
}

/// Checks the key that a server shows; the error says what to do.
pub(super) fn check_host_key(
    known: &KnownHosts,
    address: &Address,
    key: &git2::cert::CertHostkey<'_>,
) -> Result<(), SourceError> {
    let authority = &address.authority;
    let bytes = key.hostkey().unwrap_or_default();
    let kind = key.hostkey_type().map_or("unknown", |kind| kind.name());
    let print = key.hash_sha256().map_or(String::new(), |hash| {
        format!(" SHA256:{}", STANDARD_NO_PAD.encode(hash))
    });
    let scan = format!("`ssh-keyscan -p {} {}`", authority.port, authority.host);
    let why = match known.judge(authority, bytes) {
        Verdict::Known => return Ok(()),
        Verdict::Revoked => format!("its host key ({kind}{print}) is marked as revoked in the known hosts"),
        Verdict::Unknown => format!(
            "its host key ({kind}{print}) is not among the known hosts; compare it with what the host's operator publishes, \
             then add the output of {scan} to the configured known hosts"
        ),
        Verdict::Differs(kinds) if kinds.iter().any(|known| known == kind) => format!(
            "its host key ({kind}{print}) is not the one in the known hosts: either the host has a new key or somebody \
             is in between; ask the host's operator"
        ),
        Verdict::Differs(kinds) => format!(
            "it showed its {kind} key ({}), but the known hosts have only {} for it; add the output of {scan} to them",
            print.trim(),
            kinds.join(", ")
        ),
    };
    Err(SourceError::Forbidden {
        url: address.to_string(),
        why,
    })
}

/// A one-connection relay. Ends with it, or when dropped.
pub(super) struct Relay {
    /// Where libssh2 connects to.
    pub port: u16,
    shared: Arc<Shared>,
    _ends_it: DropGuard,
}

struct Shared {
    address: Address,
    bounds: Bounds,
    stop: Stop,
    trouble: Mutex<Option<SourceError>>,
}

impl Relay {
    /// Connects to the host and listens for libssh2. Blocks until the host accepts.
    pub(super) fn start(address: &Address, bounds: Bounds, stop: Stop, runtime: &Handle) -> Result<Self, SourceError> {
        let unreachable = |error: io::Error| SourceError::Fetch {
            url: address.to_string(),
            why: error.to_string(),
            transient: true,
        };
        let (upstream, listener, port) = runtime.block_on(async {
            let connected = tokio::select! {
                connected = tokio::time::timeout(CONNECT_WITHIN, connect(&address.authority)) => connected,
                () = stop.asked() => return Err(SourceError::Stopped),
            };
            let upstream = connected
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map_err(unreachable)?;
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unreachable)?;
            let port = listener.local_addr().map_err(unreachable)?.port();
            Ok((upstream, listener, port))
        })?;
        let shared = Arc::new(Shared {
            address: address.clone(),
            bounds,
            stop,
            trouble: Mutex::default(),
        });
        let over = CancellationToken::new();
        let (carried, ended) = (shared.clone(), over.clone());
        runtime.spawn(async move {
            tokio::select! {
                () = carry(&listener, upstream, &carried) => {}
                () = ended.cancelled() => {}
            }
        });
        Ok(Relay {
            port,
            shared,
            _ends_it: over.drop_guard(),
        })
    }

    /// Why the relay cut the connection, if it did.
    pub(super) fn trouble(&self) -> Option<SourceError> {
        self.shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Shared {
    fn keep(&self, trouble: SourceError) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

async fn connect(authority: &Authority) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Accepts libssh2's connection and carries bytes both ways until one side closes or the bounds are reached. The reason
/// is kept before the connection is closed, so that it is there when libssh2 notices. Either end closes both: git has
/// no use for a half-open connection.
async fn carry(listener: &TcpListener, mut upstream: TcpStream, shared: &Shared) {
    let carried = async {
        let Ok((mut inner, _)) = listener.accept().await else {
            return;
        };
        let (from_server, to_server) = upstream.split();
        let (from_us, to_us) = inner.split();
        tokio::select! {
            () = up(from_us, to_server) => {}
            () = down(from_server, to_us, shared) => {}
        }
    };
    tokio::pin!(carried);
    tokio::select! {
        () = &mut carried => {}
        () = shared.stop.asked() => shared.keep(SourceError::Stopped),
        () = tokio::time::sleep_until(shared.bounds.deadline.into()) => {
            let why = format!("it was not fetched within {} s", shared.bounds.within.as_secs());
            shared.keep(SourceError::TooLarge { url: shared.address.to_string(), why });
        }
    }
}

async fn up(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    // An error here ends the connection, and libssh2 tells what it makes of that.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// From the server: counted, and not silent for too long.
async fn down(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    let url = || shared.address.to_string();
    loop {
        let count = match tokio::time::timeout(shared.bounds.idle, from.read(&mut buffer)).await {
            Err(_) => {
                let why = format!("the server sent nothing for {} s", shared.bounds.idle.as_secs());
                return shared.keep(SourceError::Fetch {
                    url: url(),
                    why,
                    transient: true,
                });
            }
            Ok(Ok(count)) if count > 0 => count,
            Ok(Ok(_) | Err(_)) => return,
        };
        bytes += count as u64;
        if bytes > shared.bounds.bytes {
            let why = format!("more than {} MiB would be fetched", shared.bounds.bytes / (1024 * 1024));
            return shared.keep(SourceError::TooLarge { url: url(), why });
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
