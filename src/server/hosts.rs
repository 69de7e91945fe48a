//! Whom a request is addressed to, and from where a browser sends it: against DNS rebinding and cross-site requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;
use crate::config::ServerConfig;

/// Both ends of the connection that a request came on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub peer: SocketAddr,
    pub local: SocketAddr,
}

/// Names that requests may be addressed to.
pub(super) struct Hosts {
    names: Vec<String>,
    any: bool,
}

impl Hosts {
    pub fn new(config: &ServerConfig) -> Self {
        let mut names = vec!["localhost".to_owned()];
        let public = config.public_url.as_ref().and_then(|url| url.url().host_str());
        names.extend(public.map(str::to_ascii_lowercase));
        names.extend(config.allowed_hosts.iter().map(|name| name.to_ascii_lowercase()));
        Hosts {
            any: names.iter().any(|name| name == "*"),
            names,
        }
    }

    /// A bare address is fine when it is the one that the request came to: nobody can point a name of theirs at it.
    fn allow(&self, host: &str, local: Option<SocketAddr>) -> bool {
        if self.any {
            return true;
        }
        let Some(name) = without_port(host) else { return false };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => {
                local.is_none_or(|local| local.ip().to_canonical() == address.to_canonical()) || self.lists(bare)
            }
            Err(_) => self.lists(name.trim_end_matches('.')),
        }
    }

    fn lists(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The host of `host[:port]`; none when it is neither.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (&host[..end + 2], &rest[end + 1..])
        }
        None => match host.find(':') {
            Some(colon) => host.split_at(colon),
            None => (host, ""),
        },
    };
    let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (port_is_fine && !name.is_empty()).then_some(name)
}

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
];

/// Refuses requests to other hosts (421) and changes that another site's page asks for (403).
pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let local = request.extensions().get::<Ends>().map(|ends| ends.local);
    if let Err(problem) = allowed(&app.hosts, request.method(), request.headers(), local) {
        return problem.into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn allowed(hosts: &Arc<Hosts>, method: &Method, headers: &HeaderMap, local: Option<SocketAddr>) -> Result<(), Problem> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|value| value.to_str().ok());
    match (host, named.next()) {
        (Some(host), None) if hosts.allow(host, local) => {}
        (Some(_), None) => {
            let detail = "this server does not answer under that name; `server.public_url` and `server.allowed_hosts` list its names";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        (None, _) | (Some(_), Some(_)) => return Err(Problem::wrong("the request must have one Host header")),
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let foreign = || {
        Problem::new(
            StatusCode::FORBIDDEN,
            "pages of other sites may not change anything here",
        )
    };
    if changes && let Some(origin) = headers.get(header::ORIGIN) {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .map(|(_, rest)| rest);
        if authority.is_none() || authority != host {
            return Err(foreign());
        }
    }
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match site {
        Some("cross-site" | "same-site") if changes => Err(foreign()),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_servers_names_are_answered() {
        let config = ServerConfig {
            public_url: "https://ci.example.com".parse().ok(),
            allowed_hosts: vec!["drydock".into()],
            ..ServerConfig::default()
        };
        let hosts = Hosts::new(&config);
        let local: Option<SocketAddr> = "127.0.0.1:8470".parse().ok();
        for host in [
            "localhost",
            "LocalHost:8470",
            "localhost.",
            "127.0.0.1:8470",
            "ci.example.com",
            "CI.example.com:443",
            "drydock:8470",
        ] {
            assert!(hosts.allow(host, local), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "ci.example.com.evil.example",
            "10.0.0.1",
            "0.0.0.0:8470",
            "[::2]:8470",
            "2130706433",
            "localhost:8470:1",
            "localhost:x",
            "",
            ":80",
            "[::1",
        ] {
            assert!(!hosts.allow(host, local), "{host}");
        }
        assert!(hosts.allow("[::1]:8470", "[::1]:8470".parse().ok()));
        assert!(hosts.allow("[::ffff:127.0.0.1]", local));
    }
}
