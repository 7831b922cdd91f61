//! The words of `/fault`: a fault as the plan language knows it, and for how long.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::plan::nearest;

/// Effects, and whether one may stand without a value.
const EFFECTS: &[(&str, bool)] = &[
    ("latency", false),
    ("jitter", false),
    ("loss", false),
    ("bandwidth", false),
    ("duplicate", false),
    ("reorder", false),
    ("corrupt", false),
    ("refuse", true),
    ("reset", true),
    ("slice", false),
    ("slow-close", false),
    ("status", false),
    ("first", false),
    ("percent", false),
];

/// How long a fault lasts for which nobody says it: a fault of a person always ends by itself.
pub const LASTS: &str = "60s";

/// What is wrong with such words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoFault {
    #[error(
        "a fault says what it disturbs and how: `traffic shop -> ledger latency 800ms for 30s`, `stub payments latency 2s`, or the name of one of the plan's"
    )]
    Nothing,
    #[error("traffic is between two services: `traffic shop -> ledger`, or `<->` for both ways")]
    NoEnds,
    #[error("`{0}` needs a value, as in `latency 800ms`, `loss 100%` or `for 30s`")]
    NoValue(String),
    #[error("`{word}` is no effect of a fault{}; there are {}", meant(.word), effects())]
    Unknown { word: String },
}

/// All effects, for completion.
pub(super) fn effects_known() -> impl Iterator<Item = &'static str> {
    EFFECTS.iter().map(|(effect, _)| *effect)
}

fn effects() -> String {
    effects_known().collect::<Vec<_>>().join(", ")
}

fn meant(word: &str) -> String {
    let found = nearest(word, effects_known().chain(["for"]));
    found.map(|found| format!(" (did you mean `{found}`?)")).unwrap_or_default()
}

/// The step that begins the fault.
///
/// # Errors
/// The words say no fault.
pub fn step(words: &[String]) -> Result<Value, NoFault> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut fault, rest) = match words.as_slice() {
        ["traffic", from, arrow @ ("->" | "<->"), to, rest @ ..] => {
            (Map::from_iter([("traffic".to_owned(), json!(format!("{from} {arrow} {to}")))]), rest)
        }
        ["traffic", ..] => return Err(NoFault::NoEnds),
        ["stub", stub, rest @ ..] => (Map::from_iter([("stub".to_owned(), json!(stub))]), rest),
        [] | ["stub"] => return Err(NoFault::Nothing),
        [name, rest @ ..] => return named(name, rest),
    };
    let lasts = effects_of(rest, &mut fault)?;
    Ok(json!({ "fault": fault, "for": lasts }))
}

/// One that the plan has a name for.
fn named(name: &str, rest: &[&str]) -> Result<Value, NoFault> {
    match rest {
        [] => Ok(json!({ "fault": name, "for": LASTS })),
        ["for", lasts] => Ok(json!({ "fault": name, "for": lasts })),
        ["for"] => Err(NoFault::NoValue("for".to_owned())),
        [..] => Err(NoFault::Nothing),
    }
}

fn effects_of(mut rest: &[&str], fault: &mut Map<String, Value>) -> Result<String, NoFault> {
    let mut lasts = LASTS.to_owned();
    while let [word, after @ ..] = rest {
        let effect = EFFECTS.iter().find(|(effect, _)| effect == word);
        // a word that begins the next effect is no value of this one
        let value = after.first().filter(|next| **next != "for" && !EFFECTS.iter().any(|(effect, _)| effect == *next));
        rest = match (*word, effect, value) {
            ("for", _, Some(value)) => {
                lasts = (*value).to_owned();
                &after[1..]
            }
            (_, Some((effect, _)), Some(value)) => {
                fault.insert((*effect).to_owned(), scalar(value));
                &after[1..]
            }
            (_, Some((effect, true)), None) => {
                fault.insert((*effect).to_owned(), Value::Bool(true));
                after
            }
            ("for", _, None) | (_, Some((_, false)), None) => return Err(NoFault::NoValue((*word).to_owned())),
            (word, None, _) => return Err(NoFault::Unknown { word: word.to_owned() }),
        };
    }
    Ok(lasts)
}

fn scalar(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::line::words;

    fn of(text: &str) -> Result<Value, NoFault> {
        step(&words(text).expect("words"))
    }

    #[test]
    fn the_words_of_a_fault_are_a_step_of_the_plan_language_that_ends_by_itself() {
        for (text, expected) in [
            (
                "traffic shop -> ledger latency 800ms for 30s",
                json!({ "fault": { "traffic": "shop -> ledger", "latency": "800ms" }, "for": "30s" }),
            ),
            (
                "traffic shop <-> ledger refuse jitter 5ms latency 1s",
                json!({ "fault": { "traffic": "shop <-> ledger", "refuse": true, "jitter": "5ms", "latency": "1s" }, "for": "60s" }),
            ),
            (
                "stub payments latency 2s for 5s",
                json!({ "fault": { "stub": "payments", "latency": "2s" }, "for": "5s" }),
            ),
            (
                "traffic a -> b status 503 first 2",
                json!({ "fault": { "traffic": "a -> b", "status": 503, "first": 2 }, "for": "60s" }),
            ),
            ("ledger-cut for 5s", json!({ "fault": "ledger-cut", "for": "5s" })),
            ("ledger-cut", json!({ "fault": "ledger-cut", "for": "60s" })),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn words_that_are_no_fault_are_told_with_what_to_write() {
        for (text, expected) in [
            ("", "a fault says what it disturbs"),
            ("traffic shop ledger", "`traffic shop -> ledger`"),
            ("traffic a -> b latency", "`latency` needs a value"),
            ("traffic a -> b latency for 3s", "`latency` needs a value"),
            ("traffic a -> b latncy 3s", "`latncy` is no effect of a fault (did you mean `latency`?)"),
            ("stub payments latency 1s for", "`for` needs a value"),
            ("ledger-cut hard", "a fault says what it disturbs"),
        ] {
            let error = of(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
