//! What the mesh's root keys said, kept over restarts: an agent that was told that a token is revoked stays told.

use std::io;
use std::path::{Path, PathBuf};

use meshproof_proto::identity::{Token, TrustError};
use meshproof_proto::trust::{RootNews, Trust};
use thiserror::Error;

/// The file `news.json` in the state directory.
#[derive(Clone, Debug)]
pub struct NewsFile(PathBuf);

/// Why what was kept cannot be used.
#[derive(Debug, Error)]
pub enum NewsError {
    #[error("cannot use {path}, where the news of the root key are kept: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error(
        "{path} does not hold the news of a root key: {cause}; restore it, or remove it and have the root's holder publish them again"
    )]
    Unreadable { path: PathBuf, cause: serde_json::Error },
    #[error("{path} and the token are of different meshes: {cause}; use one state directory for each mesh")]
    Trust { path: PathBuf, cause: TrustError },
}

impl NewsFile {
    /// That of a state directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self(directory.join("news.json"))
    }

    /// Adds what was kept to what the token says, and keeps what the token says.
    ///
    /// # Errors
    /// The file cannot be read or written, or is of another mesh.
    pub fn complete(&self, token: &mut Token) -> Result<(), NewsError> {
        let trusting = |cause| NewsError::Trust { path: self.0.clone(), cause };
        let mut trust = Trust::new(token.mesh().map_err(trusting)?, token.root);
        trust.learn(&token.news).map_err(trusting)?;
        let kept = self.read()?;
        trust.learn(&kept).map_err(trusting)?;
        token.news = trust.news();
        if token.news == kept { Ok(()) } else { self.write(&token.news) }
    }

    fn read(&self) -> Result<RootNews, NewsError> {
        let path = self.0.clone();
        match std::fs::read_to_string(&self.0) {
            Ok(text) => serde_json::from_str(&text).map_err(|cause| NewsError::Unreadable { path, cause }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(RootNews::default()),
            Err(cause) => Err(NewsError::Io { path, cause }),
        }
    }

    /// All or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, news: &RootNews) -> Result<(), NewsError> {
        let text = serde_json::to_string(news).expect("news are plain data");
        let unfinished = self.0.with_extension("part");
        let written = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &self.0));
        written.map_err(|cause| NewsError::Io { path: self.0.clone(), cause })
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::identity::{Grant, Key, Role, UnixSeconds};
    use meshproof_proto::trust::Revoked;

    use super::*;

    fn token(root: u8) -> Token {
        Token::issue(&Key::from_seed([root; 32]), [2; 32], |token| Grant {
            mesh: "dev".parse().expect("a name"),
            names: "*".to_owned(),
            role: Role::Agent,
            capabilities: Default::default(),
            not_after: UnixSeconds(1_000),
            token,
        })
    }

    fn list(root: u8, number: u64) -> RootNews {
        let key = Key::from_seed([root; 32]);
        let keys = Default::default();
        let list = Revoked { mesh: "dev".parse().expect("a name"), root: key.public(), number, keys };
        RootNews { successions: Vec::new(), revoked: Some(list.seal(&key)) }
    }

    #[test]
    fn the_newest_of_what_was_kept_and_what_the_token_says_is_used_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = NewsFile::in_directory(folder.path());
        let complete = |said: RootNews| {
            let mut token = token(1);
            token.news = said;
            file.complete(&mut token).expect("of one mesh");
            token.news
        };
        assert_eq!(complete(RootNews::default()), RootNews::default());
        file.write(&list(1, 3)).expect("a folder");
        assert_eq!(complete(RootNews::default()), list(1, 3));
        assert_eq!(complete(list(1, 2)), list(1, 3), "what is kept is newer");
        assert_eq!(complete(list(1, 4)), list(1, 4));
        assert_eq!(complete(list(1, 3)), list(1, 4), "the token's was kept");
    }

    #[test]
    fn a_file_of_another_mesh_and_one_that_is_no_news_are_refused_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = NewsFile::in_directory(folder.path());
        file.write(&list(9, 3)).expect("a folder");
        let error = file.complete(&mut token(1)).expect_err("another root's").to_string();
        assert!(error.contains("one state directory for each mesh"), "{error}");
        std::fs::write(folder.path().join("news.json"), "{").expect("a folder");
        let error = file.complete(&mut token(1)).expect_err("half a file").to_string();
        assert!(error.contains("publish them again"), "{error}");
    }
}
