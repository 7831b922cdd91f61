//! What the sample services wrote about themselves: `<milliseconds since 1970> <fact> <key>=<value>…`, a line each.

use std::path::Path;

/// One line.
#[derive(Clone, Debug)]
pub struct Said {
    pub at_ms: u64,
    pub fact: String,
}

impl Said {
    /// What stands behind `key=`, up to the next space.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.fact.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    #[track_caller]
    pub fn number(&self, key: &str) -> u64 {
        let value = self.value(key).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("`{}` has no number `{key}`", self.fact))
    }
}

/// All lines of a log.
pub fn read(path: &Path) -> Vec<Said> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let said = |line: &str| {
        let (ms, fact) = line.split_once(' ')?;
        Some(Said { at_ms: ms.parse().ok()?, fact: fact.to_owned() })
    };
    text.lines().map(|line| said(line).unwrap_or_else(|| panic!("no fact: {line:?}"))).collect()
}

/// Those that begin with these words.
pub fn about<'a>(said: &'a [Said], words: &str) -> Vec<&'a Said> {
    said.iter().filter(|said| said.fact.starts_with(words)).collect()
}
