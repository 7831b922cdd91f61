//! A mesh by hand: root key, signaling server, tokens, agents and consoles, every one a real process.

mod attaching;
mod commits;
mod containers;
mod dry_run;
mod ending;
mod far;
mod following;
mod health;
mod joining;
mod labels;
mod mirrored;
mod place;
mod process;
mod revoking;
mod rotating;
mod standing;
mod tls;
mod town;
mod zones;
