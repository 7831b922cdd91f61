//! `CONNECT`: a connection to a host, which ends here. Inside of it the service speaks HTTP, over TLS or plainly.

use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::Host;
use crate::stub::server::{Arrived, Speech, Talk};

/// How a TLS record with a greeting begins.
const HANDSHAKE: u8 = 0x16;

/// What the client does once it was told that the connection stands.
pub(in crate::stub) fn open(
    talk: Arc<Talk>,
    host: Host,
    request: Request<Incoming>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    // A named type: what goes on inside of it may come back here, and no compiler can look through that.
    Box::pin(inside(talk, host, request))
}

async fn inside(talk: Arc<Talk>, mut host: Host, request: Request<Incoming>) {
    let io = match hyper::upgrade::on(request).await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!(%error, "a tunnel through a stub did not come to be"),
    };
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut first = [0; 1];
    if !matches!(reader.read(&mut first).await, Ok(1)) {
        let _ = writer.shutdown().await;
        return;
    }
    let is_tls = first[0] == HANDSHAKE;
    let line = tokio::io::join(Cursor::new(first).chain(reader), writer);
    if !is_tls {
        host.scheme = "http";
        let arrived = Arrived { tls_name: None, through: Some(host) };
        return talk.known(arrived).on(line, Speech::Http1).await;
    }
    let config = talk.shared.hosts.as_ref().map(|hosts| hosts.mint.config(&host.name));
    let accepted = match config {
        Some(Ok(config)) => TlsAcceptor::from(config).accept(line).await.map_err(|error| error.to_string()),
        Some(Err(why)) => Err(why),
        None => return,
    };
    match accepted {
        Ok(stream) => {
            let tls_name = stream.get_ref().1.server_name().map(str::to_owned);
            talk.known(Arrived { tls_name, through: Some(host) }).on(stream, Speech::Http1).await;
        }
        Err(why) => talk.shared.not_welcome(&format!("CONNECT {host}"), &why),
    }
}
