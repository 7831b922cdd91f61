//! A token as people keep it: in a file of its own, in an environment file, or on standard input; never in an argument.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use meshproof_proto::identity::{Token, TrustError};
use thiserror::Error;

/// Why there is no token. Nothing of what was read is in it.
#[derive(Debug, Error)]
pub enum TokenFileError {
    #[error(
        "a token is a secret and stands in no argument, where every user of this machine sees it; put it into a file, or give it on stdin"
    )]
    InArgument,
    #[error("cannot read {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("{from} holds no token: {cause}; one is made by `meshproof mesh invite`")]
    None { from: String, cause: TrustError },
    #[error(
        "the token in {from} is not as it was made: {cause}; copy it again, or have another made by `meshproof mesh invite`"
    )]
    Changed { from: String, cause: TrustError },
}

/// Reads a token; `-` is standard input. A file that others can read is told to the log: a secret that is mounted into a container
/// often is, and its owner is to know.
///
/// # Errors
/// It cannot be read, or holds no token.
pub fn read(path: &Path) -> Result<Token, TokenFileError> {
    if path.to_str().is_some_and(|text| Token::from_text(text).is_ok()) {
        return Err(TokenFileError::InArgument);
    }
    let io = |cause| TokenFileError::Io { path: path.to_owned(), cause };
    let (text, from) = if path == Path::new("-") {
        (io::read_to_string(io::stdin()).map_err(io)?, "stdin".to_owned())
    } else {
        warn_if_loose(path);
        (std::fs::read_to_string(path).map_err(io)?, path.display().to_string())
    };
    let token = Token::from_text(&text).map_err(|cause| TokenFileError::None { from: from.clone(), cause })?;
    token.check().map_err(|cause| TokenFileError::Changed { from, cause })?;
    Ok(token)
}

/// Says of a file with a secret that others can read it, and what to do. One that is not there is somebody else's matter.
pub fn warn_if_loose(path: &Path) {
    let Ok(about) = std::fs::metadata(path) else { return };
    let mode = about.permissions().mode() & 0o777;
    if about.is_file() && mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(
            "{path} holds a secret and can be read by others (mode {mode:03o}); `chmod 600 {path}`, and `meshproof mesh revoke` if somebody may have read it"
        );
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::identity::{Grant, Key, Role, UnixSeconds};

    use super::*;

    #[test]
    fn a_token_that_somebody_changed_is_told_with_what_to_do_and_without_itself() {
        let mut token = Token::issue(&Key::from_seed([1; 32]), [2; 32], |token| Grant {
            mesh: "dev".parse().expect("a name"),
            names: "shop".to_owned(),
            role: Role::Agent,
            capabilities: Default::default(),
            not_after: UnixSeconds(1 << 40),
            token,
        });
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.token");
        let read_back = |token: &Token| {
            std::fs::write(&path, token.to_text()).expect("a file");
            read(&path)
        };
        assert_eq!(read_back(&token).expect("as it was made").root, token.root);
        token.grant.text = token.grant.text.replace("shop", "shop-*");
        let error = read_back(&token).expect_err("its root signed something else").to_string();
        assert!(error.contains("shop.token is not as it was made: the grant is not signed"), "{error}");
        assert!(error.ends_with("by `meshproof mesh invite`") && !error.contains("mpt"), "{error}");
    }
}
