//! The plan language: YAML text to a plan that is valid by construction, or to all of its mistakes at once, each pointing
//! into the file. What may live here: reading, checking, compiling, explaining. What never: running anything, reading
//! the clock, the network or files other than through the text and the [`ReadFile`] it is given.
//!
//! The way of a plan: `source` (text and places) - `yaml` - `tree` (what was written) - `parse`, with the helpers of `read` -
//! `model` (what the grammar says) - `compile` - `compiled` (names resolved, who acts) - `orders` (what agents are told). `check`
//! walks it in one call; `diagnostic`, `code` and `render` say what is wrong.

mod capabilities;
mod check;
mod code;
mod compile;
pub mod compiled;
mod diagnostic;
mod elsewhere;
mod housed;
mod labels;
pub mod limits;
pub mod model;
pub mod orders;
mod parse;
pub mod read;
mod render;
mod scalar;
pub mod schema;
mod secrets;
mod select;
mod source;
mod standing;
mod suggest;
mod thresholds;
mod tree;
mod yaml;

pub use check::{Checked, Mistakes, check};
pub use code::Code;
pub use compile::{Inputs, ReadFile};
pub use compiled::Plan;
pub use diagnostic::{Diagnostic, Diagnostics, Label, quote};
pub use parse::VERBS;
pub use render::{Look, Picture, diagnostics as render_diagnostics, picture as render_picture};
pub use secrets::{ENVIRONMENT, SecretInputs, Wanted};
pub use select::Selection;
pub use source::{Position, Source, Span, Spanned};
pub use suggest::nearest;
pub use thresholds::{Threshold, thresholds};
pub use tree::{Key, Kind, Node, Style, Text};
pub use units::{Bandwidth, Per, Percent, Rate, duration, size};
pub use yaml::parse as parse_yaml;

use meshproof_proto::units;
