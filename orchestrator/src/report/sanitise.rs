//! The one way of remote text to a terminal or a page: characters that could move the cursor, change colours, or reorder or hide
//! text are shown as escapes.

use std::fmt::Write as _;

/// For a place inside a line: line breaks are escaped too.
#[must_use]
pub fn line(text: &str) -> String {
    visible(text, |character| character == '\n')
}

/// For text of several lines: line breaks stay, `\r\n` becomes one, tabs become four spaces.
#[must_use]
pub fn block(text: &str) -> String {
    visible(&text.replace("\r\n", "\n"), |_| false)
}

/// At most so many characters of it, with an ellipsis where some are missing.
#[must_use]
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn visible(text: &str, escapes: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' if escapes('\n') => shown.push_str("\\n"),
            '\n' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            '\r' => shown.push_str("\\r"),
            character if character.is_control() || is_invisible(character) => {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            character => shown.push(character),
        }
    }
    shown
}

/// Marks that reorder or hide what stands around them: bidirectional controls, zero-width characters, tags.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_colours_reorders_or_hides_reaches_the_terminal() {
        for (text, shown) in [
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("a\rb", "a\\rb"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("ab\u{202e}cd", "ab\\u{202e}cd"),
            ("z\u{200b}w", "z\\u{200b}w"),
            ("grüße, 世界 ✓", "grüße, 世界 ✓"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn only_blocks_have_lines() {
        assert_eq!(line("a\nb\tc"), "a\\nb    c");
        assert_eq!(block("a\r\nb\n\x08"), "a\nb\n\\u{8}");
    }
}
