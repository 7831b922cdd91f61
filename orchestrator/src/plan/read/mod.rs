//! Taking a tree apart. A reader takes a node and gives a value, or reports and gives nothing; [`Fields`] applies readers
//! to the keys of a map and reports the keys nobody asked for. So code that reads a noun is a list of its keys.

mod fields;
mod quantities;
mod reading;
mod templates;
#[cfg(test)]
mod tests;
mod values;

pub use fields::Fields;
pub use quantities::{bandwidth, duration, percent, rate, size};
pub use reading::{Heard, Reading};
pub use templates::{json, parse_at, template, value_template};
pub use values::{
    Given, boolean, check_name, choice, count, each, integer, is_template, list, map, name, not_yet, some_text, text,
    wrong_type,
};
