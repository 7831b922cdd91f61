//! Tokens: what they allow, made and remembered.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Grant, Role, Token, UnixSeconds};

use super::error::MembershipError;
use super::folder::{Issued, RootFolder, write_new};
use super::limits::TOKEN_DAYS_MOST;

/// What is wanted of a token.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A name, or a pattern of names.
    pub names: String,
    pub role: Role,
    /// Default: [`usual`].
    pub capabilities: Option<BTreeSet<Capability>>,
    pub days: u64,
}

/// What a role gets when nothing else is said: all that plans do, but not what reaches below the services (`netem`, `tun`).
pub fn usual(role: Role) -> BTreeSet<Capability> {
    match role {
        Role::Agent | Role::Orchestrator => {
            let below = [Capability::Netem, Capability::Tun];
            Capability::ALL.into_iter().filter(|capability| !below.contains(capability)).collect()
        }
        Role::OperatorConsole => [Capability::Stream, Capability::Stub].into(),
        Role::Observer | Role::ZoneOperator => BTreeSet::new(),
    }
}

impl RootFolder {
    /// Makes a token; only that it was made is remembered.
    ///
    /// # Errors
    /// The pattern could be no name's, the time is too long, or nothing can be written.
    pub fn invite(&mut self, wish: Wish) -> Result<Token, MembershipError> {
        check_pattern(&wish.names)?;
        if wish.days == 0 || wish.days > TOKEN_DAYS_MOST {
            return Err(MembershipError::TooLong { days: wish.days, most: TOKEN_DAYS_MOST });
        }
        let Wish { names, role, capabilities, days } = wish;
        let grant = Grant {
            mesh: self.content.mesh.clone(),
            names,
            role,
            capabilities: capabilities.unwrap_or_else(|| usual(role)),
            not_after: UnixSeconds(now().0 + days * 24 * 60 * 60),
            token: self.key.public(),
        };
        let token = self.issue(grant)?;
        self.content.issued.push(Issued::by(self.key.public(), &token.granted()?));
        self.save()?;
        Ok(token)
    }

    /// Writes the token into a new file that only its owner reads.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn hand_out(&self, token: &Token, path: &Path) -> Result<(), MembershipError> {
        write_new(path, &format!("{}\n", token.to_text()))
    }

    /// [`RootFolder::revoke`], by this machine's clock.
    ///
    /// # Errors
    /// Those of it.
    pub fn revoke_now(&mut self, keys: &[PeerId]) -> Result<u64, MembershipError> {
        self.revoke(keys, now())
    }

    /// Signs a token for a fresh key, with everything a newcomer has to know.
    pub(super) fn issue(&self, grant: Grant) -> Result<Token, MembershipError> {
        let mut token = Token::issue(&self.key, random()?, |token| Grant { token, ..grant });
        token.news = self.content.news.clone();
        token.signaling = self.content.signaling.clone();
        Ok(token)
    }
}

/// What the clock says, for expiries.
pub(super) fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

pub(super) fn random() -> Result<[u8; 32], MembershipError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(MembershipError::Random)?;
    Ok(seed)
}

/// With `x` for each `*` it has to be a name, or nothing could ever match.
fn check_pattern(pattern: &str) -> Result<(), MembershipError> {
    let example: Result<Name, _> = pattern.replace('*', "x").parse();
    example.map(drop).map_err(|_| MembershipError::Pattern(pattern.to_owned()))
}
