//! Globs over paths: `*` stands for any characters, `/` included, also for none.

/// Whether the glob covers the whole text. Takes glob times text steps at most.
pub(super) fn matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    // Where to go on when the last `*` has to take one more character.
    let mut again = None;
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            again = Some((g, t));
            g += 1;
        } else if glob.get(g) == Some(&text[t]) {
            g += 1;
            t += 1;
        } else if let Some((star, from)) = again {
            again = Some((star, from + 1));
            g = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_covers_any_part_of_a_path_and_everything_else_is_literal() {
        for (glob, good, bad) in [
            ("/v1/charges", "/v1/charges", "/v1/charges/"),
            ("/v1/*", "/v1/charges/7", "/v2/charges"),
            ("/*/charges", "/v1/a/charges", "/v1/charges/x"),
            ("/a*b*c", "/abxbc", "/abxb"),
            ("/a.c", "/a.c", "/abc"),
            ("*", "", "nothing is bad"),
            ("/[a-z]?", "/[a-z]?", "/b"),
        ] {
            assert!(matches(glob, good), "{glob} {good}");
            assert!(glob == "*" || !matches(glob, bad), "{glob} {bad}");
        }
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
    }
}
