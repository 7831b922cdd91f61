//! Globs: `*` stands for any characters, also for none; everything else for itself.

/// Whether the glob covers the whole text.
pub fn matches(glob: &str, text: &str) -> bool {
    let Some((front, last)) = glob.rsplit_once('*') else { return glob == text };
    let mut parts = front.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in parts {
        // the leftmost place leaves the most for what follows
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_is_held_against_the_whole_text() {
        for (glob, text, expected) in [
            ("*", "anything", true),
            ("*", "", true),
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop*", "shop2", true),
            ("*-eu", "shop-eu", true),
            ("*-eu", "shop-eu2", false),
            ("a*b", "ab", true),
            ("ab*b", "ab", false),
            ("a*b*c", "axxbyyc", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a*b*c", "acb", false),
            ("abc", "abcd", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }

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
