//! QUIC, TCP, and TLS over TCP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::rustls;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Way;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Two ends of one TCP connection that do not wait to fill segments.
pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
    let connecting = TcpStream::connect(listener.local_addr().expect("bound"));
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    let (near, far) = (connected.expect("connects"), accepted.expect("connects").0);
    near.set_nodelay(true).expect("a TCP socket");
    far.set_nodelay(true).expect("a TCP socket");
    (near, far)
}

pub async fn tcp() -> Way {
    let (near, far) = tcp_pair().await;
    Way::of_streams(near, far)
}

/// TLS 1.3 over TCP.
pub async fn tls() -> Way {
    let (near, far) = tcp_pair().await;
    let (server, client) = tls_configs();
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = TlsConnector::from(Arc::new(client)).connect(name, near);
    let accepting = TlsAcceptor::from(Arc::new(server)).accept(far);
    let (near, far) = tokio::join!(connecting, accepting);
    Way::of_streams(near.expect("trusted"), far.expect("trusted"))
}

/// One stream of a QUIC connection, everything as quinn has it.
pub async fn quic() -> Way {
    let (server, client) = tls_configs();
    let server = quinn::crypto::rustls::QuicServerConfig::try_from(server).expect("TLS 1.3");
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).expect("TLS 1.3");
    let server = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(server)), ANY_PORT).expect("a port");
    let mut near = quinn::Endpoint::client(ANY_PORT).expect("a port");
    near.set_default_client_config(quinn::ClientConfig::new(Arc::new(client)));
    let connecting = near.connect(server.local_addr().expect("bound"), "localhost").expect("a good name");
    let accepting = async { server.accept().await.expect("the endpoint lives").await };
    let (near, far) = tokio::join!(connecting, accepting);
    let mut to = near.expect("trusted").open_uni().await.expect("a stream");
    to.write_u8(0).await.expect("it flows");
    let mut from = far.expect("trusted").accept_uni().await.expect("a stream");
    from.read_u8().await.expect("it flows");
    Way::of_streams(to, from)
}

/// A server that shows a new certificate, and a client that trusts it.
fn tls_configs() -> (rustls::ServerConfig, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring speaks TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key is the certificate's");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring speaks TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}
