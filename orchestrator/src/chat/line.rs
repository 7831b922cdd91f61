//! A line, taken apart: whom it is for, and its words.

use thiserror::Error;

/// What somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing, or a comment.
    Nothing,
    /// For the other people.
    Words(String),
    /// `/who`
    Command(Vec<String>),
    /// `@shop http get /healthz`
    To { agents: String, words: Vec<String> },
    /// `#last show`: a command about a run.
    Of { run: String, words: Vec<String> },
}

/// What is wrong with a line before anybody knows its commands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    #[error("a quote ({0}) has no end")]
    Unclosed(char),
    #[error("a command stands behind `/`; `/help` lists them, and `//` begins words that begin with a slash")]
    NoCommand,
    #[error("the name of an agent stands behind `@`, as in `@shop ping`; `@all` is everybody")]
    NoAgent,
    #[error("what is `@{0}` to do? `@{0} help` says what there is")]
    NothingToDo(String),
    #[error("a run stands behind `#`, as in `#last show`; `# ` begins a comment")]
    NoRun,
}

/// Takes a line apart.
///
/// # Errors
/// A quote has no end, or it is for nobody.
pub fn parse(line: &str) -> Result<Line, LineError> {
    let line = line.trim();
    match line.chars().next() {
        None => Ok(Line::Nothing),
        Some('/') if line.starts_with("//") => Ok(Line::Words(line[1..].to_owned())),
        Some('/') => match words(&line[1..])? {
            words if words.is_empty() => Err(LineError::NoCommand),
            words => Ok(Line::Command(words)),
        },
        Some('@') => {
            let (agents, rest) = head(&line[1..]);
            let words = words(rest)?;
            match (agents, words.is_empty()) {
                ("", _) => Err(LineError::NoAgent),
                (agents, true) => Err(LineError::NothingToDo(agents.to_owned())),
                (agents, false) => Ok(Line::To { agents: agents.to_owned(), words }),
            }
        }
        Some('#') if line == "#" || line[1..].starts_with([' ', '#', '!']) => Ok(Line::Nothing),
        Some('#') => match head(&line[1..]) {
            ("", _) => Err(LineError::NoRun),
            (run, rest) => Ok(Line::Of { run: run.to_owned(), words: words(rest)? }),
        },
        Some(_) => Ok(Line::Words(line.to_owned())),
    }
}

fn head(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// Splits as shells do: `'as it is'`, `"with \n, \t, \" and \\"`, and a backslash before one character.
///
/// # Errors
/// A quote has no end.
pub fn words(text: &str) -> Result<Vec<String>, LineError> {
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => quoted(&mut characters, character, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().extend(characters.next()),
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(characters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), LineError> {
    loop {
        match characters.next() {
            None => return Err(LineError::Unclosed(quote)),
            Some(end) if end == quote => return Ok(()),
            Some('\\') if quote == '"' => match characters.next() {
                None => return Err(LineError::Unclosed(quote)),
                Some('n') => word.push('\n'),
                Some('t') => word.push('\t'),
                Some('r') => word.push('\r'),
                Some(escaped @ ('"' | '\\')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
            },
            Some(other) => word.push(other),
        }
    }
}

/// The command line that does the same, to copy into a shell.
#[must_use]
pub fn twin(line: &str) -> String {
    format!("meshproof chat -c {}", shell_word(line.trim()))
}

/// A word as a shell takes it.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_line_is_for_agents_a_command_about_a_run_or_for_people() {
        let to = |agents: &str, words: &[&str]| Line::To { agents: agents.to_owned(), words: owned(words) };
        for (text, line) in [
            ("", Line::Nothing),
            ("  # a comment", Line::Nothing),
            ("#!/usr/bin/meshproof", Line::Nothing),
            ("look at this", Line::Words("look at this".to_owned())),
            ("//etc is full", Line::Words("/etc is full".to_owned())),
            ("/run plan.yaml --seed 7", Line::Command(owned(&["run", "plan.yaml", "--seed", "7"]))),
            ("@shop http get /healthz", to("shop", &["http", "get", "/healthz"])),
            (r#"@ledger tcp "a \"b\"\n" 'c "d"' e\ f"#, to("ledger", &["tcp", "a \"b\"\n", "c \"d\"", "e f"])),
            ("@all exec ''", to("all", &["exec", ""])),
            ("#last", Line::Of { run: "last".to_owned(), words: Vec::new() }),
            (
                "#r-9d07 report --format md",
                Line::Of { run: "r-9d07".to_owned(), words: owned(&["report", "--format", "md"]) },
            ),
        ] {
            assert_eq!(parse(text), Ok(line), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_says_what_to_write() {
        for (text, error) in [
            ("/", LineError::NoCommand),
            ("@", LineError::NoAgent),
            ("@ shop", LineError::NoAgent),
            ("@shop", LineError::NothingToDo("shop".to_owned())),
            ("@shop say 'half", LineError::Unclosed('\'')),
            ("/say \"half\\\"", LineError::Unclosed('"')),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_word_that_was_written_for_a_shell_is_read_as_it_was(word in "[^\\\\]{0,20}") {
            prop_assert_eq!(words(&shell_word(&word)), Ok(vec![word]));
        }

        #[test]
        fn no_line_panics(line in ".{0,60}") {
            let _ = parse(&line);
        }
    }
}
