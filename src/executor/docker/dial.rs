//! Raw connections to the engine: a request that turns its connection into a stream of bytes (BuildKit's, by h2c).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::connect::Endpoint;

/// For connecting, and again for the answer to the request.
const WITHIN: Duration = Duration::from_secs(30);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What came of asking for an upgrade.
pub(super) enum Answer {
    Upgraded(Upgraded),
    /// The engine has no such thing, or does not do it this way.
    Refused(StatusCode),
}

/// `POST path` with `Upgrade: h2c` and further headers.
pub(super) async fn upgrade(endpoint: &Endpoint, path: &str, headers: &[(&str, String)]) -> io::Result<Answer> {
    let asked = async {
        let stream = connect(endpoint).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Ends with the connection, which ends when what is given back is dropped.
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::post(path)
            .header(HOST, "docker")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "h2c");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Answer::Refused(answer.status()));
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(io::Error::other)?;
        Ok(Answer::Upgraded(upgraded))
    };
    tokio::time::timeout(WITHIN, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn connect(endpoint: &Endpoint) -> io::Result<Box<dyn Stream>> {
    let (scheme, place) = endpoint.address.split_once("://").unwrap_or(("", &endpoint.address));
    if scheme == "unix" {
        return Ok(Box::new(UnixStream::connect(place).await?));
    }
    let place = place.trim_end_matches('/');
    let (host, _) = place.rsplit_once(':').unwrap_or((place, ""));
    let stream = TcpStream::connect(place).await?;
    stream.set_nodelay(true)?;
    let Some(folder) = &endpoint.tls else {
        return Ok(Box::new(stream));
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&folder.join("ca.pem"))? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&folder.join("cert.pem"))?, key)
        .map_err(io::Error::other)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

fn certificates(file: &std::path::Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .map_err(io::Error::other)?
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)
}
