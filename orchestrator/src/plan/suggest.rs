//! `did you mean …?`: the known word nearest to an unknown one.

/// The nearest of the known words, if it is near enough to be a slip: a third of its letters may differ, one at least,
/// or one is the beginning of the other.
pub fn nearest<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let folded = fold(found);
    let (distance, word) =
        known.into_iter().filter(|word| *word != found).map(|word| (distance(&folded, &fold(word)), word)).min()?;
    let allowed = (found.chars().count().max(word.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(word)
}

/// Letters only matter: `bad_when` and `badWhen` are `bad-when`.
fn fold(word: &str) -> String {
    word.chars().take(64).filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The distance of Damerau and Levenshtein, or none for words where one extends the other (`dur`, `duration`).
fn distance(found: &str, word: &str) -> usize {
    if found.chars().count() >= 3 && (word.starts_with(found) || found.starts_with(word) && word.len() >= 3) {
        return 1;
    }
    strsim::damerau_levenshtein(found, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let known = ["status", "headers", "json", "body", "eventually", "bad-when"];
        for (found, word) in [
            ("staus", Some("status")),
            ("sttaus", Some("status")),
            ("header", Some("headers")),
            ("Json", Some("json")),
            ("badWhen", Some("bad-when")),
            ("event", Some("eventually")),
            ("quantum", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, known), word, "{found}");
        }
    }
}
