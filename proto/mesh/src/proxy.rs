//! The way to a signaling server: straight, or through an HTTP proxy that is asked to `CONNECT`.
//!
//! A WebSocket needs a tunnel, never a proxy that reads along, so `CONNECT` is used for `ws://` as well, and where several
//! proxies are known the one for HTTPS is preferred (RFC 6455, section 4.1).

mod address;
mod rules;
mod tunnel;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest, error::UrlError, protocol::WebSocketConfig};
use tokio_util::either::Either;

use crate::tls::{Authorities, TlsError};
pub use address::{BadProxy, ProxyAddress};
use rules::Rules;

/// TCP asks at once, after one second and after three: who has not answered half a second after the second time is away, and the
/// next attempt asks earlier than the third.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1_500);

/// Through which proxy signaling servers are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxies {
    /// `HTTPS_PROXY`, else `HTTP_PROXY`, else `ALL_PROXY` (each also in lower case, which wins), but not for what `NO_PROXY`
    /// names, nor for this machine.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// This one, for every server.
    Always(ProxyAddress),
}

/// Why a proxy was no way.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    #[error("{variable} names no usable proxy: {source}")]
    Environment { variable: &'static str, source: BadProxy },
    #[error("the proxy {proxy} could not be reached: {source}")]
    Unreachable { proxy: String, source: io::Error },
    /// `answer` is its status line.
    #[error("the proxy {proxy} does not connect to {target}: it answered `{answer}`")]
    Refused { proxy: String, target: String, answer: String },
    #[error("the proxy {proxy} does not speak HTTP: it answered `{answer}`")]
    NotHttp { proxy: String, answer: String },
    #[error("the proxy {proxy} broke off: {source}")]
    Broken { proxy: String, source: io::Error },
    #[error("the proxy {proxy} did not connect to {target} within {within:?}")]
    Timeout { proxy: String, target: String, within: Duration },
}

/// Why there is no WebSocket.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("`{0}` is no URL of a signaling server; wss://HOST:PORT/mesh or ws://HOST:PORT/mesh was expected")]
    Scheme(String),
    #[error("{0}")]
    Dial(io::Error),
    #[error(
        "it answered `404 Not Found`, as no signaling server does; is the path of the URL right? The usual one is /mesh"
    )]
    NotFound,
    #[error("it answered `{0}`")]
    Answered(StatusCode),
    #[error("whoever listens there speaks no WebSocket ({0}); is it a server for wss, or another one's port?")]
    NoWebSocket(tungstenite::Error),
    #[error(transparent)]
    Socket(#[from] tungstenite::Error),
}

impl ConnectError {
    /// Whether starting a server there would help nothing: somebody answers, or the way itself is wrong.
    pub(crate) fn is_wrong_way(&self) -> bool {
        match self {
            Self::Proxy(_) | Self::Tls(_) | Self::Scheme(_) | Self::NotFound | Self::NoWebSocket(_) => true,
            // one that has too much to do says so, too
            Self::Answered(_) | Self::Dial(_) | Self::Socket(_) => false,
        }
    }

    fn of_handshake(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) if response.status() == StatusCode::NOT_FOUND => Self::NotFound,
            tungstenite::Error::Http(response) => Self::Answered(response.status()),
            other => Self::NoWebSocket(other),
        }
    }
}

/// A WebSocket, over TLS or not.
pub(crate) type Socket = WebSocketStream<Either<TcpStream, Box<TlsStream<TcpStream>>>>;

/// The address that a socket is bound to.
pub(crate) fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    match socket.get_ref() {
        Either::Left(stream) => stream.local_addr(),
        Either::Right(stream) => stream.get_ref().0.local_addr(),
    }
}

/// A WebSocket to `url`, through a proxy if one is meant for it.
pub(crate) async fn connect(
    url: &str,
    (proxies, authorities): (&Proxies, &Authorities),
    config: WebSocketConfig,
) -> Result<Socket, ConnectError> {
    let request = url.into_client_request()?;
    let uri = request.uri();
    let secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(ConnectError::Scheme(url.to_owned())),
    };
    let host = uri.host().ok_or(tungstenite::Error::Url(UrlError::NoHostName))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let proxy = match proxies {
        Proxies::Direct => None,
        Proxies::Always(proxy) => Some(proxy.clone()),
        Proxies::Environment => Rules::of_the_environment().proxy_for(&host, port)?,
    };
    let stream = match proxy {
        Some(proxy) => tunnel::through(&proxy, (&host, port)).await?,
        None => dial(&host, port).await.map_err(ConnectError::Dial)?,
    };
    // costs at most some latency when it fails
    let _ = stream.set_nodelay(true);
    let stream =
        if secure { Either::Right(Box::new(authorities.connect(stream, &host).await?)) } else { Either::Left(stream) };
    let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    opening.map(|(socket, _)| socket).map_err(ConnectError::of_handshake)
}

/// A connection to the first of a host's addresses that answers.
async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut ended = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in tokio::net::lookup_host((host, port)).await? {
        match timeout(ANSWERED_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => ended = error,
            Err(_) => {
                let why = format!("{address} did not answer within {ANSWERED_WITHIN:?}");
                ended = io::Error::new(io::ErrorKind::TimedOut, why);
            }
        }
    }
    Err(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_too_much_to_do_is_not_taken_for_another_ones_path() {
        let answered = |status: u16| {
            let response = tungstenite::http::Response::builder().status(status).body(None).expect("a status");
            ConnectError::of_handshake(tungstenite::Error::Http(Box::new(response)))
        };
        let (lost, busy) = (answered(404), answered(429));
        assert!(lost.is_wrong_way() && lost.to_string().contains("is the path of the URL right?"), "{lost}");
        assert!(!busy.is_wrong_way(), "{busy}");
        assert_eq!(busy.to_string(), "it answered `429 Too Many Requests`");
    }
}
