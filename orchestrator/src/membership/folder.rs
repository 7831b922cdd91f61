//! The folder of a root key: `root.key`, and `mesh.json` with what was made with it. Only its owner can look inside.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Grant, Key, Role, Signed, TrustError, UnixSeconds};
use meshproof_proto::trust::{CrossSigned, Revoked, RootNews, Trust};
use serde::{Deserialize, Serialize};

use super::error::MembershipError;

/// A root key and the mesh it is of.
#[derive(Debug)]
pub struct RootFolder {
    place: PathBuf,
    pub(super) key: Key,
    pub(super) content: Content,
}

/// `mesh.json`: nothing in it is secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    pub(super) mesh: Name,
    /// Told to whoever is invited.
    pub(super) signaling: Vec<String>,
    pub(super) issued: Vec<Issued>,
    pub(super) news: RootNews,
}

/// A token that was made here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issued {
    pub token: PeerId,
    pub names: String,
    pub role: Role,
    pub not_after: UnixSeconds,
    /// The root key that made it; files of before this was written down name none.
    #[serde(default)]
    pub root: Option<PeerId>,
}

impl Issued {
    /// Of a token that this root key made.
    pub(super) fn by(root: PeerId, grant: &Grant) -> Self {
        Self {
            token: grant.token,
            names: grant.names.clone(),
            role: grant.role,
            not_after: grant.not_after,
            root: Some(root),
        }
    }

    /// Whether a list of revoked keys ends it.
    #[must_use]
    pub fn is_revoked_by(&self, keys: &BTreeSet<PeerId>) -> bool {
        keys.contains(&self.token) || self.root.is_some_and(|root| keys.contains(&root))
    }
}

impl RootFolder {
    /// Makes a root key for a new mesh.
    ///
    /// # Errors
    /// There is one already, or the folder cannot be made.
    pub fn make(place: &Path, mesh: Name, signaling: Vec<String>) -> Result<Self, MembershipError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(place);
        made.map_err(|cause| MembershipError::Io { what: "make", path: place.to_owned(), cause })?;
        let key = fresh_key()?;
        let content = Content { mesh, signaling, issued: Vec::new(), news: RootNews::default() };
        let folder = Self { place: place.to_owned(), key, content };
        match write_new(&folder.key_file(), &folder.key_text()) {
            Err(MembershipError::Exists(_)) => return Err(MembershipError::HasKey(place.to_owned())),
            written => written?,
        }
        folder.save()?;
        Ok(folder)
    }

    /// Opens it; a key that others can read is refused. A rotation that was interrupted is finished.
    ///
    /// # Errors
    /// There is no key, or it was not kept as it should be.
    pub fn open(place: &Path) -> Result<Self, MembershipError> {
        let key = read_key(&place.join("root.key"))?.ok_or_else(|| MembershipError::NoKey(place.to_owned()))?;
        let path = place.join("mesh.json");
        let content = serde_json::from_str(&read(&path)?);
        let content = content.map_err(|error| MembershipError::Unreadable { path, cause: error.to_string() })?;
        let mut folder = Self { place: place.to_owned(), key, content };
        if let Some(next) = read_key(&folder.next_file())?
            && folder.names(&next)
        {
            folder.key = next;
            folder.put_next_in_place()?;
        }
        Ok(folder)
    }

    /// The mesh, and the public key that signaling servers are to know.
    pub fn mesh(&self) -> (&Name, PeerId) {
        (&self.content.mesh, self.key.public())
    }

    /// The tokens that were made here.
    pub fn issued(&self) -> &[Issued] {
        &self.content.issued
    }

    /// What is told to whoever is invited.
    pub fn signaling(&self) -> &[String] {
        &self.content.signaling
    }

    /// Keeps where its signaling servers are now.
    ///
    /// # Errors
    /// `mesh.json` cannot be written.
    pub fn set_signaling(&mut self, signaling: Vec<String>) -> Result<(), MembershipError> {
        self.content.signaling = signaling;
        self.save()
    }

    /// The folder.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// What this root and those before it said.
    pub fn news(&self) -> &RootNews {
        &self.content.news
    }

    /// The list that is in force: its number, and what it names.
    ///
    /// # Errors
    /// `mesh.json` was changed by hand.
    pub fn revoked(&self) -> Result<Option<Revoked>, MembershipError> {
        let read = |signed: &Signed| serde_json::from_str(&signed.text);
        let list = self.content.news.revoked.as_ref().map(read).transpose();
        list.map_err(|error| MembershipError::Unreadable {
            path: self.place.join("mesh.json"),
            cause: error.to_string(),
        })
    }

    /// Puts a new key in the place of this one; each vouches for the other. Gives the file that the former key is in.
    ///
    /// # Errors
    /// There were as many rotations as are followed, or a file cannot be written.
    pub fn rotate(&mut self) -> Result<PathBuf, MembershipError> {
        let new = fresh_key()?;
        let succession = CrossSigned::succession(&self.content.mesh, &self.key, &new);
        let mut news = self.content.news.clone();
        news.successions.push(succession);
        self.check(&news)?;
        let former = self.place.join(format!("former-{}.key", self.key.public().short()));
        write_new(&former, &self.key_text())?;
        self.key = new;
        // Nobody may hear of a key that a crash then loses.
        replace(&self.next_file(), &self.key_text())?;
        self.content.news = news;
        self.save()?;
        self.put_next_in_place()?;
        Ok(former)
    }

    /// Whether that key comes after all others.
    fn names(&self, key: &Key) -> bool {
        self.content
            .news
            .successions
            .last()
            .is_some_and(|last| last.text.contains(&format!("\"new\":\"{}\"", key.public())))
    }

    fn put_next_in_place(&self) -> Result<(), MembershipError> {
        let path = self.key_file();
        std::fs::rename(self.next_file(), &path).map_err(|cause| MembershipError::Io { what: "write", path, cause })
    }

    /// Says that these keys are no longer good, beside those that were said so before; gives the list's number. What has ended by
    /// itself needs no place in it.
    ///
    /// # Errors
    /// The list would be too long, or cannot be written.
    pub fn revoke(&mut self, keys: &[PeerId], now: UnixSeconds) -> Result<u64, MembershipError> {
        let before = self.revoked()?;
        let ended = |key: &PeerId| {
            let issued = self.content.issued.iter().find(|issued| issued.token == *key);
            issued.is_some_and(|issued| issued.not_after.0 + ENDED_LONG_AGO_S < now.0)
        };
        let former = before.iter().flat_map(|list| list.keys.iter()).filter(|key| !ended(key));
        let keys = former.chain(keys).copied().collect();
        let number = before.as_ref().map_or(0, |list| list.number) + 1;
        let list = Revoked { mesh: self.content.mesh.clone(), root: self.key.public(), number, keys };
        let news = RootNews { revoked: Some(list.seal(&self.key)), ..self.content.news.clone() };
        self.check(&news)?;
        self.content.news = news;
        self.save()?;
        Ok(number)
    }

    /// The public keys of the roots before this one, oldest first.
    pub fn former_roots(&self) -> Vec<PeerId> {
        let old = |one: &CrossSigned| {
            let text: serde_json::Value = serde_json::from_str(&one.text).ok()?;
            text["old"].as_str()?.parse().ok()
        };
        self.content.news.successions.iter().filter_map(old).collect()
    }

    /// Whether peers would take it.
    fn check(&self, news: &RootNews) -> Result<(), MembershipError> {
        let mut trust = Trust::new(self.content.mesh.clone(), self.key.public());
        Ok(trust.learn(news).map(drop)?)
    }

    pub(super) fn save(&self) -> Result<(), MembershipError> {
        let text = serde_json::to_string_pretty(&self.content).expect("plain data");
        replace(&self.place.join("mesh.json"), &format!("{text}\n"))
    }

    fn key_file(&self) -> PathBuf {
        self.place.join("root.key")
    }

    fn next_file(&self) -> PathBuf {
        self.place.join("next.key")
    }

    fn key_text(&self) -> String {
        format!(
            "# Secret: the root key of mesh {}. Whoever has it lets anybody in.\n{}\n",
            self.content.mesh,
            self.key.to_secret_text()
        )
    }
}

/// Clocks differ; past this nobody accepts the token anyway.
const ENDED_LONG_AGO_S: u64 = 24 * 60 * 60;

fn fresh_key() -> Result<Key, MembershipError> {
    Ok(Key::from_seed(super::invite::random()?))
}

/// `None` where there is none.
fn read_key(path: &Path) -> Result<Option<Key>, MembershipError> {
    let about = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        about => about.map_err(|cause| MembershipError::Io { what: "look at", path: path.to_owned(), cause })?,
    };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MembershipError::Loose { path: path.to_owned(), mode });
    }
    let text = read(path)?;
    let secret = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let unreadable =
        |error: TrustError| MembershipError::Unreadable { path: path.to_owned(), cause: error.to_string() };
    Key::from_secret_text(secret).map(Some).map_err(unreadable)
}

fn read(path: &Path) -> Result<String, MembershipError> {
    std::fs::read_to_string(path).map_err(|cause| MembershipError::Io { what: "read", path: path.to_owned(), cause })
}

/// A new file that only its owner reads.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), MembershipError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => MembershipError::Exists(path.to_owned()),
        _ => MembershipError::Io { what: "write", path: path.to_owned(), cause },
    })
}

/// All or nothing, in the place of what was there.
fn replace(path: &Path, text: &str) -> Result<(), MembershipError> {
    let unfinished = path.with_extension("part");
    // left behind by a crash
    let _ = std::fs::remove_file(&unfinished);
    write_new(&unfinished, text)?;
    std::fs::rename(&unfinished, path).map_err(|cause| MembershipError::Io {
        what: "write",
        path: path.to_owned(),
        cause,
    })
}

#[cfg(test)]
mod tests;
