//! A screen as a picture: SVG, in which every character stands in its cell.

use std::fmt::Write as _;

use vt100::{Cell, Color};

const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 14.0;
const PAPER: &str = "#161b22";
const INK: &str = "#e6edf3";

/// The colours of a terminal, by number: the eight, and the same in bold.
const COLOURS: [&str; 16] = [
    "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4", "#6e7681", "#ffa198",
    "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc",
];

fn size(screen: &vt100::Screen) -> (u16, u16) {
    let (rows, columns) = screen.size();
    (rows.get(), columns.get())
}

/// As many rows as are written on.
pub(super) fn svg(screen: &vt100::Screen) -> String {
    let (lines, columns) = size(screen);
    let written = |row: &u16| (0..columns).any(|column| screen.cell(*row, column).is_some_and(Cell::has_contents));
    let rows = (0..lines).rev().find(written).map_or(1, |last| last + 1);
    let (width, height) =
        (f64::from(columns).mul_add(CELL.0, 2.0 * MARGIN), f64::from(rows).mul_add(CELL.1, 2.0 * MARGIN));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows {
        for (column, text, look) in pieces(screen, row) {
            let (x, y) = (f64::from(column).mul_add(CELL.0, MARGIN), f64::from(row + 1).mul_add(CELL.1, MARGIN - 4.0));
            let length = text.chars().count() as f64 * CELL.0;
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\"{look}>{text}</text>")
                .expect("a string takes everything");
        }
    }
    svg + "</g>\n</svg>\n"
}

/// What stands in a row in one colour, without the room around it: where it begins, and how it looks.
fn pieces(screen: &vt100::Screen, row: u16) -> Vec<(u16, String, String)> {
    let mut pieces: Vec<(u16, String, String)> = Vec::new();
    for column in 0..size(screen).1 {
        let Some(cell) = screen.cell(row, column).filter(|cell| cell.has_contents() && cell.contents() != " ") else {
            continue;
        };
        let look = look(cell);
        match pieces.last_mut() {
            // one space between words of one colour
            Some((from, text, same)) if *same == look && usize::from(column - *from) <= text.chars().count() + 1 => {
                let gap = usize::from(column - *from) - text.chars().count();
                text.extend(std::iter::repeat_n(' ', gap));
                text.push_str(cell.contents());
            }
            _ => pieces.push((column, cell.contents().to_owned(), look)),
        }
    }
    pieces
}

fn look(cell: &Cell) -> String {
    let colour = match cell.fgcolor() {
        Color::Default => INK.to_owned(),
        Color::Idx(number) => COLOURS.get(usize::from(number)).copied().unwrap_or(INK).to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    };
    let weight = if cell.bold() { " font-weight=\"bold\"" } else { "" };
    let faint = if cell.dim() { " opacity=\"0.6\"" } else { "" };
    format!(" fill=\"{colour}\"{weight}{faint}")
}
