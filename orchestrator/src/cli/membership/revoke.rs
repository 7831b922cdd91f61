//! `meshproof mesh revoke`.

use std::collections::BTreeSet;

use clap::Args;
use meshproof_proto::id::PeerId;

use super::{Place, Tell, tell_change};
use crate::membership::{MembershipError, RootFolder};
use crate::say;

#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  meshproof mesh revoke shop             every token for that name or pattern\n  \
    meshproof mesh revoke 4mf7q2xk         the token that `meshproof mesh tokens` calls so\n  \
    meshproof mesh revoke --former-roots   every token of the root keys before this one", after_help = super::EXITS)]
pub(in crate::cli) struct Revoke {
    /// Names or patterns that tokens were made for, or the tokens' own.
    #[arg(value_name = "TOKEN", required_unless_present = "former_roots")]
    tokens: Vec<String>,
    /// The root keys before this one: whatever was made with them ends, as after a theft.
    #[arg(long)]
    former_roots: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    tell: Tell,
}

pub(super) fn revoke(args: &Revoke) -> Result<(), MembershipError> {
    let mut folder = args.tell.open(&args.place)?;
    let mut keys = Vec::new();
    for wanted in &args.tokens {
        let found = meant(&folder, wanted);
        if found.is_empty() {
            return Err(MembershipError::NoSuchToken(wanted.clone()));
        }
        keys.extend(found);
    }
    if args.former_roots {
        keys.extend(folder.former_roots());
    }
    let before = folder.revoked()?.map(|list| list.keys).unwrap_or_default();
    let new = keys.iter().filter(|key| !before.contains(key)).count();
    let number = folder.revoke_now(&keys)?;
    let named = folder.revoked()?.map_or(0, |list| list.keys.len());
    say::note(format_args!("list {number} of mesh {}: {named} revoked, {new} of them now", folder.mesh().0));
    if args.former_roots {
        say_what_ends(&folder)?;
    }
    tell_change(&folder, &args.tell.from)
}

/// Whoever asks for it may hold one of them, and so may every agent.
fn say_what_ends(folder: &RootFolder) -> Result<(), MembershipError> {
    let keys = folder.revoked()?.map(|list| list.keys).unwrap_or_default();
    let ended: BTreeSet<&str> =
        folder.issued().iter().filter(|issued| issued.is_revoked_by(&keys)).map(|issued| &*issued.names).collect();
    if !ended.is_empty() {
        let names: Vec<&str> = ended.into_iter().collect();
        say::note(format_args!(
            "the tokens of {} are over, your own console's if it is among them; `meshproof mesh invite` makes new ones",
            names.join(", ")
        ));
    }
    Ok(())
}

/// The tokens made for that pattern, or the one that is called so.
fn meant(folder: &RootFolder, wanted: &str) -> Vec<PeerId> {
    let is_meant =
        |names: &str, token: &PeerId| names == wanted || token.short() == wanted || token.to_string() == wanted;
    let issued = folder.issued().iter();
    issued.filter(|issued| is_meant(&issued.names, &issued.token)).map(|issued| issued.token).collect()
}
