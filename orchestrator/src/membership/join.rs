//! From a token to a mesh file: what a person does once.

use std::path::Path;

use meshproof_proto::glob;
use meshproof_proto::identity::{Role, Token};

use super::error::MembershipError;
use super::publish::{Origin, Visit};
use crate::mesh_file::MeshFile;

/// Of a person's name in that of a console.
const PERSON_CHARS: usize = 24;

/// How to join.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Default: those that the token names.
    pub signaling: Vec<String>,
    pub from: Origin,
}

/// Joins for a moment, to see whether the token is good, and gives the mesh file and who is there.
///
/// # Errors
/// The token is not a console's, no signaling server can be reached, or it refuses the token.
pub async fn join(token: Token, how: Joining) -> Result<(MeshFile, usize), MembershipError> {
    let grant = token.granted()?;
    check_role(grant.role)?;
    let signaling = if how.signaling.is_empty() { token.signaling.clone() } else { how.signaling };
    if signaling.is_empty() {
        return Err(MembershipError::NoSignaling);
    }
    let ca = how.from.authorities.path().map(std::path::absolute).transpose().map_err(MembershipError::Here)?;
    let visit = Visit {
        name: name_for(&grant.names)
            .parse()
            .map_err(|error: meshproof_proto::id::BadName| MembershipError::Name(error.to_string()))?,
        token: token.clone(),
        signaling: signaling.clone(),
        from: how.from,
    };
    let found = visit.look().await?;
    let file = MeshFile { run: None, mesh: grant.mesh, root: token.root, signaling, agents: Vec::new(), token, ca };
    Ok((file, found))
}

fn check_role(role: Role) -> Result<(), MembershipError> {
    let instead = match role {
        Role::OperatorConsole | Role::Observer | Role::Orchestrator => return Ok(()),
        Role::Agent => "start the agent with it: `meshproof agent --token-file FILE`",
        Role::ZoneOperator => {
            "it reports zones and looks at no mesh; have a console's made with --role operator-console"
        }
    };
    Err(MembershipError::OtherRole { role, instead })
}

/// The same with a person's name in it, so that others see who it is.
pub fn name_of(pattern: &str, person: &str) -> String {
    let letters = person
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect::<String>();
    let letters = letters.trim_matches('-');
    let unique = &uuid::Uuid::new_v4().simple().to_string()[..4];
    let named = if letters.is_empty() {
        unique.to_owned()
    } else {
        format!("{}-{unique}", &letters[..letters.len().min(PERSON_CHARS)])
    };
    let usual = format!("console-{named}");
    if glob::matches(pattern, &usual) { usual } else { pattern.replace('*', &named) }
}

/// A name that the pattern allows and nobody else has.
pub fn name_for(pattern: &str) -> String {
    let unique = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let usual = format!("console-{unique}");
    if glob::matches(pattern, &usual) { usual } else { pattern.replace('*', &unique) }
}

impl MeshFile {
    /// Writes the file, for its owner only.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), MembershipError> {
        super::folder::write_new(path, &self.text())
    }
}
