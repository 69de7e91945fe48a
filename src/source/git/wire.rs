//! The wire under libgit2 for `https` and `http`: our own client instead of libgit2's, so that one TLS stack and one
//! set of authorities serves everything, redirects are refused, the token is sent to its own host only, and every
//! read ends by a stop, a deadline, an idle limit or a size limit, whatever the server does.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use super::Token;
use crate::source::SourceError;
use crate::source::address::Address;
use crate::stop::Stop;

/// The address that libgit2 is given; the real one is the wire's.
pub(super) const PLACEHOLDER: &str = "drydock://wire/";

/// What is asked of a server at most while it negotiates: a list of commits that we have.
const QUESTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How much of an error's body is read to explain it.
const EXPLANATION_BYTES_MAX: usize = 2048;

/// Bounds of one fetch, across all its requests. `refs` bounds what a server may list before it is asked anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub deadline: Instant,
    pub within: Duration,
    pub idle: Duration,
    pub bytes: u64,
    pub refs: u64,
}

/// One fetch's connection: whom it talks to, with what, and how far. The first trouble is kept as it was, because
/// libgit2 passes on no more than a text.
pub(super) struct Wire {
    pub client: Client,
    pub address: Address,
    pub token: Option<Token>,
    pub bounds: Bounds,
    pub stop: Stop,
    pub runtime: tokio::runtime::Handle,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    bytes: u64,
    trouble: Option<SourceError>,
    /// The server's own last words (an `ERR` line of git's protocol), which libgit2 does not always pass on.
    last_words: Option<String>,
}

thread_local! {
    /// The wire of the fetch that this thread runs.
    static WIRE: RefCell<Option<Arc<Wire>>> = const { RefCell::new(None) };
}

static REGISTERED: Once = Once::new();

impl Wire {
    pub(super) fn new(
        client: Client,
        address: Address,
        token: Option<Token>,
        bounds: Bounds,
        stop: Stop,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Wire {
            client,
            address,
            token,
            bounds,
            stop,
            runtime,
            spent: Mutex::default(),
        })
    }

    /// Runs a fetch whose connections to [`PLACEHOLDER`] go over this wire.
    pub(super) fn lend<T>(self: &Arc<Self>, fetch: impl FnOnce() -> T) -> T {
        // SAFETY: registering is done once, before any transport can be made through the prefix registered.
        REGISTERED.call_once(|| unsafe {
            // It fails only for a name that holds a NUL or is taken.
            let _ = git2::transport::register("drydock", |remote| {
                let wire = WIRE.with(|wire| wire.borrow().clone());
                let wire = wire.ok_or_else(|| git2::Error::from_str("no wire was lent to this thread"))?;
                Transport::smart(remote, true, Plug(wire))
            });
        });
        WIRE.with(|wire| wire.replace(Some(self.clone())));
        let done = fetch();
        WIRE.with(|wire| wire.replace(None));
        done
    }

    /// What went wrong on the wire, if anything did.
    pub(super) fn trouble(&self) -> Option<SourceError> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).trouble.take()
    }

    pub(super) fn last_words(&self) -> Option<String> {
        self.spent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last_words
            .take()
    }

    fn fail(&self, error: SourceError) -> io::Error {
        let said = io::Error::other(error.to_string());
        self.spent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .trouble
            .get_or_insert(error);
        said
    }

    fn url(&self) -> String {
        self.address.to_string()
    }

    /// Waits for the network, but not longer than is allowed and not when nobody wants it any more.
    fn wait<T>(&self, network: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
        let left = self.bounds.deadline.saturating_duration_since(Instant::now());
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.asked() => Err(SourceError::Stopped),
                done = tokio::time::timeout(left.min(self.bounds.idle), network) => done.unwrap_or_else(|_| Err(self.too_slow(left))),
            }
        })
    }

    fn too_slow(&self, left: Duration) -> SourceError {
        if left <= self.bounds.idle {
            let why = format!("it was not fetched within {} s", self.bounds.within.as_secs());
            SourceError::TooLarge { url: self.url(), why }
        } else {
            let why = format!("the server sent nothing for {} s", self.bounds.idle.as_secs());
            SourceError::Fetch {
                url: self.url(),
                why,
                transient: true,
            }
        }
    }

    fn send(&self, request: RequestBuilder, expected: &str) -> Result<Response, SourceError> {
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.authorization()),
            None => request,
        };
        self.wait(async {
            let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
            let status = answer.status();
            if status != StatusCode::OK {
                return Err(self.refused(status, answer).await);
            }
            let kind = answer
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .unwrap_or("none");
            if kind.split(';').next().unwrap_or(kind).trim() != expected {
                let why = format!("the answer is not git's: its content type is `{}`", shortened(kind));
                return Err(SourceError::Fetch {
                    url: self.url(),
                    why,
                    transient: false,
                });
            }
            Ok(answer)
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> SourceError {
        SourceError::Fetch {
            url: self.url(),
            why: causes(error),
            transient: true,
        }
    }

    async fn refused(&self, status: StatusCode, answer: Response) -> SourceError {
        let url = self.url();
        let authority = &self.address.authority;
        if status.is_redirection() {
            let to = answer
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok())
                .unwrap_or("nowhere");
            let to = shortened(&crate::source::address::without_credentials(to));
            let why = format!("the server redirects to `{to}`; redirects are not followed, use that address itself");
            return SourceError::Forbidden { url, why };
        }
        let said = explanation(answer).await;
        let (why, transient) = match (status.as_u16(), &self.token) {
            (401, None) => (
                format!("the server asks for credentials and none are configured for {authority}"),
                false,
            ),
            (401, Some(_)) => (
                format!("the server refuses the token configured for {authority}"),
                false,
            ),
            (403, _) => (format!("the server forbids it{said}"), false),
            (404 | 410, None) => (
                format!("there is no such repository, or it is private and no token is configured for {authority}"),
                false,
            ),
            (404 | 410, Some(_)) => (
                format!("there is no such repository, or the token configured for {authority} may not read it"),
                false,
            ),
            (408 | 425 | 429 | 500..=599, _) => (format!("the server answered {status}{said}"), true),
            (_, _) => (format!("the server answered {status}{said}"), false),
        };
        SourceError::Fetch { url, why, transient }
    }
}

/// The start of an error's body, when it is text.
async fn explanation(mut answer: Response) -> String {
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("");
    if !kind.starts_with("text/plain") {
        return String::new();
    }
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < EXPLANATION_BYTES_MAX {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    match shortened(String::from_utf8_lossy(&bytes).trim()) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// An error and its causes, without the URL that it was about (which stands in front of it anyway).
fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&said)) {
            parts.push(said);
        }
        next = cause.source();
    }
    if parts.is_empty() {
        "the connection failed".to_owned()
    } else {
        parts.join(": ")
    }
}

struct Plug(Arc<Wire>);

impl SmartSubtransport for Plug {
    fn action(&self, _: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let (is_listing, expected) = match action {
            Service::UploadPackLs => (true, "application/x-git-upload-pack-advertisement"),
            Service::UploadPack => (false, "application/x-git-upload-pack-result"),
            Service::ReceivePackLs | Service::ReceivePack => {
                return Err(git2::Error::from_str("Drydock never pushes to a repository"));
            }
        };
        let question = Vec::new();
        Ok(Box::new(Exchange {
            wire: self.0.clone(),
            is_listing,
            expected,
            question,
            answer: None,
            chunk: Bytes::new(),
            lines: 0,
        }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// One request and its answer: what is written is the question, sent when the first byte of the answer is read.
struct Exchange {
    wire: Arc<Wire>,
    is_listing: bool,
    expected: &'static str,
    question: Vec<u8>,
    answer: Option<Response>,
    chunk: Bytes,
    /// Lines seen in a listing: a ref each.
    lines: u64,
}

impl Exchange {
    fn ask(&mut self) -> Result<Response, SourceError> {
        let base = self.wire.url();
        let client = &self.wire.client;
        let request = if self.is_listing {
            client.get(format!("{base}/info/refs?service=git-upload-pack"))
        } else {
            let kind = "application/x-git-upload-pack-request";
            let question = std::mem::take(&mut self.question);
            client
                .post(format!("{base}/git-upload-pack"))
                .header(CONTENT_TYPE, kind)
                .body(question)
        };
        self.wire.send(request.header(ACCEPT, self.expected), self.expected)
    }

    fn next_chunk(&mut self) -> Result<Bytes, SourceError> {
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => self.ask()?,
        };
        let chunk = self
            .wire
            .wait(async { answer.chunk().await.map_err(|error| self.wire.unreachable(&error)) })?;
        self.answer = Some(answer);
        let chunk = chunk.unwrap_or_default();
        if self.is_listing {
            self.lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            if self.lines > self.wire.bounds.refs {
                let why = format!("it has more than {} refs", self.wire.bounds.refs);
                return Err(SourceError::TooLarge {
                    url: self.wire.url(),
                    why,
                });
            }
        }
        let mut spent = self.wire.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((length, words)) = chunk.split_at_checked(4).filter(|(_, rest)| rest.starts_with(b"ERR "))
            && length.iter().all(u8::is_ascii_hexdigit)
        {
            spent.last_words = Some(shortened(&String::from_utf8_lossy(&words[4..])));
        }
        spent.bytes += chunk.len() as u64;
        if spent.bytes > self.wire.bounds.bytes {
            let why = format!(
                "more than {} MiB would be fetched",
                self.wire.bounds.bytes / (1024 * 1024)
            );
            return Err(SourceError::TooLarge {
                url: self.wire.url(),
                why,
            });
        }
        Ok(chunk)
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.next_chunk().map_err(|error| self.wire.fail(error))?;
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.question.len() + bytes.len() > QUESTION_BYTES_MAX {
            return Err(io::Error::other("the negotiation with the server does not end"));
        }
        self.question.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
