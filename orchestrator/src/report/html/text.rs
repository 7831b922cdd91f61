//! The one way of a text into the page: first what reorders, hides or colours is made visible, then what means something to HTML
//! is escaped. It holds between tags and inside of quoted attributes.

use crate::report::sanitise;

/// A text inside of a line.
pub(crate) fn line(text: &str) -> String {
    escaped(&sanitise::line(text))
}

/// A text of several lines.
pub(crate) fn block(text: &str) -> String {
    escaped(&sanitise::block(text))
}

/// A text inside of a line, in which what stands between backticks is code.
pub(super) fn quoting(text: &str) -> String {
    let safe = line(text);
    let parts: Vec<&str> = safe.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return safe;
    }
    let part =
        |(at, part): (usize, &&str)| if at % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() };
    parts.iter().enumerate().map(part).collect()
}

/// At most so many characters of it, with an ellipsis where some are missing.
pub(super) fn cut(text: &str, characters: usize) -> String {
    line(&sanitise::cut(text, characters))
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + text.len() / 16);
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_to_a_page_or_a_terminal_is_left() {
        assert_eq!(
            line("<a b='c' d=\"&\">\x1b[1m\u{202e}\n"),
            "&lt;a b=&#39;c&#39; d=&quot;&amp;&quot;&gt;\\u{1b}[1m\\u{202e}\\n"
        );
        assert_eq!(block("a\r\n<b>"), "a\n&lt;b&gt;");
        assert_eq!(
            (quoting("`<a>` is"), quoting("a ` b")),
            ("<code>&lt;a&gt;</code> is".to_owned(), "a ` b".to_owned())
        );
        assert_eq!((cut("abc<", 3), cut("abc", 3)), ("abc…".to_owned(), "abc".to_owned()));
    }
}
