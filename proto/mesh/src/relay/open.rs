//! From a signaling server's URL to a joined socket: connect, prove who we are, wait for the other end.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use meshproof_proto::limits::{DATAGRAM_BYTES, SIGNAL_BYTES};
use meshproof_proto::rendezvous::{FromRelay, RELAY_LABEL, ToRelay};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};

use super::{Caller, Carried, RelayError};
use crate::proxy;

/// All in all, for an end that waits for the other: the server gives up a waiting end after ten seconds, and says why.
const PAIR_WITHIN: Duration = Duration::from_secs(12);

/// What the socket collects before it writes: some datagrams of a burst in one system call.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) type Socket = proxy::Socket;

/// Opens our half and waits for the other.
pub(super) async fn open(caller: Caller, server_url: String, carried: Carried) -> Result<Socket, RelayError> {
    let url = relay_url(&server_url)?;
    let pairing = timeout(PAIR_WITHIN, pair(&caller, &url, carried)).await;
    pairing.unwrap_or(Err(RelayError::Timeout(PAIR_WITHIN)))
}

/// The relay is beside the rendezvous: the last part of its path is another one.
fn relay_url(server_url: &str) -> Result<String, RelayError> {
    let bad = || RelayError::BadUrl(server_url.to_owned());
    let (scheme, rest) = server_url.split_once("://").ok_or_else(bad)?;
    let (place, _) = rest.rsplit_once('/').unwrap_or((rest, ""));
    if place.is_empty() { Err(bad()) } else { Ok(format!("{scheme}://{place}/relay")) }
}

async fn pair(caller: &Caller, url: &str, carried: Carried) -> Result<Socket, RelayError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(2 * BUFFER_BYTES)
        .max_message_size(Some(SIGNAL_BYTES))
        .max_frame_size(Some(SIGNAL_BYTES));
    let mut socket = proxy::connect(url, (&caller.proxies, &caller.authorities), config)
        .await
        .map_err(|error| failed(url, error))?;
    let (protocol, nonce) = match receive(&mut socket).await? {
        FromRelay::Challenge { protocol, nonce } => (protocol, nonce),
        FromRelay::Refused { reason } => return Err(RelayError::Refused(reason)),
        FromRelay::Paired => return Err(RelayError::OutOfOrder("paired before it asked who we are".to_owned())),
    };
    caller.protocol.check(protocol)?;
    let request = ToRelay::Pair {
        protocol: caller.protocol,
        mesh: caller.mesh.clone(),
        chain: Box::new(caller.chain.clone()),
        proof: caller.key.sign(RELAY_LABEL, &nonce),
        to: carried.peer,
        kind: carried.kind,
        generation: carried.generation,
    };
    let text = serde_json::to_string(&request).map_err(|error| RelayError::OutOfOrder(error.to_string()))?;
    socket.send(Message::text(text)).await.map_err(|error| RelayError::Broken(error.to_string()))?;
    match receive(&mut socket).await? {
        FromRelay::Paired => Ok(socket),
        FromRelay::Refused { reason } => Err(RelayError::Refused(reason)),
        FromRelay::Challenge { .. } => Err(RelayError::OutOfOrder("a second challenge".to_owned())),
    }
}

fn failed(url: &str, error: proxy::ConnectError) -> RelayError {
    match error {
        proxy::ConnectError::Proxy(error) => RelayError::Proxy(error),
        proxy::ConnectError::Tls(error) => RelayError::Tls(error),
        proxy::ConnectError::Scheme(url) => RelayError::BadUrl(url),
        proxy::ConnectError::NotFound => RelayError::NoRelay,
        proxy::ConnectError::Answered(StatusCode::SERVICE_UNAVAILABLE) => RelayError::Full,
        source @ (proxy::ConnectError::Answered(_)
        | proxy::ConnectError::Dial(_)
        | proxy::ConnectError::NoWebSocket(_)
        | proxy::ConnectError::Socket(_)) => {
            RelayError::Unreachable { url: url.to_owned(), reason: source.to_string() }
        }
    }
}

/// The next message. Flushes after every frame, because tungstenite only queues the pongs it owes.
async fn receive(socket: &mut Socket) -> Result<FromRelay, RelayError> {
    let broken = |error: tungstenite::Error| RelayError::Broken(error.to_string());
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(text.as_str()).map_err(|error| RelayError::OutOfOrder(error.to_string()));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                socket.flush().await.map_err(broken)?
            }
            Some(Ok(Message::Binary(_))) => return Err(RelayError::OutOfOrder("bytes before the pairing".to_owned())),
            Some(Ok(Message::Close(frame))) => {
                return Err(RelayError::Broken(frame.map_or("closed".to_owned(), |frame| frame.reason.to_string())));
            }
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(RelayError::Broken("closed".to_owned())),
        }
    }
}

const _: () = assert!(DATAGRAM_BYTES <= BUFFER_BYTES, "a datagram fits into the write buffer's headroom");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_is_beside_the_rendezvous() {
        for (server, relay) in [
            ("ws://127.0.0.1:80/mesh", "ws://127.0.0.1:80/relay"),
            ("ws://zone-a.example/deep/mesh", "ws://zone-a.example/deep/relay"),
            ("ws://host:80", "ws://host:80/relay"),
        ] {
            assert_eq!(relay_url(server).expect("a good URL"), relay);
        }
        assert!(matches!(relay_url("host:80/mesh"), Err(RelayError::BadUrl(_))));
    }
}
