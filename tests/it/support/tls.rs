//! Certificates for loopback, and a TLS front for any server of the harness.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::{missing, program};

/// A certificate authority of the test's own, and one server certificate by it for 127.0.0.1 and localhost.
pub struct Authority {
    folder: TempDir,
}

const OPENSSL_SETTINGS: &str = "
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[server]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost
extendedKeyUsage = serverAuth
";

impl Authority {
    /// None, with a word on stderr, where there is no `openssl`.
    pub fn new() -> Option<Self> {
        let Some(openssl) = program("openssl") else {
            missing("openssl", "no such program");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("openssl.cnf"), OPENSSL_SETTINGS).expect("the folder can be written");
        let make = |args: &str| {
            let made = Command::new(&openssl)
                .current_dir(folder.path())
                .args(
                    "req -x509 -config openssl.cnf -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
                        .split(' '),
                )
                .args(args.split(' '))
                .output()
                .expect("openssl starts");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        make("-extensions authority -subj /CN=drydock-test -keyout authority-key.pem -out authority.pem");
        make(
            "-extensions server -subj /CN=localhost -keyout key.pem -out server.pem -CA authority.pem -CAkey authority-key.pem",
        );
        Some(Self { folder })
    }

    /// The authority's own certificate, for clients to trust.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The certificate that servers show.
    pub fn server_certificate(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Listens with TLS and hands the plain bytes to `upstream`; ends with the test's runtime.
    pub async fn front(&self, upstream: SocketAddr) -> SocketAddr {
        let acceptor = tokio_rustls::TlsAcceptor::from(server_config(&self.server_certificate(), &self.key()));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that refuses the certificate is part of some tests.
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let Ok(mut server) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        address
    }
}

fn server_config(certificate: &Path, key: &Path) -> Arc<rustls::ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .expect("the certificate can be read")
        .collect::<Result<Vec<_>, _>>()
        .expect("the certificate is PEM");
    let key = PrivateKeyDer::from_pem_file(key).expect("the key is PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate fit");
    Arc::new(config)
}
