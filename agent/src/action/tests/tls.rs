//! TLS against a real server of rustls, with certificates made here.

use std::sync::Arc;

use meshproof_proto::order::{Held, Identity, Tls, Trust};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signs itself").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, PEM.
    fn identity(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &self.issuer).expect("signs").pem(), key.serialize_pem())
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")
    }
}

/// Whose certificate a server wants to see.
enum Wants<'a> {
    Nobody,
    From(&'a Authority),
}

/// A server named `shop` that answers one request with 204.
async fn shop(authority: &Authority, wants: Wants<'_>) -> Target {
    let (cert, key) = authority.identity("shop");
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let builder = ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = match wants {
        Wants::Nobody => builder.with_no_client_auth(),
        Wants::From(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate()).expect("an authority");
            let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("a good certificate")));
    server(|stream| async move {
        // A client that is refused, or does not trust us, is gone: what it sees is what is tested.
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut request = Vec::new();
        while !request.ends_with(b"A1\"}") {
            if stream.read_buf(&mut request).await.expect("reads") == 0 {
                return;
            }
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("writes");
    })
    .await
}

fn trusting(authority: &Authority) -> Tls {
    let held = Held { name: "tls.ca".to_owned(), text: authority.pem.clone() };
    Tls { trust: Trust::Authorities(held), identity: None, server_name: Some("shop".to_owned()) }
}

fn being(authority: &Authority, name: &str) -> Option<Identity> {
    let (cert, key) = authority.identity(name);
    let held = |name: &str, text: String| Held { name: name.to_owned(), text };
    Some(Identity { cert: held("tls.client.cert", cert), key: held("tls.client.key", key) })
}

async fn asked(target: Target, tls: Tls) -> Answer {
    http(Target { tls: Some(tls), ..target }, LONG).await
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_name_and_its_handshake_is_timed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let good = asked(shop(&ours, Wants::Nobody).await, trusting(&ours)).await;
    assert_eq!(good.error, None);
    let Came::Http(came) = &good.came else { panic!("{good:?}") };
    assert!(came.status == Some(204) && came.phases.tls.is_some(), "{good:?}");

    let stranger = asked(shop(&theirs, Wants::Nobody).await, trusting(&ours)).await;
    assert_eq!(kind(&stranger), Some(ErrorKind::Tls), "{stranger:?}");
    let skipped = Tls { trust: Trust::Anyone, ..trusting(&ours) };
    assert_eq!(asked(shop(&theirs, Wants::Nobody).await, skipped).await.error, None);
    let other_name = Tls { server_name: Some("ledger".to_owned()), ..trusting(&ours) };
    assert_eq!(kind(&asked(shop(&ours, Wants::Nobody).await, other_name).await), Some(ErrorKind::Tls));
}

#[tokio::test]
async fn a_client_without_a_certificate_or_with_another_authoritys_is_refused_however_the_refusal_arrives() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let known = Tls { identity: being(&ours, "client"), ..trusting(&ours) };
    assert_eq!(asked(shop(&ours, Wants::From(&ours)).await, known).await.error, None);
    // Whether the alert or the reset behind it is seen first is luck, so: often.
    for _ in 0..30 {
        let nobody = asked(shop(&ours, Wants::From(&ours)).await, trusting(&ours)).await;
        assert_eq!(kind(&nobody), Some(ErrorKind::Tls), "{nobody:?}");
        let stranger = Tls { identity: being(&theirs, "client"), ..trusting(&ours) };
        let stranger = asked(shop(&ours, Wants::From(&ours)).await, stranger).await;
        assert_eq!(kind(&stranger), Some(ErrorKind::Tls), "{stranger:?}");
    }
}

#[tokio::test]
async fn who_speaks_no_tls_is_an_error_of_tls_and_a_certificate_that_is_none_one_of_the_order() {
    let ours = Authority::new();
    let plain = server(|mut stream| async move {
        stream.write_all(b"220 mail.example\r\n").await.expect("writes");
        read_until(&mut stream, "\u{0}").await;
    });
    assert_eq!(kind(&asked(plain.await, trusting(&ours)).await), Some(ErrorKind::Tls));
    let closing = server(|stream| async move { drop(stream) });
    let closed = asked(closing.await, trusting(&ours)).await;
    assert!(matches!(kind(&closed), Some(ErrorKind::Tls | ErrorKind::Reset)), "{closed:?}");
    let held = Held { name: "file ca.pem".to_owned(), text: "no certificate".to_owned() };
    let none = Tls { trust: Trust::Authorities(held), ..trusting(&ours) };
    let answer = asked(target("127.0.0.1:1"), none).await;
    assert_eq!(kind(&answer), Some(ErrorKind::Order));
    assert!(answer.error.is_some_and(|error| error.message.contains("file ca.pem")));
}
