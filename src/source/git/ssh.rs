//! The wire under libgit2 for `ssh`: libssh2 speaks through a relay of ours on the loopback, so that a stop, a
//! deadline, an idle limit and a size limit end it (libssh2 knows none of them), and the host's key is checked
//! against the configured known hosts by its real name.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};

use super::wire::Bounds;
use crate::source::SourceError;
use crate::source::address::{Address, Authority};
use crate::stop::Stop;

/// How long a server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// How often the relay looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
}

struct Shared {
    address: Address,
    bounds: Bounds,
    stop: Stop,
    bytes: AtomicU64,
    is_over: std::sync::atomic::AtomicBool,
    trouble: Mutex<Option<SourceError>>,
}

impl Relay {
    /// Connects to the host and listens for libssh2. Blocks until the host accepts.
    pub(super) fn start(address: &Address, bounds: Bounds, stop: Stop) -> Result<Self, SourceError> {
        let unreachable = |error: io::Error| SourceError::Fetch {
            url: address.to_string(),
            why: error.to_string(),
            transient: true,
        };
        let upstream = connect(&address.authority).map_err(unreachable)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(unreachable)?;
        let port = listener.local_addr().map_err(unreachable)?.port();
        let shared = Arc::new(Shared {
            address: address.clone(),
            bounds,
            stop,
            bytes: AtomicU64::new(0),
            is_over: false.into(),
            trouble: Mutex::default(),
        });
        let carried = shared.clone();
        std::thread::Builder::new()
            .name("git-ssh".to_owned())
            .spawn(move || carry(&listener, upstream, &carried))
            .map_err(unreachable)?;
        Ok(Relay { port, shared })
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

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

impl Shared {
    fn fail(&self, error: SourceError) {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    /// Whether the connection has to end now; the reason is kept.
    fn must_end(&self, quiet_since: Instant) -> bool {
        let url = self.address.to_string();
        if self.is_over.load(Ordering::Acquire) {
            return true;
        }
        if self.stop.is_asked() {
            self.fail(SourceError::Stopped);
        } else if Instant::now() >= self.bounds.deadline {
            let why = format!("it was not fetched within {} s", self.bounds.within.as_secs());
            self.fail(SourceError::TooLarge { url, why });
        } else if quiet_since.elapsed() > self.bounds.idle {
            let why = format!("the server sent nothing for {} s", self.bounds.idle.as_secs());
            self.fail(SourceError::Fetch {
                url,
                why,
                transient: true,
            });
        } else if self.bytes.load(Ordering::Relaxed) > self.bounds.bytes {
            let why = format!("more than {} MiB would be fetched", self.bounds.bytes / (1024 * 1024));
            self.fail(SourceError::TooLarge { url, why });
        } else {
            return false;
        }
        true
    }
}

fn connect(authority: &Authority) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for place in (authority.host.as_str(), authority.port)
        .to_socket_addrs()?
        .collect::<Vec<SocketAddr>>()
    {
        match TcpStream::connect_timeout(&place, CONNECT_WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Accepts libssh2's connection and carries bytes both ways until one side closes or the bounds are reached.
fn carry(listener: &TcpListener, upstream: TcpStream, shared: &Shared) {
    let began = Instant::now();
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    let inner = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !shared.must_end(began) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return,
        }
    };
    let ready =
        inner.set_nonblocking(false).is_ok() && inner.set_nodelay(true).is_ok() && upstream.set_nodelay(true).is_ok();
    let (Ok(from_inner), Ok(to_upstream), true) = (inner.try_clone(), upstream.try_clone(), ready) else {
        return;
    };
    std::thread::scope(|threads| {
        threads.spawn(|| pump(from_inner, to_upstream, shared, Direction::Up));
        pump(upstream, inner, shared, Direction::Down);
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    /// From the server: counted.
    Down,
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, direction: Direction) {
    let mut buffer = vec![0; 64 * 1024];
    let mut quiet_since = Instant::now();
    let is_timed =
        from.set_read_timeout(Some(LOOK_EVERY)).is_ok() && to.set_write_timeout(Some(shared.bounds.idle)).is_ok();
    loop {
        if !is_timed {
            break;
        }
        let read = from.read(&mut buffer);
        // A server may be quiet while it counts objects; in the other direction the quiet side is ours.
        if direction == Direction::Up || read.is_ok() {
            quiet_since = Instant::now();
        }
        match read {
            Ok(0) => break,
            Ok(count) => {
                if direction == Direction::Down {
                    shared.bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                if shared.must_end(quiet_since) || to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if shared.must_end(quiet_since) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // Either end closes both: git has no use for a half-open connection.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    shared.is_over.store(true, Ordering::Release);
}
