//! The protocol's version. Peers one minor apart work together; another major is refused.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The protocol this build speaks.
///
/// 1.1 added relayed connections, signals forwarded by a third peer, news of the root, several bulk connections of a link
/// (*stripes*), over which a stream's pieces come out of order, calls that share a message, datagrams, and STUN and TURN servers and epochs
/// told by a signaling server. None of it is sent to a peer of 1.0.
pub const PROTOCOL: Version = Version { major: 1, minor: 1 };

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Two peers that cannot work together.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("this side speaks protocol {ours}, the other {theirs}; upgrade {older}")]
pub struct Incompatible {
    pub ours: Version,
    pub theirs: Version,
    pub older: &'static str,
}

impl Version {
    /// Whether a peer of this version knows forwarded signals and stripes.
    pub fn has_stripes(self) -> bool {
        self.is_from(1)
    }

    /// Whether a peer, or a signaling server, of this version knows news of the root.
    pub fn has_news(self) -> bool {
        self.is_from(1)
    }

    /// Whether a peer of this version takes STUN and TURN servers from a signaling server.
    pub fn has_ice(self) -> bool {
        self.is_from(1)
    }

    /// Whether a peer of this version takes epochs from a signaling server.
    pub fn has_epochs(self) -> bool {
        self.is_from(1)
    }

    /// Whether a peer of this version can be reached over a signaling server's relay.
    pub fn has_relay(self) -> bool {
        self.is_from(1)
    }

    /// Whether a peer of this version reads several control frames from one message.
    pub fn packs_frames(self) -> bool {
        self.is_from(1)
    }

    /// Whether a peer of this version takes datagrams.
    pub fn has_datagrams(self) -> bool {
        self.is_from(1)
    }

    /// Whether this is that minor of the major, or a later one.
    fn is_from(self, minor: u16) -> bool {
        self >= Self { minor, ..PROTOCOL }
    }

    /// Whether a peer of this version can work with one of `theirs`.
    pub fn check(self, theirs: Version) -> Result<(), Incompatible> {
        if self.major == theirs.major && self.minor.abs_diff(theirs.minor) <= 1 {
            return Ok(());
        }
        let older = if self < theirs { "this side" } else { "the other" };
        Err(Incompatible { ours: self, theirs, older })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_minor_apart_works_and_the_refusal_names_both_versions_and_the_older_side() {
        let v = |major, minor| Version { major, minor };
        assert_eq!(v(1, 1).check(v(1, 0)), Ok(()));
        assert_eq!(v(1, 1).check(v(1, 2)), Ok(()));
        let refused = v(1, 0).check(v(2, 0)).expect_err("another major");
        assert_eq!(refused.to_string(), "this side speaks protocol 1.0, the other 2.0; upgrade this side");
        assert!(v(1, 3).check(v(1, 1)).is_err());
    }
}
