//! A proxy in front of a real server that makes it fail in chosen ways.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What happens to a request instead of its being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status and no more; 401 asks for basic authentication.
    Status(u16),
    /// A redirect to this address.
    Redirect(String),
    /// The connection ends after so many bytes of the request's body, without an answer.
    CutUpload { after_bytes: u64 },
    /// The connection ends after so many bytes of the answer's body.
    CutAnswer { after_bytes: u64 },
    /// No answer, ever; the connection stays.
    Hang,
}

/// Forwards to one server; faults are used up in the order they were injected.
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    http: reqwest::Client,
    rules: Mutex<VecDeque<Rule>>,
    requests: Mutex<Vec<String>>,
}

struct Rule {
    /// How `METHOD /path` begins; empty is any request.
    prefix: String,
    left: u32,
    fault: Fault,
}

type Body = UnsyncBoxBody<Bytes, Cut>;

/// Ends a connection in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the proxy cut the connection")]
struct Cut;

impl FaultyProxy {
    /// `upstream` is `host:port` of a plain HTTP server on loopback.
    pub async fn in_front_of(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let http = reqwest::Client::builder()
            .no_gzip()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let shared = Arc::new(Shared {
            upstream: upstream.parse().expect("the upstream is an address with a port"),
            http: http.build().expect("a client can be made"),
            rules: Mutex::default(),
            requests: Mutex::default(),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = accepting.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    // An error here is a fault at work.
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(client), service)
                        .await
                        .ok();
                });
            }
        });
        Self { address, shared }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next `times` requests that begin with `prefix` (`"PUT /v2/"`; empty: any) meet `fault`.
    pub fn inject(&self, prefix: &str, times: u32, fault: Fault) {
        let rule = Rule {
            prefix: prefix.to_owned(),
            left: times,
            fault,
        };
        self.shared.rules.lock().expect("no holder panicked").push_back(rule);
    }

    /// Every request so far, as `METHOD /path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("no holder panicked").clone()
    }
}

impl Shared {
    fn next_fault(&self, request: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no holder panicked");
        let index = rules
            .iter()
            .position(|rule| rule.left > 0 && request.starts_with(&rule.prefix))?;
        rules[index].left -= 1;
        Some(rules[index].fault.clone())
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |found| found.as_str())
        .to_owned();
    let line = format!("{} {target}", request.method());
    shared.requests.lock().expect("no holder panicked").push(line.clone());
    match shared.next_fault(&line) {
        None => forward(&shared, request, &target, u64::MAX).await,
        Some(Fault::CutAnswer { after_bytes }) => forward(&shared, request, &target, after_bytes).await,
        Some(Fault::Status(status)) => Ok(refusal(status, None)),
        Some(Fault::Redirect(to)) => Ok(refusal(302, Some(&to))),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::CutUpload { after_bytes }) => {
            let mut body = BodyStream::new(request.into_body());
            let mut seen = 0;
            while let Some(Ok(frame)) = body.next().await
                && seen < after_bytes
            {
                seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Err(Cut)
        }
    }
}

fn refusal(status: u16, location: Option<&str>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    if status == 401 {
        response = response.header("www-authenticate", "Basic realm=\"drydock\"");
    }
    if let Some(location) = location {
        response = response.header("location", location);
    }
    let body = Full::new(Bytes::from_static(b"the test injected this answer\n"));
    response
        .body(body.map_err(|never: Infallible| match never {}).boxed_unsync())
        .expect("status and headers are well formed")
}

/// The answer streams through, up to `bytes_max` of its body.
async fn forward(
    shared: &Shared,
    request: Request<Incoming>,
    target: &str,
    bytes_max: u64,
) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        reqwest::Body::default()
    } else {
        reqwest::Body::wrap_stream(BodyStream::new(body).map_ok(|frame| frame.into_data().unwrap_or_default()))
    };
    // The Host header stays the proxy's, so that addresses in answers lead back here.
    let answer = shared
        .http
        .request(parts.method, format!("http://{}{target}", shared.upstream))
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .map_err(|_| Cut)?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "connection" {
            response = response.header(name, value);
        }
    }
    let mut left = bytes_max;
    let chunks = answer.bytes_stream().map(move |chunk| {
        let mut chunk = chunk.map_err(|_| Cut)?;
        if left == 0 {
            return Err(Cut);
        }
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= chunk.len() as u64;
        Ok(Frame::data(chunk))
    });
    response
        .body(BodyExt::boxed_unsync(StreamBody::new(chunks)))
        .map_err(|_| Cut)
}
