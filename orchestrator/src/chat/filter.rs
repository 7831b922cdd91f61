//! Which lines of what goes on are shown to the person at the terminal.

use std::fmt;

/// Words that a line must have, and words that it must not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    with: Vec<String>,
    without: Vec<String>,
}

impl Filter {
    /// Of words; those that begin with `!` must not be there. None: every line is shown.
    #[must_use]
    pub fn of(words: &[String]) -> Self {
        let mut filter = Self::default();
        for word in words {
            match word.strip_prefix('!').filter(|word| !word.is_empty()) {
                Some(word) => filter.without.push(word.to_lowercase()),
                None => filter.with.push(word.to_lowercase()),
            }
        }
        filter
    }

    #[must_use]
    pub fn shows(&self, line: &str) -> bool {
        if self.with.is_empty() && self.without.is_empty() {
            return true;
        }
        let line = line.to_lowercase();
        self.with.iter().all(|word| line.contains(word)) && !self.without.iter().any(|word| line.contains(word))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said: Vec<String> = self.with.iter().map(|word| format!("with `{word}`")).collect();
        said.extend(self.without.iter().map(|word| format!("without `{word}`")));
        match said.is_empty() {
            true => f.write_str("every line is shown"),
            false => write!(f, "of what goes on, lines {} are shown", said.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_if_it_has_all_the_words_and_none_of_the_others_whatever_their_case() {
        let filter = |text: &str| Filter::of(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for (words, line, shown) in [
            ("", "anything", true),
            ("ledger", "linked Ledger to shop", true),
            ("LEDGER shop", "linked ledger to shop", true),
            ("ledger stock", "linked ledger to shop", false),
            ("!pass", "     PASS [  0.001s] one", false),
            ("one !fail", "     PASS [  0.001s] one", true),
            ("!", "well!", true),
        ] {
            assert_eq!(filter(words).shows(line), shown, "{words}: {line}");
        }
        assert_eq!(filter("a !b").to_string(), "of what goes on, lines with `a` and without `b` are shown");
        assert_eq!(filter("").to_string(), "every line is shown");
    }
}
