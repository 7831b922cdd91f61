//! How projects of a type are built and tested, for those that do not say: a file a type, which users change and add to.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// The types that need no file.
const BUILT_IN: [(&str, &str); 5] = [
    ("go", include_str!("templates/go.yaml")),
    ("make", include_str!("templates/make.yaml")),
    ("node", include_str!("templates/node.yaml")),
    ("python", include_str!("templates/python.yaml")),
    ("rust", include_str!("templates/rust.yaml")),
];

/// Where a repository has its own.
const IN_REPOSITORY: &str = ".meshproof/templates";

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub build: Option<String>,
    pub run: String,
}

/// There is no such template.
#[derive(Debug, Error)]
pub enum TemplateError {
    #[error("there is no template `{name}`; create {}, which says `run: COMMAND` and, where there is something to build, `build: COMMAND`; known are {known}", .create.display())]
    Unknown { name: String, create: PathBuf, known: String },
    #[error("`{0}` cannot name a template: letters, digits, `-` and `_`")]
    Name(String),
    #[error("cannot read the template {}: {why}", .path.display())]
    Unreadable { path: PathBuf, why: String },
}

/// The template of this name: the repository's own, else the user's, else the built-in one.
///
/// # Errors
/// There is none, and the message says which file to create; or it cannot be read.
pub fn template(name: &str, repository: Option<&Path>, config: Option<&Path>) -> Result<Template, TemplateError> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if name.is_empty() || !name.chars().all(good) {
        return Err(TemplateError::Name(name.to_owned()));
    }
    let file = format!("{name}.yaml");
    let own = repository.map(|repository| repository.join(IN_REPOSITORY).join(&file));
    let users = config.map(|config| config.join("templates").join(&file));
    if let Some(path) = own.iter().chain(&users).find(|path| path.exists()) {
        let unreadable = |why: String| TemplateError::Unreadable { path: path.clone(), why };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        return read(&text).map_err(unreadable);
    }
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Ok(read(text).expect("a test reads them all"));
    }
    let create = own.or(users).unwrap_or_else(|| Path::new(IN_REPOSITORY).join(&file));
    let known = BUILT_IN.map(|(known, _)| known).join(", ");
    Err(TemplateError::Unknown { name: name.to_owned(), create, known })
}

/// Where the user's own are: `meshproof` in the XDG configuration folder.
#[must_use]
pub fn config() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("meshproof"))
}

fn read(text: &str) -> Result<Template, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_can_be_read_and_what_users_write_comes_first() {
        for (name, _) in BUILT_IN {
            assert!(!template(name, None, None).expect(name).run.is_empty());
        }
        let place = tempfile::tempdir().expect("a temporary folder");
        let (repository, config) = (place.path().join("repository"), place.path().join("config"));
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write(config.join("templates/rust.yaml"), "run: user's\n");
        let run = || template("rust", Some(&repository), Some(&config)).expect("there").run;
        assert_eq!(run(), "user's");
        write(repository.join(".meshproof/templates/rust.yaml"), "build: b\nrun: repository's\n");
        assert_eq!(run(), "repository's");
        write(repository.join(".meshproof/templates/bad.yaml"), "run: [a]\nhurry: yes\n");
        let bad = template("bad", Some(&repository), None).expect_err("not a text").to_string();
        assert!(bad.contains("bad.yaml"), "{bad}");
    }

    #[test]
    fn one_that_is_missing_is_told_with_the_path_to_create() {
        let repository = Path::new("/srv/shop");
        let told = template("elixir", Some(repository), None).expect_err("none").to_string();
        assert!(told.contains("create /srv/shop/.meshproof/templates/elixir.yaml"), "{told}");
        assert!(told.contains("go, make, node, python, rust"), "{told}");
        assert!(matches!(template("../x", Some(repository), None), Err(TemplateError::Name(_))));
    }
}
