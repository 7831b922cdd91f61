//! TLS to a signaling server: whom a peer trusts to say who a server is.
//!
//! It hides from the network who meets whom; what peers say to each other needs no TLS, as its own signatures and DTLS protect it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// Who may say that a signaling server is the one of its name: the authorities of this machine, and those of a file.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    file: Option<(PathBuf, Vec<CertificateDer<'static>>)>,
}

/// The file holds no authority.
#[derive(Debug, Error)]
pub enum BadAuthorities {
    #[error("cannot read the certificates of {path}: {cause}; PEM text with `BEGIN CERTIFICATE` was expected")]
    Unreadable { path: PathBuf, cause: String },
    #[error("{0} holds no certificate; PEM text with `BEGIN CERTIFICATE` was expected")]
    Empty(PathBuf),
    #[error("a certificate of {path} can be no authority's: {cause}; take the one that signed the server's")]
    Useless { path: PathBuf, cause: Error },
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("`{0}` can be in no certificate; use the server's name")]
    Name(String),
    #[error(
        "the certificate of {host} is signed by nobody who is trusted here ({error}); give its authority's certificate with --ca FILE (MESHPROOF_CA)"
    )]
    Untrusted { host: String, error: Error },
    #[error(
        "the certificate that {host} showed is for another name ({error}); use a name that is in it, or correct the certificate"
    )]
    OtherName { host: String, error: Error },
    #[error("the certificate of {host} is not good now ({error}); renew it, or compare the clocks")]
    OutOfTime { host: String, error: Error },
    #[error("no TLS with {host}: {error}; is it a server for wss, or one for ws?")]
    Failed { host: String, error: io::Error },
}

/// Read once: there are a hundred and more.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "certificates of this machine that cannot be read");
    }
    found.certs
});

impl Authorities {
    /// Those of a PEM file, beside this machine's.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn of_file(path: &Path) -> Result<Self, BadAuthorities> {
        let unreadable = |cause: &dyn std::fmt::Display| BadAuthorities::Unreadable {
            path: path.to_owned(),
            cause: cause.to_string(),
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
        let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
        if certificates.is_empty() {
            return Err(BadAuthorities::Empty(path.to_owned()));
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            let added = store.add(certificate.clone());
            added.map_err(|cause| BadAuthorities::Useless { path: path.to_owned(), cause })?;
        }
        Ok(Self { file: Some((path.to_owned(), certificates)) })
    }

    /// [`Authorities::of_file`] where one is named, else this machine's alone.
    ///
    /// # Errors
    /// Those of it.
    pub fn named(path: Option<&Path>) -> Result<Self, BadAuthorities> {
        path.map_or_else(|| Ok(Self::default()), Self::of_file)
    }

    /// The file that was named.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        let named = self.file.iter().flat_map(|(_, certificates)| certificates);
        store.add_parsable_certificates(SYSTEM.iter().chain(named).cloned());
        store
    }

    /// TLS over a connection to `host`.
    pub(crate) async fn connect(&self, stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(self.store())
            .with_no_client_auth();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        connecting.await.map_err(|error| judged(host.to_owned(), error))
    }
}

fn judged(host: String, error: io::Error) -> TlsError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned() else {
        return TlsError::Failed { host, error };
    };
    match &tls {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => TlsError::OtherName { host, error: tls },
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => TlsError::OutOfTime { host, error: tls },
        Error::InvalidCertificate(_) => TlsError::Untrusted { host, error: tls },
        _ => TlsError::Failed { host, error },
    }
}
