//! Judges what came back: what the plan expects, and what fails without being mentioned. Pure.

use std::collections::BTreeMap;

use jsonpath_rust::JsonPath as _;
use meshproof_proto::event::{CheckFailure, Outcome};
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{Check, Save};
use serde_json::Value;
use thiserror::Error;

use crate::action::{Answer, Came, ErrorKind};
use crate::limits;

/// What an answer comes to: the default rules first, then every check.
pub fn judge(checks: &[Check], answer: &Answer, scope: &Value) -> Outcome {
    if let Some(broken) = unasked_failure(checks, answer) {
        return broken;
    }
    failed_or_ok(failures(checks, answer, scope))
}

/// What fails unless the plan looks at it: a broken call, an HTTP status from 400 up, a non-zero exit code.
pub fn unasked_failure(checks: &[Check], answer: &Answer) -> Option<Outcome> {
    let looks_at = |fields: &[&str]| checks.iter().any(|check| fields.contains(&check.field.as_str()));
    if let Some(error) = &answer.error {
        if error.kind == ErrorKind::Order {
            return Some(Outcome::Error { message: error.message.clone() });
        }
        return (!looks_at(&["error"])).then(|| Outcome::CallFailed { message: error.message.clone() });
    }
    if looks_at(&["status", "code", "error"]) {
        return None;
    }
    match &answer.came {
        Came::Http(http) => http
            .status
            .filter(|status| *status >= 400)
            .map(|status| Outcome::CallFailed { message: format!("answered with status {status}") }),
        Came::Exec(exec) => exec
            .code
            .filter(|code| *code != 0)
            .map(|code| Outcome::CallFailed { message: format!("the program ended with code {code}") }),
        Came::Grpc(grpc) => grpc
            .code
            .as_ref()
            .filter(|code| *code != "OK")
            .map(|code| Outcome::CallFailed { message: grpc.failed(code) }),
        Came::Tcp(_) | Came::Nothing => None,
    }
}

/// The checks that do not hold.
pub fn failures(checks: &[Check], answer: &Answer, scope: &Value) -> Vec<CheckFailure> {
    let indexed = (0..).zip(checks);
    indexed.filter_map(|(index, check)| hold(check, answer, scope).err().map(|why| failure(index, why))).collect()
}

fn hold(check: &Check, answer: &Answer, scope: &Value) -> Result<(), Mismatch> {
    let not = |actual: String| Mismatch { at: String::new(), expected: check.matcher.describe(scope), actual };
    let lost = answer.lost(&check.field);
    if lost > 0 {
        // Judging the part could pass what the whole would fail.
        return Err(not(format!("more than is kept: {lost} bytes came after the first {}", limits::OUTPUT_BYTES)));
    }
    match answer.field(&check.field) {
        Some(actual) => check.matcher.check(&actual, scope),
        None => Err(not(format!("an answer that has no `{}`", check.field))),
    }
}

/// A failure of the check with this index.
pub(crate) fn failure(check: u32, mismatch: Mismatch) -> CheckFailure {
    CheckFailure { check, mismatch }
}

/// The outcome of these failures.
pub(crate) fn failed_or_ok(failures: Vec<CheckFailure>) -> Outcome {
    if failures.is_empty() { Outcome::Ok } else { Outcome::Failed(failures) }
}

/// A number against a check, for `calls` and `count`.
pub(crate) fn number(index: u32, check: &Check, number: u64) -> Option<CheckFailure> {
    check.matcher.check(&Actual::Json(number.into()), &Value::Null).err().map(|why| failure(index, why))
}

/// A value that could not be saved.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SaveError {
    #[error("`{name}` cannot be saved: what came back is not JSON")]
    NotJson { name: String },
    #[error("`{name}` cannot be saved: `{path}` finds nothing in what came back")]
    Nothing { name: String, path: String },
    #[error("`{name}` cannot be saved: {message}")]
    Path { name: String, message: String },
    #[error(
        "`{name}` cannot be saved: with {bytes} bytes the values of this step are too large, {} are kept",
        limits::SAVED_BYTES
    )]
    TooLarge { name: String, bytes: usize },
}

/// What the saves find, as JSON texts. A path that finds several values gives a list of them.
pub fn saved(saves: &[Save], json: Option<&Value>) -> Result<BTreeMap<String, String>, SaveError> {
    let mut bytes = 0;
    let mut found = BTreeMap::new();
    for Save { name, path } in saves {
        let name = name.clone();
        let Some(json) = json else { return Err(SaveError::NotJson { name }) };
        let values =
            json.query(path).map_err(|error| SaveError::Path { name: name.clone(), message: error.to_string() })?;
        let text = match values.as_slice() {
            [] => return Err(SaveError::Nothing { name, path: path.clone() }),
            [one] => one.to_string(),
            many => Value::Array(many.iter().map(|value| (*value).clone()).collect()).to_string(),
        };
        bytes += name.len() + text.len();
        if bytes > limits::SAVED_BYTES {
            return Err(SaveError::TooLarge { name, bytes });
        }
        found.insert(name, text);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshproof_proto::expr::ValueTemplate;
    use meshproof_proto::matcher::Matcher;
    use serde_json::json;

    use super::*;
    use crate::action::{CallError, ExecAnswer, HttpAnswer, Output};

    fn http(status: u16, body: &str) -> Answer {
        let came = HttpAnswer { status: Some(status), body: body.into(), ..HttpAnswer::default() };
        Answer { sent: String::new(), came: Came::Http(came), error: None, took: Duration::from_millis(3) }
    }

    fn refused() -> Answer {
        let error = Some(CallError::new(ErrorKind::Refused, "nobody listens"));
        Answer { sent: String::new(), came: Came::Nothing, error, took: Duration::ZERO }
    }

    fn equals(field: &str, value: Value) -> Check {
        Check { field: field.to_owned(), matcher: Matcher::Equals(ValueTemplate::fixed(&value)) }
    }

    #[test]
    fn a_bad_status_and_a_broken_call_fail_unless_the_plan_looks_at_them() {
        let judged = |checks: &[Check], answer: &Answer| judge(checks, answer, &Value::Null);
        assert!(matches!(judged(&[], &http(500, "")), Outcome::CallFailed { .. }));
        assert_eq!(judged(&[], &http(399, "")), Outcome::Ok);
        assert_eq!(judged(&[equals("status", json!(500))], &http(500, "")), Outcome::Ok);
        assert!(matches!(judged(&[equals("status", json!(200))], &refused()), Outcome::CallFailed { .. }));
        assert_eq!(judged(&[equals("error", json!("refused"))], &refused()), Outcome::Ok);
        assert!(matches!(judged(&[equals("error", json!("reset"))], &refused()), Outcome::Failed(_)));
    }

    #[test]
    fn every_check_that_does_not_hold_is_named_by_its_index() {
        let checks = [equals("status", json!(201)), equals("body", json!("{}")), equals("no-such", json!(1))];
        let failed = failures(&checks, &http(200, "{}"), &Value::Null);
        assert_eq!(failed.iter().map(|failure| failure.check).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn output_of_which_a_part_was_lost_never_passes_a_check() {
        let stdout = Output { text: "fine".to_owned(), lost: 9 };
        let came = Came::Exec(ExecAnswer { code: Some(0), stdout, ..ExecAnswer::default() });
        let answer = Answer { sent: String::new(), came, error: None, took: Duration::ZERO };
        assert_eq!(failures(&[equals("stdout", json!("fine"))], &answer, &Value::Null).len(), 1);
        assert_eq!(failures(&[equals("code", json!(0))], &answer, &Value::Null).len(), 0);
    }

    #[test]
    fn a_save_that_finds_nothing_says_so() {
        let save = |path: &str| [Save { name: "x".to_owned(), path: path.to_owned() }];
        let json = json!({"id": "a", "all": [1, 2]});
        assert_eq!(saved(&save("$.id"), Some(&json)).expect("is there")["x"], "\"a\"");
        assert_eq!(saved(&save("$.all[*]"), Some(&json)).expect("are there")["x"], "[1,2]");
        assert!(matches!(saved(&save("$.no"), Some(&json)), Err(SaveError::Nothing { .. })));
        assert!(matches!(saved(&save("$.id"), None), Err(SaveError::NotJson { .. })));
        let huge = json!({"id": "a".repeat(limits::SAVED_BYTES)});
        assert!(matches!(saved(&save("$.id"), Some(&huge)), Err(SaveError::TooLarge { .. })));
    }
}
