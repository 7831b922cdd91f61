//! Labels of an agent, and the words that choose agents by them: `zone=eu,tier=db`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use thiserror::Error;

use crate::{glob, limits};

/// The key of the zone that an agent is in.
pub const ZONE: &str = "zone";

/// The key of the pool that an agent belongs to, where an operator of zones keeps its agents.
pub const POOL: &str = "pool";

/// The key of which instance of several it is, from 1.
pub const REPLICA: &str = "replica";

/// What an agent is labelled with: `zone=eu`. At most [`limits::LABELS`] pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

/// The text is no labels.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadLabels {
    #[error("`{0}` is no label: KEY=VALUE was expected, as in `zone=eu`")]
    Pair(String),
    #[error(
        "`{0}` cannot stand in a label: 1 to {most} letters, digits, `-`, `_`, `.` and `/` were expected, beginning with a letter or digit",
        most = limits::LABEL_CHARS
    )]
    Word(String),
    #[error("the label `{0}` is given twice")]
    Twice(String),
    #[error("{0} labels are more than the {most} that an agent may have", most = limits::LABELS)]
    TooMany(usize),
}

impl Labels {
    /// Checks every pair.
    ///
    /// # Errors
    /// One is none, or there are too many.
    pub fn new<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, BadLabels> {
        let mut labels = BTreeMap::new();
        for (key, value) in pairs {
            let (key, value) = (word(key.into())?, word(value.into())?);
            if labels.contains_key(&key) {
                return Err(BadLabels::Twice(key));
            }
            labels.insert(key, value);
        }
        match labels.len() {
            many if many > limits::LABELS => Err(BadLabels::TooMany(many)),
            _ => Ok(Self(labels)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of that label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Each with its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// `tier=db,zone=eu`
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&pairs.join(","))
    }
}

impl FromStr for Labels {
    type Err = BadLabels;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').ok_or_else(|| BadLabels::Pair(shown(pair))));
        Self::new(pairs.collect::<Result<Vec<_>, _>>()?)
    }
}

/// What comes from a peer is held to the same.
impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(BTreeMap::<String, String>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn word(text: String) -> Result<String, BadLabels> {
    let may_stand = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    match begins_well && text.len() <= limits::LABEL_CHARS && text.chars().all(may_stand) {
        true => Ok(text),
        false => Err(BadLabels::Word(shown(&text))),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(limits::LABEL_CHARS).collect()
}

/// Chooses agents by labels: all of these must be there, each with a value that its pattern covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<(String, String)>);

impl Selector {
    /// Reads `zone=eu` or `zone=eu-*,tier=db`; `None` for what has no `=`, which is a name.
    ///
    /// # Errors
    /// A part is no label with a pattern.
    pub fn parse(text: &str) -> Option<Result<Self, BadLabels>> {
        text.contains('=').then(|| text.split(',').map(condition).collect::<Result<_, _>>().map(Self))
    }

    /// Whether these labels are chosen.
    pub fn chooses(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, pattern)| labels.get(key).is_some_and(|value| glob::matches(pattern, value)))
    }
}

fn condition(part: &str) -> Result<(String, String), BadLabels> {
    match part.split_once('=') {
        Some((key, pattern)) if !pattern.is_empty() => Ok((word(key.to_owned())?, pattern.to_owned())),
        _ => Err(BadLabels::Pair(shown(part))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_told_in_one_order() {
        let labels: Labels = "zone=eu-1, tier=db,".parse().expect("labels");
        assert_eq!(labels.to_string(), "tier=db,zone=eu-1");
        assert_eq!((labels.get("zone"), labels.get("eu-1")), (Some("eu-1"), None));
        assert_eq!("".parse(), Ok(Labels::default()));
        assert_eq!("zone".parse::<Labels>(), Err(BadLabels::Pair("zone".to_owned())));
        assert_eq!("zone=".parse::<Labels>(), Err(BadLabels::Word(String::new())));
        assert_eq!("zone=e u".parse::<Labels>(), Err(BadLabels::Word("e u".to_owned())));
        assert_eq!("=eu".parse::<Labels>(), Err(BadLabels::Word(String::new())));
        assert_eq!("a=b,a=c".parse::<Labels>(), Err(BadLabels::Twice("a".to_owned())));
        assert!(format!("a={}", "x".repeat(64)).parse::<Labels>().is_err());
        let many: Vec<String> = (0..=limits::LABELS).map(|number| format!("k{number}=v")).collect();
        assert_eq!(many.join(",").parse::<Labels>(), Err(BadLabels::TooMany(limits::LABELS + 1)));
    }

    #[test]
    fn labels_of_a_peer_are_held_to_the_same_limits() {
        let read = |json: &str| serde_json::from_str::<Labels>(json);
        assert_eq!(read(r#"{"zone":"eu"}"#).expect("labels").to_string(), "zone=eu");
        let error = read(r#"{"zone":"\u001b[31m"}"#).expect_err("no label").to_string();
        assert!(error.contains("cannot stand in a label"), "{error}");
    }

    #[test]
    fn all_conditions_must_hold_and_values_may_be_patterns() {
        let labels: Labels = "zone=eu-1,tier=db".parse().expect("labels");
        let chosen = |text: &str| Selector::parse(text).map(|read| read.expect("a selector").chooses(&labels));
        assert_eq!(chosen("zone=eu-1"), Some(true));
        assert_eq!(chosen("zone=eu-*,tier=db"), Some(true));
        assert_eq!(chosen("zone=eu-1,tier=web"), Some(false));
        assert_eq!(chosen("region=eu-1"), Some(false));
        assert_eq!(chosen("zone"), None, "that is a name");
        assert!(Selector::parse("zone=").is_some_and(|read| read.is_err()));
        assert!(Selector::parse("zone=eu,").is_some_and(|read| read.is_err()));
    }
}
