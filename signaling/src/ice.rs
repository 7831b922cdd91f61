//! The STUN and TURN servers of a signaling server's meshes. Each peer gets credentials of its own for TURN, which end.
//!
//! They are made as the REST API for TURN has them (draft-uberti-behave-turn-rest-00), which coturn calls `use-auth-secret`: the name is
//! when they end, in seconds since 1970, and whose they are; the password is the HMAC-SHA1 of the name under a secret that the TURN
//! server shares.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use meshproof_proto::ice::{IceServer, check_url, is_relay};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::UnixSeconds;
use meshproof_proto::limits::{ICE_CREDENTIALS, ICE_SERVERS};
use sha1::Sha1;

/// What peers are told of STUN and TURN servers. The secret is never printed.
#[derive(Clone, Default)]
pub struct Ice {
    urls: Vec<String>,
    secret: Option<Vec<u8>>,
}

impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ice").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Ice {
    /// These servers; `secret` is the one that the TURN servers among them share.
    ///
    /// # Errors
    /// Peers could not use a URL, TURN servers have no secret, or there is a secret and nobody to share it.
    pub fn new(urls: Vec<String>, secret: Option<Vec<u8>>) -> anyhow::Result<Self> {
        for url in &urls {
            check_url(url)?;
        }
        if urls.len() > ICE_SERVERS {
            bail!("{} STUN and TURN servers, at most {ICE_SERVERS} are told to peers; leave some out", urls.len());
        }
        let relays = urls.iter().find(|url| is_relay(url));
        match (relays, &secret) {
            (Some(url), None) => bail!(
                "`{url}` asks peers for credentials; name the file with its `static-auth-secret` by --turn-secret-file or \
                 MESHPROOF_TURN_SECRET_FILE"
            ),
            (None, Some(_)) => {
                bail!("there is a secret for TURN servers and no server; name one by --ice turn:HOST:PORT")
            }
            _ => Ok(Self { urls, secret }),
        }
    }

    /// The secret in a file, without the line's end.
    ///
    /// # Errors
    /// The file cannot be read, or is empty.
    pub fn read_secret(path: &Path) -> anyhow::Result<Vec<u8>> {
        let text = std::fs::read(path)
            .with_context(|| format!("cannot read the secret of the TURN servers in {}", path.display()))?;
        let secret = text.trim_ascii();
        if secret.is_empty() {
            bail!("{} is empty; it has to hold the `static-auth-secret` of the TURN servers", path.display());
        }
        Ok(secret.to_vec())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// What `peer` is told.
    pub(crate) fn servers(&self, peer: &PeerId, now: UnixSeconds) -> Vec<IceServer> {
        let username = format!("{}:{peer}", now.0.saturating_add(ICE_CREDENTIALS.as_secs()));
        let credential = self.secret.as_ref().map(|secret| password(secret, &username)).unwrap_or_default();
        let server = |url: &String| match is_relay(url) {
            true => IceServer { urls: vec![url.clone()], username: username.clone(), credential: credential.clone() },
            false => IceServer { urls: vec![url.clone()], username: String::new(), credential: String::new() },
        };
        self.urls.iter().map(server).collect()
    }
}

fn password(secret: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of every length");
    mac.update(username.as_bytes());
    BASE64.encode(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_made_as_a_turn_server_makes_them_and_end() {
        // printf 1700003600:x | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(password(b"north", "1700003600:x"), "hrmNbVmBuje1d3dFj2GEV3zcifM=");
        let urls = vec!["stun:s:3478".to_owned(), "turn:t:3478".to_owned()];
        let ice = Ice::new(urls, Some(b"north".to_vec())).expect("a good one");
        let peer = PeerId([1; 32]);
        let told = ice.servers(&peer, UnixSeconds(1_700_000_000));
        assert_eq!((told[0].username.as_str(), told[0].credential.as_str()), ("", ""));
        assert_eq!(told[1].username, format!("1700003600:{peer}"));
        assert_eq!(told[1].credential, password(b"north", &told[1].username));
        assert_ne!(told, ice.servers(&PeerId([2; 32]), UnixSeconds(1_700_000_000)));
        assert!(!format!("{ice:?}").contains("north"));
    }

    #[test]
    fn what_peers_could_not_use_is_refused_with_what_to_do() {
        let refused = |urls: &[&str], secret: Option<&str>| {
            let urls = urls.iter().map(|url| (*url).to_owned()).collect();
            Ice::new(urls, secret.map(|secret| secret.as_bytes().to_vec())).expect_err("bad").to_string()
        };
        assert!(refused(&["turn:t:1"], None).contains("--turn-secret-file"));
        assert!(refused(&["stun:t:1"], Some("s")).contains("--ice turn:HOST:PORT"));
        assert!(refused(&["turns:t:1"], Some("s")).contains("`turns:t:1` is not"));
        assert!(refused(&["stun:t:1"; ICE_SERVERS + 1], None).contains("leave some out"));
        let empty = tempfile::NamedTempFile::new().expect("a file");
        assert!(Ice::read_secret(empty.path()).expect_err("nothing in it").to_string().contains("static-auth-secret"));
    }
}
