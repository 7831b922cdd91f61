//! What two peers say to each other before they have a connection: signed, so that whoever carries it can only lose it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::Codec;
use crate::id::{Digest, Generation, Name, PeerId};
use crate::identity::{self, Key, Signed, TrustError, UnixSeconds};
use crate::limits;

/// Which of a link's connections is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// RPC and events.
    Control,
    /// Byte streams; several stripes may be open at once.
    Bulk(u8),
}

/// The way that a connection's datagrams take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// From peer to peer, or through a TURN server: whatever ICE finds.
    #[default]
    Direct,
    /// Through the signaling server that carried the offer, for peers between whom no UDP passes.
    Relayed,
}

impl Route {
    /// The one to try when this one does not work.
    pub fn other(self) -> Self {
        match self {
            Self::Direct => Self::Relayed,
            Self::Relayed => Self::Direct,
        }
    }
}

/// One signal. The session descriptions hold the DTLS fingerprints and the candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalBody {
    Offer {
        sdp: String,
    },
    /// `offer` is the digest of the offer's SDP, so that an answer fits only the offer it was made for.
    Answer {
        offer: Digest,
        sdp: String,
    },
    /// From the peer with the higher id, who does not offer: make an offer above this generation.
    PleaseOffer,
    /// An offer of a connection through the signaling server that carries this. Since protocol 1.1.
    RelayedOffer {
        sdp: String,
    },
}

/// A signal with everything that its signature covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    pub mesh: Name,
    pub from: PeerId,
    pub to: PeerId,
    pub kind: ConnectionKind,
    /// How frames will be written on the connection.
    pub codec: Codec,
    pub generation: Generation,
    pub expires: UnixSeconds,
    pub body: SignalBody,
}

/// A signal that was not accepted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignalError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("a signal of {0} bytes is over the limit of {limit}", limit = limits::SIGNAL_BYTES)]
    TooLarge(usize),
    #[error("the signal cannot be read: {0}")]
    Unreadable(String),
    #[error("the signal is for another mesh or peer")]
    NotForUs,
    #[error("the signal expired {0} s ago")]
    Expired(u64),
}

const LABEL: &str = "signal";

impl Signal {
    /// Signs the signal with the sender's instance key.
    pub fn seal(&self, key: &Key) -> Signed {
        let text = serde_json::to_string(self).expect("a signal is plain data");
        let signature = key.sign(LABEL, text.as_bytes());
        Signed { text, signature }
    }

    /// Checks a signal that is said to come from `from` and to be for `to`.
    pub fn open(signed: &Signed, from: &PeerId, to: &PeerId, now: UnixSeconds) -> Result<Self, SignalError> {
        if signed.text.len() > limits::SIGNAL_BYTES {
            return Err(SignalError::TooLarge(signed.text.len()));
        }
        identity::verify(from, LABEL, signed.text.as_bytes(), &signed.signature)?;
        let signal: Signal =
            serde_json::from_str(&signed.text).map_err(|error| SignalError::Unreadable(error.to_string()))?;
        if signal.from != *from || signal.to != *to {
            return Err(SignalError::NotForUs);
        }
        let latest = signal.expires.0.saturating_add(limits::CLOCK_SKEW.as_secs());
        match now.0.checked_sub(latest) {
            Some(ago) if ago > 0 => Err(SignalError::Expired(ago)),
            _ => Ok(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_accepted_only_from_its_signer_for_its_receiver_in_its_time() {
        let (a, b, c) = (Key::from_seed([1; 32]), Key::from_seed([2; 32]), Key::from_seed([3; 32]));
        let signal = Signal {
            mesh: "dev".parse().expect("a name"),
            from: a.public(),
            to: b.public(),
            kind: ConnectionKind::Bulk(0),
            codec: Codec::Bincode,
            generation: Generation(4),
            expires: UnixSeconds(100),
            body: SignalBody::Answer { offer: Digest::of(b"offer"), sdp: "v=0".to_owned() },
        };
        let sealed = signal.seal(&a);
        let now = UnixSeconds(90);
        assert_eq!(Signal::open(&sealed, &a.public(), &b.public(), now).expect("honest"), signal);
        assert!(matches!(Signal::open(&sealed, &c.public(), &b.public(), now), Err(SignalError::Trust(_))));
        assert_eq!(Signal::open(&sealed, &a.public(), &c.public(), now), Err(SignalError::NotForUs));
        assert_eq!(Signal::open(&sealed, &a.public(), &b.public(), UnixSeconds(221)), Err(SignalError::Expired(1)));
        let mut changed = sealed;
        changed.text = changed.text.replace("v=0", "v=1");
        assert!(matches!(Signal::open(&changed, &a.public(), &b.public(), now), Err(SignalError::Trust(_))));
    }
}
