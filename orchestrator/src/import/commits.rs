//! The `config.json` of backend.im, a service that tested commits on Kubernetes, as a plan: with what became of each key.

use serde_json::{Map, Value};
use thiserror::Error;

use super::Imported;
use crate::commits::repository::{Place, RepositoryError};

/// The file says nothing that a plan can be made of.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("it is no JSON object: {0}")]
    Json(serde_json::Error),
    #[error("`{key}` is {found}; {expected} was expected")]
    Type { key: &'static str, found: Value, expected: &'static str },
    #[error("it names no `{0}`")]
    Missing(&'static str),
    #[error("`{0}` holds `${{{{`, which is an expression in a plan; put the line into a script")]
    Expression(&'static str),
    #[error(transparent)]
    Url(#[from] RepositoryError),
}

/// The keys that the file may have.
const KEYS: [&str; 7] = ["ws_url", "repo_url", "user_id", "chat_id", "project_type", "test_command", "commits"];

/// Of this text.
///
/// # Errors
/// It is no such file, or lacks what a plan needs.
pub fn import(text: &str) -> Result<Imported, ImportError> {
    let config: Map<String, Value> = serde_json::from_str(text).map_err(ImportError::Json)?;
    let url = word(&config, "repo_url")?.ok_or(ImportError::Missing("repo_url"))?;
    let is_url = matches!(Place::of(&url)?, Place::Url(_));
    let (user, chat) = (word(&config, "user_id")?, word(&config, "chat_id")?);
    let template = word(&config, "project_type")?;
    let test = word(&config, "test_command")?;
    if template.is_none() && test.is_none() {
        return Err(ImportError::Missing("test_command"));
    }
    let commits = commits(&config)?;
    let name = name(user.as_deref(), chat.as_deref());
    let quoted = |text: &str| Value::from(text).to_string();
    let mut plan =
        format!("meshproof: 1\nplan: {name}\nrepo: {{ {}: {} }}\n", if is_url { "url" } else { "path" }, quoted(&url));
    let list: Vec<String> = commits.iter().map(|commit| quoted(commit)).collect();
    plan += &format!("commits: {{ list: [{}] }}\n", list.join(", "));
    plan +=
        &template.as_deref().map(|kind| format!("workspace: {{ template: {} }}\n", quoted(kind))).unwrap_or_default();
    plan += &test.as_deref().map(|line| format!("check: {{ run: {} }}\n", quoted(line))).unwrap_or_default();
    let became = config.iter().map(|(key, value)| (key.clone(), became(key, value, &name))).collect();
    Ok(Imported { plan, became })
}

fn became(key: &str, value: &Value, name: &str) -> String {
    if is_absent(value) {
        return "is empty and left out".to_owned();
    }
    match key {
        "ws_url" => "is left out: the mesh is the transport, and it makes its own way".to_owned(),
        "repo_url" => "is `repo`".to_owned(),
        "user_id" | "chat_id" => format!("names the plan, and with it the runs: `{name}`"),
        "project_type" => "is `workspace.template`".to_owned(),
        "test_command" => "is `check.run`".to_owned(),
        "commits" => "is `commits.list`".to_owned(),
        _ => format!("is not known and left out; known are {}", KEYS.join(", ")),
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A text, or a number as one.
fn word(config: &Map<String, Value>, key: &'static str) -> Result<Option<String>, ImportError> {
    let Some(value) = config.get(key).filter(|value| !is_absent(value)) else { return Ok(None) };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => return Err(ImportError::Type { key, found: other.clone(), expected: "a text" }),
    };
    if text.contains("${{") { Err(ImportError::Expression(key)) } else { Ok(Some(text)) }
}

/// A list, or one; the newest where none is named.
fn commits(config: &Map<String, Value>) -> Result<Vec<String>, ImportError> {
    const KEY: &str = "commits";
    let wrong = |found: &Value| ImportError::Type { key: KEY, found: found.clone(), expected: "a list of commits" };
    match config.get(KEY) {
        None | Some(Value::Null) => Ok(vec!["HEAD".to_owned()]),
        Some(Value::String(_)) => Ok(word(config, KEY)?.into_iter().collect()),
        Some(Value::Array(items)) if !items.is_empty() => {
            let text = |item: &Value| match item.as_str() {
                Some(text) if text.contains("${{") => Err(ImportError::Expression(KEY)),
                Some(text) => Ok(text.to_owned()),
                None => Err(wrong(item)),
            };
            items.iter().map(text).collect()
        }
        Some(other) => Err(wrong(other)),
    }
}

/// What a plan may be called.
fn name(user: Option<&str>, chat: Option<&str>) -> String {
    let given: Vec<&str> = user.into_iter().chain(chat).collect();
    let fits = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = given.join("-").chars().map(fits).take(crate::plan::limits::MAX_NAME_CHARS - 2).collect();
    match name.chars().next() {
        None => "commits".to_owned(),
        Some(first) if first.is_ascii_alphabetic() => name,
        Some(_) => format!("c-{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    const CONFIG: &str = r#"{
        "ws_url": "ws://localhost:8080/ws", "repo_url": "https://git.example/shop.git", "user_id": "anna", "chat_id": 42,
        "project_type": "python", "test_command": "make test && echo \"done\"", "commits": ["HEAD~1", "HEAD"], "verbose": true
    }"#;

    #[test]
    fn every_key_of_the_older_file_is_told_what_became_of_it_and_the_plan_is_right() {
        let imported = import(CONFIG).expect("a good file");
        let became: Vec<String> = imported.became.iter().map(|(key, became)| format!("{key} {became}")).collect();
        assert_eq!(
            became,
            [
                "ws_url is left out: the mesh is the transport, and it makes its own way",
                "repo_url is `repo`",
                "user_id names the plan, and with it the runs: `anna-42`",
                "chat_id names the plan, and with it the runs: `anna-42`",
                "project_type is `workspace.template`",
                "test_command is `check.run`",
                "commits is `commits.list`",
                "verbose is not known and left out; known are ws_url, repo_url, user_id, chat_id, project_type, test_command, commits",
            ]
        );
        let checked = check("plan.yaml", imported.plan.as_bytes(), &Inputs::default());
        let plan = checked.plan.unwrap_or_else(|mistakes| panic!("{}\n{mistakes:?}", imported.plan));
        let commits = plan.commits.expect("a plan of commits");
        assert_eq!((plan.name.as_str(), commits.repo.as_str()), ("anna-42", "https://git.example/shop.git"));
        assert_eq!(commits.run.as_deref(), Some("make test && echo \"done\""));
        assert_eq!(commits.template.as_deref(), Some("python"));
    }

    #[test]
    fn what_no_plan_can_be_made_of_is_said() {
        for (text, said) in [
            ("[]", "it is no JSON object"),
            ("{}", "it names no `repo_url`"),
            (r#"{"repo_url": "."}"#, "it names no `test_command`"),
            (r#"{"repo_url": ["."]}"#, "`repo_url` is [\".\"]; a text was expected"),
            (r#"{"repo_url": ".", "test_command": "x", "commits": []}"#, "`commits` is []"),
            (r#"{"repo_url": ".", "test_command": "${{ x }}"}"#, "`test_command` holds `${{`"),
            (r#"{"repo_url": "https://a:hunter22@b/c", "test_command": "x"}"#, "a password in a URL"),
        ] {
            let error = import(text).expect_err(text).to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
