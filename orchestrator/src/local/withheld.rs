//! What processes of a run do not inherit: the variables that may hold a plan's secrets.
//!
//! A secret reaches whom the plan gives it, under the name that the plan says. In the environment of a build it would be there for
//! whatever a build downloads and runs, and in the keeper's for everybody who reads `/proc`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

use crate::plan::{ENVIRONMENT, Plan};

/// Names of variables.
#[derive(Clone, Debug, Default)]
pub struct Withheld(BTreeSet<OsString>);

impl Withheld {
    /// Those that the plan names, and all that are named like secrets, whether the plan asks for them or not.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let here = std::env::vars_os().map(|(name, _)| name);
        let like_secrets = here.filter(|name| name.as_encoded_bytes().starts_with(ENVIRONMENT.as_bytes()));
        Self(like_secrets.chain(plan.secret_variables.iter().map(OsString::from)).collect())
    }

    /// The command is started without them.
    pub fn keep_from(&self, command: &mut Command) {
        for name in &self.0 {
            command.env_remove(name);
        }
    }
}
