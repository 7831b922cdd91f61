//! Texts and JSON values with expressions inside.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Expr;
use super::filter::text_of;
use super::parse::{self, ExprError};
use crate::nesting;

/// A text with expressions inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Text(String),
    Look(Expr),
}

impl Template {
    /// Reads `text`; an offset in the error counts bytes of `text`.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parse::template(text)
    }

    /// A text without expressions.
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The expressions inside.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.parts.iter().filter_map(|part| match part {
            Part::Look(expr) => Some(expr),
            Part::Text(_) => None,
        })
    }

    /// Puts in what the scope knows; the rest stays.
    pub fn resolve(&self, scope: &Value) -> Self {
        self.filled(|expr| if expr.is_agents_own() { None } else { expr.eval(scope) }, |found| found)
    }

    /// Puts in the secrets of the scope; the rest stays.
    pub fn put_in_secrets(&mut self, scope: &Value) {
        *self = self.filled(|expr| expr.is_secret().then(|| expr.eval(scope)).flatten(), |found| found);
    }

    /// With what is found, as it is to be written, in the place of its expression.
    pub(crate) fn filled(&self, find: impl Fn(&Expr) -> Option<Value>, written: impl Fn(String) -> String) -> Self {
        let parts = self.parts.iter().map(|part| match part {
            Part::Look(expr) => find(expr).map_or_else(|| part.clone(), |found| Part::Text(written(text_of(&found)))),
            Part::Text(_) => part.clone(),
        });
        Self { parts: parts.collect() }
    }

    /// The text, if there are no expressions in it any more.
    pub(crate) fn plain(&self) -> Option<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Look(_) => None,
        };
        self.parts.iter().map(text).collect()
    }

    /// The value; a single expression keeps its type. `Err` names the first expression that found nothing.
    pub fn value(&self, scope: &Value) -> Result<Value, Unset> {
        if let [Part::Look(expr)] = self.parts.as_slice() {
            return expr.eval(scope).ok_or_else(|| Unset(expr.to_string()));
        }
        self.render(scope).map(Value::from)
    }

    /// The text. `Err` names the first expression that found nothing.
    pub fn render(&self, scope: &Value) -> Result<String, Unset> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Look(expr) => out.push_str(&text_of(&expr.eval(scope).ok_or_else(|| Unset(expr.to_string()))?)),
            }
        }
        Ok(out)
    }
}

/// As it was written, near enough for messages.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Look(expr) => write!(f, "${{{{ {expr} }}}}")?,
            }
        }
        Ok(())
    }
}

/// Nothing is known under this name.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not set")]
pub struct Unset(pub String);

/// A JSON value with expressions inside. Numbers are kept as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum ValueTemplate {
    Null,
    Bool(bool),
    Number(String),
    Text(Template),
    List(Vec<ValueTemplate>),
    Map(Vec<(String, ValueTemplate)>),
}

// derived for both, and read within a bound
impl Serialize for ValueTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ValueTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        nesting::bounded(deserializer, Self::deserialize)
    }
}

impl ValueTemplate {
    /// A value without expressions.
    pub fn fixed(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::Text(Template::text(text)),
            Value::Array(items) => Self::List(items.iter().map(Self::fixed).collect()),
            Value::Object(entries) => Self::Map(entries.iter().map(|(k, v)| (k.clone(), Self::fixed(v))).collect()),
        }
    }

    /// Puts in what the scope knows; the rest stays.
    pub fn resolve(&self, scope: &Value) -> Self {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => self.clone(),
            Self::Text(template) => match template.value(scope) {
                Ok(value) if !template.exprs().any(Expr::is_agents_own) => Self::fixed(&value),
                Ok(_) | Err(_) => Self::Text(template.resolve(scope)),
            },
            Self::List(items) => Self::List(items.iter().map(|item| item.resolve(scope)).collect()),
            Self::Map(entries) => Self::Map(entries.iter().map(|(k, v)| (k.clone(), v.resolve(scope))).collect()),
        }
    }

    /// Puts in the secrets of the scope; the rest stays.
    pub fn put_in_secrets(&mut self, scope: &Value) {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
            Self::Text(template) => template.put_in_secrets(scope),
            Self::List(items) => items.iter_mut().for_each(|item| item.put_in_secrets(scope)),
            Self::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.put_in_secrets(scope)),
        }
    }

    /// The value, or the name of the first expression that found nothing.
    pub fn value(&self, scope: &Value) -> Result<Value, Unset> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
            Self::Text(template) => template.value(scope)?,
            Self::List(items) => items.iter().map(|item| item.value(scope)).collect::<Result<_, _>>()?,
            Self::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| Ok((k.clone(), v.value(scope)?)));
                Value::Object(entries.collect::<Result<_, Unset>>()?)
            }
        })
    }

    /// The expressions inside.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => Vec::new(),
            Self::Text(template) => template.exprs().collect(),
            Self::List(items) => items.iter().flat_map(Self::exprs).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, value)| value.exprs()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        let scope = json!({
            "n": 3, "name": "Ada ", "list": [1, {"odd key": true}],
            "services": {"ledger": {"tcp": {"$value": "127.0.0.1:7", "direct": "127.0.0.1:8"}}},
        });
        Template::parse(text).expect("parses").value(&scope).expect("set")
    }

    #[test]
    fn one_expression_keeps_its_type_and_any_other_template_is_text() {
        assert_eq!(value("${{ n }}"), json!(3));
        assert_eq!(value("n=${{ n }}!"), json!("n=3!"));
        assert_eq!(value("${{ list[1]['odd key'] }}"), json!(true));
        assert_eq!(value("${{ services.ledger.tcp }}"), json!("127.0.0.1:7"));
        assert_eq!(value("${{ services.ledger.tcp.direct }}"), json!("127.0.0.1:8"));
        assert_eq!(value("${{ name | trim | upper }}"), json!("ADA"));
        assert_eq!(value("${{ none | default: 'x y' | url }}"), json!("x%20y"));
        assert_eq!(value("${{ none | default: '}}' }}!"), json!("}}!"));
    }

    #[test]
    fn what_is_not_known_stays_for_the_agent() {
        let template = ValueTemplate::Map(vec![(
            "id".to_owned(),
            ValueTemplate::Text(Template::parse("ch_${{ params.shop }}_${{ call.number }}").expect("parses")),
        )]);
        let at_agent = template.resolve(&json!({"params": {"shop": "eu"}}));
        assert_eq!(at_agent.value(&json!({"call": {"number": 2}})), Ok(json!({"id": "ch_eu_2"})));
        assert_eq!(at_agent.value(&json!({})), Err(Unset("call.number".to_owned())));
    }

    #[test]
    fn a_default_waits_for_the_agent_when_only_the_agent_can_know() {
        let text =
            Template::parse("${{ record.name | default: nobody }}, ${{ shop | default: here }}").expect("parses");
        let at_agent = text.resolve(&json!({}));
        assert_eq!(at_agent.render(&json!({"record": {"name": "Ada"}})), Ok("Ada, here".to_owned()));
        let value = ValueTemplate::Text(Template::parse("${{ index | default: 7 }}").expect("parses"));
        assert_eq!(value.resolve(&json!({})).value(&json!({"index": 3})), Ok(json!(3)));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, offset, word) in [
            ("a ${{ n + 1 }}", 8, "calculate"),
            ("${{ n", 0, "closing"),
            ("${{ n | shout }}", 8, "not a filter"),
            ("${{ }}", 3, "expected"),
            ("${{ list[x] }}", 9, "number"),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert_eq!(error.offset, offset, "{text}: {error}");
            assert!(error.message.contains(word), "{text}: {error}");
        }
    }
}
