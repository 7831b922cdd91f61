//! Tokens that end soon.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshproof_proto::identity::{Capability, Grant, Role, Token, UnixSeconds};
use meshproof_proto::limits::CLOCK_SKEW;

use crate::common::{World, name};

/// Enough to get a connection on a busy machine.
const LIFE: Duration = Duration::from_secs(10);

/// One that is good for a moment, by everybody's clock.
pub fn token(world: &World, who: &str) -> Token {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Token::issue(&world.root, [90; 32], |token| Grant {
        mesh: name("dev"),
        names: who.to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds((now + LIFE - CLOCK_SKEW).as_secs()),
        token,
    })
}

/// What is said when such a token has ended.
#[track_caller]
pub fn says_what_to_do(reason: &str) {
    assert!(reason.contains(" s ago by this clock") && reason.contains("`meshproof mesh invite`"), "{reason}");
}
