//! Tables of text: columns as wide as what is in them, broken into lines between words where the terminal is narrower, and where it is
//! narrower than the words are, each row as a list of its cells.

use super::sanitise;
use crate::console::limits::COLUMNS;

/// The last column is the one of prose and gives way first, down to this or its longest word; then others that are wider.
const EASY_TO_READ: usize = 24;

/// Where that is not enough, down to these: a column of names or figures is not broken for less.
const LAST_AT_LEAST: usize = 12;
const OTHERS_AT_LEAST: usize = 16;

/// Between two columns.
const GAP: usize = 2;

/// Draws rows below a heading, as wide as the terminal is. Cells are remote text.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    table_within(columns(), heading, rows)
}

/// A line of prose as lines that fit the terminal, those behind the first indented. What stands before its first word stays there.
pub(crate) fn folded(line: &str, (columns, indent): (usize, usize)) -> String {
    let text = line.trim_start_matches(' ');
    let lead = line.len() - text.len();
    let room = columns.saturating_sub(lead.max(indent)).max(EASY_TO_READ);
    " ".repeat(lead) + &broken(text, room).join(&format!("\n{}", " ".repeat(indent)))
}

/// Columns of the terminal; where there is none, those that the variable `COLUMNS` says, as a chat does for its commands.
pub(crate) fn columns() -> usize {
    if let Some((width, _)) = terminal_size::terminal_size_of(std::io::stdout()) {
        return usize::from(width.0);
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

fn table_within<const N: usize>(columns: usize, heading: [&str; N], rows: &[[String; N]]) -> String {
    let clean = |row: &[String; N]| row.each_ref().map(|cell| sanitise::line(cell));
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows.iter().map(clean)).collect();
    match widths(columns, &rows) {
        Some(widths) => rows.iter().map(|row| drawn(row, &widths)).collect(),
        None => listed(columns, &rows),
    }
}

/// How wide each column is, so that no word is broken, or else only paths; none: there is no such way.
fn widths<const N: usize>(columns: usize, rows: &[[String; N]]) -> Option<[usize; N]> {
    let most = |measure: fn(&str) -> usize| {
        std::array::from_fn::<usize, N, _>(|at| rows.iter().map(|row| measure(&row[at])).max().unwrap_or_default())
    };
    let natural = most(length);
    fitting(columns, natural, most(longest_word)).or_else(|| fitting(columns, natural, most(longest_piece)))
}

fn fitting<const N: usize>(columns: usize, natural: [usize; N], least: [usize; N]) -> Option<[usize; N]> {
    let (last, mut widths) = (N.checked_sub(1)?, natural);
    let mut over = (widths.iter().sum::<usize>() + GAP * last).saturating_sub(columns);
    for (which, floor) in
        [(last..N, EASY_TO_READ), (0..N, EASY_TO_READ), (last..N, LAST_AT_LEAST), (0..last, OTHERS_AT_LEAST)]
    {
        while over > 0
            && let Some(at) =
                which.clone().filter(|at| widths[*at] > least[*at].max(floor)).max_by_key(|at| widths[*at])
        {
            widths[at] -= 1;
            over -= 1;
        }
    }
    (over == 0).then_some(widths)
}

/// A row, of as many lines as its longest cell has.
fn drawn<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| broken(cell, *width)).collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or_default();
    let line = |number: usize| {
        let pieces = cells.iter().zip(widths).map(|(cell, width)| {
            let piece = cell.get(number).map(String::as_str).unwrap_or_default();
            format!("{piece:<width$}")
        });
        pieces.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned() + "\n"
    };
    (0..lines).map(line).collect()
}

/// Rows below the heading, each cell on a line of its own behind the word of its column; an empty line between two rows.
fn listed<const N: usize>(columns: usize, rows: &[[String; N]]) -> String {
    let Some((heading, rows)) = rows.split_first() else { return String::new() };
    let before = heading.iter().map(|word| length(word)).max().unwrap_or_default() + GAP;
    let cell = |(word, cell): (&String, &String)| {
        let lines = broken(cell, columns.saturating_sub(before));
        let lead = |number: usize| if number == 0 { word.as_str() } else { "" };
        let line = |(number, piece): (usize, &String)| {
            format!("{:<before$}{piece}", lead(number)).trim_end().to_owned() + "\n"
        };
        lines.iter().enumerate().map(line).collect::<String>()
    };
    let listed: Vec<String> = rows.iter().map(|row| heading.iter().zip(row).map(cell).collect()).collect();
    listed.join("\n")
}

/// Lines of at most so many characters, broken between words, and in long ones where people read on: behind a slash or a comma. What has no
/// such place is longer than that. At least one.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for (number, piece) in pieces(word, room).into_iter().enumerate() {
            let line = lines.last_mut().expect("there is one from the start");
            let gap = if number == 0 && !line.is_empty() { " " } else { "" };
            if line.is_empty() || length(line) + gap.len() + length(piece) <= room {
                line.extend([gap, piece]);
            } else {
                lines.push(piece.to_owned());
            }
        }
    }
    lines
}

fn pieces(word: &str, room: usize) -> Vec<&str> {
    if length(word) <= room { vec![word] } else { word.split_inclusive(['/', ',']).collect() }
}

fn longest_word(text: &str) -> usize {
    text.split(' ').map(length).max().unwrap_or_default()
}

fn longest_piece(text: &str) -> usize {
    text.split(' ').flat_map(|word| pieces(word, 0)).map(length).max().unwrap_or_default()
}

fn length(text: &str) -> usize {
    text.chars().count()
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
        assert_eq!(broken("abcdef gh", 4), ["abcdef", "gh"]);
        assert_eq!(broken("at /var/lib/x,y z", 6), ["at /", "var/", "lib/x,", "y z"]);
        assert_eq!(broken("", 4), [""]);
    }

    const RUN: [&str; 7] = [
        "r-9d079c3dfefb",
        "an-order-is-settled-desp…",
        "12 min ago",
        "broke off",
        "128.4 s",
        "10.24 MB",
        "3 passed, not order-is-settled",
    ];

    #[test]
    fn no_word_is_broken_in_any_window_and_none_of_the_rows_is_wider_than_it() {
        let heading = ["RUN", "PLAN", "WHEN", "VERDICT", "TOOK", "SIZE", "TESTS"];
        let row = RUN.map(str::to_owned);
        for columns in 34..200 {
            let drawn = table_within(columns, heading, &[row.clone(), row.clone()]);
            assert!(drawn.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{drawn}");
            for word in row.iter().flat_map(|cell| cell.split(' ')) {
                let is_there = |line: &str| line.split(' ').any(|there| there == word);
                assert!(drawn.lines().filter(|line| is_there(line)).count() >= 2, "{word} in {columns}:\n{drawn}");
            }
        }
    }

    #[test]
    fn a_path_stays_whole_where_prose_can_give_way() {
        let row = [
            "ok",
            "runs",
            "every plan: journals, reports and logs of all that were",
            "/home/anna/state/meshproof/runs",
        ];
        let drawn = table_within(70, ["", "WHAT", "FOR", "FOUND"], &[row.map(str::to_owned)]);
        assert!(drawn.lines().all(|line| line.chars().count() <= 70), "{drawn}");
        assert!(drawn.contains("  /home/anna/state/meshproof/runs\n"), "{drawn}");
    }

    #[test]
    fn in_a_window_narrower_than_its_words_each_cell_has_a_line_behind_the_word_of_its_column() {
        let heading = ["RUN", "PLAN", "WHEN", "VERDICT", "TOOK", "SIZE", "TESTS"];
        let drawn = table_within(40, heading, &[RUN.map(str::to_owned)]);
        assert_eq!(
            drawn,
            "RUN      r-9d079c3dfefb\nPLAN     an-order-is-settled-desp…\nWHEN     12 min ago\nVERDICT  broke off\n\
             TOOK     128.4 s\nSIZE     10.24 MB\nTESTS    3 passed, not order-is-settled\n"
        );
    }

    #[test]
    fn prose_is_folded_between_words() {
        let shop = "t4 shop: run r-1, term 1, no fault is active";
        assert_eq!(folded(shop, (30, 3)), "t4 shop: run r-1, term 1,\n   no fault is active");
        assert_eq!(
            folded("    fault one of the plan's began", (34, 10)),
            "    fault one of the plan's\n          began"
        );
        assert_eq!(folded("short", (5, 3)), "short");
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
