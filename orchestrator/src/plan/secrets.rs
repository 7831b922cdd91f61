//! What a plan's secrets are given as. Reading files and the environment is for whoever starts a run; which value counts for
//! which name is said here.

use std::collections::BTreeMap;
use std::fmt;

/// Begins the variable of the environment that holds a secret.
pub const ENVIRONMENT: &str = "MESHPROOF_SECRET_";

/// Values for secrets. Its `Debug` form tells none.
#[derive(Clone, Default)]
pub struct SecretInputs {
    /// `--secret name@file`, by name; these come first.
    pub given: BTreeMap<String, String>,
    /// The environment's variables.
    pub environment: BTreeMap<String, String>,
    pub wanted: Wanted,
}

/// Whether every secret must have a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing is started, so nobody needs a value.
    #[default]
    Names,
    Values,
}

/// The variable that holds the secret of this name: `MESHPROOF_SECRET_API_KEY` for `api-key`.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("{ENVIRONMENT}{}", name.to_uppercase().replace('-', "_"))
}

impl fmt::Debug for SecretInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given: Vec<&String> = self.given.keys().collect();
        f.debug_struct("SecretInputs").field("given", &given).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
