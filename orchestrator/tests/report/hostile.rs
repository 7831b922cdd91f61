//! Every text of a run that a service, an agent or a plan may choose is replaced by the worst.

use meshproof::record::Record;
use meshproof::report::{self, Story};
use serde_json::Value;

use crate::records;

/// A script, an image that asks somebody, the ends of every quote, a terminal's escape, a mark that turns the direction of text
/// around, a runner's command, a fence's end.
pub const WORST: &str = "</title></style><script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>\"'`-->]]>\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{7}\r\n::error::x\n````\n| @all #1 <!--";

/// The fixed journal with that in it wherever it still is a journal. Names cannot be so: they have an alphabet of their own.
pub fn story() -> Story {
    Story::of(worst_records())
}

/// The records of it.
pub fn worst_records() -> Vec<Record> {
    let mut replaced = 0;
    let records: Vec<Record> = records().iter().map(|record| worst(record, &mut replaced)).collect();
    assert!(replaced > 300, "only {replaced} texts could be replaced");
    records
}

fn worst(record: &Record, replaced: &mut usize) -> Record {
    let mut value = serde_json::to_value(record).expect("plain data");
    let mut paths = Vec::new();
    texts(&value, &mut String::new(), &mut paths);
    for path in paths {
        let Some(text) = value.pointer_mut(&path) else { continue };
        let before = std::mem::replace(text, Value::String(WORST.to_owned()));
        if serde_json::from_value::<Record>(value.clone()).is_ok() {
            *replaced += 1;
        } else if let Some(text) = value.pointer_mut(&path) {
            *text = before;
        }
    }
    serde_json::from_value(value).expect("every replacement was tried")
}

fn texts(value: &Value, path: &mut String, found: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let end = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        texts(value, path, found);
        path.truncate(end);
    };
    match value {
        Value::String(_) => found.push(path.clone()),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| below(&at.to_string(), item)),
        Value::Object(keys) => keys.iter().for_each(|(key, value)| below(key, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What reorders, hides, or drives a terminal.
fn is_dangerous(character: char) -> bool {
    character.is_control() && character != '\n' || matches!(character, '\u{202e}' | '\u{200b}')
}

#[test]
fn no_text_of_a_run_becomes_a_part_of_its_page() {
    let page = report::html(&story());
    let body = page.split_once("</head>").expect("a head").1;
    for part in ["<script", "<img", "onerror=alert(1)>", "</style>", "]]>", "<!--"] {
        assert!(!body.contains(part), "{part} is in the page");
    }
    assert_eq!(page.matches("</title>").count() - body.matches("</title>").count(), 1, "the head has one title");
    assert!(!page.contains(is_dangerous), "something invisible is in the page");
    assert!(body.contains("&lt;script&gt;"), "what was written is shown");
}

#[test]
fn no_text_of_a_run_becomes_a_part_of_its_markdown() {
    let page = report::markdown(&story());
    assert!(!page.contains(is_dangerous), "something invisible is in the page");
    let mut fence = None;
    for line in page.lines() {
        let ticks = line.chars().take_while(|character| *character == '`').count();
        fence = match fence {
            None if ticks >= 3 => Some(ticks),
            Some(open) if ticks == open && line.len() == ticks => None,
            Some(open) => Some(open),
            None => {
                let plain = line
                    .replace("<details>", "")
                    .replace("<summary>", "")
                    .replace("</summary>", "")
                    .replace("</details>", "");
                assert!(!plain.contains("<script") && !plain.contains("<!--") || line.contains('`'), "{line}");
                None
            }
        };
    }
    assert_eq!(fence, None, "a fence was not closed");
}

#[test]
fn no_text_of_a_run_becomes_a_command_of_the_ci_runner() {
    let text = report::annotations(&story());
    assert!(text.contains("file=") && text.lines().all(|line| line.starts_with("::error file=")), "{text}");
}

#[test]
fn no_text_of_a_run_breaks_a_document_of_it() {
    let story = story();
    for text in [report::json(&story), report::trace(&story)] {
        serde_json::from_str::<Value>(&text).expect("one document");
    }
    assert!(!report::trace(&story).contains(is_dangerous));
}
