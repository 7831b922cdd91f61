//! Bounds of what is done to a mesh by hand, each with its reason.

use std::time::Duration;

/// A token that nobody said anything else of: a quarter, so that a lost one ends, and nobody renews every week.
pub const TOKEN_DAYS: u64 = 90;

/// The longest: renewing once in a while proves that it can be done.
pub const TOKEN_DAYS_MOST: u64 = 730;

/// The token that carries news from the root's folder into the mesh: as long as telling takes, many times over.
pub const TELLER_LIFETIME: Duration = Duration::from_secs(600);

/// A signaling server answers in milliseconds; a far one that was asked through a proxy in a second or two.
pub const SIGNALING_WITHIN: Duration = Duration::from_secs(5);

/// Links to agents and orchestrators take milliseconds, and a second where they have to be relayed.
pub const LINKS_WITHIN: Duration = Duration::from_secs(5);

/// Who is there comes in one message right behind the welcome; each chain in it takes a fraction of a millisecond to check.
pub const ROSTER_WITHIN: Duration = Duration::from_millis(500);
