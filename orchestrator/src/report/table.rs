//! Tables of text: columns as wide as what is in them, the last one broken into lines that fit the terminal.

use super::sanitise;
use crate::console::limits::COLUMNS;

/// The narrowest last column; below it lines grow past the terminal.
const LAST_AT_LEAST: usize = 24;

/// Draws rows below a heading, as wide as the terminal is. Cells are remote text.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let columns = terminal_size::terminal_size_of(std::io::stdout());
    table_within(columns.map_or(COLUMNS, |(width, _)| usize::from(width.0)), heading, rows)
}

fn table_within<const N: usize>(columns: usize, heading: [&str; N], rows: &[[String; N]]) -> String {
    let clean = |row: &[String; N]| row.each_ref().map(|cell| sanitise::line(cell));
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows.iter().map(clean)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let before: usize = widths.iter().take(N.saturating_sub(1)).map(|width| width + 2).sum();
    let room = columns.saturating_sub(before).max(LAST_AT_LEAST);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths).take(N.saturating_sub(1)) {
            line += &format!("{cell:<width$}  ");
        }
        let last = row.last().map(String::as_str).unwrap_or_default();
        for (number, piece) in broken(last, room).into_iter().enumerate() {
            let lead = if number == 0 { line.clone() } else { " ".repeat(before) };
            text += format!("{lead}{piece}").trim_end();
            text.push('\n');
        }
    }
    text
}

/// Lines of at most so many characters, broken between words where that is possible. At least one.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is one from the start");
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.len() <= room {
                line.extend(std::iter::repeat_n(' ', gap).chain(word));
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            line.extend(word.drain(..room));
        }
    }
    lines
}

/// A name that may be long, for a column.
pub(crate) fn short(name: &str, longest: usize) -> String {
    match name.char_indices().nth(longest) {
        Some(_) => name.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
        None => name.to_owned(),
    }
}

/// `12 s`, `3 min`, `2 h`, `30 days`
pub(crate) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `10.24 MB`
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// `0.21 ms`
pub(crate) fn milliseconds(microseconds: u64) -> String {
    format!("{:.2} ms", microseconds as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_one_is_broken_between_words() {
        let why = "the reason is long, it has \x1b[31mcolours\x1b[0m in it and goes on and on until no terminal of a hundred holds it";
        let drawn = table(["LINK", "LAST CHANGE"], &[["ledger - shop".to_owned(), why.to_owned()]]);
        assert!(drawn.lines().all(|line| line.chars().count() <= COLUMNS), "{drawn}");
        assert!(
            drawn.starts_with(
                "LINK           LAST CHANGE\nledger - shop  the reason is long, it has \\u{1b}[31mcolours"
            ),
            "{drawn}"
        );
        assert_eq!(drawn.lines().count(), 3, "{drawn}");
        let wide = table_within(200, ["LINK", "LAST CHANGE"], &[["ledger - shop".to_owned(), why.to_owned()]]);
        assert_eq!(wide.lines().count(), 2, "{wide}");
        let narrow = table_within(40, ["LINK", "LAST CHANGE"], &[["ledger - shop".to_owned(), why.to_owned()]]);
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert_eq!(broken("abcdef gh", 4), ["abcd", "ef", "gh"]);
        assert_eq!(broken("", 4), [""]);
    }

    #[test]
    fn spans_and_names_are_short() {
        assert_eq!(
            [500, 119_999, 120_000, 7_200_000, 30 * 86_400_000].map(span),
            ["0 s", "119 s", "2 min", "2 h", "30 days"]
        );
        assert_eq!((short("ledger", 6), short("ledgers", 6)), ("ledger".to_owned(), "ledge…".to_owned()));
    }
}
