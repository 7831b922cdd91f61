//! What a plan's secrets are given as. Reading files and the environment is for whoever starts a run; which value counts for
//! which name is said here.

use std::collections::BTreeMap;
use std::fmt;

use meshproof_proto::limits::SECRETS;
use meshproof_proto::mask::Masker;

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

impl SecretInputs {
    /// What takes the values out of texts, also while it is not known yet which of them the plan asks for.
    pub(crate) fn masker(&self) -> Masker {
        let named = |(variable, value): (&String, &String)| {
            let name = variable.strip_prefix(ENVIRONMENT)?.to_lowercase().replace('_', "-");
            Some((name, value.clone()))
        };
        let given = self.given.iter().map(|(name, value)| (name.clone(), value.clone()));
        let known = given.chain(self.environment.iter().filter_map(named));
        // one that cannot be masked is no secret that a plan can use
        let usable = known.filter(|(name, value)| Masker::new([(name.as_str(), value.as_str())]).is_ok());
        let usable: Vec<_> = usable.take(SECRETS).collect();
        Masker::new(usable.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap_or_default()
    }
}

impl fmt::Debug for SecretInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given: Vec<&String> = self.given.keys().collect();
        f.debug_struct("SecretInputs").field("given", &given).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
