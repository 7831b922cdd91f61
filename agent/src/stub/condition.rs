//! The conditions of a route, made ready once so that a call does not compile anything.
//!
//! What a matcher means is said in one place, `Matcher::check`. Here is only a faster way to the same answer for what routes
//! have most, regular expressions and plain paths into JSON; anything else is asked there.

use meshproof_proto::matcher::{Actual, Matcher, Mismatch};
use meshproof_proto::order::RequestPart;
use regex::Regex;
use serde_json::Value;

/// What a part of a call must be.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(super) part: RequestPart,
    matcher: Matcher,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Regex(Regex),
    /// The keys that lead to each value, and what it must be there.
    Fields(Vec<(Vec<String>, Matcher)>),
    Ask,
}

impl Condition {
    pub(crate) fn of(part: &RequestPart, matcher: &Matcher) -> Self {
        let way = match matcher {
            Matcher::Regex(pattern) => Regex::new(pattern).map_or(Way::Ask, Way::Regex),
            Matcher::Paths(paths) => fields(paths).map_or(Way::Ask, Way::Fields),
            Matcher::Equals(_)
            | Matcher::Compare(..)
            | Matcher::Contains(_)
            | Matcher::In(_)
            | Matcher::Exists(_)
            | Matcher::CompareTo(..)
            | Matcher::RegexOf(_)
            | Matcher::Not(_)
            | Matcher::All(_) => Way::Ask,
        };
        Self { part: part.clone(), matcher: matcher.clone(), way }
    }

    pub(crate) fn holds(&self, actual: &Actual) -> bool {
        match (&self.way, actual) {
            (Way::Regex(regex), Actual::Text(text) | Actual::Json(Value::String(text))) => regex.is_match(text),
            (Way::Fields(fields), Actual::Json(json)) => fields.iter().all(|(keys, matcher)| {
                let found = keys.iter().try_fold(json, |value, key| value.as_object()?.get(key));
                let found = found.map_or(Actual::Missing, |value| Actual::Json(value.clone()));
                matcher.check(&found, &Value::Null).is_ok()
            }),
            (Way::Regex(_) | Way::Fields(_) | Way::Ask, actual) => self.mismatch(actual).is_none(),
        }
    }

    /// Why it does not hold.
    pub(super) fn mismatch(&self, actual: &Actual) -> Option<Mismatch> {
        self.matcher.check(actual, &Value::Null).err()
    }
}

/// The paths as keys, if all of them are plain: `$.card.number`.
fn fields(paths: &[(String, Matcher)]) -> Option<Vec<(Vec<String>, Matcher)>> {
    paths.iter().map(|(path, matcher)| Some((keys(path)?, matcher.clone()))).collect()
}

fn keys(path: &str) -> Option<Vec<String>> {
    let plain = |key: &str| {
        key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && key.chars().all(|found| found.is_ascii_alphanumeric() || found == '_')
    };
    let keys: Vec<String> = path.strip_prefix("$.")?.split('.').map(str::to_owned).collect();
    keys.iter().all(|key| plain(key)).then_some(keys)
}

#[cfg(test)]
mod tests {
    use meshproof_proto::expr::ValueTemplate;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fast_way_gives_the_answer_of_the_one_matcher() {
        let equals = |value: Value| Matcher::Equals(ValueTemplate::fixed(&value));
        let at = |path: &str, matcher: Matcher| Matcher::Paths(vec![(path.to_owned(), matcher)]);
        let matchers = [
            Matcher::Regex("^a+$".to_owned()),
            at("$.a", equals(json!(1))),
            at("$.a.b", equals(json!("x"))),
            at("$.a.b", Matcher::Not(Box::new(equals(json!("x"))))),
            at("$.a", Matcher::Exists(false)),
            at("$.a", Matcher::Regex("^aa".to_owned())),
            at("$['a']", equals(json!(1))),
            at("$.a[0]", equals(json!(1))),
            at("$..b", equals(json!("x"))),
            at("$.*", equals(json!(1))),
            equals(json!({"a": 1})),
        ];
        let values =
            [json!(1), json!("aa"), json!({"a": 1}), json!({"a": 1.0}), json!({"a": {"b": "x"}}), json!({"a": [1]})];
        let texts = ["", "aa", "{\"a\": 1}", "{\"a\": {\"b\": \"x\"}}", "ab"].map(|text| Actual::Text(text.to_owned()));
        let actuals = values.into_iter().map(Actual::Json).chain(texts).chain([Actual::Missing]);
        for actual in actuals {
            for matcher in &matchers {
                let condition = Condition::of(&RequestPart::Json, matcher);
                let said = matcher.check(&actual, &Value::Null).is_ok();
                assert_eq!(condition.holds(&actual), said, "{matcher:?} against {actual:?}");
            }
        }
    }
}
