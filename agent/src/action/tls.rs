//! The client's side of TLS, made for one call from the texts of its order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meshproof_proto::order::{Held, Identity, Tls, Trust};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::connection::Connection;

/// Everything that a handshake needs.
#[derive(Debug)]
pub(crate) struct Client {
    config: ClientConfig,
    server: ServerName<'static>,
    asked: Arc<AtomicBool>,
}

impl Client {
    /// What is wrong with the order is said in words.
    pub(crate) fn new(tls: &Tls, address: &str, speaks: &[&[u8]]) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let shown =
            Shown { key: tls.identity.as_ref().map(|own| key(own, &provider)).transpose()?, asked: Arc::default() };
        let asked = Arc::clone(&shown.asked);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier(&tls.trust, provider)?)
            .with_client_cert_resolver(Arc::new(shown));
        config.alpn_protocols = speaks.iter().map(|word| word.to_vec()).collect();
        let host = tls.server_name.as_deref().unwrap_or_else(|| host(address));
        let server = ServerName::try_from(host.to_owned());
        let server = server.map_err(|_| format!("`{host}` cannot be the name of a server's certificate"))?;
        Ok(Self { config, server, asked })
    }

    pub(crate) async fn handshake(self, stream: TcpStream) -> io::Result<Connection> {
        let stream = TlsConnector::from(Arc::new(self.config)).connect(self.server, stream).await?;
        Ok(Connection::tls(stream, self.asked))
    }
}

/// Of `host:port`; the brackets of an IPv6 address do not belong to it.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn verifier(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let authorities = match trust {
        Trust::Anyone => return Ok(Arc::new(Anyone(provider))),
        Trust::Authorities(held) => held,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority).map_err(|error| format!("{} is no authority: {error}", authorities.name))?;
    }
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(built.map_err(|error| format!("{}: {error}", authorities.name))?)
}

pub(crate) fn certificates(held: &Held) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(held.text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("there is no certificate in {}: PEM was expected", held.name)),
        Err(error) => Err(format!("{} cannot be read: {error}", held.name)),
    }
}

pub(crate) fn key(own: &Identity, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates(&own.cert)?;
    let unusable = |why: String| format!("{} cannot be used: {why}", own.key.name);
    let key = PrivateKeyDer::from_pem_slice(own.key.text.as_bytes()).map_err(|error| unusable(error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(key))
}

/// Shows what we have to whoever asks, and remembers that somebody did.
#[derive(Debug)]
struct Shown {
    key: Option<Arc<CertifiedKey>>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    /// rustls asks only those that may have one; we want to be asked.
    fn has_certs(&self) -> bool {
        true
    }
}

/// Takes any certificate whose owner holds its key: the plan says `skip: true`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
