//! TLS of the server: a certificate chain and its key, from files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

/// What the server shows to be the one of its name.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// The files are of no use.
#[derive(Debug, Error)]
pub enum BadTls {
    #[error("cannot read {what} {path}: {cause}; PEM text was expected")]
    Unreadable { what: &'static str, path: PathBuf, cause: String },
    #[error("{0} holds no certificate; the server's own was expected, and then those that lead to its authority")]
    NoCertificate(PathBuf),
    #[error("the key {key} does not belong to the certificate {certificate}: {cause}; give both of one server")]
    Apart { certificate: PathBuf, key: PathBuf, cause: Error },
}

impl Tls {
    /// The server's certificate and those that lead to its authority, and the server's key: PEM.
    ///
    /// # Errors
    /// A file cannot be read, or they do not belong together.
    pub fn of_files(certificate: &Path, key: &Path) -> Result<Self, BadTls> {
        let unreadable = |what, path: &Path, cause: &dyn std::fmt::Display| BadTls::Unreadable {
            what,
            path: path.to_owned(),
            cause: cause.to_string(),
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable("the certificate", certificate, &error))?;
        if chain.is_empty() {
            return Err(BadTls::NoCertificate(certificate.to_owned()));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("the key", key, &error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, secret);
        let apart = |cause| BadTls::Apart { certificate: certificate.to_owned(), key: key.to_owned(), cause };
        Ok(Self(TlsAcceptor::from(Arc::new(config.map_err(apart)?))))
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}
