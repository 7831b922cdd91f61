//! `CONNECT`: a connection to a host, which ends here. Inside of it the service speaks HTTP/1.1, over TLS or plainly.

use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::Host;
use crate::limits;
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
    let (mut reader, writer) = tokio::io::split(io);
    let mut first = [0; 1];
    if !matches!(reader.read(&mut first).await, Ok(1)) {
        return;
    }
    let line = tokio::io::join(Cursor::new(first).chain(reader), writer);
    if first[0] != HANDSHAKE {
        host.scheme = "http";
        return spoken(&talk, line, Arrived { tls_name: None, through: Some(host) }).await;
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
            spoken(&talk, stream, Arrived { tls_name, through: Some(host) }).await;
        }
        Err(why) => talk.shared.not_welcome(&format!("CONNECT {host}"), &why),
    }
}

/// Goes on with what is HTTP/1; a server for it would wait for ever for the rest of anything else.
async fn spoken(talk: &Talk, line: impl AsyncRead + AsyncWrite + Send + 'static, arrived: Arrived) {
    let (mut reader, mut writer) = tokio::io::split(line);
    let mut begin = Vec::new();
    let is_line = |begin: &[u8]| begin.contains(&b'\n') || begin.len() > limits::LINE_BYTES;
    while !is_line(&begin) {
        if !matches!(reader.read_buf(&mut begin).await, Ok(1..)) {
            break;
        }
    }
    if begin.is_empty() {
        return;
    }
    if is_http(&begin) {
        let line = tokio::io::join(Cursor::new(begin).chain(reader), writer);
        return talk.known(arrived).on(line, Speech::Http1).await;
    }
    let host = arrived.through.map(|host| host.to_string()).unwrap_or_default();
    let shown = begin[..begin.len().min(40)].escape_ascii();
    let request = format!("CONNECT {host}: unsupported: what is no HTTP/1.1, and begins with {shown}");
    talk.shared.unsupported(talk.shared.masker.mask(&request).into_owned(), 0).told().await;
    let _ = writer.shutdown().await;
}

/// Whether the first line is that of a request.
fn is_http(begin: &[u8]) -> bool {
    let line = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_from_other_protocols_by_its_first_line() {
        for http in ["GET / HTTP/1.1\r\nHost: a", "GET / HTTP/1.0\n"] {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for other in ["", "EHLO me\r\n", "PRI * HTTP/2.0\r\n\r\n", "GET / HTTP/1.", "\u{0}\u{1}"] {
            assert!(!is_http(other.as_bytes()), "{other}");
        }
    }
}
