//! What a broken invariant says.

/// An invariant that does not hold, by name, and what was seen instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub invariant: &'static str,
    pub seen: String,
}

pub type Check = Result<(), Broken>;

/// Ends the caller with [`Broken`] unless the condition holds. The text is made only then: millions of checks hold.
macro_rules! hold {
    ($condition:expr, $invariant:literal, $($text:tt)+) => {
        if !$condition {
            return Err($crate::sim::check::Broken { invariant: $invariant, seen: format!($($text)+) });
        }
    };
}
pub(super) use hold;
