//! Files of older tools, as plans: with what became of each of their keys.

pub mod commits;
pub mod testground;

/// A plan that does what a file asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub plan: String,
    /// Of each key of the file, in its order.
    pub became: Vec<(String, String)>,
}
