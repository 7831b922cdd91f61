//! The server's side of TLS, made once from the texts of the stub's order.

use std::sync::Arc;

use meshproof_proto::order::{Identity, ServerTls, Tls, Trust};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::action::tls::{certificates, key};

/// What HTTP/2 is called when TLS begins, which is the only way that clients over TLS speak gRPC.
pub(super) const HTTP2: &[u8] = b"h2";
pub(super) const HTTP1: &[u8] = b"http/1.1";

/// `speaks` are the protocols that are agreed on (ALPN), the best first; none: it is not spoken of. What is wrong is said in words.
pub(super) fn config(tls: &ServerTls, speaks: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let own = key(&tls.identity, &provider)?;
    let clients = match &tls.clients {
        None => Arc::new(NoClientAuth),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities)? {
                roots.add(authority).map_err(|error| format!("{} is no authority: {error}", authorities.name))?;
            }
            let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            built.map_err(|error| format!("{}: {error}", authorities.name))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = speaks.iter().map(|word| word.to_vec()).collect();
    Ok(Arc::new(config))
}

/// How we ask such a stub ourselves: what it is needs no proof to us, and its own certificate is as good as any client's.
pub(super) fn to_ourselves(tls: &ServerTls) -> Tls {
    let Identity { cert, key } = tls.identity.clone();
    Tls { trust: Trust::Anyone, identity: Some(Identity { cert, key }), server_name: None }
}
