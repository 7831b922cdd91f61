//! Expressions inside of matchers: what they look up, and what becomes of the matcher once that is known.

use serde_json::Value;

use super::{Comparison, Matcher, Quantity};
use crate::expr::{Expr, Template, ValueTemplate};

impl Matcher {
    /// Puts in what the scope knows; what only the agent knows stays.
    #[must_use]
    pub fn resolve(&self, scope: &Value) -> Self {
        let found = |expr: &Expr| if expr.is_agents_own() { None } else { expr.eval(scope) };
        self.filled(&|value| value.resolve(scope), &found)
    }

    /// Puts in the secrets of the scope; the rest stays.
    pub fn put_in_secrets(&mut self, scope: &Value) {
        let value = |value: &ValueTemplate| {
            let mut value = value.clone();
            value.put_in_secrets(scope);
            value
        };
        *self = self.filled(&value, &|expr| expr.is_secret().then(|| expr.eval(scope)).flatten());
    }

    /// What it looks up.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Self::Equals(value) | Self::Contains(value) => value.exprs(),
            Self::In(values) => values.iter().flat_map(ValueTemplate::exprs).collect(),
            Self::Not(inner) => inner.exprs(),
            Self::All(all) => all.iter().flat_map(Self::exprs).collect(),
            Self::Paths(paths) => paths.iter().flat_map(|(_, matcher)| matcher.exprs()).collect(),
            Self::CompareTo(_, text) | Self::RegexOf(text) => text.exprs().collect(),
            Self::Compare(..) | Self::Regex(_) | Self::Exists(_) => Vec::new(),
        }
    }

    /// Whether something that it looks up is not there, or is nothing to compare with: then neither it nor its contrary holds.
    pub(super) fn is_undecided(&self, scope: &Value) -> bool {
        match self {
            Self::CompareTo(..) => self.known(scope).is_none(),
            Self::Not(inner) => inner.is_undecided(scope),
            Self::All(all) => all.iter().any(|matcher| matcher.is_undecided(scope)),
            Self::Paths(paths) => paths.iter().any(|(_, matcher)| matcher.is_undecided(scope)),
            Self::Equals(_) | Self::Contains(_) | Self::In(_) | Self::RegexOf(_) => {
                self.exprs().iter().any(|expr| expr.eval(scope).is_none())
            }
            Self::Compare(..) | Self::Regex(_) | Self::Exists(_) => false,
        }
    }

    fn filled(&self, value: &impl Fn(&ValueTemplate) -> ValueTemplate, find: &impl Fn(&Expr) -> Option<Value>) -> Self {
        match self {
            Self::Equals(equal) => Self::Equals(value(equal)),
            Self::Contains(part) => Self::Contains(value(part)),
            Self::In(values) => Self::In(values.iter().map(value).collect()),
            Self::Not(inner) => Self::Not(Box::new(inner.filled(value, find))),
            Self::All(all) => Self::All(all.iter().map(|matcher| matcher.filled(value, find)).collect()),
            Self::Paths(paths) => {
                Self::Paths(paths.iter().map(|(path, matcher)| (path.clone(), matcher.filled(value, find))).collect())
            }
            Self::CompareTo(comparison, with) => {
                let with = with.filled(find, |found| found);
                let quantity = with.plain().and_then(|text| Quantity::parse(&text));
                quantity.map_or(Self::CompareTo(*comparison, with), |quantity| Self::Compare(*comparison, quantity))
            }
            Self::RegexOf(pattern) => {
                let pattern = pattern.filled(find, |found| regex::escape(&found));
                pattern.plain().map_or(Self::RegexOf(pattern), Self::Regex)
            }
            Self::Compare(..) | Self::Regex(_) | Self::Exists(_) => self.clone(),
        }
    }

    /// The same without expressions; none while something is not known, or is nothing to compare with.
    pub(super) fn known(&self, scope: &Value) -> Option<Self> {
        let known = self.filled(&ValueTemplate::clone, &|expr| expr.eval(scope));
        (!matches!(known, Self::CompareTo(..) | Self::RegexOf(_))).then_some(known)
    }
}

/// What a comparison expects, for a failure's text.
pub(super) fn compared(comparison: Comparison, with: &Template, scope: &Value) -> String {
    match with.render(scope) {
        Ok(text) if Quantity::parse(&text).is_none() => format!("{comparison} {text:?}, which is no quantity"),
        Ok(text) => format!("{comparison} {text}"),
        Err(unset) => format!("{comparison} {with} ({} is not set)", unset.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::Actual;
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text).expect("a template")
    }

    fn less(text: &str) -> Matcher {
        Matcher::CompareTo(Comparison::Less, template(text))
    }

    #[test]
    fn a_comparison_with_what_is_found_is_one_with_that_quantity() {
        let scope = json!({"params": {"limit": "800ms", "most": 3}, "big": "64KiB"});
        for (text, quantity) in [
            ("${{ params.limit }}", Quantity::DurationNs(800_000_000)),
            ("${{ params.most }}", Quantity::Number(3.0)),
            ("${{ params.most }}00ms", Quantity::DurationNs(300_000_000)),
            ("${{ big }}", Quantity::Bytes(64 * 1024)),
        ] {
            assert_eq!(less(text).resolve(&scope), Matcher::Compare(Comparison::Less, quantity), "{text}");
        }
        let fast = Actual::Duration(Duration::from_millis(799));
        assert_eq!(less("${{ params.limit }}").check(&fast, &scope), Ok(()));
        let slow = less("${{ params.limit }}").check(&Actual::Duration(Duration::from_secs(1)), &scope);
        assert_eq!(slow.expect_err("slow").expected, "< 800ms");
    }

    #[test]
    fn what_is_no_quantity_or_not_known_is_less_than_nothing() {
        let said = |matcher: Matcher, scope: Value| {
            matcher.check(&Actual::Json(json!(1)), &scope).expect_err("nothing").expected
        };
        let odd = less("${{ n }}").resolve(&json!({"n": "many"}));
        assert_eq!(said(odd, Value::Null), "< \"many\", which is no quantity");
        assert_eq!(said(less("${{ n }}"), json!({})), "< ${{ n }} (n is not set)");
        assert!(Matcher::Not(Box::new(less("${{ n }}"))).check(&Actual::Json(json!(1)), &json!({})).is_err());
    }

    #[test]
    fn what_is_found_stands_in_a_pattern_for_itself() {
        let pattern = Matcher::RegexOf(template("^order ${{ order }} \\d+$"));
        assert_eq!(pattern.exprs().len(), 1);
        let known = pattern.resolve(&json!({"order": "a.b*"}));
        assert_eq!(known, Matcher::Regex("^order a\\.b\\* \\d+$".to_owned()));
        let line = |text: &str| Actual::Text(text.to_owned());
        assert_eq!(known.check(&line("order a.b* 12"), &Value::Null), Ok(()));
        assert!(known.check(&line("order aXbb 12"), &Value::Null).is_err());
        assert!(pattern.check(&line("order a.b* 12"), &json!({})).is_err(), "it is not known");
    }

    #[test]
    fn what_only_the_agent_knows_waits_for_it_wherever_it_stands() {
        let paths = vec![("$.n".to_owned(), less("${{ index }}")), ("$.m".to_owned(), less("${{ most }}"))];
        let at_agent = Matcher::Not(Box::new(Matcher::All(vec![Matcher::Paths(paths)]))).resolve(&json!({"most": 5}));
        let holds = |n: u64, index: u64| {
            at_agent.check(&Actual::Json(json!({"n": n, "m": 4})), &json!({"index": index})).is_ok()
        };
        assert_eq!((holds(2, 3), holds(3, 3)), (false, true));
        let mut secret = Matcher::RegexOf(template("key=${{ secrets.key }}$"));
        secret.put_in_secrets(&json!({"secrets": {"key": "a+b"}}));
        assert_eq!(secret, Matcher::Regex("key=a\\+b$".to_owned()));
    }
}
