//! Why a mesh could not be made, joined, or told something.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use meshproof_mesh::JoinError;
use meshproof_mesh::tls::BadAuthorities;
use meshproof_mesh::token_file::TokenFileError;
use meshproof_proto::identity::{Role, TrustError};
use meshproof_proto::verdict::Exit;
use thiserror::Error;

/// Each says what to do.
#[derive(Debug, Error)]
pub enum MembershipError {
    #[error("cannot {what} {path}: {cause}")]
    Io { what: &'static str, path: PathBuf, cause: io::Error },
    #[error("{0} holds a root key already; name another folder with --root DIR")]
    HasKey(PathBuf),
    #[error("{0} is there already and is not overwritten; name another file with --out FILE")]
    Exists(PathBuf),
    #[error("there is no root key in {0}; make one with `meshproof mesh new NAME`, or say where it is with --root DIR")]
    NoKey(PathBuf),
    #[error(
        "{path} can be read by others (mode {mode:03o}); `chmod 600 {path}`, and `meshproof mesh rotate` if somebody may have read it"
    )]
    Loose { path: PathBuf, mode: u32 },
    #[error("{path} is of no use: {cause}; restore it from a copy")]
    Unreadable { path: PathBuf, cause: String },
    #[error(
        "`{0}` is no pattern of names: letters, digits, `-`, `_`, and `*` for any run of them were expected, as in `shop` or `shop-*`"
    )]
    Pattern(String),
    #[error("a token is good for a day at least and {most} at most, so that a lost one ends; {days} were asked for")]
    TooLong { days: u64, most: u64 },
    #[error("no token that was made here is `{0}`; `meshproof mesh tokens` lists them")]
    NoSuchToken(String),
    #[error(transparent)]
    Token(#[from] TokenFileError),
    #[error("the token names no signaling server; say where one is with --signaling ws://HOST:PORT/mesh")]
    NoSignaling,
    #[error(
        "{0} names no signaling server; say where one is with --signaling ws://HOST:PORT/mesh, which is kept for the tokens to come"
    )]
    MeshWithoutSignaling(PathBuf),
    #[error("this is a token for an {role}; {instead}")]
    OtherRole { role: Role, instead: &'static str },
    #[error("{0}; a console's is made by `meshproof mesh invite 'console-*' --role operator-console`")]
    Name(String),
    #[error("cannot join the mesh: {0}")]
    Join(#[from] JoinError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("signaling at {url} will not have this token: {reason}")]
    Refused { url: String, reason: String },
    #[error(
        "cannot reach signaling at {url}: {reason}; start it, or name another with --signaling ws://HOST:PORT/mesh"
    )]
    Unreachable { url: String, reason: String },
    #[error("cannot reach signaling at {url}: {reason}")]
    WrongWay { url: String, reason: String },
    #[error(
        "no signaling server answered within {0:?}; start one, or name another with --signaling ws://HOST:PORT/mesh"
    )]
    Silent(Duration),
    #[error(transparent)]
    Authorities(#[from] BadAuthorities),
    #[error("cannot say where this is: {0}; name the file with --ca in full")]
    Here(io::Error),
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl MembershipError {
    /// What the command exits with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Join(_)
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::WrongWay { .. }
            | Self::Silent(_)
            | Self::Random(_) => Exit::MeshFailed,
            _ => Exit::Usage,
        }
    }
}
