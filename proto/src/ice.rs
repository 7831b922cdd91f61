//! STUN and TURN servers, as a browser's `RTCIceServer` is written: where peers learn their public addresses, and over which they reach
//! each other where no datagram of theirs passes directly.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::ICE_SERVERS;

/// A STUN or TURN server. Its credential is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=udp`; see [`check_url`].
    pub urls: Vec<String>,
    // Left out of JSON it may be; never written short, as what reads bincode knows no names of fields.
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub credential: String,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// A URL that no peer could use.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not `stun:HOST:PORT` or `turn:HOST:PORT`; only these, over UDP, are supported")]
pub struct BadIceUrl(String);

/// Whether peers can use a server of that URL (RFC 7064, RFC 7065): STUN or TURN over UDP.
///
/// # Errors
/// They cannot.
pub fn check_url(url: &str) -> Result<(), BadIceUrl> {
    let host = ["stun:", "turn:"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let (host, query) = host.map(|host| host.split_once('?').unwrap_or((host, ""))).unwrap_or_default();
    match !host.is_empty() && !host.starts_with('/') && ["", "transport=udp"].contains(&query) {
        true => Ok(()),
        false => Err(BadIceUrl(url.to_owned())),
    }
}

/// Of the servers that a signaling server tells, those that a peer asks: a hostile one has it ask no more than a few, and in no other way.
pub fn usable(servers: Vec<IceServer>) -> Vec<IceServer> {
    let urls = servers.into_iter().flat_map(|IceServer { urls, username, credential }| {
        urls.into_iter().map(move |url| IceServer {
            urls: vec![url],
            username: username.clone(),
            credential: credential.clone(),
        })
    });
    urls.filter(|server| server.urls.iter().all(|url| check_url(url).is_ok())).take(ICE_SERVERS).collect()
}

/// Whether the server relays, and so asks for a name and a credential.
pub fn is_relay(url: &str) -> bool {
    url.starts_with("turn:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::rendezvous::ToPeer;

    #[test]
    fn only_stun_and_turn_over_udp_are_taken() {
        for url in ["stun:a:3478", "stun:[::1]:3478", "turn:a.example:3478", "turn:10.0.0.1?transport=udp"] {
            assert_eq!(check_url(url), Ok(()));
        }
        for url in ["", "a:3478", "stun:", "turns:a:5349", "turn:a:3478?transport=tcp", "turn://a:3478"] {
            let told = check_url(url).expect_err(url).to_string();
            assert!(told.contains(&format!("`{url}`")), "{told}");
        }
    }

    #[test]
    fn of_what_a_signaling_server_tells_a_few_servers_are_asked_and_only_by_udp() {
        let many = (0..100).map(|number| format!("stun:host-{number}:3478"));
        let urls = ["turns:a:5349".to_owned(), "http://a/".to_owned()].into_iter().chain(many).collect();
        let told = IceServer { urls, username: "u".into(), credential: "s3cret".into() };
        let usable = usable(vec![told.clone(), told]);
        assert_eq!(usable.len(), ICE_SERVERS);
        assert!(usable.iter().all(|server| server.urls.len() == 1 && server.urls[0].starts_with("stun:host-")));
    }

    #[test]
    fn a_server_without_a_user_is_read_as_it_was_written_in_each_encoding() {
        let server = IceServer { urls: vec!["stun:a:3478".into()], username: String::new(), credential: String::new() };
        for codec in [Codec::Bincode, Codec::Json] {
            let told = ToPeer::Ice(vec![server.clone()]);
            let bytes = codec.encode(&told).expect("plain data");
            assert_eq!(codec.decode::<ToPeer>(&bytes).expect("its own bytes"), told, "{codec:?}");
        }
        let short: IceServer = serde_json::from_str(r#"{"urls":["stun:a:3478"]}"#).expect("as people write it");
        assert_eq!(short, server);
    }

    #[test]
    fn a_credential_is_written_on_the_wire_and_not_into_logs() {
        let server = IceServer { urls: vec!["turn:a".into()], username: "u".into(), credential: "s3cret".into() };
        assert!(!format!("{server:?}").contains("s3cret"));
        let text = serde_json::to_string(&server).expect("plain data");
        assert_eq!(text, r#"{"urls":["turn:a"],"username":"u","credential":"s3cret"}"#);
        assert_eq!(serde_json::from_str::<IceServer>(&text).expect("what was written"), server);
    }
}
