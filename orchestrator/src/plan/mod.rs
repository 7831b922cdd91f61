//! The plan language: YAML text to a plan that is valid by construction, or to all of its mistakes at once, each pointing
//! into the file. What may live here: reading, checking, compiling, explaining. What never: running anything, reading
//! the clock, the network or files other than through the text it is given.
//!
//! `source` and `tree` hold what was written, `yaml` makes it, `read` and `units` take it apart, `render` draws what is wrong.

mod code;
mod diagnostic;
pub mod limits;
pub mod read;
mod render;
mod scalar;
mod source;
mod suggest;
mod tree;
mod units;
mod yaml;

pub use code::Code;
pub use diagnostic::{Diagnostic, Diagnostics, Label};
pub use render::{Look, Picture, diagnostics as render_diagnostics, picture as render_picture};
pub use source::{Position, Source, Span, Spanned};
pub use tree::{Key, Kind, Node, Style, Text};
pub use units::{Bandwidth, Per, Percent, Rate};
pub use yaml::parse as parse_yaml;
