//! The secrets of a plan: texts that services and steps use and nobody gets to see.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mask::{MaskError, Masker};

/// The name under which expressions find them: `${{ secrets.NAME }}`.
pub const ROOT: &str = "secrets";

/// Values by name. Its `Debug` form tells names only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Name and value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `{secrets: {NAME: value}}`, as expressions see them.
    pub fn scope(&self) -> Value {
        json!({ ROOT: self.0 })
    }

    /// What takes them out of texts.
    pub fn masker(&self) -> Result<Masker, MaskError> {
        Masker::new(self.iter())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_told_by_name_only() {
        let mut secrets = Secrets::default();
        secrets.insert("key", "hunter2hunter2");
        assert_eq!(format!("{secrets:?}"), "{\"key\"}");
        assert_eq!(secrets.scope(), json!({"secrets": {"key": "hunter2hunter2"}}));
        assert_eq!(secrets.masker().expect("long enough").mask("hunter2hunter2"), "***key***");
    }
}
